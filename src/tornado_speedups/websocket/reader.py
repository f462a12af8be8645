"""Turn bytes into WebSocket frames and messages (RFC 6455, sections 5.2 to 5.4), without a socket or an event loop.

Give received bytes to ``feed()``, call ``parse()`` when ``frames`` is empty, and pop frames from its end. Where
``get_buffer()`` returns memory, the next bytes go there instead, followed by ``buffer_updated()``, as with
``asyncio.BufferedProtocol``: long frames are received in place, and text in them is decoded in place.
"""

from __future__ import annotations

from typing import Any

from tornado_speedups._implementation import parse_frames, websocket_mask, websocket_mask_inplace
from tornado_speedups.websocket import (
    DECODED,
    FRAME_COST,
    LONG,
    MAX_FRAMES,
    TEXT,
    release_buffer,
    take_buffer,
)
from tornado_speedups.websocket.bases import ReaderBase

# At most this many bytes of a long frame are received at once.
_MAX_READ = 1024 * 1024

# The memory of a long frame is allocated when 1/32 of it has arrived, so that a header alone cannot claim it.
_MAX_EXPANSION = 32

# Payloads are aligned to this many bytes: CPython then decodes ASCII in two thirds of the time.
_ALIGNMENT = 8


class ProtocolError(Exception):
    """The peer sent a frame that isn't allowed; ``code`` is what to close the connection with (RFC 6455, 7.4.1)."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.code = code


class FrameReader(ReaderBase):
    """The receiving half of one connection."""

    __slots__ = ("_fragment_opcode", "_position", "compression", "needed", "work")

    def __init__(self) -> None:
        # Parsed frames that haven't been handled, the last one first: pairs of first byte and payload. The payload of a
        # DECODED frame is a pair of the text and its length in bytes.
        self.frames: list[tuple[int, Any]] = []
        # Such a pair which is handled as soon as it has come: see plain.py.
        self.alone: tuple[int, bytes] | None = None
        # Bytes that haven't been parsed, from _position on. The first frame in them needs this many bytes.
        self.data: bytes | bytearray = b""
        self._position = 0
        self.needed = 2
        # A long frame that is being received. Meanwhile frames and data are empty.
        self.long_frame: _LongFrame | None = None
        # The payloads of the fragments of a message so far, and the opcode of the first one.
        self.fragments: bytearray | None = None
        self._fragment_opcode = 0
        # Whether messages may be compressed, and their limit in bytes.
        self.compression = False
        self.max_message_size = 0
        # Bytes parsed since the connection began, and the work since the caller has last set it to 0.
        self.wire_bytes = 0
        self.work = 0

    def feed(self, data: bytes) -> None:
        """Add bytes that were received."""
        if self.long_frame is not None:
            data = data[self.long_frame.feed(data) :]
            self._end_long_frame()
            if not data:
                return
        if self._position == len(self.data):
            self.data, self._position = data, 0
            return
        # A bytearray, because a frame that arrives in small pieces would otherwise be copied for each of them.
        if isinstance(self.data, bytes):
            self.data = bytearray(self.data)
        del self.data[: self._position]
        self._position = 0
        self.data += data

    def parse(self) -> None:
        """Move complete frames from ``data`` to ``frames``, which must be empty."""
        start, available = self._position, len(self.data)
        if available - start < self.needed:
            return
        frames, end, self.needed = parse_frames(self.data, start, MAX_FRAMES)
        self.wire_bytes += end - start
        self.work += end - start + FRAME_COST * len(frames)
        frames.reverse()
        self.frames = frames
        self._position = end
        if end == available:
            self.data, self._position = b"", 0

    def add_parsed(self, data: bytes, frames: list[tuple[int, Any]], end: int, needed: int) -> None:
        """Do what feed() and parse() do, with what parse_frames() has returned, if nothing else has been received."""
        self.wire_bytes += end
        self.work = end + FRAME_COST * len(frames)
        frames.reverse()
        self.frames, self.needed = frames, needed
        if end < len(data):
            self.data, self._position = data, end

    def has_input(self) -> bool:
        """Return whether anything that was received hasn't been handled yet."""
        return bool(self.frames) or self._position < len(self.data) or self.long_frame is not None

    def has_frame(self) -> bool:
        """Return whether a complete frame has been received, parsed or not."""
        return bool(self.frames) or len(self.data) - self._position >= self.needed

    def find_exact_end(self) -> int:
        """Return what ``wire_bytes`` is after the only frame that was received; -1 if there is more, or less."""
        available = len(self.data) - self._position
        if available:
            return self.wire_bytes + available if available == self.needed else -1
        return -1 if self.long_frame is not None else self.wire_bytes

    def awaits_last_piece(self) -> bool:
        """Return whether a frame lacks nothing but its payload, or its mask if it is empty.

        Tornado reads these pieces one by one.
        """
        begin = self.data[self._position : self._position + 2]
        if len(begin) < 2:
            return self.long_frame is not None
        length = begin[1] & 0x7F
        header = 2 + {126: 2, 127: 8}.get(length, 0) + (4 if length and begin[1] & 0x80 else 0)
        return len(self.data) - self._position >= header

    def check_header(self, head: int, length: int) -> None:
        """Raise ProtocolError if no frame with this first byte and payload length may come now."""
        reserved = head & (0x30 if self.compression and head & 0x0F else 0x70)
        if reserved:
            raise ProtocolError("reserved bits are set")
        if length + len(self.fragments or b"") > self.max_message_size:
            raise ProtocolError("message too big", 1009)

    def check_partial_frame(self) -> None:
        """Raise ProtocolError if the frame that ``data`` begins with may not come now, as far as its header tells."""
        header = self.data[self._position : self._position + 10]
        if len(header) < 2:
            return
        head, length = header[0], header[1] & 0x7F
        if head & 0x08 and length >= 126:
            raise ProtocolError("a control frame has an extended length")
        end = 2 if length < 126 else 4 if length == 126 else 10
        if end > 2:
            length = int.from_bytes(header[2:end], "big") if len(header) >= end else 0
        self.check_header(head, length)

    def join_fragments(self, head: int, payload: bytes) -> tuple[int, bytes] | None:
        """Return the opcode and the payload of the message that a frame completes; None if it completes none.

        Control frames are messages of their own. Raises ProtocolError for a frame that isn't allowed here.
        """
        final, opcode = head & 0x80, head & 0x0F
        if opcode & 0x08:
            if not final:
                raise ProtocolError("a control frame is fragmented")
        elif (opcode == 0) == (self.fragments is None):
            raise ProtocolError("there is nothing to continue, or a message begins inside another one")
        elif self.fragments is not None:
            self.fragments.extend(payload)
            if final:
                opcode, payload = self._fragment_opcode, bytes(self.fragments)
                self.fragments = None
        elif not final:
            self._fragment_opcode = opcode
            self.fragments = bytearray(payload)
        return (opcode, payload) if final else None

    def get_buffer(self) -> memoryview | None:
        """Return where the next bytes of a long frame should be received; None if feed() should get them."""
        available = len(self.data) - self._position
        if self.needed - available >= LONG and self.needed <= _MAX_EXPANSION * available:
            self.long_frame = _LongFrame(self.data[self._position :], self.needed)
            self.data, self._position, self.needed = b"", 0, 2
        return None if self.long_frame is None else self.long_frame.missing[:_MAX_READ]

    def buffer_updated(self, count: int) -> None:
        """Note that so many bytes were written to what get_buffer() returned."""
        if self.long_frame is not None:
            self.long_frame.missing = self.long_frame.missing[count:]
            self._end_long_frame()

    def _end_long_frame(self) -> None:
        long = self.long_frame
        if long is None or len(long.missing):
            return
        size = len(long.frame)
        self.frames = [long.take(decode=not self.compression and self.fragments is None)]
        self.long_frame = None
        self.wire_bytes += size
        self.work += size


