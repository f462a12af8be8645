"""What a call costs: CPU time in slices so short that most of them are left alone by the machine's other work."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from timeit import Timer
from typing import Any

from wheelworks.bench.measurements import Measurement, Plan
from wheelworks.core.errors import WheelworksError

# The best slice of a round counts.
_SLICE_SECONDS = 0.0005
_SLICES = 40


def function(module: str, name: str) -> Any:
    """What a module calls so. Raises WheelworksError where the module or the name is missing."""
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise WheelworksError(f"cannot measure {module}.{name}: {error}", "install requirements/bench.txt") from error


def call(function: Any, *arguments: object) -> Timer:
    """A timer of the CPU time of this call."""
    names = [f"argument_{number}" for number in range(len(arguments))]
    known = dict(zip(names, arguments, strict=True)) | {"function": function}
    return Timer(f"function({', '.join(names)})", timer=time.thread_time, globals=known)


def measure(
    case: str, calls: dict[str, Timer], plan: Plan, series: str = "", size: int | None = None
) -> Sequence[Measurement]:
    """Nanoseconds of CPU time per call of each subject, alternately."""
    calls = {subject: call for subject, call in calls.items() if plan.wants(subject)}
    counts = {subject: _enough(call) for subject, call in calls.items()}
    rounds = [_round(calls, counts, max(3, int(_SLICES * plan.scale))) for _ in range(plan.rounds)]
    return [Measurement(case, one, "ns", tuple(each[one] for each in rounds), series, size) for one in calls]


def sizes(
    series: str, of_sizes: Mapping[int, dict[str, Timer]], plan: Plan, say: Callable[[str], None]
) -> list[Measurement]:
    """The same calls for several sizes, in bytes."""
    found: list[Measurement] = []
    for size, timers in of_sizes.items():
        say(f"{series}, {size} bytes")
        found += measure(f"{series}, {size:,} B", timers, plan, series, size)
    return found


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
