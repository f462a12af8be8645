"""The functions that mask: to new bytes and in place, against those of other libraries and a mere copy."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib import import_module
from timeit import Timer
from typing import Any

from wheelworks.bench.measurements import Measurement, Plan
from wheelworks.errors import WheelworksError

TITLE = "masking, per call"
BASE = "tornado"
SIZES = (0, 8, 32, 125, 512, 1024, 4096, 16384, 65536, 1 << 20)
_MASK = b"\x37\xfa\x21\x3d"

# Slices so short that most of them are left alone by the machine's other work; the best of a round counts.
_SLICE_SECONDS = 0.0005
_SLICES = 40


def _function(module: str, name: str) -> Any:
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise WheelworksError(f"cannot measure {module}.{name}: {error}", "install requirements/bench.txt") from error


def _call(function: Any, *arguments: object) -> Timer:
    names = [f"argument_{number}" for number in range(len(arguments))]
    known = dict(zip(names, arguments, strict=True)) | {"function": function}
    return Timer(f"function({', '.join(names)})", timer=time.thread_time, globals=known)


def to_bytes(size: int) -> dict[str, Timer]:
    """Masking this many bytes to new ones."""
    data = bytes(size)
    return {
        "tornado": _call(_function("tornado.speedups", "websocket_mask"), _MASK, data),
        "speedups": _call(_function("tornado_speedups._speedups", "websocket_mask"), _MASK, data),
        "websockets": _call(_function("websockets.speedups", "apply_mask"), data, _MASK),
        "copy": _call(bytes, bytearray(data)),
    }


def in_place(size: int) -> dict[str, Timer]:
    """Masking this many bytes where they are; Tornado can't, and makes new ones."""
    buffer = bytearray(size)
    return {
        "tornado": _call(_function("tornado.speedups", "websocket_mask"), _MASK, bytes(size)),
        "speedups": _call(_function("tornado_speedups._speedups", "websocket_mask_inplace"), _MASK, buffer),
        "aiohttp": _call(_function("aiohttp._websocket.mask", "_websocket_mask_cython"), _MASK, buffer),
    }


def measure(plan: Plan, say: Callable[[str, str], None]) -> list[Measurement]:
    """Nanoseconds of CPU time per call, for each size."""
    found: list[Measurement] = []
    for manner, calls_of in (("to bytes", to_bytes), ("in place", in_place)):
        for size in SIZES:
            say("mask", f"{manner}, {size} bytes")
            found += _measure(f"{manner}, {size:,} B", calls_of(size), plan)
    return found


def _measure(case: str, calls: dict[str, Timer], plan: Plan) -> Sequence[Measurement]:
    counts = {subject: _enough(call) for subject, call in calls.items()}
    rounds = [_round(calls, counts, max(3, int(_SLICES * plan.scale))) for _ in range(plan.rounds)]
    return [Measurement(case, subject, "ns", tuple(each[subject] for each in rounds)) for subject in calls]


def _round(calls: dict[str, Timer], counts: dict[str, int], slices: int) -> dict[str, float]:
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(slices):
        for subject, call in calls.items():
            best[subject] = min(best[subject], call.timeit(counts[subject]) / counts[subject] * 1e9)
    return best


def _enough(call: Timer) -> int:
    count = 1
    while call.timeit(count) < _SLICE_SECONDS / 2:
        count *= 2
    return count
