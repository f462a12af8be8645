"""Run a project's own tests with stock Tornado and with the speedups in every process, and compare test by test.

Both runs use one environment, whose processes import ``workers/everywhere.py`` when they start: it installs the
speedups or doesn't, and records what the process had. A test that passes with stock Tornado only runs again on both
sides before it counts, because such tests measure time.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from wheelworks.core import venv
from wheelworks.core.junit import Results
from wheelworks.core.wheel import read_members
from wheelworks.testing import project_native
from wheelworks.testing.commands import Step
from wheelworks.testing.native import FASTER_ALREADY, Counts, count_outcomes, find_deaths, find_new_failures
from wheelworks.testing.project import ProjectTests
from wheelworks.testing.project_native import ProjectEnvironment
from wheelworks.testing.project_source import ProjectFiles, list_files, open_source, split_project
from wheelworks.testing.project_suite import PROGRAM, ProjectRunner, ProjectSuite
from wheelworks.testing.suites import WORKERS_PACKAGE, Task, Update, Worker

TIME_LIMIT = 1800.0  # seconds, for each run of a suite
TRIES = 3  # times that a new failure runs again, on both sides
SIDES = ("stock", "speedups")
HOOK, FOLDER = "wheelworks_everywhere.pth", "speedups"
# Prefixes of variables that would change what the projects do, besides those that `project_native` drops.
_STEERING = ("JUPYTER", "IPYTHON", "BOKEH_", "DASK_", "FLOWER_", "CELERY_")


@dataclass(frozen=True)
class FrameworkEnvironment:
    """What a project's tests run in: the environment, the suite, and the folder for everything that they write.

    ``with_c`` makes a process fail in which the package has no C extension.
    """

    created: ProjectEnvironment
    suite: ProjectSuite
    work: Path
    with_c: bool
    limit: float
    update: Update


@dataclass(frozen=True)
class Comparison:
    """Two runs of a suite, test by test.

    ``failures`` has the tests that pass with stock Tornado and fail with the speedups, with details; ``unsteady`` has
    those for which that isn't true each time; ``failing_in_both`` is not the fault of the speedups.
    """

    failures: Mapping[str, str]
    unsteady: tuple[str, ...] = ()
    failing_in_both: tuple[str, ...] = ()


@dataclass(frozen=True)
class FrameworkResult:
    """The result of a project under an interpreter; ``processes`` is how many had the speedups, ``hooks`` their status.

    ``second_try`` has the tests that passed with the speedups only when they ran again, alone.
    """

    name: str
    version: str
    python: str
    tornado: str
    stock: Counts
    speedups: Counts
    findings: tuple[str, ...]
    failing_in_both: tuple[str, ...]
    unsteady: tuple[str, ...]
    second_try: tuple[str, ...]
    hooks: Mapping[str, str]
    processes: int
    note: str = ""

    @property
    def label(self) -> str:
        """Return the release for people: "bokeh 2.4.3"."""
        return f"{self.name} {self.version}"


def create_environment(python: Path, lock: Path, files: Sequence[Path], folder: Path) -> ProjectEnvironment:
    """Create an environment with a lock file's packages and other distributions. Raises WheelworksError."""
    interpreter = venv.create_venv(python, folder)
    failure = f"the packages of {lock.name} can't be installed"
    venv.install_requirements(interpreter, failure, "--require-hashes", "--only-binary=:all:", "--requirement", lock)
    names = ", ".join(file.name for file in files)
    venv.install_requirements(interpreter, f"can't be installed: {names}", "--no-deps", "--force-reinstall", *files)
    created = project_native.add_workers(interpreter)
    add_hook(created)
    return created


def add_hook(created: ProjectEnvironment) -> None:
    """Let each process of an environment begin with ``workers/everywhere.py``."""
    (created.site / HOOK).write_text(f"import {WORKERS_PACKAGE}.everywhere\n", encoding="utf-8")
    (created.python.parents[1] / FOLDER).mkdir()


def prepare_suite(source: Path, wheel: Path, arguments: Sequence[str], folder: Path, *, whole: bool) -> ProjectSuite:
    """Unpack a project's source; return the suite of its tests.

    ``whole`` keeps the project's packages, which the tests then import; otherwise they import the installed wheel's.
    """
    tree = open_source(source, folder)
    files = ProjectFiles(tree, tuple(list_files(tree))) if whole else split_project(tree, read_members(wheel))
    tests = ProjectTests((Step("pytest", tuple(arguments)),), "frameworks.toml", start="project")
    return ProjectSuite(tests, files, wheel, ())


def run_suites(environment: FrameworkEnvironment, **names: str) -> FrameworkResult:
    """Run the suite on both sides; return the result. ``names`` are the texts of `FrameworkResult`."""
    runs, again = {}, list[str]()
    for side in SIDES:
        found = _make_runner(environment, side).run()
        runs[side] = found.results
        again += found.second_try if side == SIDES[1] else ()
    numbers = itertools.count()

    def repeat(side: str, tests: Sequence[str]) -> Results:
        return _make_runner(environment, side).run_only(f"again{next(numbers)}", tests)

    compared = compare(runs["stock"], runs["speedups"], repeat)
    records = {side: read_records(environment.work / side) for side in SIDES}
    findings = [*find_bad_runs(runs), *find_wrong_processes(records["stock"], records["speedups"], names["tornado"])]
    findings += [f"{test}: fails with the speedups only, {why}" for test, why in compared.failures.items()]
    main = find_main(records["speedups"])
    return FrameworkResult(
        **names,
        stock=count_outcomes(runs["stock"]),
        speedups=count_outcomes(runs["speedups"]),
        findings=tuple(findings),
        failing_in_both=compared.failing_in_both,
        unsteady=compared.unsteady,
        second_try=tuple(again),
        hooks=main.get("hooks", {}),
        processes=len(records["speedups"]),
    )


