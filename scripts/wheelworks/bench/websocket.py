"""Echo servers: what a message costs, for messages of several sizes and clients of several manners."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from wheelworks.bench import load, serving
from wheelworks.bench.measurements import Measurement, Plan

TITLE = "WebSocket echo, per message"
BASE = "tornado"
SYNCHRONOUS = ("tornado", "speedups", "aiohttp", "picows")
ASYNCHRONOUS = ("tornado-async", "speedups-async")


@dataclass(frozen=True)
class _Case:
    name: str
    apply: Callable[[int, int], None]
    count: int
    subjects: tuple[str, ...] = SYNCHRONOUS
    variables: tuple[tuple[str, str], ...] = ()
    countable: bool = True


def _in_flight(size: int, depth: int) -> Callable[[int, int], None]:
    return partial(load.pipelined, size=size, depth=depth)


_ON_20 = partial(load.parallel, size=32, connections=20)
_PINNED = tuple(serving.PINNED_MALLOC.items())

CASES = (
    _Case("32 B, 64 in flight", _in_flight(32, 64), 1920),
    _Case("32 B, 1 in flight on each of 20", _ON_20, 1200),
    _Case("32 B, 64 in flight, async", _in_flight(32, 64), 1920, ASYNCHRONOUS),
    _Case("32 B, 1 in flight on each of 20, async", _ON_20, 1200, ASYNCHRONOUS),
    _Case("4 KiB, 1 in flight", _in_flight(4096, 1), 1000, variables=_PINNED),
    _Case("1 MiB, 1 in flight, malloc pinned", _in_flight(1 << 20, 1), 40, variables=_PINNED, countable=False),
    _Case("1 MiB, 1 in flight", _in_flight(1 << 20, 1), 40, countable=False),
)


def measure(plan: Plan, say: Callable[[str, str], None]) -> list[Measurement]:
    """CPU time of every server in every case; or instructions, of the cases where the system has little part."""
    cases = [case for case in CASES if case.countable or not plan.count_instructions]
    return [each for case in cases for each in _measure(case, plan, say)]


def _measure(case: _Case, plan: Plan, say: Callable[[str, str], None]) -> Sequence[Measurement]:
    rounds: dict[str, list[float]] = {subject: [] for subject in case.subjects}
    for number in range(1 if plan.count_instructions else plan.rounds):
        for subject in case.subjects:
            say("websocket", f"{case.name}: {subject}, round {number + 1}")
            rounds[subject].append(_figure(case, subject, plan))
    unit = "instructions" if plan.count_instructions else "us"
    return [Measurement(case.name, _column(subject), unit, tuple(figures)) for subject, figures in rounds.items()]


def _figure(case: _Case, subject: str, plan: Plan) -> float:
    if plan.count_instructions:
        return serving.instructions(subject, case.apply, case.count)
    count = max(64, int(case.count * 10 * plan.scale))
    return serving.cpu_microseconds(subject, case.apply, count, dict(case.variables))


def _column(subject: str) -> str:
    return subject.removesuffix("-async")
