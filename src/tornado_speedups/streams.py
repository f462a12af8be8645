"""What HTTP needs of Tornado's sockets, without needless work: reading a head, reading a chunk, writing at once.

Each function is on top of Tornado's own, to which it leaves whatever isn't usual. This module imports Tornado, and uses
private fields of its streams: install() uses it only where it knows their code.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

from tornado.concurrent import Future
from tornado.iostream import IOStream, SSLIOStream, UnsatisfiableReadError
from tornado.log import gen_log

# How HTTP1Connection asks for a head.
_END_OF_HEAD = rb"\r?\n\r?\n"
_END_OF_HEAD_PATTERN = re.compile(_END_OF_HEAD)

# Longer writes are left to Tornado, which can send them in pieces without a copy.
_LONG_WRITE = 128 * 1024


class EndOfHead:
    """Stands for that pattern: its matches end where those of this one do, which begins with something to look for."""

    search = staticmethod(re.compile(rb"\n\r?\n").search)

    def __repr__(self) -> str:
        return repr(_END_OF_HEAD_PATTERN)


_end_of_head = EndOfHead()


def read_until_regex_with(stock: Callable[..., Any]) -> Callable[..., Any]:
    """BaseIOStream.read_until_regex, on top of the one that Tornado has: quicker for heads."""

    @wraps(stock)
    def read_until_regex(self: Any, regex: bytes, max_bytes: int | None = None) -> Any:
        if type(regex) is not bytes or regex != _END_OF_HEAD:
            return stock(self, regex, max_bytes)
        future = self._start_read()
        self._read_regex = _end_of_head
        self._read_max_bytes = max_bytes
        try:
            self._try_inline_read()
        except UnsatisfiableReadError as error:
            gen_log.info("Unsatisfiable read, closing connection: %s", error)
            self.close(exc_info=error)
        except:
            future.add_done_callback(lambda read: read.exception())
            raise
        return future

    return read_until_regex


class _Scratch(threading.local):
    """Where a chunk lies until it is appended to a stream's buffer; one for each thread."""

    def __init__(self) -> None:
        self.buffer = bytearray(65536)
        self.view = memoryview(self.buffer)


_scratch = _Scratch()


def read_to_buffer_with(stock: Callable[[Any], int | None]) -> Callable[[Any], int | None]:
    """BaseIOStream._read_to_buffer, on top of the one that Tornado has: without a new buffer of zeros for each read."""

    @wraps(stock)
    def _read_to_buffer(self: Any) -> int | None:
        size = self.read_chunk_size
        kind = type(self)
        if (
            (kind is not IOStream and kind is not SSLIOStream)
            or self._user_read_buffer
            or size != 65536
            or self._read_buffer_size + size > self.max_buffer_size
        ):
            return stock(self)
        try:
            count: int | None = self.read_from_fd(_scratch.buffer)
        except OSError as error:
            self.close(exc_info=error)
            if self._is_connreset(error):
                return None
            raise
        if not count:
            if count == 0:
                self.close()
            return 0
        self._read_buffer += _scratch.view[:count]
        self._read_buffer_size += count
        return count

    return _read_to_buffer


def write_with(stock: Callable[..., Future[None]]) -> Callable[..., Future[None]]:
    """BaseIOStream.write, on top of the one that Tornado has: what the socket takes at once passes no buffer."""

    @wraps(stock)
    def write(self: Any, data: bytes) -> Future[None]:
        if (
            type(self) is not IOStream
            or type(data) is not bytes
            or not 0 < len(data) <= _LONG_WRITE
            or self._closed
            or self._connecting
            or self._write_futures
            or self.max_write_buffer_size is not None
        ):
            return stock(self, data)
        stream: Any = self
        try:
            sent: int = stream.write_to_fd(data)
        except BlockingIOError:
            return stock(self, data)
        except OSError as error:
            return _fail(self, error)
        self._total_write_index += sent
        self._total_write_done_index += sent
        if sent < len(data):
            return stock(self, data[sent:])
        future: Future[None] = Future()
        future.set_result(None)
        self._maybe_add_error_listener()
        return future

    return write


def _fail(stream: Any, error: OSError) -> Future[None]:
    """The future of a write to a broken socket, which is closed."""
    if not stream._is_connreset(error):
        gen_log.warning("Write error on %s: %s", stream.fileno(), error)
    future: Future[None] = Future()
    stream._write_futures.append((stream._total_write_index, future))
    stream.close(exc_info=error)
    return future