def _make_runner(environment: FrameworkEnvironment, side: str) -> ProjectRunner:
    """Return the runner of a side, and let the environment's processes be of that side from now on."""
    records = environment.work / side
    records.mkdir(exist_ok=True)
    settings = {"install": side == SIDES[1], "records": str(records)}
    folder = environment.created.python.parents[1] / FOLDER
    (folder / "run.json").write_text(json.dumps(settings), encoding="utf-8")
    prepare = partial(prepare_worker, environment, side)

    def update(text: str) -> None:
        environment.update(f"{side}: {text}")

    return ProjectRunner(environment.suite, prepare, environment.limit, update)


def prepare_worker(environment: FrameworkEnvironment, side: str, task: Task) -> Worker:
    """Return the worker of a task, whose home and temporary folder are its own."""
    place = environment.work / f"{side}-runs"
    home = place / f"{task.name}-home"
    home.mkdir(parents=True)
    worker = project_native.prepare_worker(environment.created, place, task)
    kept = {name: value for name, value in (worker.environment or {}).items() if not name.startswith(_STEERING)}
    own = {"HOME": str(home), "TMPDIR": str(home), "TORNADO_SPEEDUPS_EXTENSION": "1" if environment.with_c else "0"}
    return replace(worker, environment={**kept, **own})


def compare(stock: Results, speedups: Results, repeat: Callable[[str, Sequence[str]], Results]) -> Comparison:
    """Compare two runs. ``repeat`` runs tests of a side again, alone.

    A new failure counts if the test passes with stock Tornado each time, and fails with the speedups again.
    """
    suspects = find_new_failures(stock, speedups)
    failed = Counter(list(suspects))
    steady = set(suspects)
    for _ in range(TRIES if suspects else 0):
        before, after = (repeat(side, list(suspects)) for side in SIDES)
        steady -= {test for test in suspects if before.outcome_of(test) != "passed"}
        failed.update(test for test in suspects if after.outcome_of(test) != "passed")
    counted = {test: why for test, why in suspects.items() if test in steady and failed[test] > 1}
    both = [test for test in stock.with_outcome("failed") if speedups.outcome_of(test) == "failed"]
    described = {test: f"{failed[test]} of {TRIES + 1} times {why}" for test, why in counted.items()}
    return Comparison(described, tuple(test for test in suspects if test not in counted), tuple(both))


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a run's processes, in the order in which they began."""
    files = sorted(folder.glob("*.json"), key=lambda path: int(path.stem.partition("-")[2]))
    return [json.loads(path.read_text(encoding="utf-8")) for path in files]


def find_main(records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the record of the process that ran a suite first; an empty one if there is none."""
    program = f"{WORKERS_PACKAGE}.{PROGRAM}"
    return next((record for record in records if program in record["command"]), {})


def find_bad_runs(runs: Mapping[str, Results]) -> Iterator[str]:
    """Yield the findings on whole runs: a worker that died, a limit, no test that passed."""
    for side, results in runs.items():
        yield from find_deaths(results, f"with {side}")
        if not results.with_outcome("passed"):
            yield f"with {side}: not one test passed"


def find_wrong_processes(
    stock: Sequence[Mapping[str, Any]], speedups: Sequence[Mapping[str, Any]], tornado: str
) -> Iterator[str]:
    """Yield the findings on processes: stock ones that have the speedups, others that lack one of their hooks.

    ``tornado`` is the version of Tornado that the tests must have loaded.
    """
    for name, records in zip(SIDES, (stock, speedups), strict=True):
        yield from _find_wrong_main(name, find_main(records), tornado)
    for record in stock:
        if record["loaded"]:
            yield f"with stock Tornado: tornado_speedups was loaded by {_name(record)}"
    wrong: dict[str, list[str]] = {}
    for record in speedups:
        for text in _describe_wrong(record):
            wrong.setdefault(text, []).append(_name(record))
    for text, names in wrong.items():
        yield f"with the speedups: {text} ({len(names)} of {len(speedups)} processes, the first is {names[0]})"


def _find_wrong_main(side: str, record: Mapping[str, Any], tornado: str) -> Iterator[str]:
    if not record.get("ended"):
        yield f"with {side}: there is no record of the process that ran the tests"
    elif record["tornado"] != tornado:
        yield f"with {side}: the tests loaded Tornado {record['tornado'] or '(none)'}, not {tornado}"


def _describe_wrong(record: Mapping[str, Any]) -> Iterator[str]:
    if error := record.get("error"):
        yield f"install() failed: {error}"
    elif not record.get("hooks"):
        yield "install() reported no hooks"
    for hook, status in record.get("hooks", {}).items():
        if status != "installed" and FASTER_ALREADY not in status:
            yield f"hook {hook}: {status}"
    if lost := record["lost"]:
        yield f"replaced by others: {', '.join(lost)}"


def _name(record: Mapping[str, Any]) -> str:
    return " ".join(record["command"])[:100]
