"""Calls that take every path through each C function: results and all errors, with arguments of every kind."""

from __future__ import annotations

from typing import Any

MASK = b"\x37\xfa\x21\x3d"
GAPPED = memoryview(b"1.2.3.4.")[::2]
FRAMES = b"\x82\x03abc\x02\x83" + MASK + b"xyz\x82\x7e\x01\x00" + bytes(256)
HEADERS = b"Host: example.com\r\nAccept: a\r\nX-Own-Name: 1\r\nX-Own-Name: 2\r\n"


class Unwilling:
    """An object whose conversion to an integer fails."""

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
    "build_frame_into": [
        (0x82, bytes(100), None, bytearray(102)),
        (0x81, "text that isn't cached é", "abcd", memoryview(bytearray(100))),
        (0x82, bytearray(100_000), bytearray(MASK), bytearray(100_014)),
        (0x82, bytearray(100), None),
        (0x82, bytearray(100), None, bytearray(101)),
        (0x82, bytearray(100), None, b"constant"),
        (0x82, bytearray(3), None, GAPPED),
        (0x82, bytearray(100), None, object()),
        (256, bytearray(100), None, bytearray(102)),
        (Unwilling(), bytearray(100), None, bytearray(102)),
        (0x82, object(), None, bytearray(102)),
        (0x82, GAPPED, None, bytearray(102)),
        (0x82, bytearray(100), object(), bytearray(106)),
        (0x82, bytearray(100), bytearray(b"abc"), bytearray(106)),
        (0x82, bytearray(100), GAPPED, bytearray(106)),
    ],
    "parse_headers": [
        (HEADERS,),
        (bytearray(HEADERS * 20),),
        (HEADERS.decode(),),
        (memoryview(b"X-Own-Name: \xe9\r\n"),),
        (b"",),
        (bytearray(b"folded: a\r\n b\r\n"),),
        (bytearray(b"no colon\r\n"),),
        ("name: \u20ac\r\n",),
        (),
        (object(),),
        (GAPPED,),
    ],
    "parse_head": [
        (b"\r\nGET / HTTP/1.1\r\n" + HEADERS,),
        (bytearray(b"HTTP/1.1 200 OK\r\n" + HEADERS * 20),),
        (bytearray(b"GET / HTTP/1.1\r\nno colon\r\n"),),
        (b"",),
        (),
        (object(),),
        (GAPPED,),
    ],
    "parse_start_line": [
        ("GET /path HTTP/1.1",),
        (bytearray(b"OPTIONS * HTTP/1.0"),),
        (bytearray(b"GET"),),
        ("GET /\u20ac HTTP/1.1",),
        (),
        (object(),),
        (GAPPED,),
    ],
    "serialize_head": [
        ("HTTP/1.1 200 OK", {"Content-Length": ["5"], "X-Own-Name": ["a", "b"]}, b"hello"),
        ("HTTP/1.1 200 OK", {f"X-{number}": ["x" * 100] for number in range(50)}, bytearray(1000)),
        ("HTTP/1.1 200 OK\n", {"A": ["b"]}, b""),
        ("HTTP/1.1 200 OK", {"A": ["\u20ac"]}, b""),
        ("HTTP/1.1 200 OK", {"A": ("b",)}, bytearray(5)),
        ("HTTP/1.1 200 OK", {}),
        (b"HTTP/1.1 200 OK", {}, bytearray(5)),
        ("HTTP/1.1 200 OK", [], bytearray(5)),
        ("HTTP/1.1 200 OK", {}, object()),
        ("HTTP/1.1 200 OK", {"A": ["b"]}, GAPPED),
    ],
}


def call(function: Any, times: int) -> None:
    """Make all calls of a function ``times`` times, and ignore the expected exceptions."""
    for _ in range(times):
        for arguments in CALLS[function.__name__]:
            try:
                function(*arguments)
            except (TypeError, ValueError, BufferError, OverflowError):
                pass
