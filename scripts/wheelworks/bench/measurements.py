"""Measurements: suites, tables, and the file of results.

The file is in pyperf's format, so that ``python -m pyperf show``, ``hist`` and ``compare_to`` can read it. pyperf's
runner isn't used: it measures one subject after the other, and on a busy machine only ratios of subjects that took
turns are reliable. Plots and pages read the file without pyperf, which only the session ``bench`` installs.
"""

from __future__ import annotations

import io
import json
import math
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.table import Table

from wheelworks.core import console
from wheelworks.core.errors import WheelworksError

SECONDS = {"s": 1.0, "us": 1e-6, "ns": 1e-9}  # seconds of each unit of time
PACKAGES = ("tornado-speedups", "tornado", "aiohttp", "httptools", "picows", "websockets")
# The part of pyperf's metadata that bears on figures. Host name, paths and Python's configuration are left out.
FACTS = (
    *("python_implementation", "python_version", "cpu_model_name", "cpu_count", "cpu_freq", "cpu_config"),
    *("aslr", "load_avg_1min", "date", "perf_version"),
)

Update = Callable[[str, str], None]


@dataclass(frozen=True)
class Plan:
    """How much to measure: the rounds, and the scale of the number of operations in each round.

    ``only`` names the subjects to measure. If it is empty, all are measured. ``source`` and ``target`` are what the
    suite ``build`` builds: a folder or sdist, for a target or, if it is empty, for this machine and for ARM64.
    """

    rounds: int
    scale: float
    count_instructions: bool
    only: frozenset[str] = frozenset()
    source: str = "."
    target: str = ""

    def wants(self, subject: str) -> bool:
        """Return whether to measure a subject. ``tornado-async`` is a variant of the subject ``tornado``."""
        return not self.only or subject.partition("-")[0] in self.only


@dataclass(frozen=True)
class Measurement:
    """One subject in one case, with a figure for each round in the unit ``s``, ``us``, ``ns`` or ``instructions``.

    The cases of one ``series`` differ only in their ``size`` in bytes. Other cases have neither.
    """

    case: str
    subject: str
    unit: str
    rounds: tuple[float, ...]
    series: str = ""
    size: int | None = None

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)


@dataclass(frozen=True)
class Suite:
    """A suite of cases; ``base`` is the subject that the others are compared with."""

    title: str
    base: str
    measure: Callable[[Plan, Update], list[Measurement]]


def paired_ratio(measurement: Measurement, base: Measurement) -> float:
    """Return the median of the ratios of the same round, whose figures were measured under the same load."""
    return statistics.median(one / other for one, other in zip(measurement.rounds, base.rounds, strict=True))


def make_tables(title: str, base: str, measurements: Sequence[Measurement]) -> list[Table]:
    """Return a table for each unit, with a row for each case and a column for each subject."""
    units = dict.fromkeys(one.unit for one in measurements)
    return [_make_table(f"{title}: {unit}", base, [one for one in measurements if one.unit == unit]) for unit in units]


def _make_table(title: str, base: str, measurements: Sequence[Measurement]) -> Table:
    subjects = list(dict.fromkeys(each.subject for each in measurements))
    found = {(each.case, each.subject): each for each in measurements}
    made = console.create_table(f"{title}, and how many times {base}'s", "", *subjects)
    for case in dict.fromkeys(each.case for each in measurements):
        made.add_row(case, *(_format_cell(found.get((case, one)), found.get((case, base))) for one in subjects))
    return made


def _format_cell(measurement: Measurement | None, base: Measurement | None) -> str:
    if measurement is None:
        return "-"
    median = measurement.median
    shown = f"{median:,.{0 if median >= 1000 else 1 if median >= 10 else 2}f}"
    return shown if base is None else f"{shown}  {paired_ratio(measurement, base):.3f}"


def format_results(suites: Mapping[str, Sequence[Measurement]]) -> str:
    """Return the results and facts about the machine as pyperf's JSON. Raises WheelworksError if there are none."""
    import pyperf

    facts = _collect_facts()
    benchmarks = [_make_benchmark(suite, one, facts) for suite, found in suites.items() for one in found]
    if not benchmarks:
        raise WheelworksError("nothing was measured", "leave out --only, or name a subject of these suites")
    written = io.StringIO()
    pyperf.BenchmarkSuite(benchmarks).dump(written)
    return json.dumps(json.loads(written.getvalue()), indent=1) + "\n"


def _make_benchmark(suite: str, one: Measurement, facts: Mapping[str, Any]) -> Any:
    import pyperf

    metadata = {**facts, "suite": suite, "case": one.case, "subject": one.subject, "shown_in": one.unit}
    metadata |= {"series": one.series, "size": one.size} if one.series and one.size is not None else {}
    metadata["name"] = f"{suite}: {one.case}, {one.subject}"
    metadata["unit"] = "second" if one.unit in SECONDS else "integer"
    values = [figure * SECONDS.get(one.unit, 1.0) for figure in one.rounds]
    return pyperf.Benchmark([pyperf.Run(values, metadata=metadata, collect_metadata=False)])


def _collect_facts() -> dict[str, Any]:
    import pyperf

    known = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    versions = {f"{name.replace('-', '_')}_version": _find_version(name) for name in PACKAGES}
    system = {"system": platform.system(), "machine": platform.machine()}
    facts = {name: known.get(name) for name in FACTS} | system | versions
    return {name: fact for name, fact in facts.items() if fact is not None}


def _find_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def load_results(path: Path) -> dict[str, list[Measurement]]:
    """Return the measurements of each suite. Raises WheelworksError for a file that ``format_results`` didn't make."""
    suites: dict[str, list[Measurement]] = {}
    for metadata, found in _read(path):
        suites.setdefault(metadata["suite"], []).append(found)
    return suites


def load_facts(path: Path) -> dict[str, str]:
    """Return facts about the machine and the package versions. Raises WheelworksError as ``load_results`` does."""
    metadata = _read(path)[0][0]
    facts = {name: metadata[name] for name in ("system", "machine", *FACTS) if metadata.get(name)}
    packages = {name: fact for name, fact in metadata.items() if name.endswith("_version") and name not in facts}
    return {name.replace("_", " "): str(fact) for name, fact in (facts | packages).items()}


def _read(path: Path) -> list[tuple[dict[str, Any], Measurement]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        common = dict(content.get("metadata", {}))
        found = [_read_benchmark(common, entry) for entry in content["benchmarks"]]
        if not found:
            raise ValueError("it has no benchmark")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WheelworksError(f"{path}: not a results file of this version: {error}", "nox -s bench") from error
    return found


def _read_benchmark(common: dict[str, Any], entry: Mapping[str, Any]) -> tuple[dict[str, Any], Measurement]:
    [run] = entry["runs"]
    metadata = {**common, **entry.get("metadata", {}), **run.get("metadata", {})}
    unit, size = str(metadata["shown_in"]), metadata.get("size")
    rounds = tuple(float(value) / SECONDS.get(unit, 1.0) for value in run["values"])
    if not rounds or not all(math.isfinite(figure) and figure > 0 for figure in rounds):
        raise ValueError("a figure isn't a positive number")
    names = str(metadata["case"]), str(metadata["subject"]), unit, rounds, str(metadata.get("series", ""))
    return metadata | {"suite": str(metadata["suite"])}, Measurement(*names, None if size is None else int(size))
