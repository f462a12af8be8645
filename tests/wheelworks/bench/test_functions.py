"""Test the suites of functions: their subjects return the same, and measuring them leaves Tornado unchanged."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import httptools
import pytest
from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPHeaders
from wheelworks.bench import clients, functions, requests
from wheelworks.bench.functions import FRAMES, HEADERS
from wheelworks.bench.measurements import Measurement, Plan
from wheelworks.core.errors import WheelworksError

import tornado_speedups

needs_c = pytest.mark.skipif(tornado_speedups.implementation != "c", reason="measures C")
SIZES = [0, 5, 125, 126, 70_000]
SUBJECTS = ["tornado", "tuned python", "speedups"]


@pytest.mark.parametrize("size", SIZES)
def test_frames_are_parsed_alike(size: int) -> None:
    data = b"\x82" + clients.make_frame(size)[1:]
    expected = (2, b"x" * size)
    [(head, payload)], _, _ = tornado_speedups.parse_frames(data, 0, 1 << 30)
    assert (head & 0x0F, payload) == expected
    parse = functions.tornado_frame_parser()
    assert [parse(data), parse(data)] == [expected, expected]


@pytest.mark.parametrize("size", SIZES)
def test_frames_are_built_alike(size: int) -> None:
    payload = b"x" * size
    assert functions.tornado_frame_builder()(payload) == tornado_speedups.build_frame(0x82, payload, None)


def test_a_library_that_does_something_else_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "websockets_frame_parser", lambda: lambda data: (2, data))
    with pytest.raises(WheelworksError, match="parse a frame of 16 bytes differently"):
        functions.time_frame_parsers(16)


def test_an_incomplete_frame_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="waits for more"):
        functions.run_coroutine(iter_forever())


def iter_forever() -> Iterator[None]:
    yield


@needs_c
def test_every_size_is_measured_for_the_chosen_subjects() -> None:
    found = FRAMES.measure(Plan(2, 0.01, False, frozenset(["speedups", "tornado"])), lambda suite, what: None)
    assert {(one.series, one.size) for one in found} == {
        (s, size) for s in ("parse", "build") for size in functions.FRAME_SIZES
    }
    assert {one.subject for one in found} == {"tornado", "speedups"}


def expected() -> list[tuple[str, str]]:
    return list(HTTPHeaders.parse(requests.BROWSER_HEADERS.decode()).get_all())


def test_a_browser_sends_twelve_headers() -> None:
    assert len(expected()) == 12
    assert list(HTTPHeaders.parse("Host: localhost:8888\r\n").get_all()) == expected()[:1]


@needs_c
def test_all_parsers_make_the_same_headers() -> None:
    found = functions.header_parsers()
    assert list(found) == SUBJECTS
    for parse in found.values():
        made = parse(requests.BROWSER_HEADERS.decode())
        assert type(made) is HTTPHeaders
        assert list(made.get_all()) == expected()


@needs_c
def test_all_parsers_of_heads_make_the_same() -> None:
    found = functions.head_parsers()
    assert list(found) == SUBJECTS
    for parse in found.values():
        line, made = parse(requests.BROWSER_REQUEST)
        assert line == "GET / HTTP/1.1"
        assert type(made) is HTTPHeaders
        assert list(made.get_all()) == expected()


@needs_c
def test_the_replacements_are_not_tornados() -> None:
    for found in (functions.header_parsers(), functions.head_parsers()):
        assert len(set(found.values())) == 3
    assert functions.header_parsers()["speedups"] != HTTPHeaders.parse


@needs_c
def test_tornado_is_left_unchanged() -> None:
    originals = vars(HTTPHeaders)["parse"], vars(HTTP1Connection)["_parse_headers"]
    functions.header_parsers()
    functions.head_parsers()
    assert (vars(HTTPHeaders)["parse"], vars(HTTP1Connection)["_parse_headers"]) == originals


@needs_c
def test_a_revision_without_the_last_step_of_tuned_python_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """``--compare`` measures old revisions, but tuned Python isn't measured there."""
    monkeypatch.delattr("tornado_speedups.http.heads.make_headers")
    plan = Plan(1, 0.01, count_instructions=False, only=frozenset({"speedups"}))
    monkeypatch.setattr(functions, "measure_calls", lambda case, *_: [Measurement(case, "speedups", "ns", (1.0,))])
    found = functions.HEADERS.measure(plan, lambda *_: None)
    assert [each.case for each in found] == ["HTTPHeaders.parse", "the whole head"]


@needs_c
def test_speedups_that_are_not_in_use_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tornado_speedups, "implementation", "python")
    with pytest.raises(WheelworksError, match="cannot measure the speedups of headers: python, installed"):
        functions.header_parsers()
    assert set(tornado_speedups.status().values()) == {"not installed"}


def test_httptools_finds_the_same_headers() -> None:
    collected = functions.CollectedHeaders()
    parser = httptools.HttpRequestParser(collected)
    for _ in range(2):
        parser.feed_data(requests.BROWSER_REQUEST)
        assert [name.lower() for name, _ in collected.headers] == [name.lower() for name, _ in expected()]
        assert [value for _, value in collected.headers] == [value for _, value in expected()]


def test_a_library_that_is_missing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httptools", None)
    with pytest.raises(WheelworksError, match=r"cannot measure httptools\.HttpRequestParser"):
        functions.httptools_parser()


@needs_c
def test_every_parser_is_measured() -> None:
    found = HEADERS.measure(Plan(2, 0.01, False), lambda suite, what: None)
    assert [each.subject for each in found] == [*SUBJECTS, "httptools"] * 2
    assert {each.case for each in found} == {"HTTPHeaders.parse", "the whole head"}
    for each in found:
        assert len(each.rounds) == 2
        assert min(each.rounds) > 100
        assert each.unit == "ns"
