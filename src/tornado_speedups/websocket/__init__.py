"""Faster WebSocket connections (RFC 6455): a reader, a writer, the socket, and the protocol that joins them.

This module holds what they share: the first bytes of frames, limits, and one buffer for long frames. Fresh memory costs
more than masking and copying, because the system has to find and clear each page of it. So one buffer is kept for the
next long frame of any connection, in or out.
"""

# The first byte of a frame that is a whole message.
TEXT = 0x81
BINARY = 0x82

# In place of the first byte of a text frame whose payload has been decoded.
DECODED = 0x181

# Frames of this many bytes or more are long.
LONG = 64 * 1024

# The event loop gets its turn after this much work. It is counted in bytes; a frame counts as FRAME_COST more of them,
# as in Tornado 6.6.
TURN = 256 * 1024
FRAME_COST = 1024
MAX_FRAMES = TURN // FRAME_COST

# The largest buffer to keep, in bytes.
_MAX_SPARE_BYTES = 4 * 1024 * 1024
_spare: list[bytearray] = []


def take_buffer(size: int) -> bytearray:
    """Return a buffer of at least this size in bytes, with arbitrary content."""
    try:
        buffer = _spare.pop()
    except IndexError:
        return bytearray(size)
    return buffer if len(buffer) >= size else bytearray(size)


def release_buffer(buffer: bytearray) -> None:
    """Keep a buffer that is no longer used for the next call of take_buffer()."""
    if len(buffer) <= _MAX_SPARE_BYTES and not _spare:
        _spare.append(buffer)
