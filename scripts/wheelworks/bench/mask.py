"""The functions that mask: to new bytes and in place, against those of other libraries and a mere copy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from timeit import Timer

from wheelworks.bench import calls
from wheelworks.bench.calls import call, function
from wheelworks.bench.measurements import Measurement, Plan

TITLE = "masking, per call"
BASE = "tornado"
SIZES = (0, 8, 32, 125, 512, 1024, 4096, 16384, 65536, 1 << 20)
_MASK = b"\x37\xfa\x21\x3d"


def to_bytes(size: int) -> dict[str, Timer]:
    """Masking this many bytes to new ones."""
    data = bytes(size)
    return {
        "tornado": call(function("tornado.speedups", "websocket_mask"), _MASK, data),
        "speedups": call(function("tornado_speedups._speedups", "websocket_mask"), _MASK, data),
        "websockets": call(function("websockets.speedups", "apply_mask"), data, _MASK),
        "copy": call(bytes, bytearray(data)),
    }


def in_place(size: int) -> dict[str, Timer]:
    """Masking this many bytes where they are; Tornado can't, and makes new ones."""
    buffer = bytearray(size)
    return {
        "tornado": call(function("tornado.speedups", "websocket_mask"), _MASK, bytes(size)),
        "speedups": call(function("tornado_speedups._speedups", "websocket_mask_inplace"), _MASK, buffer),
        "aiohttp": call(function("aiohttp._websocket.mask", "_websocket_mask_cython"), _MASK, buffer),
        "copy": call(bytes, bytearray(size)),
    }


def measure(plan: Plan, say: Callable[[str, str], None]) -> list[Measurement]:
    """Nanoseconds of CPU time per call, for each size."""
    found: list[Measurement] = []
    for series, calls_of in (("to bytes", to_bytes), ("in place", in_place)):
        found += calls.sizes(series, {size: calls_of(size) for size in SIZES}, plan, partial(say, "mask"))
    return found
