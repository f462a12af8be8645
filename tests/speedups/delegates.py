"""HTTP servers without handlers: a callback, and a delegate that does what the path of its request says."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any

from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    HTTPServerRequest,
    ResponseStartLine,
)
from tornado.iostream import StreamClosedError

# What the handlers and delegates of the current connection have done.
events: list[Any] = []

# Tasks that nobody else holds.
_speaking: set[asyncio.Task[None]] = set()

_WORD = re.compile(r"([a-z_]+)(\d*)")


def split_program(text: str) -> Iterator[tuple[str, int]]:
    """Yield each operation of a path such as "write5-flush": its word, and its number or 0."""
    for word, number in _WORD.findall(text):
        yield word, int(number or 0)


def answer_request(request: HTTPServerRequest) -> None:
    """Answer without a handler, as old applications do."""
    events.append(("callback", request.method, request.uri, bytes(request.body)))
    connection = request.connection
    assert connection is not None
    if "fail" in (request.uri or ""):
        raise ValueError("on purpose")
    connection.write_headers(ResponseStartLine("", 200, "OK"), HTTPHeaders({"Content-Length": "5"}), b"he")
    connection.write(b"llo")
    connection.finish()


def use_stream(stream: Any, count: int) -> None:
    """Use a detached stream for something other than HTTP: write, read ``count`` times, close."""

    async def speak() -> None:
        try:
            await stream.write(b"detached")
            for _ in range(count):
                events.append(("read", await stream.read_bytes(100, partial=True)))
        except StreamClosedError:
            events.append("detached and closed")
        stream.close()

    task = asyncio.ensure_future(speak())
    _speaking.add(task)
    task.add_done_callback(_speaking.discard)


class RawServer(HTTPServerConnectionDelegate):
    """A server that uses the connection itself: the highest layer that Tornado's HTTP/1 implementation knows."""

    def start_request(self, server_conn: object, request_conn: Any) -> HTTPMessageDelegate:
        return _RawRequest(request_conn)

    def on_close(self, server_conn: object) -> None:
        events.append("on_close")


class _RawRequest(HTTPMessageDelegate):
    """A request whose path names what to do at its head, for each part of its body, and at its end."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._programs = ["", "", ""]

    def headers_received(self, start_line: Any, headers: HTTPHeaders) -> Any:
        events.append(("head", tuple(start_line), sorted(headers.get_all())))
        self._programs = [*start_line.path.lstrip("/").split("/"), "", "", ""][1:4]
        return self._run(0)

    def data_received(self, chunk: bytes) -> Any:
        events.append(("data", bytes(chunk)))
        return self._run(1)

    def finish(self) -> None:
        events.append("finish")
        self._run(2, may_wait=False)

    def on_connection_close(self) -> None:
        events.append("on_connection_close")

    def _run(self, which: int, *, may_wait: bool = True) -> Any:
        for word, number in split_program(self._programs[which]):
            events.append((word, number))
            if word == "sleep":
                return asyncio.sleep(number / 100) if may_wait else None
            if word in RAW:
                RAW[word](self._connection, number)
        return None


def _write_head(connection: Any, number: int) -> None:
    headers = HTTPHeaders({"X-Raw": "yes"})
    if number:
        headers["Content-Length"] = str(number)
    connection.write_headers(ResponseStartLine("HTTP/1.1", 200, "OK"), headers, b"z" * (number // 2))


def _fail(*_: Any) -> None:
    raise ValueError("on purpose")


RAW: dict[str, Callable[[Any, int], Any]] = {
    "head": _write_head,
    "write": lambda connection, number: connection.write(b"z" * number),
    "finish": lambda connection, _: connection.finish(),
    "watch": lambda connection, _: connection.set_close_callback(lambda: events.append("close callback")),
    "fail": _fail,
    "detach": lambda connection, number: use_stream(connection.detach(), number),
    "close": lambda connection, _: connection.close(),
    "hang_up": lambda connection, _: connection.stream.close(),
    "limit": lambda connection, number: connection.set_max_body_size(number),
}
