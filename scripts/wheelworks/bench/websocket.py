"""Echo servers: what a message costs, for messages of several sizes and clients of several manners."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from wheelworks.bench import cases, load, serving
from wheelworks.bench.cases import Case
from wheelworks.bench.measurements import Measurement, Plan

TITLE = "WebSocket echo, per message"
BASE = "tornado"
SYNCHRONOUS = ("tornado", "speedups", "websockets", "aiohttp", "picows")
ASYNCHRONOUS = ("tornado-async", "speedups-async")


def _in_flight(size: int, depth: int) -> serving.Load:
    return partial(load.pipelined, size=size, depth=depth)


_ON_20 = partial(load.parallel, size=32, connections=20)
_PINNED = tuple(serving.PINNED_MALLOC.items())

CASES = (
    Case("32 B, 64 in flight", _in_flight(32, 64), 1920, SYNCHRONOUS),
    Case("32 B, 1 in flight on each of 20", _ON_20, 1200, SYNCHRONOUS),
    Case("32 B, 64 in flight, async", _in_flight(32, 64), 1920, ASYNCHRONOUS),
    Case("32 B, 1 in flight on each of 20, async", _ON_20, 1200, ASYNCHRONOUS),
    Case("4 KiB, 1 in flight", _in_flight(4096, 1), 1000, SYNCHRONOUS, _PINNED),
    Case("1 MiB, 1 in flight, malloc pinned", _in_flight(1 << 20, 1), 40, SYNCHRONOUS, _PINNED, countable=False),
    Case("1 MiB, 1 in flight", _in_flight(1 << 20, 1), 40, SYNCHRONOUS, countable=False),
)


def measure(plan: Plan, say: Callable[[str, str], None]) -> list[Measurement]:
    """CPU time of every server in every case; or instructions, of the cases where the system has little part."""
    return cases.measure("websocket", CASES, plan, say)
