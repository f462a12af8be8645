"""README's tables of figures, made from the results file that is checked in beside its pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from wheelworks.bench.measurements import Measurement, paired_ratio
from wheelworks.core.errors import WheelworksError

# Of each row its text, suite and case. Applications first, with what gains nothing.
APPLICATIONS = (
    ("Jupyter: a kernel's message is displayed", "applications", "Jupyter, a message displayed"),
    ("Bokeh: 50 changes of a document", "applications", "Bokeh, 50 changes of a document"),
    ("WebSocket: a message to a chat room of 100", "applications", "chat room, a message to 100 members"),
    ("HTTP: a static file of 10 KiB", "applications", "static file, 10 KiB"),
    ("HTTP: a JSON API, 20 headers", "applications", "JSON API, 20 headers"),
    ("HTTP: a bare request", "http", "bare"),
    ("HTTP: a browser's GET", "http", "12 headers of a browser"),
    ("HTTP: a POST of 10 KiB", "http", "POST, 10 KiB"),
    ("WebSocket: a client that writes and reads", "websocket", "32 B, written and read by a client"),
    ("WebSocket: compressed texts of 4 KiB, 20 connections", "websocket", "4 KiB deflated, 1 in flight on each of 20"),
    ("the same, compressed by zlib-ng", "websocket", "4 KiB deflated by zlib-ng, 1 in flight on each of 20"),
    ("WebSocket: an echo of 1 MiB", "websocket", "1 MiB, 1 in flight"),
    ("WebSocket: an echo, 20 connections", "websocket", "32 B, 1 in flight on each of 20"),
    ("the same, by a coroutine that awaits it", "websocket", "32 B, 1 in flight on each of 20, async"),
    ("WebSocket: an echo, 64 messages in flight", "websocket", "32 B, 64 in flight"),
    ("the same, by a coroutine that awaits it", "websocket", "32 B, 64 in flight, async"),
)
PARTS = (
    ("a browser's 12 headers, parsed", "headers", "HTTPHeaders.parse"),
    ("a frame of 125 bytes, taken apart", "frames", "parse, 125 B"),
    ("a frame of 125 bytes, built", "frames", "build, 125 B"),
    ("125 bytes, masked", "mask", "to bytes, 125 B"),
    ("64 KiB, masked", "mask", "to bytes, 65,536 B"),
    ("64 KiB, masked in place", "mask", "in place, 65,536 B"),
)
# Of each table its head, its rows, and how the last column is made of the ratio to Tornado.
TABLES: tuple[tuple[str, Sequence[tuple[str, str, str]], Callable[[float], str]], ...] = (
    ("| CPU time of the server | Tornado | speedups | share |", APPLICATIONS, lambda ratio: f"{ratio:.2f}"),
    ("| CPU time of a call | Tornado | speedups | times as fast |", PARTS, lambda ratio: f"{1 / ratio:.1f}"),
)


def format_tables(suites: Mapping[str, Sequence[Measurement]]) -> list[str]:
    """Return the tables as Markdown. Raises WheelworksError if a case is missing."""
    return [
        "\n".join((head, "|---|---|---|---|", *(_format_row(row, suites, show) for row in rows), ""))
        for head, rows, show in TABLES
    ]


def _format_row(
    row: tuple[str, str, str], suites: Mapping[str, Sequence[Measurement]], show: Callable[[float], str]
) -> str:
    text, suite, case = row
    found = {one.subject: one for one in suites.get(suite, ()) if one.case == case}
    if not {"tornado", "speedups"} <= found.keys():
        raise WheelworksError(f"there are no figures of {suite}: {case}", f"nox -s bench -- {suite}")
    original, replacement = found["tornado"], found["speedups"]
    ratio = show(paired_ratio(replacement, original))
    return f"| {text} | {_format_median(original)} | {_format_median(replacement)} | {ratio} |"


def _format_median(one: Measurement) -> str:
    digits = 1 if one.unit == "us" and one.median < 100 else 0
    return f"{one.median:,.{digits}f} {one.unit}"
