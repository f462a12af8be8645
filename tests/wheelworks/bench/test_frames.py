"""The ways of handling frames that are measured: that they do the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from wheelworks.bench import frames, load
from wheelworks.bench.measurements import Plan
from wheelworks.core.errors import WheelworksError

import tornado_speedups
from tests.wheelworks.bench.test_headers import needs_c

SIZES = [0, 5, 125, 126, 70_000]


@pytest.mark.parametrize("size", SIZES)
def test_frames_are_taken_apart_alike(size: int) -> None:
    data = b"\x82" + load.message(size)[1:]
    expected = (2, b"x" * size)
    [(head, payload)], _, _ = tornado_speedups.parse_frames(data, 0, 1 << 30)
    assert (head & 0x0F, payload) == expected
    parse = frames.tornado_parser()
    assert [parse(data), parse(data)] == [expected, expected]


@pytest.mark.parametrize("size", SIZES)
def test_frames_are_built_alike(size: int) -> None:
    payload = b"x" * size
    assert frames.tornado_builder()(payload) == tornado_speedups.build_frame(0x82, payload, None)


def test_a_library_that_does_something_else_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "websockets_parser", lambda: lambda data: (2, data))
    with pytest.raises(WheelworksError, match="don't take a frame of 16 bytes apart alike"):
        frames.parsing(16)


def test_a_frame_that_is_not_whole_is_no_figure() -> None:
    with pytest.raises(RuntimeError, match="waits for more"):
        frames._finish(iter_forever())


def iter_forever() -> Iterator[None]:
    yield


@needs_c
def test_every_size_is_measured_for_those_that_are_wanted() -> None:
    found = frames.measure(Plan(2, 0.01, False, frozenset(["speedups", "tornado"])), lambda suite, what: None)
    assert {(one.series, one.size) for one in found} == {(s, size) for s in ("parse", "build") for size in frames.SIZES}
    assert {one.subject for one in found} == {"tornado", "speedups"}
