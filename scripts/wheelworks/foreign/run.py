"""Run a Linux wheel under the real CPython of its CPU, and judge the results."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from wheelworks.core import process
from wheelworks.core.files import create_cache_folder, get_cache_folder, remove_tree
from wheelworks.core.text import abbreviate
from wheelworks.core.verdict import Verdict
from wheelworks.core.wheel import parse_wheel_name
from wheelworks.foreign.isolation import (
    EMULATOR_ALONE,
    NAMESPACES,
    Isolation,
    compile_folder,
    find_emulator,
    make_compiled_rootfs,
    probe_isolation,
)
from wheelworks.foreign.pythons import Runtime, explain_mismatch
from wheelworks.foreign.rootfs import CannotMakeRootfs, Rootfs, open_users_root
from wheelworks.foreign.site_packages import SitePackages, create_site_packages
from wheelworks.testing import suites
from wheelworks.testing.project import ProjectOptions
from wheelworks.testing.suites import Update

Tests = Literal["smoke", "package", "tornado", "project"]

REPOSITORY_TESTS = Path(__file__).parents[3] / "tests" / "speedups"
# Seconds.
TIME_LIMITS: dict[Tests, float] = {"smoke": 120.0, "package": 900.0, "tornado": 900.0, "project": 1800.0}
SHOWN = 10  # tests of a list that share a finding
DETAIL = 1500  # characters
NEWER_QEMU = "a newer qemu-user-static may help: Debian's backports and unstable have one"
HOW_TO_GET_QEMU = "apt-get install --no-install-recommends qemu-user-static"


class Unsupported(Exception):
    """This machine can't run the wheel; the text says why and what to do about it."""


def prepare_worker(
    rootfs: Rootfs, isolation: Isolation, site: SitePackages, work: Path, task: suites.Task
) -> suites.Worker:
    """Return the worker of a task, which runs in a root with a work folder below ``work``."""
    folder = work / task.name
    folder.mkdir()
    words = ["-m", f"{suites.WORKERS_PACKAGE}.{task.program}", "/job/results.xml", *task.arguments, *site.modules]
    command, environment = isolation.command(rootfs, site.folder, folder, words)
    # The log is outside the work folder, so that the worker can't reach it.
    return suites.Worker(command, environment, folder, folder / "results.xml", folder.with_name(f"{task.name}.log"))


def run_suite(runner: suites.Runner, tests: Tests, site: SitePackages, limited: bool) -> suites.SuiteResults:
    """Run tests; ``limited`` leaves out those that start other programs."""
    if tests == "smoke":
        return suites.SuiteResults(runner.run([suites.Task("smoke", "smoke")]))
    if tests == "package":
        return suites.run_package_suite(runner, f"/site/{site.tests}")
    install = "" if site.package == "tornado" else site.package
    return suites.run_tornado_suite(runner, install, suites.read_known_failures("needs-children") if limited else {})


def run_wheel(
    wheel: Path,
    runtime: Runtime,
    *,
    tests: Tests,
    tests_folder: Path = REPOSITORY_TESTS,
    project: ProjectOptions | None = None,
    time_limit: float | None = None,
    update: Update = lambda text: None,
) -> Verdict:
    """Run ``wheel`` under the CPython ``runtime``, emulated if necessary.

    ``tests``: "smoke" imports the extension modules and checks what can be checked of any; "package" runs the tests of
    ``tests_folder``; "tornado" runs Tornado's whole suite, after the package's ``install()`` unless the wheel is
    Tornado itself. They are split over all cores and take ``time_limit`` seconds at most, counted from
    the tests' start. ``update`` gets reports of progress.
    Raises WheelworksError for a damaged wheel. If this machine lacks something, the verdict is "unsupported".
    """
    began = time.monotonic()
    verdict = Verdict(wheel.name, f"CPython {runtime.python} for {runtime.cpu.debian}", "unsupported")
    try:
        if why := explain_mismatch(parse_wheel_name(wheel.name), runtime):
            raise Unsupported(why)
        if (emulator := find_emulator(runtime.cpu)) is None:
            raise Unsupported(f"{runtime.cpu.emulator} isn't installed: {HOW_TO_GET_QEMU}")
        with create_run_folder() as folder:
            site = _create_site(wheel, folder, tests, tests_folder, update)
            rootfs = _require_rootfs(runtime, emulator, update)
            if tests != "smoke":
                compile_folder(runtime.python, site.folder, "/site")
            isolation, how = _choose_isolation(rootfs, folder, update)
            verdict = replace(verdict, how=how)
            limit = TIME_LIMITS[tests] if time_limit is None else time_limit
            prepare = partial(prepare_worker, rootfs, isolation, site, folder)
            runner = suites.Runner(prepare, process.count_cores(), limit, update)
            if own:
                verdict = own.judge(verdict, own.run(prepare, isolation, limit, update))
            else:
                suite = run_suite(runner, tests, site, limited=bool(isolation.limits))
                verdict = judge_results(verdict, suite, site.modules)
    except (Unsupported, CannotRunTests) as error:
        verdict = replace(verdict, why=str(error))
    return replace(verdict, seconds=time.monotonic() - began)


def _create_site(wheel: Path, folder: Path, tests: Tests, tests_folder: Path, update: Update) -> SitePackages:
    began = time.monotonic()
    chosen = tests_folder if tests == "package" else None
    site = create_site_packages(
        wheel, folder / "site", with_dependencies=tests in ("package", "tornado"), tests_folder=chosen
    )
    update(f"{wheel.name} unpacked, with {', '.join(site.modules)} ({time.monotonic() - began:.1f} s)")
    return site


