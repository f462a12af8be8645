"""Cases of suites that measure servers: a load, the servers that bear it, and what each of them uses for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wheelworks.bench import serving
from wheelworks.bench.measurements import Measurement, Plan


@dataclass(frozen=True)
class Case:
    """A load of ``count`` operations (ten times as many where time is measured) for servers of several kinds.

    ``variables`` are those of the servers' environment; ``countable`` says whether the system's part is so little that
    instructions in user space tell what an operation costs.
    """

    name: str
    apply: serving.Load
    count: int
    subjects: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()
    countable: bool = True


def measure(suite: str, cases: Sequence[Case], plan: Plan, say: Callable[[str, str], None]) -> list[Measurement]:
    """CPU time of every server in every case; or instructions, in those that are countable."""
    wanted = [case for case in cases if case.countable or not plan.count_instructions]
    return [each for case in wanted for each in _measure(suite, case, plan, say)]


def _measure(suite: str, case: Case, plan: Plan, say: Callable[[str, str], None]) -> Sequence[Measurement]:
    subjects = [subject for subject in case.subjects if plan.wants(subject)]
    rounds: dict[str, list[float]] = {subject: [] for subject in subjects}
    for number in range(1 if plan.count_instructions else plan.rounds):
        for subject in subjects:
            say(suite, f"{case.name}: {subject}, round {number + 1}")
            rounds[subject].append(_figure(case, subject, plan))
    unit = "instructions" if plan.count_instructions else "us"
    return [Measurement(case.name, _column(subject), unit, tuple(figures)) for subject, figures in rounds.items()]


def _figure(case: Case, subject: str, plan: Plan) -> float:
    if plan.count_instructions:
        return serving.instructions(subject, case.apply, case.count)
    count = max(64, int(case.count * 10 * plan.scale))
    return serving.cpu_microseconds(subject, case.apply, count, dict(case.variables))


def _column(subject: str) -> str:
    """The library, without what its server does."""
    return subject.partition("-")[0]
