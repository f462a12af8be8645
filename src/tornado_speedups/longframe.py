"""Long WebSocket frames: read to where they belong and decoded there, and built in memory that has been used before.

Fresh memory costs more than all that is done with it, since the system has to find and to clear each page of it. So
one buffer is kept, for the next long frame of whichever connection, in or out.
"""

from __future__ import annotations

from typing import Any

from tornado_speedups._implementation import websocket_mask, websocket_mask_inplace

# So many bytes make a frame long; so many are read at once at most.
LONG = 64 * 1024
_MOST = 1024 * 1024

# Memory for all of a frame is taken when this part of it has come, so that nobody is given it for a mere header.
_PART = 32

# Payloads begin at a multiple of this address: CPython then decodes ASCII in two thirds of the time.
_WORD = 8

# The buffer that is kept has this size at most.
_SPARE_BYTES = 4 * 1024 * 1024
_spare: list[bytearray] = []

TEXT = 0x81

# In place of the first byte of a frame: its payload is text, and has been decoded.
DECODED = 0x181


def take_buffer(size: int) -> bytearray:
    """A buffer of this size in bytes or more, with anything in it."""
    try:
        buffer = _spare.pop()
    except IndexError:
        return bytearray(size)
    return buffer if len(buffer) >= size else bytearray(size)


def give_back(buffer: bytearray) -> None:
    """Keep a buffer that nobody uses any more for the next one who asks."""
    if len(buffer) <= _SPARE_BYTES and not _spare:
        _spare.append(buffer)


def is_long(size: int, available: int) -> bool:
    """Whether a frame of this size, of which so many bytes have come, is to be read as a LongFrame."""
    return size - available >= LONG and size <= _PART * available


class LongFrame:
    """A frame with a length of 64 bits, of which the header has come."""

    def __init__(self, begin: bytes | bytearray, size: int) -> None:
        self._header = 14 if begin[1] & 0x80 else 10
        unused = -self._header % _WORD
        self._buffer = take_buffer(unused + size)
        self._frame = memoryview(self._buffer)[unused : unused + size]
        self._rest = self._frame
        self.feed(begin)

    def feed(self, data: bytes | bytearray) -> int:
        """Append the first bytes of this, as many as are missing; return their number."""
        count = min(len(data), len(self._rest))
        self._rest[:count] = data[:count]
        self._rest = self._rest[count:]
        return count

    def room(self) -> int:
        """The number of bytes that the next read may bring, 0 if all are there."""
        return min(len(self._rest), _MOST)

    def receive(self, source: Any) -> int:
        """Read no more than there is room for from a socket; return the number of bytes."""
        count: int = source.recv_into(self._rest, self.room())
        self._rest = self._rest[count:]
        return count

    def take(self, decoded: bool) -> tuple[int, bytes | str, int]:
        """Its first byte, or DECODED; its payload, text being decoded if that is wanted; the length of that in bytes.

        Text that isn't UTF-8 stays what it is. To be called once, at the end.
        """
        head, masked = self._frame[0], self._frame[1] & 0x80
        mask, payload = self._frame[10:14].tobytes(), self._frame[self._header :]
        if decoded and head == TEXT:
            if masked:
                websocket_mask_inplace(mask, payload)
            text = _text(payload)
            taken = (head, bytes(payload)) if text is None else (DECODED, text)
        else:
            taken = head, websocket_mask(mask, payload) if masked else bytes(payload)
        give_back(self._buffer)
        return *taken, len(payload)


def _text(payload: memoryview) -> str | None:
    try:
        return str(payload, "utf-8")
    except UnicodeDecodeError:
        return None
