"""Run a project's own tests on a wheel by workers, wherever these run, and gather the results."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wheelworks.core.junit import Results
from wheelworks.testing.commands import Step
from wheelworks.testing.project import ProjectTests
from wheelworks.testing.project_source import ProjectFiles, list_packages
from wheelworks.testing.suites import (
    DEATH,
    ENDED_BY_SHIM,
    SECOND_TRY_LIMIT,
    TIMED_OUT,
    SuiteResults,
    Task,
    Update,
    Worker,
    run_workers,
)

PROGRAM = "project"
CRASH_LIMIT = 10  # crashes of pytest after which the rest of the tests isn't run
IN_PROCESS = ("pytest", "imports")  # kinds of steps whose tests are recorded one by one
UNSUPPORTED_TEST = "unsupported: "  # begins the detail of a test that hit a limit of this machine's


@dataclass(frozen=True)
class ProjectSuite:
    """A project's tests for one wheel: the plan, the files, and the wheel's extension modules (import names)."""

    tests: ProjectTests
    files: ProjectFiles
    wheel: Path
    modules: tuple[str, ...]


@dataclass(frozen=True)
class ProjectRunner:
    """Runs a suite. ``prepare`` makes a task's worker: the folder of its results takes the project's files.

    ``can_start_programs`` tells whether workers may have child processes. Each worker has ``limit`` seconds.
    """

    suite: ProjectSuite
    prepare: Callable[[Task], Worker]
    limit: float
    update: Update
    can_start_programs: bool = True

    def run(self) -> SuiteResults:
        """Run all steps, then import the extension modules that no test has loaded. A failed program ends the run.

        A few failures of pytest run again, alone, since tests measure time on a busy machine.
        """
        results, second_try = Results(), list[str]()
        for number, step in enumerate(self.suite.tests.steps):
            found = self._run_step(f"step{number}", step)
            second_try += self._try_again(f"step{number}-again", step, found)
            merge_results(results, found)
            if step.kind != "pytest" and (found.with_outcome("failed") or found.limits):
                break
        if missing := [name for name in self.suite.modules if name not in results.modules]:
            merge_results(results, self._import_modules(missing))
        return SuiteResults(results, second_try=tuple(second_try))

    def run_only(self, name: str, tests: Sequence[str]) -> Results:
        """Run a few tests of the steps that run pytest, alone; ``name`` begins the names of the work folders."""
        results = Results()
        for number, step in enumerate(self.suite.tests.steps):
            if step.kind == "pytest":
                found = self._run_worker(f"{name}-step{number}", step, only=tests)
                take_crash(found)
                merge_results(results, found)
        return results

    def _run_step(self, name: str, step: Step) -> Results:
        """Run a step. After a crash in a test, the tests after it run in a new worker."""
        if step.kind not in IN_PROCESS and not self.can_start_programs:
            return Results(limits=[f"the test command starts a program, which can't be done here: {step.title}"])
        results = Results()
        for attempt in range(CRASH_LIMIT + 1):
            found = self._run_worker(f"{name}-{attempt}", step, skip=list(results.finished))
            goes_on = bool(take_crash(found)) and step.kind in IN_PROCESS
            merge_results(results, found)
            if not goes_on:
                break
            self.update("the worker died; going on with the next test")
        return results

    def _try_again(self, name: str, step: Step, found: Results) -> list[str]:
        """Run the failed tests of a step again, but not those that crashed. Return those that passed now."""
        failed = [test for test in found.with_outcome("failed") if not test.startswith("collect ")]
        failed = [test for test in failed if not found.finished[test][1].startswith((DEATH, UNSUPPORTED_TEST))]
        if step.kind != "pytest" or found.deaths or not 0 < len(failed) <= SECOND_TRY_LIMIT:
            return []
        self.update(f"running again, alone: {', '.join(failed)}")
        again = self._run_worker(name, step, only=failed)
        passed = [test for test in failed if again.outcome_of(test) == "passed"]
        found.finished.update({test: again.finished[test] for test in passed})
        return passed

    def _import_modules(self, names: Sequence[str]) -> Results:
        results = self._run_step("imports", Step("imports", tuple(names)))
        results.modules.clear()  # no test has loaded them
        return results

    def _run_worker(self, name: str, step: Step, *, only: Sequence[str] = (), skip: Sequence[str] = ()) -> Results:
        worker = self.prepare(Task(name, PROGRAM))
        job, tests = worker.results.parent, self.suite.tests
        self.suite.files.copy_kept(job / "project")
        copy_sources(job / "project", tests.sources, job / "run")
        described = {
            "kind": step.kind,
            "words": step.words,
            "title": step.title,
            "wheel": self.suite.wheel.name,
            "folder": step.folder if step.folder.startswith("{") else f"{tests.start}/{step.folder}".rstrip("/"),
            "variables": {**tests.environment, **step.variables},
            "moved": dict(self.suite.files.moved),
            "only": list(only),
            "skip": list(skip),
            "packages": list_packages(self.suite.modules),
        }
        (job / "step.json").write_text(json.dumps(described), encoding="utf-8")
        return run_workers([worker], self.limit, self.update)


def copy_sources(project: Path, sources: Sequence[str], into: Path) -> None:
    """Copy the project's ``sources`` to the new folder ``into``. Those that aren't there are left out."""
    into.mkdir()
    for name in sources:
        path = (project / name).resolve()
        if not path.is_relative_to(project.resolve()):
            continue
        if path.is_dir():
            shutil.copytree(path, into / name, dirs_exist_ok=True)
        elif path.is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, into / name)


def take_crash(found: Results) -> list[str]:
    """Turn a worker's death during tests into failures of these tests; return them, unless the time was up."""
    crashed = sorted(found.running) if found.deaths else []
    if found.deaths and not found.limits and found.deaths[0].startswith(ENDED_BY_SHIM):
        found.limits.append("code of ours that stands for another system's ended the run, without a reason")
    if found.limits:
        found.deaths[:] = found.deaths if crashed else []  # the limit explains them
    if not crashed:
        return []
    limits = [f"{UNSUPPORTED_TEST}{limit}" for limit in found.limits]
    detail = "\n".join(limits or found.deaths)
    timed_out = any(death.startswith(TIMED_OUT) for death in found.deaths)
    found.finished.update(dict.fromkeys(crashed, ("failed", detail)))
    for lists in (found.deaths, found.running, found.limits):
        lists.clear()
    return [] if timed_out else crashed


def merge_results(results: Results, more: Results) -> None:
    """Add the results of another worker."""
    results.collected = list(dict.fromkeys([*results.collected, *more.collected]))
    results.finished.update(more.finished)
    results.running |= more.running
    results.modules.update(more.modules)
    results.deaths += more.deaths
    results.limits += [limit for limit in more.limits if limit not in results.limits]
