"""README's table of figures, made of the file that is checked in beside its pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from wheelworks.bench.measurements import Measurement, ratio
from wheelworks.errors import WheelworksError

ROWS = (
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
    yield "| CPU time per call | Tornado | speedups | times as fast |"
    yield "|---|---|---|---|"
    for words, suite, case in ROWS:
        found = {one.subject: one for one in suites.get(suite, ()) if one.case == case}
        if not {"tornado", "speedups"} <= found.keys():
            raise WheelworksError(f"there are no figures of {suite}: {case}", f"nox -s bench -- {suite}")
        stock, ours = found["tornado"], found["speedups"]
        yield f"| {words} | {stock.median:,.0f} ns | {ours.median:,.0f} ns | {1 / ratio(ours, stock):.1f} |"
