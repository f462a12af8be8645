"""What a suite is asked for and what it answers, and what is made of that: a table, and JSON."""

from __future__ import annotations

import json
import math
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.table import Table

from wheelworks import console, processes
from wheelworks.errors import WheelworksError

PACKAGES = ("tornado-speedups", "tornado", "aiohttp", "httptools", "picows", "websockets")


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


def document(suites: Mapping[str, Sequence[Measurement]]) -> str:
    """JSON: where and with what it was measured, and every figure of every round."""
    content = {
        "python": sys.version.split()[0],
        "machine": platform.machine(),
        "system": platform.system(),
        "cpu": _cpu(),
        "packages": {name: _version(name) for name in PACKAGES},
        "suites": {name: [_entry(each) for each in measurements] for name, measurements in suites.items()},
    }
    return json.dumps(content, indent=1) + "\n"


def load(path: Path) -> dict[str, list[Measurement]]:
    """The suites of a file that ``document`` wrote. Raises WheelworksError for another one."""
    try:
        suites = json.loads(path.read_text(encoding="utf-8"))["suites"]
        return {str(name): [_measurement(entry) for entry in entries] for name, entries in suites.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WheelworksError(f"{path}: no figures of this version: {error}", "measure again: nox -s bench") from error


def about(path: Path) -> dict[str, str]:
    """With what a file's figures were measured, and where. Raises WheelworksError as ``load`` does."""
    load(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    packages = content.get("packages")
    known = packages if isinstance(packages, dict) else {}
    facts = {name: content.get(name) for name in ("python", "machine", "system", "cpu")} | known
    return {str(name): str(value) for name, value in facts.items() if value}


def _measurement(entry: Mapping[str, Any]) -> Measurement:
    rounds = tuple(float(figure) for figure in entry["rounds"])
    size = entry.get("size")
    if not rounds or not all(math.isfinite(figure) and figure > 0 for figure in rounds):
        raise ValueError("a figure that is no positive number")
    words = [str(entry[name]) for name in ("case", "subject", "unit")]
    return Measurement(
        words[0], words[1], words[2], rounds, str(entry.get("series", "")), None if size is None else int(size)
    )


def _entry(measurement: Measurement) -> dict[str, Any]:
    return asdict(measurement) | {"median": measurement.median}


def _cpu() -> str:
    """The model of this machine's CPU, and how many there are."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{processes.cores()} of {names[0] if names else platform.processor() or 'an unknown model'}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
