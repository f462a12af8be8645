"""What a suite is asked for and what it answers, and the tables that are made of that."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from wheelworks.core import console

SECONDS = {"s": 1.0, "us": 1e-6, "ns": 1e-9}  # of the units of time


@dataclass(frozen=True)
class Plan:
    """How much to measure: ``rounds`` of all subjects in turn; ``scale`` of the number of operations in each.

    ``only`` names the subjects to measure; none: all of them.
    """

    rounds: int
    scale: float
    count_instructions: bool
    only: frozenset[str] = frozenset()

    def wants(self, subject: str) -> bool:
        """Whether a subject is to be measured; what stands behind a hyphen is another manner of the same."""
        return not self.only or subject.partition("-")[0] in self.only


@dataclass(frozen=True)
class Measurement:
    """One subject in one case: a figure for each round, of the given unit (``s``, ``us``, ``ns``, ``instructions``).

    Cases of one ``series`` differ in the ``size`` alone, in bytes; one that stands by itself has neither.
    """

    case: str
    subject: str
    unit: str
    rounds: tuple[float, ...]
    series: str = ""
    size: int | None = None

    @property
    def median(self) -> float:
        """The figure to be shown."""
        return statistics.median(self.rounds)


def ratio(measurement: Measurement, base: Measurement) -> float:
    """How many times the base's figure: the median over pairs of the same round, which had the same neighbours."""
    return statistics.median(ours / theirs for ours, theirs in zip(measurement.rounds, base.rounds, strict=True))


def tables(title: str, base: str, measurements: Sequence[Measurement]) -> list[Table]:
    """A table for each unit: a row for each case, a column for each subject."""
    return [
        _table(f"{title}: {unit}", base, [each for each in measurements if each.unit == unit])
        for unit in dict.fromkeys(each.unit for each in measurements)
    ]


def _table(title: str, base: str, measurements: Sequence[Measurement]) -> Table:
    subjects = list(dict.fromkeys(each.subject for each in measurements))
    found = {(each.case, each.subject): each for each in measurements}
    made = console.table(f"{title}, and how many times {base}'s", "", *subjects)
    for case in dict.fromkeys(each.case for each in measurements):
        made.add_row(case, *(_cell(found.get((case, subject)), found.get((case, base))) for subject in subjects))
    return made


def _cell(measurement: Measurement | None, base: Measurement | None) -> str:
    if measurement is None:
        return "-"
    if base is None:
        return f"{measurement.median:,.{_decimals(measurement.median)}f}"
    return f"{measurement.median:,.{_decimals(measurement.median)}f}  {ratio(measurement, base):.3f}"


def _decimals(number: float) -> int:
    return 0 if number >= 1000 else 1 if number >= 10 else 2
