"""The file of figures, in pyperf's format: ``python -m pyperf show``, ``hist`` and ``compare_to`` read it, too.

pyperf writes it, with what it knows of the machine. Its runner isn't used: that measures one subject after the other,
and on a machine with neighbours only ratios of subjects that took turns are worth something. What reads the file, for
plots and pages, does without pyperf, which only the session ``bench`` installs.
"""

from __future__ import annotations

import io
import json
import math
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from wheelworks.bench.measurements import SECONDS, Measurement
from wheelworks.core.errors import WheelworksError

PACKAGES = ("tornado-speedups", "tornado", "aiohttp", "httptools", "picows", "websockets")
# Of what pyperf tells of a machine, what bears on figures; not its name, its folders, or how its Python was configured.
FACTS = (
    *("python_implementation", "python_version", "cpu_model_name", "cpu_count", "cpu_freq", "cpu_config"),
    *("aslr", "load_avg_1min", "date", "perf_version"),
)


def document(suites: Mapping[str, Sequence[Measurement]]) -> str:
    """Where and with what it was measured, and every figure of every round. Raises WheelworksError for no figures."""
    import pyperf

    machine = _machine()
    benchmarks = [_benchmark(suite, one, machine) for suite, found in suites.items() for one in found]
    if not benchmarks:
        raise WheelworksError("nothing was measured", "leave out --only, or name a subject of these suites")
    written = io.StringIO()
    pyperf.BenchmarkSuite(benchmarks).dump(written)
    return json.dumps(json.loads(written.getvalue()), indent=1) + "\n"


def _benchmark(suite: str, one: Measurement, machine: Mapping[str, Any]) -> Any:
    import pyperf

    words = {"suite": suite, "case": one.case, "subject": one.subject, "shown_in": one.unit}
    place = {"series": one.series, "size": one.size} if one.series and one.size is not None else {}
    name = {"name": f"{suite}: {one.case}, {one.subject}", "unit": "second" if one.unit in SECONDS else "integer"}
    values = [figure * SECONDS.get(one.unit, 1.0) for figure in one.rounds]
    told = {**machine, **words, **place, **name}
    return pyperf.Benchmark([pyperf.Run(values, metadata=told, collect_metadata=False)])


def _machine() -> dict[str, Any]:
    """What pyperf knows of this machine, and the versions of what was measured."""
    import pyperf

    known = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    versions = {f"{name.replace('-', '_')}_version": _version(name) for name in PACKAGES}
    system = {"system": platform.system(), "machine": platform.machine()}
    facts = {name: known.get(name) for name in FACTS} | system | versions
    return {name: fact for name, fact in facts.items() if fact is not None}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def load(path: Path) -> dict[str, list[Measurement]]:
    """The suites of a file that ``document`` wrote. Raises WheelworksError for another one."""
    suites: dict[str, list[Measurement]] = {}
    for known, found in _read(path):
        suites.setdefault(known["suite"], []).append(found)
    return suites


def about(path: Path) -> dict[str, str]:
    """With what a file's figures were measured, and where. Raises WheelworksError as ``load`` does."""
    known = _read(path)[0][0]
    facts = {name: known[name] for name in ("system", "machine", *FACTS) if known.get(name)}
    packages = {name: fact for name, fact in known.items() if name.endswith("_version") and name not in facts}
    return {name.replace("_", " "): str(fact) for name, fact in (facts | packages).items()}


def _read(path: Path) -> list[tuple[dict[str, Any], Measurement]]:
    """Each benchmark, with all that is said of it or of the whole file. Raises WheelworksError for another file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        common = dict(content.get("metadata", {}))
        found = [_entry(common, entry) for entry in content["benchmarks"]]
        if not found:
            raise ValueError("no benchmark in it")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WheelworksError(f"{path}: no figures of this version: {error}", "measure again: nox -s bench") from error
    return found


def _entry(common: dict[str, Any], entry: Mapping[str, Any]) -> tuple[dict[str, Any], Measurement]:
    [run] = entry["runs"]
    known = {**common, **entry.get("metadata", {}), **run.get("metadata", {})}
    return known | {"suite": str(known["suite"])}, _measurement(known, run["values"])


def _measurement(known: Mapping[str, Any], values: Sequence[Any]) -> Measurement:
    unit = str(known["shown_in"])
    rounds = tuple(float(value) / SECONDS.get(unit, 1.0) for value in values)
    size = known.get("size")
    if not rounds or not all(math.isfinite(figure) and figure > 0 for figure in rounds):
        raise ValueError("a figure that is no positive number")
    words = str(known["case"]), str(known["subject"]), unit, rounds, str(known.get("series", ""))
    return Measurement(*words, None if size is None else int(size))