class _LongFrame:
    """A frame with a length of 64 bits. At least its header has arrived."""

    def __init__(self, begin: bytes | bytearray, size: int) -> None:
        self._header = 14 if begin[1] & 0x80 else 10
        unused = -self._header % _ALIGNMENT
        self._buffer = take_buffer(unused + size)
        self.frame = memoryview(self._buffer)[unused : unused + size]
        self.missing = self.frame
        self.feed(begin)

    def feed(self, data: bytes | bytearray) -> int:
        """Append as many of these bytes as are missing, and return their number."""
        count = min(len(data), len(self.missing))
        self.missing[:count] = data[:count]
        self.missing = self.missing[count:]
        return count

    def take(self, decode: bool) -> tuple[int, Any]:
        """Return the complete frame as FrameReader.frames has it, and release the buffer. Invalid UTF-8 stays bytes."""
        head, masked = self.frame[0], self.frame[1] & 0x80
        mask, payload = self.frame[10:14].tobytes(), self.frame[self._header :]
        if decode and head == TEXT:
            if masked:
                websocket_mask_inplace(mask, payload)
            text = _decode(payload)
            taken = (head, bytes(payload)) if text is None else (DECODED, (text, len(payload)))
        else:
            taken = head, websocket_mask(mask, payload) if masked else bytes(payload)
        release_buffer(self._buffer)
        return taken


def _decode(payload: memoryview) -> str | None:
    try:
        return str(payload, "utf-8")
    except UnicodeDecodeError:
        return None
