"""Read heads and chunks from Tornado's streams, and write to them, without needless work.

Each wrapper takes Tornado's own function and leaves to it whatever isn't usual. This module imports Tornado, and uses
private fields of its streams: install() uses it only where it knows their code.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

from tornado.concurrent import Future, future_set_result_unless_cancelled
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream, SSLIOStream, UnsatisfiableReadError
from tornado.log import gen_log

# The size of a chunk that is read, in bytes, as Tornado's streams have it unless told otherwise.
CHUNK = 65536

_READ = IOLoop.READ
_WATCHED = IOLoop.READ | IOLoop.ERROR

# The classes whose methods are known. A class of an application may have others.
STREAMS = (IOStream, SSLIOStream)
_PLAIN: Any = IOStream

# What is known of a stream besides its own attributes.
KEEPS_NODELAY = 1  # TCP_NODELAY stays on from one response to the next.
SETS_NODELAY = 2  # The application has set TCP_NODELAY itself.
IGNORES = 4  # The next event is ignored if nobody reads.
HAS_IGNORED = 8  # An event was ignored, so that the event loop has the next one already.


class _Flags(int):
    """Flags that are false, so that BaseIOStream takes them for no buffer."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False


_ALL_FLAGS = [_Flags(number) for number in range(16)]
_EVENT_FLAGS = IGNORES | HAS_IGNORED
_IGNORING = [_ALL_FLAGS[number & ~HAS_IGNORED | IGNORES] for number in range(16)]


def get_flags(stream: Any) -> int:
    """Return the flags of a stream.

    They are kept where read_into() keeps a buffer while it reads. CPython gives streams with one attribute more than
    Tornado's and a WebSocket's larger dictionaries, of 1.5 KiB each.
    """
    flags = stream._after_user_read_buffer
    return flags if type(flags) is _Flags else 0


def set_flags(stream: Any, flags: int) -> None:
    """Set the flags of a stream, unless read_into() is reading."""
    if not stream._user_read_buffer:
        stream._after_user_read_buffer = _ALL_FLAGS[flags]


def ignore_event(stream: Any) -> None:
    """Ignore an event of a connection whose response has left, unless someone reads: the next head will be read soon.

    Tornado reads a chunk into its buffer instead, stops watching the socket, and watches it again a turn of the event
    loop later. At most one event is ignored, so that nothing is missed: the event loop reports it again.
    """
    if type(stream) is _PLAIN and not stream._read_buffer_size:
        flags = stream._after_user_read_buffer
        if type(flags) is _Flags:
            stream._after_user_read_buffer = _IGNORING[flags]


def ignore_no_event(stream: Any) -> None:
    """Handle the next event as Tornado does."""
    flags = get_flags(stream)
    if flags & _EVENT_FLAGS:
        set_flags(stream, flags & ~_EVENT_FLAGS)


def _expect_stale_event(stream: Any) -> None:
    """Ignore the event that the event loop has already, if one was ignored: it is that of the head just read."""
    flags = stream._after_user_read_buffer
    if type(flags) is _Flags and flags >= IGNORES:
        others = flags & ~_EVENT_FLAGS
        stream._after_user_read_buffer = _ALL_FLAGS[others | IGNORES if flags >= HAS_IGNORED else others]


def wrap_handle_events(original: Callable[[Any, Any, int], None]) -> Callable[[Any, Any, int], None]:
    """Wrap BaseIOStream._handle_events: a connection doesn't change what the event loop watches twice a request."""

    def _handle_events(self: Any, fd: Any, events: int) -> None:
        if events != _READ or self._closed or type(self) is not _PLAIN:
            return original(self, fd, events)
        if self._read_future is not None:
            if self._read_regex is END_OF_HEAD and self._state == _WATCHED and not self._read_buffer_size:
                return None if _receive_head(self) else original(self, fd, events)
            return original(self, fd, events)
        flags = self._after_user_read_buffer
        if type(flags) is not _Flags or not flags & IGNORES:
            return original(self, fd, events)
        self._after_user_read_buffer = _ALL_FLAGS[flags ^ _EVENT_FLAGS]
        return None

    return _handle_events


# Longer writes are left to Tornado, which can send them in pieces without a copy.
MAX_WRITE = 128 * 1024


