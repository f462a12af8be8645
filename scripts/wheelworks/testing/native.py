"""Test a wheel under one of this machine's interpreters, beside one version of Tornado.

The package's own tests must pass. Tornado's suite runs twice, with the speedups off and on: every test that passes with
them off must pass with them on.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from wheelworks.core import process
from wheelworks.core.interpreters import Python
from wheelworks.core.junit import Results
from wheelworks.core.wheel import check_record, read_members
from wheelworks.testing import environments
from wheelworks.testing.environments import Environment, prepare_worker
from wheelworks.testing.suites import (
    Runner,
    SuiteResults,
    Update,
    read_known_failures,
    run_package_suite,
    run_tornado_suite,
)

TIME_LIMIT = 1200.0  # seconds, for each run of a suite
DETAIL = 1500  # characters

PACKAGE, EXTENSION = "tornado_speedups", "tornado_speedups._speedups"
FASTER_ALREADY = "whose C is faster"  # part of a hook's status where a wheel without C leaves Tornado's own C in place


@dataclass(frozen=True)
class Counts:
    """The number of tests of a run that passed, failed and were skipped."""

    passed: int
    failed: int
    skipped: int

    def __str__(self) -> str:
        return f"{self.passed} / {self.failed}" + (f" ({self.skipped} skipped)" if self.skipped else "")


@dataclass(frozen=True)
class NativeResult:
    """The result of a wheel under one interpreter, beside one Tornado."""

    wheel: str
    python: str
    tornado: str
    tornado_file: str
    tornado_sha256: str
    package: Counts
    off: Counts
    on: Counts
    findings: tuple[str, ...]
    failing_in_both: tuple[str, ...]
    excused: tuple[str, ...]
    second_try: tuple[str, ...]
    imported: dict[str, str] = field(default_factory=dict)
    hooks: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def how(self) -> str:
        """Return how the wheel was run, in words."""
        return f"CPython {self.python} here, with Tornado {self.tornado}"


def run_native_tests(
    wheel: Path,
    python: Python,
    version: str,
    folder: Path,
    update: Update,
    *,
    exhaustive: bool,
    time_limit: float | None = None,
) -> NativeResult:
    """Install a wheel and a Tornado ("6.6", "6.6.1") in a new environment in ``folder``, and run all tests there.

    ``exhaustive`` adds the package's tests that take long. Each run of a suite takes ``time_limit`` seconds at most
    (default: `TIME_LIMIT`). Raises WheelworksError if the environment can't be created.
    """
    began = time.monotonic()
    with_c = has_extension(wheel)
    update("creating an environment")
    environment = environments.create_environment(python.executable, version, wheel, folder)
    limit = TIME_LIMIT if time_limit is None else time_limit
    runs = _run_suites(environment, with_c, folder, limit, update, exhaustive=exhaustive)
    result = _summarize(runs, wheel.name, python.label, environment, with_c)
    return replace(result, seconds=time.monotonic() - began)


@dataclass(frozen=True)
class _Runs:
    """The results of the package's tests, and those of Tornado's suite with the speedups off and on."""

    package: SuiteResults
    off: SuiteResults
    on: SuiteResults


def _run_suites(
    environment: Environment, with_c: bool, folder: Path, limit: float, update: Update, *, exhaustive: bool
) -> _Runs:
    def make_runner(name: str, words: str) -> Runner:
        prepare = partial(prepare_worker, environment, folder / name, ("tornado", PACKAGE, EXTENSION), with_c)
        described = f"Tornado {environment.tornado.version}: {words}"
        return Runner(prepare, process.count_cores(), limit, lambda text: update(f"{described}: {text}"))

    tests = str(environment.workers / "tests" / environments.TESTS.name)
    return _Runs(
        run_package_suite(make_runner("package", "the package's tests"), tests, exhaustive=exhaustive),
        run_tornado_suite(make_runner("off", "Tornado's tests, speedups off"), ""),
        run_tornado_suite(make_runner("on", "Tornado's tests, speedups on"), PACKAGE),
    )


def _summarize(runs: _Runs, wheel: str, python: str, environment: Environment, with_c: bool) -> NativeResult:
    tornado = environment.tornado
    package, off, on = runs.package.results, runs.off.results, runs.on.results
    return NativeResult(
        wheel=wheel,
        python=python,
        tornado=tornado.version,
        tornado_file=tornado.file.name,
        tornado_sha256=tornado.sha256,
        package=count_outcomes(package),
        off=count_outcomes(off),
        on=count_outcomes(on),
        findings=tuple(_find_all(package, off, on, environment.folder, with_c)),
        failing_in_both=tuple(list_failing_in_both(off, on)),
        excused=tuple(list_excused(on, read_known_failures("speedups"))),
        second_try=tuple(dict.fromkeys([*runs.off.second_try, *runs.on.second_try])),
        imported=_make_relative(on.modules, environment.folder),
        hooks=on.hooks,
    )


def has_extension(wheel: Path) -> bool:
    """Return whether a wheel contains an extension module. Raises WheelworksError for a damaged one."""
    members = read_members(wheel)
    check_record(members, wheel.name)
    return any(name.endswith((".so", ".pyd")) for name in members)


def _find_all(package: Results, off: Results, on: Results, environment: Path, with_c: bool) -> Iterator[str]:
    yield from find_package_failures(package)
    for results, speedups in ((package, True), (off, False), (on, True)):
        yield from find_wrong_modules(results, environment, with_c, on=speedups)
    yield from find_missing_hooks(on, with_c)
    yield from compare_runs(off, on, read_known_failures("speedups"))


def _make_relative(modules: dict[str, str], folder: Path) -> dict[str, str]:
    """Return the modules' files relative to the environment, which is removed before the result is read."""
    base = folder.resolve()
    files = {name: Path(file).resolve() for name, file in modules.items()}
    return {
        name: (file.relative_to(base) if file.is_relative_to(base) else file).as_posix() for name, file in files.items()
    }


