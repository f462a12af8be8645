"""README's table of figures, made of the file that is checked in beside its pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from wheelworks.bench.measurements import Measurement, ratio
from wheelworks.core.errors import WheelworksError

ROWS = (
    ("a message echoed, 64 in flight", "websocket", "32 B, 64 in flight"),
    ("a message echoed, one in flight on each of 20 connections", "websocket", "32 B, 1 in flight on each of 20"),
    ("the same, by coroutines that await it", "websocket", "32 B, 1 in flight on each of 20, async"),
    ("a message of 1 MiB echoed", "websocket", "1 MiB, 1 in flight"),
    ("a browser's request answered", "http", "12 headers of a browser"),
    ("a browser's 12 headers, parsed", "headers", "HTTPHeaders.parse"),
    ("a frame of 125 bytes, taken apart", "frames", "parse, 125 B"),
    ("a frame of 125 bytes, built", "frames", "build, 125 B"),
    ("125 bytes, masked", "mask", "to bytes, 125 B"),
    ("64 KiB, masked", "mask", "to bytes, 65,536 B"),
    ("64 KiB, masked in place", "mask", "in place, 65,536 B"),
)


def table(suites: Mapping[str, Sequence[Measurement]]) -> str:
    """The table as Markdown. Raises WheelworksError for a file without one of the cases."""
    return "\n".join(_lines(suites)) + "\n"


def _lines(suites: Mapping[str, Sequence[Measurement]]) -> Iterator[str]:
    yield "| CPU time | Tornado | speedups | times as fast |"
    yield "|---|---|---|---|"
    for words, suite, case in ROWS:
        found = {one.subject: one for one in suites.get(suite, ()) if one.case == case}
        if not {"tornado", "speedups"} <= found.keys():
            raise WheelworksError(f"there are no figures of {suite}: {case}", f"nox -s bench -- {suite}")
        stock, ours = found["tornado"], found["speedups"]
        yield f"| {words} | {_shown(stock)} | {_shown(ours)} | {1 / ratio(ours, stock):.1f} |"


def _shown(one: Measurement) -> str:
    digits = 1 if one.unit == "us" and one.median < 100 else 0
    return f"{one.median:,.{digits}f} {one.unit}"
