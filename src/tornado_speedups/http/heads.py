"""Parse the heads of HTTP/1.x requests, and serialize those of responses, each in one call.

Each wrapper takes Tornado's own function and leaves to it whatever isn't plain. What is made is Tornado's own
HTTPHeaders, with the private fields that its own parser would have set: their names depend on the version. This module
imports Tornado, and uses private fields of its connections: install() uses it only where it knows their code.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tornado.concurrent import Future
from tornado.httputil import HTTPHeaders, RequestStartLine, ResponseStartLine, _normalize_header

from tornado_speedups._implementation import parse_head, parse_headers, parse_start_line, serialize_head

# From 6.5.3 on, the values that are joined are only a cache of the lists; up to 6.5.10 the last name is kept as well.
_FIELDS = tuple(vars(HTTPHeaders()))
_JOINS_LATER = "_combined_cache" in _FIELDS
_KEEPS_LAST = "_last_key" in _FIELDS
_VALUES = "_combined_cache" if _JOINS_LATER else "_dict"

# A Content-Length of more digits is left to Tornado.
_MAX_DIGITS = 18

# The last second of a year with four digits.
LAST_SECOND = 1 << 37

# A later fraction of a second is rounded up to the next one, which is left to Tornado.
LAST_FRACTION = 0.999999

# The number of dates of files that are remembered.
_MAX_DATES = 256

_new = object.__new__
_new_tuple = tuple.__new__


def wrap_parse(original: Any) -> Any:
    """Wrap the class method HTTPHeaders.parse."""
    original_function = original.__func__

    def parse(cls: type[HTTPHeaders], headers: str, *, _chars_are_bytes: bool = True) -> HTTPHeaders:
        parsed = parse_headers(headers) if cls is HTTPHeaders and type(headers) is str else None
        if parsed is None:
            made: HTTPHeaders = original_function(cls, headers, _chars_are_bytes=_chars_are_bytes)
            return made
        return make_headers(*parsed)

    return classmethod(parse)


def wrap_parse_headers(
    original: Callable[[Any, bytes], tuple[str, HTTPHeaders]],
) -> Callable[..., tuple[str, HTTPHeaders]]:
    """Wrap HTTP1Connection._parse_headers."""

    def _parse_headers(self: Any, data: bytes) -> tuple[str, HTTPHeaders]:
        parsed = parse_head(data)
        if parsed is None:
            return original(self, data)
        line, lists, values, last = parsed
        return line, make_headers(lists, values, last)

    return _parse_headers


def wrap_parse_request_start_line(original: Callable[[str], RequestStartLine]) -> Callable[[str], RequestStartLine]:
    """Wrap httputil.parse_request_start_line."""

    def parse_request_start_line(line: str) -> RequestStartLine:
        parts = parse_start_line(line) if type(line) is str else None
        return original(line) if parts is None else _new_tuple(RequestStartLine, parts)

    return parse_request_start_line


def make_headers(lists: dict[str, list[str]], values: dict[str, str], last: str | None) -> HTTPHeaders:
    """Return Tornado's headers of normalized names: their lists of values, their joined values, and the last name."""
    made = _new(HTTPHeaders)
    headers: Any = made
    if _JOINS_LATER:
        headers._as_list = lists
        headers._combined_cache = values
    else:
        same = len(values) == len(lists)
        headers._dict = values if same else {name: ",".join(each) for name, each in lists.items()}
        headers._as_list = lists
    if _KEEPS_LAST:
        headers._last_key = last
    return made


def wrap_get(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap HTTPHeaders.get, which is Mapping's: that raises and catches an exception for a header that isn't there."""

    def get(self: Any, key: str, default: Any = None) -> Any:
        if type(self) is not HTTPHeaders:
            return original(self, key, default)
        header = _normalize_header(key)
        values: dict[str, str] = getattr(self, _VALUES)
        if header in values:
            return values[header]
        return self[header] if header in self._as_list else default

    return get


def wrap_write_headers(original: Callable[..., Future[None]]) -> Callable[..., Future[None]]:
    """Wrap HTTP1Connection.write_headers, for a server's responses in plain ASCII."""

    def write_headers(self: Any, start_line: Any, headers: HTTPHeaders, chunk: bytes | None = None) -> Future[None]:
        data = None
        if not self.is_client and type(start_line) is ResponseStartLine and type(headers) is HTTPHeaders:
            data = _serialize(self, start_line, headers, chunk or b"")
        if data is None:
            return original(self, start_line, headers, chunk)
        future: Future[None] = Future()
        self._write_future = future
        pending = self.stream.write(data)
        self._pending_write = pending
        if not pending.done():
            pending.add_done_callback(self._on_write_complete)
        elif self._write_callback is None and self._write_future is future and not pending.exception():
            self._write_future = None
            future.set_result(None)
        else:
            self._on_write_complete(pending)
        return future

    return write_headers


def _serialize(connection: Any, start_line: ResponseStartLine, headers: Any, body: bytes) -> bytes | None:
    """Return the response's head and body, and set the connection's state; None where that is left to Tornado.

    In the latter case nothing has changed that Tornado wouldn't change in the same way.
    """
    request, code = connection._request_start_line, start_line.code
    if request is None or connection.stream.closed() or type(body) is not bytes or not isinstance(code, int):
        return None
    has_no_body = request.method == "HEAD" or code == 304
    lengths = headers._as_list.get("Content-Length")
    length = None if lengths is None else lengths[0] if len(lengths) == 1 else headers.get("Content-Length")
    chunked = length is None and request.version == "HTTP/1.1" and not has_no_body and code != 204 and code // 100 != 1
    remaining = 0 if has_no_body else as_length(length)
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


def as_length(text: Any) -> int | None:
    """Return the number of bytes that a Content-Length means; None if Tornado must judge it."""
    return int(text) if type(text) is str and text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None


def _add_connection_headers(connection: Any, request: Any, headers: Any) -> None:
    if request.version == "HTTP/1.1":
        if connection._disconnect_on_finish:
            headers["Connection"] = "close"
    elif request.version == "HTTP/1.0" and connection._request_headers.get("Connection", "").lower() == "keep-alive":
        headers["Connection"] = "Keep-Alive"


def wrap_format_timestamp(original: Callable[[Any], str]) -> Callable[[Any], str]:
    """Wrap httputil.format_timestamp: a date is formatted once for all responses of a second, or of a file."""
    latest: tuple[int, str] = (-1, "")
    dates: dict[datetime, str] = {}

    def format_timestamp(ts: Any) -> str:
        nonlocal latest
        if type(ts) is datetime and (ts.tzinfo is None or ts.tzinfo is UTC):
            return dates.get(ts) or _add_date(dates, ts, original(ts))
        if type(ts) is not float or not 0 <= ts < LAST_SECOND:
            return original(ts)
        second = int(ts)
        if ts - second > LAST_FRACTION:
            return original(ts)
        known, text = latest
        if known != second:
            text = original(ts)
            latest = (second, text)
        return text

    return format_timestamp


def _add_date(dates: dict[datetime, str], date: datetime, text: str) -> str:
    if len(dates) >= _MAX_DATES:
        dates.clear()
    dates[date] = text
    return text
