"""What a WebSocket connection reads: as much as there is, parsed at once.

This module imports Tornado, and uses private fields of its streams: install() uses it only where it knows both.
"""

from __future__ import annotations

import ssl
from typing import Any

from tornado.iostream import IOStream

from tornado_speedups._implementation import parse_frames
from tornado_speedups.handling import HandlingProtocol
from tornado_speedups.longframe import LONG, LongFrame, is_long

# The loop gets its turn after this many bytes, a frame counting as some more of them: as in Tornado 6.6.
TURN = 256 * 1024
_PRICE_OF_FRAME = 1024
_FRAMES_AT_ONCE = TURN // _PRICE_OF_FRAME


class ReceivingProtocol(HandlingProtocol):
    """A connection that knows what it has received, and what of that is still to be handled."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # Received and not parsed: from _position on, of which the first frame needs _needed bytes.
        self._data: bytes | bytearray = b""
        self._position = 0
        self._needed = 2
        # A long frame that is coming in: then there is nothing else, and nothing to be handled.
        self._long: LongFrame | None = None
        # Whether the socket held no more when it was read.
        self._drained = False
        self._is_parked = False
        self._work = 0
        super().__init__(*arguments, **options)

    def _parse(self) -> None:
        start, available = self._position, len(self._data)
        if available - start < self._needed:
            return
        frames, end, self._needed = parse_frames(self._data, start, _FRAMES_AT_ONCE)
        self._wire_bytes_in += end - start
        self._work += end - start + _PRICE_OF_FRAME * len(frames)
        frames.reverse()
        self._frames = frames
        self._position = end
        if end == available:
            self._data, self._position = b"", 0

    def _refuse_partial_frame(self) -> bool:
        """Whether the header of the frame that is still coming in has ended the connection."""
        header = self._data[self._position : self._position + 10]
        if len(header) < 2:
            return False
        head, length = header[0], header[1] & 0x7F
        if head & 0x08 and length >= 126:
            self._abort()
            return True
        end = 2 if length < 126 else 4 if length == 126 else 10
        if end > 2:
            length = int.from_bytes(header[2:end], "big") if len(header) >= end else 0
        return not self._accept_header(head, length)

    def _receive(self) -> bool:
        """Read what the socket holds; False if that is nothing. Closes the stream at its end, and when it breaks."""
        stream = self._stream
        if self._needed > LONG and is_long(self._needed, len(self._data) - self._position):
            self._begin_long_frame()
        data, long = b"", self._long
        size = stream.read_chunk_size if long is None else long.room()
        try:
            if long is None:
                data = stream.socket.recv(size)
            count = len(data) if long is None else long.receive(stream.socket)
        except (BlockingIOError, ssl.SSLWantReadError):
            self._drained = True
            return False
        except OSError as error:
            stream.close(exc_info=error)
            if stream._is_connreset(error):
                return False
            raise
        if not count:
            stream.close()
            return False
        # TLS hands out one record at a time, and may hold the next one where select() doesn't see it.
        self._drained = count < size and type(stream) is IOStream
        if long is None and self._position == len(self._data):
            self._data, self._position = data, 0
        else:
            self._feed(data)
        return True

    def _begin_long_frame(self) -> None:
        self._long = LongFrame(self._data[self._position :], self._needed)
        self._data, self._position, self._needed = b"", 0, 2

    def _end_long_frame(self) -> None:
        """Have the long frame handled next, if all of it has come."""
        long = self._long
        if long is None or long.room():
            return
        plain = self._decompressor is None and self._fragmented_message_buffer is None
        head, payload, length = long.take(decoded=plain)
        self._long = None
        self._frames = [(head, payload)]
        self._message_bytes_in += length - len(payload)
        self._wire_bytes_in += length
        self._work += length

    def _feed(self, data: bytes) -> None:
        if self._long is not None:
            data = data[self._long.feed(data) :]
            self._end_long_frame()
            if not data:
                return
        if self._position == len(self._data):
            self._data, self._position = data, 0
            return
        # A bytearray, since a frame that comes in bit by bit would be copied each time otherwise.
        if isinstance(self._data, bytes):
            self._data = bytearray(self._data)
        del self._data[: self._position]
        self._position = 0
        self._data += data

    # While there is something left to handle and the coroutine has to wait, the stream is to believe that there is
    # something in its buffer: it doesn't look for the end of the connection then, and reads no more than a chunk.

    def _park(self) -> None:
        stream = self._stream
        if not stream._read_buffer_size and self._has_input():
            stream._read_buffer += b"\0"
            stream._read_buffer_size = 1
            self._is_parked = True

    def _has_input(self) -> bool:
        return bool(self._frames) or self._position < len(self._data) or self._long is not None

    def _reclaim(self) -> None:
        """Take what the stream has in its buffer."""
        stream = self._stream
        if not stream._read_buffer_size:
            return
        data = stream._consume(stream._read_buffer_size)[self._is_parked :]
        self._is_parked = False
        if data:
            self._drained = False
            self._feed(data)
