"""Read the socket of a Tornado stream beneath the stream, by private fields of IOStream.

While the protocol waits for the application, the stream must believe that there is something in its buffer: then it
doesn't look for the end of the connection, and reads one chunk at most. ``push_back()`` puts a byte there for that
purpose, and ``take_back()`` takes away what the buffer holds. If the event loop still calls us for the socket,
``receive_blindly()`` keeps the end to itself: a peer that has closed its half of the connection still gets answers.

This module imports Tornado: install() uses it only where it knows its code.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from tornado.iostream import IOStream, SSLIOStream

from tornado_speedups.websocket import LONG
from tornado_speedups.websocket.bases import TransportBase
from tornado_speedups.websocket.reader import FrameReader


class Receiver(TransportBase):
    """The receiving half of a Transport."""

    __slots__ = ("_is_pushed_back", "_listens", "_read_error", "exact")

    def __init__(self, reader: FrameReader) -> None:
        self._reader = reader
        self.stream: Any = None
        # At most this many bytes are received at once.
        self.chunk = 0
        # Whether the socket was empty after it was last read.
        self.drained = False
        self._is_pushed_back = False
        # Whether the event loop calls us first when the socket can be read. The stream changes that when it listens for
        # being able to write.
        self._listens = False
        # What reader.wire_bytes is after a frame whose last piece, as Tornado reads it, was all that came.
        self.exact = -1
        # The error of a read whose time hasn't come.
        self._read_error: OSError | None = None

    def can_read(self, max_message_size: Any) -> bool:
        """Return whether the stream's own limit, which isn't checked here, is never reached before that of messages."""
        if not is_known(self.stream) or not isinstance(max_message_size, int):
            return False
        most: int = self.stream.max_buffer_size - 2 * self.stream.read_chunk_size - 16
        return max_message_size <= most

    def read_inline(self) -> bool:
        """Return whether there was something to read in the stream or the socket. Raises StreamClosedError."""
        stream = self.stream
        if stream._read_buffer_size:
            self.take_back()
            return True
        stream._check_closed()
        if not self.drained and self.receive():
            return True
        stream._check_closed()
        return False

    def receive(self) -> bool:
        """Give the reader what the socket holds. Return False if that is nothing.

        The stream is closed at the end of the connection, and when the connection is broken. Raises OSError.
        """
        reader = self._reader
        if reader.needed > LONG or reader.long_frame is not None:
            buffer = reader.get_buffer()
            if buffer is not None:
                count = self._receive_into(buffer)
                if count:
                    reader.buffer_updated(count)
                return bool(count)
        stream = self.stream
        kept, self._read_error = self._read_error, None
        try:
            if kept is not None:
                raise kept
            data: bytes = stream.socket.recv(self.chunk)
        except OSError as error:
            self.note_read_error(error)
            return False
        if data:
            reader.feed(data)
        else:
            stream.close()
        self.note_drained(len(data), self.chunk)
        return bool(data)

    def is_blind(self) -> bool:
        """Return whether Tornado ignores the socket while it waits for the application.

        It reads a frame in pieces, and ignores the socket if a chunk had more than the piece that it has waited for.
        """
        return self._listens and self.stream._read_future is None and self.exact != self._reader.wire_bytes

    def receive_piece(self) -> bool:
        """Do what receive() does for a message that is waited for, and note whether Tornado goes on watching."""
        reader = self._reader
        is_last = reader.awaits_last_piece()
        found = self.receive()
        if is_last:
            self.exact = reader.find_exact_end()
        return found

    def receive_blindly(self) -> None:
        """Receive a chunk, which Tornado would leave in the socket; leave everything else for later."""
        try:
            data: bytes = self.stream.socket.recv(self.chunk)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError as error:
            self._read_error, data = error, b""
        if data:
            self._reader.feed(data)
            self.push_back()
            self.note_drained(len(data), self.chunk)
        else:
            self.stop_listening()
            self.drained = False

    def _receive_into(self, buffer: memoryview) -> int:
        stream = self.stream
        try:
            count: int = stream.socket.recv_into(buffer)
        except OSError as error:
            self.note_read_error(error)
            return 0
        if not count:
            stream.close()
        self.note_drained(count, len(buffer))
        return count

    def note_drained(self, count: int, most: int) -> None:
        """Note whether the socket is empty after ``count`` bytes of ``most`` were received.

        TLS returns one record at a time, and may hold the next one where select() doesn't see it.
        """
        self.drained = count < most and type(self.stream) is IOStream

    def note_read_error(self, error: OSError) -> None:
        """Note that the socket is empty, or close the stream. Raises the error if it isn't the peer's."""
        if isinstance(error, BlockingIOError | ssl.SSLWantReadError):
            self.drained = True
            return
        self.stream.close(exc_info=error)
        if not self.stream._is_connreset(error):
            raise error

    def push_back(self) -> None:
        """Make the stream believe that its buffer holds something, if the reader does."""
        if self._reader.has_input():
            self._push_back_byte()

    def _push_back_byte(self) -> None:
        stream = self.stream
        if not stream._read_buffer_size:
            stream._read_buffer += b"\0"
            stream._read_buffer_size = 1
            self._is_pushed_back = True

    def take_back(self) -> None:
        """Give the reader what the stream has in its buffer."""
        stream = self.stream
        if not stream._read_buffer_size:
            return
        data = stream._consume(stream._read_buffer_size)[self._is_pushed_back :]
        self._is_pushed_back = False
        if data:
            self.drained = False
            self._reader.feed(data)

    def listen(self, callback: Callable[[], None]) -> None:
        """Have the event loop call this when the socket can be read, without the detour by IOLoop and stream."""
        stream = self.stream
        if stream._state is None or not stream._state & stream.io_loop.READ:
            stream._add_io_state(stream.io_loop.READ)
            self._listens = False
        if not self._listens:
            stream.io_loop.selector_loop.add_reader(stream.socket.fileno(), callback)
            self._listens = True

    def stop_listening(self) -> None:
        """Ignore the socket until listen() is called again, and keep what was received for then."""
        self.push_back()
        stream = self.stream
        self._listens = False
        if stream._state is not None and stream._state & stream.io_loop.READ:
            stream._state &= ~stream.io_loop.READ
            stream.io_loop.update_handler(stream.fileno(), stream._state)

    def suspend(self) -> None:
        """Ignore the socket while a handler runs the event loop, which would find it readable again and again."""
        self.stop_listening()
        self.drained = False  # so that the coroutine looks again

    def pause(self) -> None:
        """Make the stream what it is while Tornado's coroutine doesn't read."""
        self.stream._read_future = None
        # Otherwise the next event does it.
        if not self._listens and (self._reader.has_input() or self.exact != self._reader.wire_bytes):
            if not self.stream._write_futures:  # Tornado looks for the end when everything has been written
                self._push_back_byte()
            self.stop_listening()


def is_known(stream: Any) -> bool:
    """Return whether the private fields of this stream may be used."""
    return type(stream) is IOStream or type(stream) is SSLIOStream
