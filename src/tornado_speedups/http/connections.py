"""Read short bodies, and finish responses, without coroutines and kernel calls that change nothing.

Each wrapper takes Tornado's own function and leaves to it whatever isn't plain. This module imports Tornado, and uses
private fields of its connections and streams: install() uses it only where it knows their code.
"""

from __future__ import annotations

import _socket
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from tornado.http1connection import HTTP1Connection, _ExceptionLoggingContext
from tornado.httputil import HTTPHeaders
from tornado.log import app_log
from tornado.routing import _RoutingDelegate
from tornado.web import _HandlerDelegate

from tornado_speedups.http.heads import as_length
from tornado_speedups.http.streams import (
    KEEPS_NODELAY,
    SETS_NODELAY,
    STREAMS,
    get_flags,
    ignore_no_event,
    set_flags,
)

# A longer body is left to Tornado, which lets others run while it reads it.
MAX_BODY = 65535

_data_received = _HandlerDelegate.data_received
_pass_data_on = _RoutingDelegate.data_received


def wrap_read_body(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap HTTP1Connection._read_body: a request's body that came with its head needs no coroutine."""

    def _read_body(self: Any, code: int, headers: Any, delegate: Any) -> Awaitable[None] | None:
        size = None if self.is_client or type(headers) is not HTTPHeaders else find_size(headers)
        if size is None or (size and not _is_buffered(self, size)):
            return original(self, code, headers, delegate)  # type: ignore[no-any-return]
        return _deliver(self, delegate, size) if size else None

    return _read_body


def find_size(headers: Any) -> int | None:
    """Return the length of a body in bytes, None if it isn't a plain one. Without a header it is 0."""
    lists = headers._as_list
    if "Transfer-Encoding" in lists:
        return None
    lengths = lists.get("Content-Length")
    if lengths is None:
        return 0
    return as_length(lengths[0]) if len(lengths) == 1 else None


def _is_buffered(connection: Any, size: int) -> bool:
    """Return whether a body can be taken from the stream's buffer at once."""
    stream = connection.stream
    return (
        type(stream) in STREAMS
        and size <= stream._read_buffer_size
        and size <= MAX_BODY
        and size <= connection.params.chunk_size
        and size <= connection._max_body_size
        and connection._body_timeout is None
        and stream._read_future is None
    )


def _deliver(connection: Any, delegate: Any, size: int) -> Awaitable[None] | None:
    """Give a whole body to the delegate of the request. Return what must be awaited, or None."""
    stream = connection.stream
    data = stream._consume(size)
    stream._maybe_add_error_listener()
    if connection._write_finished or _hand_over(delegate, data):
        return None
    with _ExceptionLoggingContext(app_log):
        waiting = delegate.data_received(data)
    return None if waiting is None else _wait(waiting)


def _hand_over(delegate: Any, data: bytes) -> bool:
    """Set the body of a handler that doesn't stream it, and return True. Tornado would copy it twice."""
    if type(delegate) is not _RoutingDelegate or type(delegate.delegate) is not _HandlerDelegate:
        return False
    handler: Any = delegate.delegate
    if (
        handler.stream_request_body
        or handler.chunks != b""
        or _HandlerDelegate.data_received is not _data_received
        or _RoutingDelegate.data_received is not _pass_data_on
    ):
        return False
    handler.chunks = data
    return True


async def _wait(awaitable: Awaitable[None]) -> None:
    with _ExceptionLoggingContext(app_log):
        await awaitable


def wrap_clear_callbacks(original: Callable[[Any], None]) -> Callable[[Any], None]:
    """Wrap HTTP1Connection._clear_callbacks: a stream that has no callback to call needn't watch its socket for it."""

    def _clear_callbacks(self: Any) -> None:
        stream = self.stream
        if stream is not None:
            if type(stream) not in STREAMS:
                return original(self)
            stream._close_callback = None
        self._write_callback = self._write_future = self._close_callback = None
        return None

    return _clear_callbacks


def wrap_finish(original: Callable[[Any], None]) -> Callable[[Any], None]:
    """Wrap HTTP1Connection.finish. Its connection keeps TCP_NODELAY from then on, unless the application sets it."""

    def finish(self: Any) -> None:
        stream, pending = self.stream, self._pending_write
        if (
            type(self) is not HTTP1Connection
            or type(stream) not in STREAMS
            or self.is_client
            or self._chunking_output
            or self._expected_content_remaining
            or (pending is not None and not pending.done())
            or not keep_nodelay(stream)
        ):
            return original(self)
        self._write_finished = True
        self._clear_callbacks()
        if self._disconnect_on_finish or not self._read_finished:
            self._disconnect_on_finish = True
            self.close()
        elif not self._finish_future.done():
            self._finish_future.set_result(None)
        return None

    return finish


def wrap_detach(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Wrap HTTP1Connection.detach: the stream goes to its new owner as Tornado would leave it."""

    def detach(self: Any) -> Any:
        stream = self.stream
        if type(stream) not in STREAMS:
            return original(self)
        ignore_no_event(stream)
        if not get_flags(stream) & KEEPS_NODELAY:
            return original(self)
        stream.set_nodelay(False)
        self._clear_callbacks()
        self.stream = None
        if not self._finish_future.done():
            self._finish_future.set_result(None)
        return stream

    return detach


# The family of a socket as an integer, and those of TCP.
_get_family: Any = _socket.socket.family.__get__
_TCP_FAMILIES = (int(socket.AF_INET), int(socket.AF_INET6))


def wrap_set_nodelay(original: Callable[[Any, bool], None]) -> Callable[[Any, bool], None]:
    """Wrap IOStream.set_nodelay: without making the socket's family an enum."""

    def set_nodelay(self: Any, value: bool) -> None:
        if type(self) not in STREAMS:
            return original(self, value)
        set_flags(self, get_flags(self) & ~KEEPS_NODELAY | SETS_NODELAY)
        return None if _set_option(self.socket, 1 if value else 0) else original(self, value)

    return set_nodelay


def _set_option(stream_socket: Any, value: int) -> bool:
    """Set TCP_NODELAY, where there is one. Return False if Tornado must do it, which knows the errors to ignore."""
    if not isinstance(stream_socket, socket.socket):
        return False
    if _get_family(stream_socket) not in _TCP_FAMILIES:
        return True
    try:
        stream_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, value)
    except OSError:
        return False
    return True


def keep_nodelay(stream: Any) -> bool:
    """Set TCP_NODELAY once, unless the application has set it. Return whether it stays on."""
    flags = get_flags(stream)
    if not flags & (KEEPS_NODELAY | SETS_NODELAY):
        flags |= KEEPS_NODELAY if _set_option(stream.socket, 1) else SETS_NODELAY
        set_flags(stream, flags)
    return bool(flags & KEEPS_NODELAY)
