"""The responses of Tornado's HTTP server: their head serialised in one call, and less work around it.

Each function is on top of Tornado's own, to which it leaves whatever isn't usual. This module imports Tornado, and uses
private fields of its connections: install() uses it only where it knows their code.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from tornado.concurrent import Future
from tornado.httputil import HTTPHeaders, ResponseStartLine

from tornado_speedups._implementation import serialize_head

# No Content-Length of more digits is looked at here.
_MOST_DIGITS = 18


def write_headers_with(stock: Callable[..., Future[None]]) -> Callable[..., Future[None]]:
    """HTTP1Connection.write_headers, on top of the one that Tornado has: for a server's responses of plain ASCII."""

    @wraps(stock)
    def write_headers(self: Any, start_line: Any, headers: HTTPHeaders, chunk: bytes | None = None) -> Future[None]:
        data = None
        if not self.is_client and type(start_line) is ResponseStartLine and type(headers) is HTTPHeaders:
            data = _serialize(self, start_line, headers, chunk or b"")
        if data is None:
            return stock(self, start_line, headers, chunk)
        future: Future[None] = Future()
        self._write_future = future
        pending = self.stream.write(data)
        self._pending_write = pending
        if pending.done():
            self._on_write_complete(pending)
        else:
            pending.add_done_callback(self._on_write_complete)
        return future

    return write_headers


def _serialize(connection: Any, start_line: ResponseStartLine, headers: Any, body: bytes) -> bytes | None:
    """The response's head and body, which the connection now is in the midst of; None where that is left to Tornado.

    Then nothing has changed that Tornado wouldn't change likewise.
    """
    request, code = connection._request_start_line, start_line.code
    if request is None or connection.stream.closed() or type(body) is not bytes or not isinstance(code, int):
        return None
    has_no_body = request.method == "HEAD" or code == 304
    length = headers.get("Content-Length")
    chunked = length is None and request.version == "HTTP/1.1" and not has_no_body and code != 204 and code // 100 != 1
    remaining = 0 if has_no_body else _as_length(length)
    if length is not None and remaining is None:
        return None
    if remaining is not None and len(body) > remaining:
        return None
    _add_connection_headers(connection, request, headers)
    if chunked:
        headers["Transfer-Encoding"] = "chunked"
        body = body and b"%x\r\n%b\r\n" % (len(body), body)
    data = serialize_head(f"HTTP/1.1 {code:d} {start_line.reason!s}", headers._as_list, body)
    if data is not None:
        connection._response_start_line = start_line
        connection._chunking_output = chunked
        connection._expected_content_remaining = None if remaining is None else remaining - len(body)
    return data


def _as_length(text: Any) -> int | None:
    return int(text) if type(text) is str and text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None


def _add_connection_headers(connection: Any, request: Any, headers: Any) -> None:
    if request.version == "HTTP/1.1":
        if connection._disconnect_on_finish:
            headers["Connection"] = "close"
    elif request.version == "HTTP/1.0" and connection._request_headers.get("Connection", "").lower() == "keep-alive":
        headers["Connection"] = "Keep-Alive"
