"""Work on every CPU: how many instructions a wheel's functions run, per call and per byte, on the emulated CPU.

The counts are those of the wheel's own machine code, exact and the same on every machine: a loop that has lost its
vectors on ARM64 is seen on an x86-64 laptop. What CPython does for a call isn't in them, and neither is time.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from wheelworks.bench.baseline import LARGE, SMALL, Work
from wheelworks.core.errors import WheelworksError
from wheelworks.emulator import load
from wheelworks.emulator.faults import Unsupported

_MASK = b"\x37\xfa\x21\x3d"
_HEADERS = ("Host", "Accept", "User-Agent", "Cookie")


def frame(size: int) -> bytes:
    """A masked binary frame of zeros (RFC 6455, section 5.2)."""
    return b"\x82\xfe" + size.to_bytes(2, "big") + _MASK + (_MASK * (size // 4 + 1))[:size]


def headers(size: int) -> dict[str, list[str]]:
    """Four headers, whose values have so many characters in all."""
    return {name: ["x" * (size // len(_HEADERS))] for name in _HEADERS}


def block(size: int) -> bytes:
    """The same headers as they are sent."""
    return "".join(f"{name}: {value}\r\n" for name, [value] in headers(size).items()).encode()


CALLS: dict[str, Callable[[int], tuple[Any, ...]]] = {
    "websocket_mask": lambda size: (_MASK, bytes(size)),
    "websocket_mask_inplace": lambda size: (_MASK, bytearray(size)),
    "parse_frames": lambda size: (frame(size), 0, 1 << 20),
    "build_frame": lambda size: (0x82, bytes(size), _MASK),
    "build_frame_into": lambda size: (0x82, bytes(size), _MASK, bytearray(size + 14)),
    "parse_headers": lambda size: (block(size),),
    "parse_head": lambda size: (b"GET / HTTP/1.1\r\n" + block(size),),
    "parse_start_line": lambda size: (f"GET /{'x' * size} HTTP/1.1",),
    "serialize_head": lambda size: ("HTTP/1.1 200 OK", headers(size), b""),
}


def measure(wheel: Path) -> Work:
    """Count each function's instructions. Raises WheelworksError for a wheel whose code is wrong."""
    tags = "-".join(wheel.name.removesuffix(".whl").rsplit("-", 3)[1:])
    try:
        with closing(load(wheel)) as module:
            if unknown := sorted({method.name for method in module.definition_.methods} ^ CALLS.keys()):
                raise WheelworksError(f"{wheel.name}: {', '.join(unknown)}: not both in the wheel and in bench/work.py")
            told = module.count_instructions_()
            counts = {name: _count(getattr(module, name), CALLS[name], told) for name in CALLS}
            return Work(tags, module.abi_.cpu, counts)
    except Unsupported as error:
        return Work(tags, "", {}, error.message)


def _count(
    function: Callable[..., object], arguments: Callable[[int], tuple[Any, ...]], told: Callable[[], int]
) -> tuple[int, int]:
    """The instructions of a small call and of a large one, after a first one that fills what the module keeps."""
    function(*arguments(SMALL))
    before = told()
    function(*arguments(SMALL))
    between = told()
    function(*arguments(LARGE))
    return between - before, told() - between
