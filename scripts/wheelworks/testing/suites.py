"""Test suites run by workers: their shards, the results that they write, and the failures that are expected.

A worker is a program of ``workers/``. It runs a shard of a suite where a `Runner` starts it: in an environment of this
machine's Python (`environments`), or under the CPython of another CPU (`wheelworks.foreign`). Each writes a JUnit XML
file element by element, so that the results of a worker that crashed are complete up to the test that it crashed in.
"""

from __future__ import annotations

import json
import signal
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from wheelworks.core import process
from wheelworks.core.errors import WheelworksError
from wheelworks.core.junit import Results, read_results

Update = Callable[[str], None]

WORKERS, WORKERS_PACKAGE = Path(__file__).with_name("workers"), "wheelworks_workers"
KNOWN_FAILURES = Path(__file__).with_name("known_failures.toml")
SECOND_TRY_LIMIT = 10  # failures: a busy machine may cause so few, but not more
UPDATE_EVERY = 5.0  # seconds
LOG_TAIL = 2000  # characters
LOG_END = 64 << 10  # bytes that are read
DEATH = "the worker "  # begins the description of a death
TIMED_OUT = f"{DEATH}did not end"
START_TIME = 20.0  # seconds that an emulated Python may need to start on a busy machine
HANG_SHARE = 0.5  # of the time limit without the start: a worker that wrote nothing for longer hangs, others are slow
PROGRAM_LOG = "program.log"  # beside the results: the output of the program that workers/project.py started
UNSUPPORTED = "wheelworks: unsupported: "  # precedes the reason in a line that the shim writes
FAULTHANDLER = ("Fatal Python error: ", "Timeout (")  # begin the tracebacks of faulthandler

# Values of pytest's option -m. Tests that need compilers, downloads or emulators don't run in an environment.
EXHAUSTIVE = "not integration"
QUICK = f"{EXHAUSTIVE} and not exhaustive"


@dataclass(frozen=True)
class Worker:
    """A worker to start: its command, environment (None for this process's own), and current folder.

    ``results`` is the file that it writes, ``log`` the one that takes its output.
    """

    command: Sequence[str | Path]
    environment: Mapping[str, str] | None
    folder: Path
    results: Path
    log: Path


def run_workers(workers: Sequence[Worker], limit: float, update: Update) -> Results:
    """Run workers at the same time, for at most ``limit`` seconds. All are gone when this returns or raises."""
    files = [worker.results for worker in workers]
    with process.thread_pool(len(workers)) as pool:
        running = [pool.submit(_run_worker, worker, limit) for worker in workers]
        while wait(running, timeout=UPDATE_EVERY).not_done:
            update(read_results(files).describe_progress())
    results, ends = read_results(files), [future.result() for future in running]
    results.deaths += [death for death, _ in ends if death]
    results.limits += [reason for _, reason in ends if reason]
    results.limits += [reason for worker in workers if (reason := read_limit(worker.log))]
    return results


def _run_worker(worker: Worker, limit: float) -> tuple[str, str]:
    """Run a worker to its end. Return how it died, with the end of its output, and why that says nothing about a test.

    Both are "" if it exited with status 0. A worker that hangs has died; one that was only too slow met a limit.
    """
    options = {"env": worker.environment, "cwd": worker.folder, "log": worker.log}
    try:
        status = process.run(worker.command, timeout=limit, **options).status  # type: ignore[arg-type]
    except process.TimedOut:
        if reason := _describe_slowness(worker, limit):
            return "", reason
        death = f"{TIMED_OUT} within {limit:.0f} s"
    else:
        if status == 0:
            return "", ""
        death = describe_exit(status)
    return f"{death}\n{select_last_words(_read_end(worker.log))}".strip(), ""


def _describe_slowness(worker: Worker, limit: float) -> str:
    """Return how far a worker came that went on until the end of its time; "" for one that hung.

    The last sign of life is the last result, or output of the program that it started.
    """
    count = len(read_results([worker.results]).finished)
    program = worker.results.with_name(PROGRAM_LOG)
    signs = [path.lstat().st_mtime for path in (worker.results, program) if path.is_file()]
    hangs = time.time() - max(signs, default=0.0) > HANG_SHARE * (limit - min(START_TIME, limit / 2))
    if hangs or not (count or program.is_file()):
        return ""
    return f"the time limit of {limit:.0f} s ended the run after {count} tests: --time-limit SECONDS raises it"


def _read_end(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_END))
            return file.read().decode(errors="replace").strip()
    except FileNotFoundError:
        return ""


def select_last_words(log: str) -> str:
    """Return the end of a log, or, from its last traceback by faulthandler, the first lines: where it crashed."""
    start = max(log.rfind(words) for words in FAULTHANDLER)
    return log[start:][:LOG_TAIL] if start >= 0 else log[-LOG_TAIL:]


def read_limit(log: Path) -> str:
    """Return why a worker ended itself because something can't be run here; "" if it didn't say so."""
    # A test runner may have begun the line.
    lines = [line for line in _read_end(log).splitlines() if UNSUPPORTED in line]
    return lines[-1].partition(UNSUPPORTED)[2].strip() if lines else ""


def describe_exit(status: int) -> str:
    """Return what an exit status means. Shells report signals as 128 and more, Windows has large exceptions' codes."""
    number = -status if status < 0 else status - 128
    with suppress(ValueError):
        return f"{DEATH}died of {signal.Signals(number).name}"
    code = f"{status:#x}" if status > 255 else str(status)
    return f"{DEATH}ended with exit code {code}"


