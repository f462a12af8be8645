"""Read a server's requests in one coroutine, which waits for a head without a second future and turn of the event loop.

What a request's handler, delegates and streams are asked, and in which order, is as in Tornado. This module imports
Tornado, and uses private fields of its connections: install() uses it only where it knows their code.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tornado import gen, httputil
from tornado.http1connection import HTTP1Connection, _ExceptionLoggingContext, _QuietException
from tornado.httputil import HTTPHeaders, HTTPInputError
from tornado.iostream import StreamClosedError
from tornado.log import app_log, gen_log

from tornado_speedups.http.streams import END_OF_HEAD, STREAMS, ignore_event, read_head

_httputil: Any = httputil

# What most clients send, as the list of the header's values.
_KEEP_ALIVE = ["keep-alive"]

# From 6.6 on, a delegate whose finish() fails is told that the connection is closed, and the failure isn't raised.
_IS_QUIET = hasattr(HTTP1Connection, "_read_message_inner")


def wrap_read_message(original: Callable[..., Awaitable[bool]]) -> Callable[..., Awaitable[bool]]:
    """Wrap HTTP1Connection._read_message, for the requests to a server."""

    def _read_message(self: Any, delegate: Any, *arguments: Any) -> Awaitable[bool]:
        if type(self) is not HTTP1Connection or self.is_client or type(self.stream) not in STREAMS:
            return original(self, delegate, *arguments)
        request = _Request(self, delegate)
        return _read_quietly(request) if _IS_QUIET else request.read()

    return _read_message


class _Request:
    """A request while it is read. ``owes_close`` tells whether its delegate must hear when the connection is closed."""

    __slots__ = ("connection", "delegate", "owes_close")

    def __init__(self, connection: Any, delegate: Any) -> None:
        self.connection, self.delegate, self.owes_close = connection, delegate, False

    async def read(self) -> bool:
        """Read and handle the request. Return whether another one may follow. Raises what Tornado's function raises."""
        connection = self.connection
        try:
            data = read_head(connection.stream, END_OF_HEAD, connection.params.max_header_size)
            if type(data) is not bytes:
                data = data.result() if data.done() else await _wait_for_head(connection, data)
                if data is None:
                    return False
            headers, waiting = self.begin(data)
            if waiting is not None:
                await _log_failure(waiting)
            if connection.stream is None:  # it has been detached
                self.owes_close = False
                return False
            waiting = self.read_body(headers)
            if waiting is not None and not await _wait_for_body(connection, waiting):
                return False
            self.finish()
            if self.is_answered_later():
                connection.stream.set_close_callback(connection._on_connection_close)
                await connection._finish_future
            return self.is_followed()
        except HTTPInputError as error:
            gen_log.info("Malformed HTTP message from %s: %s", connection.context, error)
            await connection.stream.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()
            return False
        finally:
            self.close()
            connection._clear_callbacks()

    def begin(self, data: bytes) -> tuple[Any, Any]:
        """Parse a head and pass it on. Return its headers, and what must be awaited, or None."""
        connection = self.connection
        line, headers = connection._parse_headers(data)
        start_line = _httputil.parse_request_start_line(line)
        connection._request_start_line, connection._request_headers = start_line, headers
        connection._disconnect_on_finish = not _can_keep_alive(connection, start_line, headers)
        self.owes_close = True
        try:
            return headers, self.delegate.headers_received(start_line, headers)
        except BaseException as error:
            _log(error)
            raise

    def read_body(self, headers: Any) -> Any:
        """Return what must be awaited until the body has been read, or None."""
        connection = self.connection
        expects = type(headers) is not HTTPHeaders or "Expect" in headers._as_list
        if expects and headers.get("Expect") == "100-continue" and not connection._write_finished:
            connection.stream.write(b"HTTP/1.1 100 (Continue)\r\n\r\n")
        return connection._read_body(0, headers, self.delegate)

    def finish(self) -> None:
        """Tell the delegate that the request is whole, unless it has been answered already."""
        self.connection._read_finished = True
        if self.connection._write_finished:
            return
        self.owes_close = _IS_QUIET
        try:
            self.delegate.finish()
        except BaseException as error:
            _log(error)
            raise
        self.owes_close = False

    def is_answered_later(self) -> bool:
        """Return whether there is to be a response that hasn't left yet."""
        stream = self.connection.stream
        return not self.connection._finish_future.done() and stream is not None and not stream.closed()

    def is_followed(self) -> bool:
        """Return whether another request may follow."""
        stream = self.connection.stream
        if stream is None:
            return False
        ignore_event(stream)
        return True

    def close(self) -> None:
        """Tell the delegate that the connection is closed, once."""
        if self.owes_close:
            self.owes_close = False
            with _ExceptionLoggingContext(app_log):
                self.delegate.on_connection_close()


def _can_keep_alive(connection: Any, start_line: Any, headers: Any) -> bool:
    if start_line.version == "HTTP/1.1" and type(headers) is HTTPHeaders:
        values = headers._as_list.get("Connection")
        if values is None or values == _KEEP_ALIVE:
            return not connection.params.no_keep_alive
    keeps: bool = connection._can_keep_alive(start_line, headers)
    return keeps


async def _read_quietly(request: _Request) -> bool:
    try:
        return await request.read()
    except _QuietException:  # it has been logged
        request.connection.close()
        return False


def _log(error: BaseException) -> None:
    """Log what a delegate has raised, and raise what Tornado raises instead."""
    _ExceptionLoggingContext(app_log).__exit__(type(error), error, error.__traceback__)  # type: ignore[arg-type]


async def _log_failure(awaitable: Awaitable[None]) -> None:
    with _ExceptionLoggingContext(app_log):
        await awaitable


async def _wait_for_head(connection: Any, head: Any) -> bytes | None:
    """Return the head; None, with a closed connection, if it hasn't come in time."""
    seconds = connection.params.header_timeout
    if seconds is None:
        return await head  # type: ignore[no-any-return]
    expired: list[bool] = []

    def expire() -> None:
        expired.append(True)
        connection.close()

    # Tornado's IOLoop converts the time twice, which takes longer than the rest of this function.
    timer = connection.stream.io_loop.asyncio_loop.call_later(seconds, expire)
    try:
        return await head  # type: ignore[no-any-return]
    except StreamClosedError:
        if expired:
            return None
        raise
    finally:
        timer.cancel()


async def _wait_for_body(connection: Any, awaitable: Any) -> bool:
    """Return whether the body has come in time."""
    seconds = connection._body_timeout
    if seconds is None:
        await awaitable  # there may be no stream any more: a delegate may have detached it
        return True
    io_loop = connection.stream.io_loop
    try:
        await gen.with_timeout(io_loop.time() + seconds, awaitable, quiet_exceptions=StreamClosedError)
    except TimeoutError:
        gen_log.info("Timeout reading body from %s", connection.context)
        connection.stream.close()
        return False
    return True