class EndOfHead:
    """Stand in for the pattern of the end of a head.

    Matches end at the same place, but the search begins with a character to look for. Error messages show the pattern.
    """

    def __init__(self, pattern: bytes) -> None:
        self._pattern = pattern

    def search(self, data: bytes | bytearray) -> re.Match[bytes] | None:
        """Search, at first with a method that compiles the pattern: install() needn't."""
        self.search = re.compile(rb"\n\r?\n").search  # type: ignore[method-assign, assignment]
        return self.search(data)

    def __repr__(self) -> str:
        return repr(re.compile(self._pattern))


# HTTP1Connection reads a head by the first of these, which has the characters CR and LF themselves: its literal isn't
# a raw one. Applications may use the second.
END_OF_HEAD = EndOfHead(b"\r?\n\r?\n")
_ENDS_OF_HEAD = {b"\r?\n\r?\n": END_OF_HEAD, rb"\r?\n\r?\n": EndOfHead(rb"\r?\n\r?\n")}


def wrap_read_until_regex(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap BaseIOStream.read_until_regex: faster for heads."""

    def read_until_regex(self: Any, regex: bytes, max_bytes: int | None = None) -> Any:
        end_of_head = _ENDS_OF_HEAD.get(regex) if type(regex) is bytes else None
        if end_of_head is None:
            return original(self, regex, max_bytes)
        head = read_head(self, end_of_head, max_bytes)
        if type(head) is not bytes:
            return head
        future: Future[bytes] = Future()
        future.set_result(head)
        return future

    return read_until_regex


def read_head(stream: Any, end_of_head: EndOfHead, max_bytes: int | None) -> Any:
    """Return a head that has come; otherwise a future, which may be done. Raises what read_until_regex() raises."""
    if (
        type(stream) not in STREAMS
        or stream._read_buffer_size
        or stream._read_future is not None
        or stream._closed
        or stream.read_chunk_size != CHUNK
        or stream.max_buffer_size < CHUNK
    ):
        return _wait_for_head(stream, end_of_head, max_bytes)
    try:
        count = stream.read_from_fd(_scratch.buffer)
    except OSError as error:
        return _end_before_head(stream, end_of_head, max_bytes, error)
    if not count:
        return (
            _end_before_head(stream, end_of_head, max_bytes) if count == 0 else _watch(stream, end_of_head, max_bytes)
        )
    end = _find_end(_scratch.buffer, count)
    if not end or (max_bytes is not None and end > max_bytes):
        _keep(stream, 0, count)
        return _wait_for_head(stream, end_of_head, max_bytes)
    if end < count:
        _keep(stream, end, count)
    stream._read_max_bytes = max_bytes  # nobody resets it: how much is read while nobody reads depends on it
    _expect_stale_event(stream)
    stream._maybe_add_error_listener()
    return _scratch.view[:end].tobytes()


def _receive_head(stream: Any) -> bool:
    """Do what _handle_read() does while a head is waited for and nothing is buffered. Return False if it must go on."""
    if stream.read_chunk_size != CHUNK or stream.max_buffer_size < CHUNK:
        return False
    try:
        count = stream.read_from_fd(_scratch.buffer)
    except OSError as error:
        stream.close(exc_info=error)
        if not stream._is_connreset(error):
            gen_log.warning("error on read: %s", error)
        return True
    if not count:
        if count == 0:
            stream.close()
        return True
    most, end = stream._read_max_bytes, _find_end(_scratch.buffer, count)
    if not end or (most is not None and end > most):
        _keep(stream, 0, count)
        return _is_too_long(stream)
    future, stream._read_future, stream._read_regex = stream._read_future, None, None
    future_set_result_unless_cancelled(future, _scratch.view[:end].tobytes())
    if end < count:
        _keep(stream, end, count)
        stream._state = IOLoop.ERROR
        stream.io_loop.update_handler(stream.fileno(), IOLoop.ERROR)
    return True


def _is_too_long(stream: Any) -> bool:
    """Close a stream whose head is too long, before its end is read, which would be reported instead."""
    try:
        stream._find_read_pos()
    except UnsatisfiableReadError as error:
        _refuse(stream, error)
        return True
    return False


def _refuse(stream: Any, error: UnsatisfiableReadError) -> None:
    gen_log.info("Unsatisfiable read, closing connection: %s", error)
    stream.close(exc_info=error)


def _keep(stream: Any, begin: int, end: int) -> None:
    """Append a part of what was received to the stream's buffer."""
    stream._read_buffer += _scratch.view[begin:end]
    stream._read_buffer_size += end - begin


def _find_end(data: bytearray, size: int) -> int:
    """Return where a head ends, as its pattern does; 0 if it doesn't. Two searches take half of the pattern's time."""
    crlf = data.find(b"\n\r\n", 0, size)
    lf = data.find(b"\n\n", 0, crlf + 1 if crlf >= 0 else size)
    return lf + 2 if lf >= 0 else crlf + 3 if crlf >= 0 else 0


def _start_read(stream: Any, end_of_head: EndOfHead, max_bytes: int | None) -> Any:
    future = stream._start_read()
    stream._read_regex, stream._read_max_bytes = end_of_head, max_bytes
    ignore_no_event(stream)
    return future


def _watch(stream: Any, end_of_head: EndOfHead, max_bytes: int | None) -> Any:
    """Return the future of a head that hasn't come."""
    future = _start_read(stream, end_of_head, max_bytes)
    stream._add_io_state(_READ)
    return future


def _end_before_head(stream: Any, end_of_head: EndOfHead, max_bytes: int | None, error: OSError | None = None) -> Any:
    """Close a stream that has ended or is broken, as _read_to_buffer() does. Return the future of the head."""
    future = _start_read(stream, end_of_head, max_bytes)
    if error is None:
        stream.close()
        return future
    stream.close(exc_info=error)
    if not stream._is_connreset(error):
        future.add_done_callback(lambda read: read.exception())
        raise error
    return future


def _wait_for_head(stream: Any, end_of_head: EndOfHead, max_bytes: int | None) -> Any:
    """Do what read_until_regex() does."""
    future = _start_read(stream, end_of_head, max_bytes)
    try:
        stream._try_inline_read()
    except UnsatisfiableReadError as error:
        _refuse(stream, error)
    except:
        future.add_done_callback(lambda read: read.exception())
        raise
    return future


class _Scratch(threading.local):
    """Where a chunk is received before it is appended to a stream's buffer; one for each thread."""

    def __init__(self) -> None:
        self.buffer = bytearray(CHUNK)
        self.view = memoryview(self.buffer)


_scratch = _Scratch()


def wrap_read_to_buffer(original: Callable[[Any], int | None]) -> Callable[[Any], int | None]:
    """Wrap BaseIOStream._read_to_buffer: without a new buffer of zeros for each read."""

    def _read_to_buffer(self: Any) -> int | None:
        size = self.read_chunk_size
        if (
            type(self) not in STREAMS
            or self._user_read_buffer
            or size != CHUNK
            or self._read_buffer_size + size > self.max_buffer_size
        ):
            return original(self)
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
        _keep(self, 0, count)
        return count

    return _read_to_buffer


def wrap_write(original: Callable[..., Future[None]]) -> Callable[..., Future[None]]:
    """Wrap BaseIOStream.write: what the socket takes at once passes through no buffer."""

    def write(self: Any, data: bytes) -> Future[None]:
        if (
            type(self) is not IOStream
            or type(data) is not bytes
            or len(data) > MAX_WRITE
            or self._closed
            or self._connecting
            or self._write_futures
            or self._write_buffer._size  # distributed fills the buffer itself, and then writes b""
            or self.max_write_buffer_size is not None
        ):
            return original(self, data)
        stream: Any = self
        try:
            sent: int = stream.write_to_fd(data) if data else 0
        except BlockingIOError:
            return original(self, data)
        except OSError as error:
            return _fail(self, error)
        self._total_write_index += sent
        self._total_write_done_index += sent
        if sent < len(data):
            return original(self, data[sent:])
        future: Future[None] = Future()
        future.set_result(None)
        self._maybe_add_error_listener()
        return future

    return write


def _fail(stream: Any, error: OSError) -> Future[None]:
    """Close a broken stream, and return the future of the write to it."""
    if not stream._is_connreset(error):
        gen_log.warning("Write error on %s: %s", stream.fileno(), error)
    future: Future[None] = Future()
    stream._write_futures.append((stream._total_write_index, future))
    stream.close(exc_info=error)
    return future
