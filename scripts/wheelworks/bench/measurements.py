"""What a suite is asked for and what it answers, and what is made of that: a table, and JSON."""

from __future__ import annotations

import json
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rich.table import Table

from wheelworks import console

PACKAGES = ("tornado-speedups", "tornado", "aiohttp", "httptools", "picows", "websockets")


@dataclass(frozen=True)
class Plan:
    """How much to measure: ``rounds`` of all subjects in turn; ``scale`` of the number of operations in each."""

    rounds: int
    scale: float
    count_instructions: bool


@dataclass(frozen=True)
class Measurement:
    """One subject in one case: a figure for each round, of the given unit (``us``, ``ns`` or ``instructions``)."""

    case: str
    subject: str
    unit: str
    rounds: tuple[float, ...]

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
        made.add_row(case, *(_cell(found.get((case, subject)), found[case, base]) for subject in subjects))
    return made


def _cell(measurement: Measurement | None, base: Measurement) -> str:
    if measurement is None:
        return "-"
    return f"{measurement.median:,.{_decimals(measurement.median)}f}  {ratio(measurement, base):.3f}"


def _decimals(number: float) -> int:
    return 0 if number >= 1000 else 1


def document(suites: Mapping[str, Sequence[Measurement]]) -> str:
    """JSON: where and with what it was measured, and every figure of every round."""
    content = {
        "python": sys.version.split()[0],
        "machine": platform.machine(),
        "system": platform.system(),
        "packages": {name: _version(name) for name in PACKAGES},
        "suites": {name: [_entry(each) for each in measurements] for name, measurements in suites.items()},
    }
    return json.dumps(content, indent=1) + "\n"


def _entry(measurement: Measurement) -> dict[str, Any]:
    return asdict(measurement) | {"median": measurement.median}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
