"""README's table of figures, made from the results file that is checked in beside its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wheelworks.bench.measurements import Measurement, paired_ratio
from wheelworks.core.errors import WheelworksError

HEAD = ("| CPU time | Tornado | speedups | times as fast |", "|---|---|---|---|")
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


def format_table(suites: Mapping[str, Sequence[Measurement]]) -> str:
    """Return the table as Markdown. Raises WheelworksError if a case is missing."""
    rows = (_format_row(text, case, suite, suites.get(suite, ())) for text, suite, case in ROWS)
    return "\n".join((*HEAD, *rows, ""))


def _format_row(text: str, case: str, suite: str, measurements: Sequence[Measurement]) -> str:
    found = {one.subject: one for one in measurements if one.case == case}
    if not {"tornado", "speedups"} <= found.keys():
        raise WheelworksError(f"there are no figures of {suite}: {case}", f"nox -s bench -- {suite}")
    original, replacement = found["tornado"], found["speedups"]
    ratio = 1 / paired_ratio(replacement, original)
    return f"| {text} | {_format_median(original)} | {_format_median(replacement)} | {ratio:.1f} |"


def _format_median(one: Measurement) -> str:
    digits = 1 if one.unit == "us" and one.median < 100 else 0
    return f"{one.median:,.{digits}f} {one.unit}"