def _require_rootfs(runtime: Runtime, emulator: str, update: Update) -> Rootfs:
    began = time.monotonic()
    if runtime.root:
        return open_users_root(runtime.root, runtime.python, runtime.program, runtime.cpu, emulator)
    try:
        root = make_compiled_rootfs(runtime.cpu, runtime.python)
    except CannotMakeRootfs as error:
        raise Unsupported(f"{error.message}\n{error.hint}") from None
    update(f"root with {runtime}: {root} ({time.monotonic() - began:.1f} s)")
    return Rootfs(root, runtime.python, runtime.cpu, emulator)


def _choose_isolation(rootfs: Rootfs, folder: Path, update: Update) -> tuple[Isolation, str]:
    """Return the first isolation that works here, with the verdict's description of how the wheel was run."""
    candidates = [NAMESPACES, EMULATOR_ALONE] if rootfs.emulator else [NAMESPACES]
    reasons: list[str] = []
    for isolation in candidates:
        version, why = probe_isolation(isolation, rootfs, folder)
        if version:
            model = f" as {rootfs.cpu.model}" if rootfs.cpu.model else ""
            emulator = f" under {_describe_emulator(rootfs.emulator)}{model}" if rootfs.emulator else ""
            limits = f": {isolation.limits}" if isolation.limits else ""
            how = f"CPython {version} for {rootfs.cpu.debian}{emulator}, {isolation.name}{limits}"
            update(how + (f" ({reasons[0]})" if reasons else ""))
            return isolation, how
        reasons.append(f"{isolation.name}: {why}")
    raise Unsupported(f"the foreign Python doesn't start; {'; '.join(reasons)}; {NEWER_QEMU}")


def _describe_emulator(emulator: str) -> str:
    words = process.run([emulator, "--version"], timeout=30).output.split()
    return f"qemu {words[words.index('version') + 1]}" if "version" in words else "qemu"


def judge_results(verdict: Verdict, suite: suites.SuiteResults, modules: Sequence[str]) -> Verdict:
    """Return the verdict with its outcome, count of checks, reasons and findings. Anything unexplained is a failure."""
    results = suite.results
    passed = len(results.with_outcome("passed"))
    count = f"{passed} of {max(len(results.collected), len(results.finished))} checks passed"
    if findings := tuple(_find_failures(suite, modules)):
        why = f"{count}; {findings[0].splitlines()[0]}"
        return replace(verdict, outcome="failed", checks=passed, findings=findings, why=why)
    return replace(verdict, outcome="passed", checks=passed, why="; ".join([count, *_describe_exceptions(suite)]))


def _find_failures(suite: suites.SuiteResults, modules: Sequence[str]) -> Iterable[str]:
    results = suite.results
    for death in results.deaths:
        where = f" during {', '.join(sorted(results.running))}" if results.running else ""
        first, _, rest = death.partition("\n")
        yield f"{first}{where}\n{rest}".strip()
    for test in results.with_outcome("failed"):
        yield f"{test} failed:\n{results.finished[test][1][-DETAIL:]}"
    if skipped := [test for test in results.with_outcome("skipped") if test not in suite.reasons]:
        details = [f"{test} ({results.finished[test][1]})" for test in skipped]
        yield f"skipped, but not an expected failure: {len(details)}: {abbreviate(details, SHOWN)}"
    missing = [test for test in results.collected if test not in results.finished and test not in suite.reasons]
    if missing and not results.deaths:
        yield f"never ran, but not an expected failure: {len(missing)}: {abbreviate(missing, SHOWN)}"
    if unloaded := [name for name in modules if name not in results.modules]:
        yield f"the extension was never loaded, so that the tests ran without it: {', '.join(unloaded)}"
    yield from (f"{hook}: {status}" for hook, status in results.hooks.items() if status != "installed")
    if not results.with_outcome("passed"):
        yield "not one check passed"


def _describe_exceptions(suite: suites.SuiteResults) -> Iterable[str]:
    """Yield which tests of a good run did not pass, or not at once."""
    results = suite.results
    absent = [test for test in (results.collected or results.finished) if results.outcome_of(test) != "passed"]
    if absent:
        counts = Counter(suite.reasons[test] for test in absent).most_common()
        reasons = ", ".join(f"{reason} ({count})" for reason, count in counts)
        yield f"expected failures: {len(absent)}: {reasons}"
    if suite.second_try:
        yield f"passed only at the second try, alone: {', '.join(suite.second_try)}"


@contextmanager
def create_run_folder() -> Iterator[Path]:
    """Create an empty folder for one run, and remove it afterwards, with those that killed runs left.

    A lock on the folder tells that its run is alive: the kernel drops it when the process ends in any way.
    Raises WheelworksError if the cache can't be written.
    """
    runs = get_cache_folder() / "runs"
    create_cache_folder(runs)
    with runs.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _remove_leftovers(runs)
        folder = Path(tempfile.mkdtemp(dir=runs))
        alive = os.open(folder, os.O_RDONLY)
        fcntl.flock(alive, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        remove_tree(folder)
        os.close(alive)


def _remove_leftovers(runs: Path) -> None:
    for folder in runs.iterdir():
        lock = os.open(folder, os.O_RDONLY)
        try:
            with suppress(BlockingIOError):  # its run is alive
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(folder)
        finally:
            os.close(lock)
