"""The parsers that are measured: that they say the same, and that measuring them leaves Tornado as it was."""

from __future__ import annotations

import sys

import httptools
import pytest
from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPHeaders
from wheelworks.bench import headers, requests
from wheelworks.bench.measurements import Plan
from wheelworks.core.errors import WheelworksError

import tornado_speedups

needs_c = pytest.mark.skipif(tornado_speedups.implementation != "c", reason="measures C")
SUBJECTS = ["tornado", "tuned python", "speedups"]


def expected() -> list[tuple[str, str]]:
    return list(HTTPHeaders.parse(requests.BROWSER_HEADERS.decode()).get_all())


def test_a_browser_sends_twelve_headers() -> None:
    assert len(expected()) == 12
    assert list(HTTPHeaders.parse("Host: localhost:8888\r\n").get_all()) == expected()[:1]


@needs_c
def test_all_parsers_make_the_same_headers() -> None:
    found = headers.parsers()
    assert list(found) == SUBJECTS
    for parse in found.values():
        made = parse(requests.BROWSER_HEADERS.decode())
        assert type(made) is HTTPHeaders
        assert list(made.get_all()) == expected()


@needs_c
def test_all_parsers_of_heads_make_the_same() -> None:
    found = headers.head_parsers()
    assert list(found) == SUBJECTS
    for parse in found.values():
        line, made = parse(requests.BROWSER)
        assert line == "GET / HTTP/1.1"
        assert type(made) is HTTPHeaders
        assert list(made.get_all()) == expected()


@needs_c
def test_ours_is_not_tornados() -> None:
    for found in (headers.parsers(), headers.head_parsers()):
        assert len(set(found.values())) == 3
    assert headers.parsers()["speedups"] != HTTPHeaders.parse


@needs_c
def test_tornado_is_left_as_it_was() -> None:
    stock = vars(HTTPHeaders)["parse"], vars(HTTP1Connection)["_parse_headers"]
    headers.parsers()
    headers.head_parsers()
    assert (vars(HTTPHeaders)["parse"], vars(HTTP1Connection)["_parse_headers"]) == stock


@needs_c
def test_speedups_that_are_not_in_use_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tornado_speedups, "implementation", "python")
    with pytest.raises(WheelworksError, match="cannot measure the speedups of headers: python, installed"):
        headers.parsers()
    assert set(tornado_speedups.status().values()) == {"not installed"}


def test_httptools_says_the_same() -> None:
    collected = headers.Collected()
    parser = httptools.HttpRequestParser(collected)
    for _ in range(2):
        parser.feed_data(requests.BROWSER)
        assert [name.lower() for name, _ in collected.headers] == [name.lower() for name, _ in expected()]
        assert [value for _, value in collected.headers] == [value for _, value in expected()]


def test_a_library_that_is_missing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httptools", None)
    with pytest.raises(WheelworksError, match=r"cannot measure httptools\.HttpRequestParser"):
        headers.httptools_parser()


@needs_c
def test_every_parser_is_measured() -> None:
    found = headers.measure(Plan(2, 0.01, False), lambda suite, what: None)
    assert [each.subject for each in found] == [*SUBJECTS, "httptools"] * 2
    assert {each.case for each in found} == {"HTTPHeaders.parse", "the whole head"}
    for each in found:
        assert len(each.rounds) == 2
        assert min(each.rounds) > 100
        assert each.unit == "ns"
