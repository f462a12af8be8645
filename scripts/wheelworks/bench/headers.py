"""The parsing of a browser's headers: Tornado's, tuned Python, ours, and another library's in C.

The first case is what HTTPHeaders.parse() does, the second a whole head, from bytes as they come from a socket: that
is the one which httptools does too, in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from timeit import Timer
from typing import Any

from wheelworks.bench import calls
from wheelworks.bench.calls import call, function
from wheelworks.bench.measurements import Measurement, Plan
from wheelworks.bench.requests import BROWSER, BROWSER_HEADERS
from wheelworks.core.errors import WheelworksError

TITLE = "a browser's 12 headers, per call"
BASE = "speedups"


class Collected:
    """What httptools calls: the headers of one message after another, as strings."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []

    def on_message_begin(self) -> None:
        """Forget the message before."""
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self.headers.append((name.decode("latin-1"), value.decode("latin-1")))


@contextmanager
def installed() -> Iterator[None]:
    """The hook of the headers in Tornado, in C. Raises WheelworksError where it isn't to be had."""
    function("tornado_speedups._speedups", "parse_headers")
    import tornado_speedups

    tornado_speedups.install(masking=False, websocket=False, http=False)
    try:
        found = tornado_speedups.implementation, tornado_speedups.status()["headers"]
        if found != ("c", "installed"):
            raise WheelworksError(
                f"cannot measure the speedups of headers: {', '.join(found)}", "leave them switched on"
            )
        yield
    finally:
        tornado_speedups.uninstall()


def parsers() -> dict[str, Callable[[str], Any]]:
    """From header lines to Tornado's HTTPHeaders: its own way, tuned Python with the same end as ours, and ours."""
    headers = function("tornado.httputil", "HTTPHeaders")
    make, tuned = (
        function("tornado_speedups.http.heads", "_make"),
        function("tornado_speedups._python", "parse_headers"),
    )
    stock = headers.parse
    with installed():
        ours = headers.parse
    return {"tornado": stock, "tuned python": lambda lines: make(*tuned(lines)), "speedups": ours}


def head_parsers() -> dict[str, Callable[[bytes], Any]]:
    """From a head as it comes from a socket to its first line and Tornado's HTTPHeaders."""
    connection = function("tornado.http1connection", "HTTP1Connection")
    make = function("tornado_speedups.http.heads", "_make")
    tuned = function("tornado_speedups._python", "parse_head")
    stock = connection._parse_headers
    with installed():
        ours = connection._parse_headers

    def tuned_python(head: bytes) -> Any:
        line, *rest = tuned(head)
        return line, make(*rest)

    # Neither uses the connection.
    return {
        "tornado": lambda head: stock(None, head),
        "tuned python": tuned_python,
        "speedups": lambda head: ours(None, head),
    }


def httptools_parser() -> Callable[[bytes], Any]:
    """One parser for all heads, as servers have one for a connection."""
    return function("httptools", "HttpRequestParser")(Collected()).feed_data  # type: ignore[no-any-return]


def cases() -> dict[str, dict[str, Timer]]:
    """The calls of both cases."""
    httptools = {"httptools": call(httptools_parser(), BROWSER)}
    lines = BROWSER_HEADERS.decode()
    return {
        "HTTPHeaders.parse": {name: call(parse, lines) for name, parse in parsers().items()} | httptools,
        "the whole head": {name: call(parse, BROWSER) for name, parse in head_parsers().items()} | httptools,
    }


def measure(plan: Plan, say: Callable[[str, str], None]) -> list[Measurement]:
    """Nanoseconds of CPU time per call."""
    found: list[Measurement] = []
    for case, timers in cases().items():
        say("headers", case)
        found += calls.measure(case, timers, plan)
    return found
