"""Calls of every C function, one for each way through it: results, and each error, with arguments of every kind."""

from __future__ import annotations

from typing import Any

MASK = b"\x37\xfa\x21\x3d"
GAPPED = memoryview(b"1.2.3.4.")[::2]
FRAMES = b"\x82\x03abc\x02\x83" + MASK + b"xyz\x82\x7e\x01\x00" + bytes(256)


class Unwilling:
    """Raises where a number is asked of it."""

    def __index__(self) -> int:
        raise OverflowError


CALLS: dict[str, list[tuple[Any, ...]]] = {
    "websocket_mask": [
        (MASK, bytes(100)),
        (MASK, bytes(100_000)),
        (bytearray(MASK), memoryview(bytes(100))),
        ("abcd", "text that isn't cached é"),
        (MASK,),
        (MASK, bytes(100), 1),
        (bytearray(MASK), object()),
        (object(), bytes(100)),
        (bytearray(b"abc"), bytearray(100)),
        (bytearray(MASK), GAPPED),
        (GAPPED, bytearray(100)),
        (bytearray(MASK), "\ud800"),
    ],
    "websocket_mask_inplace": [
        (MASK, bytearray(100)),
        (bytearray(MASK), memoryview(bytearray(100_000)), 3),
        ("abcd", bytearray(5), 1 << 40),
        (bytearray(MASK),),
        (bytearray(MASK), bytearray(5), -1),
        (bytearray(MASK), bytearray(5), 1 << 80),
        (bytearray(MASK), bytearray(5), Unwilling()),
        (bytearray(MASK), bytearray(5), "1"),
        (bytearray(b"abc"), bytearray(5)),
        (bytearray(MASK), b"constant"),
        (bytearray(MASK), GAPPED),
        (bytearray(MASK), object()),
        (object(), bytearray(5)),
    ],
    "parse_frames": [
        (FRAMES, 0, 100),
        (bytearray(FRAMES), 5, 1),
        (memoryview(FRAMES)[:-1], 0, 100),
        ("\x01\x03abc", 0, 1),
        (b"", 0, 1),
        (bytearray(b"\x89\x7e\x00\x01a"), 0, 1),
        (bytearray(FRAMES),),
        (bytearray(FRAMES), -1, 1),
        (bytearray(FRAMES), 1 << 80, 1),
        (bytearray(FRAMES), 0, 0),
        (bytearray(FRAMES), 0, Unwilling()),
        (bytearray(FRAMES), Unwilling(), 1),
        (GAPPED, 0, 1),
        (object(), 0, 1),
    ],
    "build_frame": [
        (0x82, bytes(100), None),
        (0x81, "text that isn't cached é", "abcd"),
        (0x82, bytearray(100_000), bytearray(MASK)),
        (0x82, bytearray(100)),
        (256, bytearray(100), None),
        (Unwilling(), bytearray(100), None),
        (0x82, object(), None),
        (0x82, GAPPED, None),
        (0x82, bytearray(100), object()),
        (0x82, bytearray(100), bytearray(b"abc")),
        (0x82, bytearray(100), GAPPED),
    ],
}


def call(function: Any, times: int) -> None:
    """Make all calls of a function so many times, whatever they raise."""
    for _ in range(times):
        for arguments in CALLS[function.__name__]:
            try:
                function(*arguments)
            except (TypeError, ValueError, BufferError, OverflowError):
                pass
