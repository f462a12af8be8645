"""What a WebSocket connection sends: without a task per message, and with one system call for the answers to many.

This module imports Tornado, and uses private fields of its streams: install() uses it only where it knows both.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Generator, Iterable
from functools import partial
from typing import Any

from tornado.iostream import IOStream, SSLIOStream, StreamClosedError
from tornado.log import gen_log
from tornado.websocket import WebSocketClosedError, WebSocketProtocol13

from tornado_speedups._implementation import build_frame, build_frame_into
from tornado_speedups.longframe import LONG, TEXT, give_back, take_buffer

# The first byte of binary messages in one frame.
BINARY = 0x82
_COMPRESSED = 0x40
_LONGEST_HEADER = 14

# What build_frame takes as it is: bytes, and str of which each character is a byte.
_WIRE_TYPES = (bytes, str)

# So many bytes of answers are held back at most.
_HELD_BYTES = 64 * 1024

# Windows fails where it is given more at once than it can take, so that Tornado's streams write no more there.
_MOST_AT_ONCE = 128 * 1024 if sys.platform == "win32" else sys.maxsize


class WriteFuture(asyncio.Future[None]):
    """Of a write; to await one that is as good as done costs one turn of the loop instead of two."""

    is_sent = False

    def __await__(self) -> Generator[Any, None, None]:
        """Wait until the frame has left, for one turn at least."""
        if self.is_sent and not self.done():
            yield
        return (yield from super().__await__())


class SendingProtocol(WebSocketProtocol13):
    """A connection whose messages go to the socket at once, or, between hold() and release(), together.

    Frames of control are sent by Tornado's own code. That asks for ``stream``, as everyone does who is going to write,
    close, or look: therefore whoever asks for it finds everything sent that was to be sent.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._stream: Any = None
        self._loop: Any = None
        self._writes_stream = False
        # Whether events of the socket come to us first; the stream's own listening for its WRITE changes that.
        self._listens = False
        self._releases = False
        self._holds = False
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._held_futures: list[WriteFuture] = []
        # Of frames that have been sent: to be resolved no sooner than the application returns.
        self._sent: list[WriteFuture] = []
        super().__init__(*arguments, **options)

    @property
    def stream(self) -> Any:
        """The stream, with everything sent."""
        if self._held:
            self._flush()
        return self._stream

    @stream.setter
    def stream(self, stream: IOStream | None) -> None:
        self._stream = stream
        if is_known(stream):
            self._loop = self._stream.io_loop.asyncio_loop
            self._writes_stream = self._stream.max_write_buffer_size is None

    def is_closing(self) -> bool:
        """Whether either side has begun to close the connection, or the stream is closed."""
        closed: bool = self._stream.closed()
        return closed or self.client_terminated or self.server_terminated

    def write_message(self, message: str | bytes | dict[str, Any], binary: bool = False) -> asyncio.Future[None]:
        """Send a message to the peer; the future resolves when it has left, never before the caller returns."""
        data: Any = message
        if type(message) is str and (self._compressor or not message.isascii()):
            data = message.encode()
        if type(data) not in _WIRE_TYPES or not self._writes_stream:
            return super().write_message(message, binary)
        self._message_bytes_out += len(data)
        head = BINARY if binary else TEXT
        if self._compressor:
            data = self._compressor.compress(data)
            head |= _COMPRESSED
        mask = os.urandom(4) if self.mask_outgoing else None
        if len(data) >= LONG:
            return self._write_long_frame(head, data, mask)
        frame = build_frame(head, data, mask)
        self._wire_bytes_out += len(frame)
        if self._stream._closed:
            raise WebSocketClosedError()
        future = WriteFuture(loop=self._loop)
        self._send(frame, future)
        return future

    def _write_long_frame(self, head: int, data: bytes | str, mask: bytes | None) -> asyncio.Future[None]:
        buffer = take_buffer(len(data) + _LONGEST_HEADER)
        size = build_frame_into(head, data, mask, buffer)
        self._wire_bytes_out += size
        if self._stream._closed:
            raise WebSocketClosedError()
        future = WriteFuture(loop=self._loop)
        if self._held:
            self._flush()
        if self._transmit(memoryview(buffer)[:size], [future]):
            give_back(buffer)
        return future

    def hold(self) -> None:
        """Hold back what is sent from now on, until release()."""
        self._holds = self._releases = True

    def release(self) -> None:
        """Send what has been held back, and resolve the futures of what has been sent."""
        self._holds = self._releases = False
        if self._held:
            self._flush()
        if self._sent:
            self._resolve_sent()

    def _send(self, frame: bytes, future: WriteFuture) -> None:
        if self._stream._write_futures:
            self._leave_to_stream(frame, [future])
        elif self._holds or self._held:
            self._held.append(frame)
            self._held_futures.append(future)
            self._held_bytes += len(frame)
            if not self._holds or self._held_bytes > _HELD_BYTES:
                self._flush()
        else:
            self._transmit(frame, [future])

    def _flush(self) -> None:
        data, futures = b"".join(self._held), self._held_futures
        self._held, self._held_bytes, self._held_futures = [], 0, []
        self._transmit(data, futures)

    def _transmit(self, data: bytes | memoryview, futures: list[WriteFuture]) -> bool:
        """Write to the socket; what it doesn't take is left to the stream. Return whether nothing was."""
        stream = self._stream
        sent = 0 if stream._closed or stream._write_futures else self._write_to_socket(data)
        if stream._closed:
            _fail(futures, WebSocketClosedError())
        elif sent < len(data):
            self._leave_to_stream(memoryview(data)[sent:], futures)
        else:
            self._note_sent(futures)
            return True
        return False

    def _leave_to_stream(self, data: bytes | memoryview, futures: list[WriteFuture]) -> None:
        self._listens = False
        _follow(self.stream.write(data), futures)

    def _write_to_socket(self, data: bytes | memoryview) -> int:
        """Return how many bytes the socket took; close the stream if it is broken, as its _handle_write does."""
        stream = self._stream
        if len(data) > _MOST_AT_ONCE:
            data = memoryview(data)[:_MOST_AT_ONCE]
        try:
            sent: int = stream.write_to_fd(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            if not stream._is_connreset(error):
                gen_log.warning("Write error on %s: %s", stream.fileno(), error)
            stream.close(exc_info=error)
            return 0
        return sent

    def _note_sent(self, futures: list[WriteFuture]) -> None:
        """Resolve them when the application has returned: a loop that awaits its writes lets others have their turn."""
        if self._stream._close_callback is not None:
            self._stream._maybe_add_error_listener()
        if not self._releases:
            for future in futures:
                future.is_sent = True
            if not self._sent:
                self._loop.call_soon(self._resolve_sent)
        self._sent += futures

    def _resolve_sent(self) -> None:
        futures, self._sent = self._sent, []
        _succeed(futures)


def is_known(stream: Any) -> bool:
    """Whether the private fields of this stream may be used."""
    return type(stream) is IOStream or type(stream) is SSLIOStream


def _succeed(futures: Iterable[WriteFuture]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


def _fail(futures: Iterable[WriteFuture], error: BaseException) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)


def _follow(written: asyncio.Future[None], futures: list[WriteFuture]) -> None:
    """Let the futures have the outcome of ``written``, in the words of WebSockets."""
    written.add_done_callback(partial(_pass_on, futures))


def _pass_on(futures: list[WriteFuture], written: asyncio.Future[None]) -> None:
    error = None if written.cancelled() else written.exception()
    if error is None:
        _succeed(futures)
    else:
        _fail(futures, WebSocketClosedError() if isinstance(error, StreamClosedError) else error)