# The exit codes of `end_unsupported` in rewrap/shim: an exception that can't be handled, a call of a missing function.
ENDED_BY_SHIM = (describe_exit(98), describe_exit(99))


@dataclass(frozen=True)
class Task:
    """What a worker is to do: its program in ``workers/``, with arguments. ``name`` is that of its work folder.

    The arguments come after the path of the results, and before the modules whose files are recorded.
    """

    name: str
    program: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Runner:
    """Runs suites over ``jobs`` workers, each run for ``limit`` seconds at most. ``prepare`` makes a task's worker."""

    prepare: Callable[[Task], Worker]
    jobs: int
    limit: float
    update: Update

    def run(self, tasks: Sequence[Task]) -> Results:
        """Run workers at the same time. All are gone when this returns or raises."""
        return run_workers([self.prepare(task) for task in tasks], self.limit, self.update)


@dataclass(frozen=True)
class SuiteResults:
    """The results of a suite.

    ``reasons`` has the tests that need not pass, with the reasons; ``second_try`` the tests that failed at first, and
    passed when they ran again alone.
    """

    results: Results
    reasons: Mapping[str, str] = field(default_factory=dict)
    second_try: tuple[str, ...] = ()


def describe_expected_failures(reasons: Sequence[str]) -> str:
    """Return the number of expected failures, each with one of ``reasons``, and how often there is each reason."""
    counts = Counter(reasons).most_common()
    return f"expected failures: {len(reasons)}: {', '.join(f'{reason} ({count})' for reason, count in counts)}"


NEEDS = "it needs the module "  # a reason of workers/smoke.py


def run_smoke_suite(runner: Runner, libraries: Sequence[str], system: str) -> SuiteResults:
    """Import the modules of a wheel for a system, and load its ``libraries``, which are paths in site-packages.

    What needs other distributions, or an operating system that isn't there, is skipped with that reason.
    """
    settings = json.dumps({"libraries": list(libraries), "system": system})
    results = runner.run([Task("smoke", "smoke", (settings,))])
    return SuiteResults(results, {test: results.finished[test][1] for test in results.with_outcome("skipped")})


def list_missing_modules(suite: SuiteResults) -> list[str]:
    """Return the modules of other distributions whose lack made tests of the smoke suite skip."""
    reasons = (reason for reason in suite.reasons.values() if reason.startswith(NEEDS))
    return sorted({reason.removeprefix(NEEDS) for reason in reasons})


def run_package_suite(runner: Runner, folder: str, *, exhaustive: bool = False) -> SuiteResults:
    """Run the project's own tests by pytest. Skipped tests need not pass, with their own reasons.

    ``exhaustive`` adds the tests that try many cases of what others try a few of.
    """
    results = runner.run(_split_suite(runner, "package", folder, EXHAUSTIVE if exhaustive else QUICK))
    return SuiteResults(results, {test: results.finished[test][1] for test in results.with_outcome("skipped")})


def run_tornado_suite(runner: Runner, install: str, left_out: Mapping[str, str] | None = None) -> SuiteResults:
    """Run Tornado's suite. A few failures run again, alone, since its tests measure time on a busy machine.

    ``install`` names the package whose ``install()`` is called before, or is empty. ``left_out`` has the tests that
    can't run here, with the reasons.
    """
    left_out = left_out or {}
    choice = json.dumps({"except": sorted(left_out), "only": []})
    results = runner.run(_split_suite(runner, "tornado_suite", install, choice))
    reasons = {**read_known_failures("skips"), **left_out}
    failed = results.with_outcome("failed")
    if results.deaths or not 0 < len(failed) <= SECOND_TRY_LIMIT:
        return SuiteResults(results, reasons)
    runner.update(f"running again, alone: {', '.join(failed)}")
    choice = json.dumps({"except": [], "only": failed})
    again = runner.run([Task("again", "tornado_suite", ("0", "1", install, choice))])
    results.finished.update(again.finished)
    results.deaths += again.deaths
    return SuiteResults(results, reasons, tuple(test for test in failed if results.outcome_of(test) == "passed"))


def _split_suite(runner: Runner, program: str, *arguments: str) -> list[Task]:
    return [Task(f"shard{shard}", program, (str(shard), str(runner.jobs), *arguments)) for shard in range(runner.jobs)]


Kind = Literal["skips", "needs-children", "speedups"]


@cache
def read_known_failures(kind: Kind) -> Mapping[str, str]:
    """Return the tests of Tornado's suite that need not pass, with the reasons (kinds: see known_failures.toml)."""
    return parse_known_failures(KNOWN_FAILURES.read_text(encoding="utf-8"))[kind]


def parse_known_failures(text: str) -> dict[str, dict[str, str]]:
    """Return the reasons by test, for each kind.

    Raises WheelworksError for a row without a reason or tests, for an unknown kind, and for a test named twice.
    """
    kinds: dict[str, dict[str, str]] = {"skips": {}, "needs-children": {}, "speedups": {}}
    for kind, rows in tomllib.loads(text).items():
        if kind not in kinds:
            raise WheelworksError(f"known_failures.toml: unknown kind {kind!r}: use {' or '.join(kinds)}")
        for row in rows:
            if set(row) != {"reason", "tests"} or not row["reason"] or not row["tests"]:
                raise WheelworksError(f"known_failures.toml: a row of {kind} must have a reason and tests only: {row}")
            if twice := [test for test, count in Counter([*row["tests"], *kinds[kind]]).items() if count > 1]:
                raise WheelworksError(f"known_failures.toml: named twice in {kind}: {', '.join(twice)}")
            kinds[kind].update(dict.fromkeys(row["tests"], row["reason"]))
    return kinds