def count_outcomes(results: Results) -> Counts:
    """Return how many tests of a run passed, failed and were skipped."""
    return Counts(*(len(results.with_outcome(outcome)) for outcome in ("passed", "failed", "skipped")))


def compare_runs(off: Results, on: Results, excused: Mapping[str, str]) -> Iterator[str]:
    """Yield the findings of two runs of Tornado's suite, without those of the tests in ``excused``."""
    yield from find_deaths(off, "with the speedups off")
    yield from find_deaths(on, "with the speedups on")
    if not off.with_outcome("passed"):
        yield "not one of Tornado's tests passed with the speedups off: there is nothing to compare with"
    for test, detail in find_new_failures(off, on).items():
        if test not in excused:
            yield f"{test}: passes with the speedups off, and with them on {detail}"


def find_new_failures(off: Results, on: Results) -> dict[str, str]:
    """Return the tests that fail with the speedups on only, with details. The last try of each test counts.

    A test that passes with them off must pass with them on: if it is skipped, or doesn't run, it has failed. A test
    that exists with them on only must not fail.
    """
    wrong: dict[str, str] = {}
    for test in dict.fromkeys([*off.finished, *on.collected, *on.finished]):
        before, after = off.outcome_of(test), on.outcome_of(test)
        if (before == "passed" and after != "passed") or (before != "failed" and after == "failed"):
            wrong[test] = f"{after}:\n{_cut(on.finished.get(test, ('', 'it never ran'))[1])}"
    return wrong


def _cut(detail: str) -> str:
    """Return the end of a test's detail, without the first line, which looks like an error of this program."""
    return detail.removeprefix("Traceback (most recent call last):\n")[-DETAIL:]


def list_failing_in_both(off: Results, on: Results) -> list[str]:
    """Return the tests that fail in both runs, which the speedups don't cause."""
    return [test for test in off.with_outcome("failed") if on.outcome_of(test) == "failed"]


def list_excused(on: Results, excused: Mapping[str, str]) -> Iterable[str]:
    """Return the expected failures that did not pass, with the reasons."""
    return [f"{test}: {reason}" for test, reason in excused.items() if on.outcome_of(test) != "passed"]


def find_package_failures(results: Results) -> Iterator[str]:
    """Yield the findings of a run of the package's own tests."""
    yield from find_deaths(results, "in the package's own tests")
    for test in results.with_outcome("failed"):
        yield f"{test} failed:\n{_cut(results.finished[test][1])}"
    if not results.with_outcome("passed"):
        yield "not one of the package's own tests passed"


def find_deaths(results: Results, when: str) -> Iterator[str]:
    """Yield how the workers of a run died, and which limits ended it."""
    for death in results.deaths:
        during = f", during {', '.join(sorted(results.running))}" if results.running else ""
        yield f"{when}{during}: {death}"
    yield from (f"{when}: {limit}" for limit in results.limits)  # not all tests have run


def find_wrong_modules(results: Results, environment: Path, with_c: bool, on: bool) -> Iterator[str]:
    """Yield the modules of a run that are missing, or that aren't the installed ones."""
    needed = {"tornado", PACKAGE, *([EXTENSION] if with_c else [])} if on else {"tornado"}
    loaded = results.modules
    for name in sorted(needed - loaded.keys()):
        yield f"{name} was never loaded, so that the tests ran without it"
    for name in sorted({PACKAGE, EXTENSION} & loaded.keys() - needed):
        yield f"{name} was loaded from {loaded[name]}, and should not have been"
    for name in sorted(needed & loaded.keys()):
        if not Path(loaded[name]).resolve().is_relative_to(environment.resolve()):
            yield f"{name} was loaded from {loaded[name]}, which is not the environment"


def find_missing_hooks(results: Results, with_c: bool) -> Iterator[str]:
    """Yield the hooks that ``install()`` left out, so that Tornado's tests don't cover them."""
    for hook, status in results.hooks.items():
        if status != "installed" and (with_c or FASTER_ALREADY not in status):
            yield f"{hook}: {status}"
    if not results.hooks:
        yield "install() reported no hooks"
