"""Run a wheel under a real CPython: of its CPU for Linux wheels, rewrapped for wheels of Windows and macOS."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from wheelworks.core import process
from wheelworks.core.errors import Unsupported
from wheelworks.core.image import BadImage
from wheelworks.core.verdict import Verdict
from wheelworks.core.wheel import Wheel, claims_extension
from wheelworks.foreign.cpus import Cpu, is_host
from wheelworks.foreign.dependencies import download_dependencies, read_requirements
from wheelworks.foreign.isolation import (
    EMULATOR_ALONE,
    NAMESPACES,
    Isolation,
    compile_folder,
    find_emulator,
    make_compiled_rootfs,
    probe_isolation,
)
from wheelworks.foreign.judging import apply_limits, judge_results
from wheelworks.foreign.project_run import CannotRunTests, ForeignProject, prepare_project
from wheelworks.foreign.pythons import HOST_ROOT, SYSTEM_NAMES, Runtime, explain_mismatch
from wheelworks.foreign.rewrapping import make_rewrapper
from wheelworks.foreign.rootfs import CannotMakeRootfs, Rootfs, open_host_root, open_users_root
from wheelworks.foreign.run_folder import create_run_folder
from wheelworks.foreign.site_packages import NoBinary, SitePackages, create_site_packages
from wheelworks.testing import suites
from wheelworks.testing.project import ProjectOptions
from wheelworks.testing.suites import Update

Tests = Literal["smoke", "package", "tornado", "project"]

REPOSITORY_TESTS = Path(__file__).parents[3] / "tests" / "speedups"
# Seconds.
TIME_LIMITS: dict[Tests, float] = {"smoke": 120.0, "package": 900.0, "tornado": 900.0, "project": 1800.0}
USUAL_START = 6.0  # seconds, at most, for two starts of Python under an emulator on a machine that does nothing else
MAX_PATIENCE = 5.0  # times the usual limit
TRACEBACK_MARGIN = 3.0  # seconds before the end of the time limit when a worker writes where it is
NEWER_QEMU = "a newer qemu-user-static may help: Debian's backports and unstable have one"
HOW_TO_GET_QEMU = "apt-get install --no-install-recommends qemu-user-static"


def prepare_worker(
    rootfs: Rootfs, isolation: Isolation, site: SitePackages, work: Path, limit: float, task: suites.Task
) -> suites.Worker:
    """Return the worker of a task, which runs in a root with a work folder below ``work``, for ``limit`` seconds."""
    folder = work / task.name
    folder.mkdir(parents=True)
    options = ["-X", "faulthandler", "-X", f"wheelworks_limit={max(limit - TRACEBACK_MARGIN, limit / 2):g}"]
    words = ["-m", f"{suites.WORKERS_PACKAGE}.{task.program}", "/job/results.xml", *task.arguments, *site.modules]
    variables = choose_tornado_variables(rootfs.cpu, task)
    command, environment = isolation.command(rootfs, site.folder, folder, [*options, *words], variables)
    # The log is outside the work folder, so that the worker can't reach it.
    return suites.Worker(command, environment, folder, folder / "results.xml", folder.with_name(f"{task.name}.log"))


def choose_tornado_variables(cpu: Cpu, task: suites.Task) -> dict[str, str]:
    """Return the variables of Tornado's suite and of the package's tests, which both use ``tornado.testing``.

    ASYNC_TEST_TIMEOUT is how many seconds a test waits (default 5, too few for an emulator). The suite has a profile of
    hypothesis with fewer examples; EMULATION makes it wait 0.5 s, not 0.1 s. Other projects' suites may read variables
    of these names, too, and expect values of their own.
    """
    if task.program not in ("tornado_suite", "package"):
        return {}
    variables = {"ASYNC_TEST_TIMEOUT": "60"}
    if task.program == "tornado_suite":
        variables["HYPOTHESIS_PROFILE"] = "tornado-quick"
    return variables if is_host(cpu) else {**variables, "EMULATION": "1"}


@dataclass(frozen=True)
class Run:
    """A run of a wheel: under which CPython, with which tests, in which folder; ``limit`` is in seconds."""

    wheel: Wheel
    runtime: Runtime
    tests: Tests
    tests_folder: Path
    limit: float
    folder: Path
    update: Update

    def create_site(self, rootfs: Rootfs, name: str = "site", others: Sequence[Wheel] = ()) -> SitePackages:
        """Create a site-packages folder with the wheel and the wheels ``others``; the binaries are rewrapped."""
        began = time.monotonic()
        site = create_site_packages(
            self.wheel,
            self.folder / name,
            with_dependencies=self.tests != "smoke",
            tests_folder=self.tests_folder if self.tests == "package" else None,
            rewrapper=make_rewrapper(self.runtime, rootfs) if self.runtime.is_rewrapped else None,
            others=others,
        )
        done = "unpacked and rewrapped" if self.runtime.is_rewrapped else "unpacked"
        modules = ", ".join(site.modules or site.libraries)
        self.update(f"{self.wheel.path.name} {done}, with {modules} ({time.monotonic() - began:.1f} s)")
        return site

    def decide(self, verdict: Verdict, rootfs: Rootfs, isolation: Isolation, site: SitePackages) -> Verdict:
        """Run the tests and return the verdict on their results."""
        if self.project:
            own = self.prepare_project(self.project, site)
            prepare = self.make_prepare(rootfs, isolation, site)
            results = own.run(prepare, isolation, self.limit, self.update)
            return apply_limits(own.judge(verdict, results), site, results.results.modules)
        suite = self.run_tests(rootfs, isolation, site)
        if suites.list_missing_modules(suite) and (complete := self.add_dependencies(rootfs)):
            site, suite = complete, self.run_tests(rootfs, isolation, complete)
        return apply_limits(judge_results(verdict, suite, site), site, suite.results.modules)

    def make_prepare(
        self, rootfs: Rootfs, isolation: Isolation, site: SitePackages
    ) -> Callable[[suites.Task], suites.Worker]:
        """Return the function that makes a task's worker."""
        work = self.folder / f"{site.folder.name}-work"
        return partial(prepare_worker, rootfs, isolation, site, work, self.limit)

    def run_tests(self, rootfs: Rootfs, isolation: Isolation, site: SitePackages) -> suites.SuiteResults:
        """Run the tests of this suite, of this repository, or of Tornado."""
        if self.tests != "smoke":
            compile_folder(self.runtime.python, site.folder, "/site")
        return site

    def run_tests(self, rootfs: Rootfs, isolation: Isolation, site: SitePackages) -> suites.SuiteResults:
        """Run the tests."""
        work = self.folder / f"{site.folder.name}-work"
        prepare = partial(prepare_worker, rootfs, isolation, site, work, self.limit)
        runner = suites.Runner(prepare, process.count_cores(), self.limit, self.update)
        if self.tests == "smoke":
            return suites.run_smoke_suite(runner, site.libraries, self.runtime.system)
        if self.tests == "package":
            return suites.run_package_suite(runner, f"/site/{site.tests}")
        left_out = suites.read_known_failures("needs-children") if isolation.limits else {}
        return suites.run_tornado_suite(runner, "" if site.package == "tornado" else site.package, left_out)

    def add_dependencies(self, rootfs: Rootfs) -> SitePackages | None:
        """Create a second site-packages folder with all that the wheel requires; None if it requires nothing."""
        requirements = read_requirements(self.wheel, self.runtime.python)
        if not requirements:
            return None
        self.update(f"downloading {', '.join(requirements)}")
        others = download_requirements(requirements, self.runtime, self.folder / "downloads")
        return self.create_site(rootfs, "site-with-dependencies", others)


def run_wheel(
    wheel: Wheel,
    runtime: Runtime,
    *,
    tests: Tests,
    tests_folder: Path = REPOSITORY_TESTS,
    project: ProjectOptions | None = None,
    time_limit: float | None = None,
    update: Update = lambda text: None,
) -> Verdict:
    """Run ``wheel`` under the CPython ``runtime``, emulated if necessary.

    ``tests``: "smoke" imports the extension modules and checks what can be checked of any; if that needs other
    distributions, they are downloaded. "package" runs the tests of ``tests_folder``; "tornado" runs Tornado's whole
    suite, after the package's ``install()`` unless the wheel is Tornado itself. They are split over all cores and take
    ``time_limit`` seconds at most, counted from the tests' start. ``update`` gets reports of progress.
    Raises WheelworksError for a damaged wheel. If this machine lacks something, the verdict is "unsupported".
    """
    began = time.monotonic()
    verdict = Verdict(wheel.path.name, f"CPython {runtime.python} for {_name_platform(runtime)}", "unsupported")
    limit = TIME_LIMITS[tests] if time_limit is None else time_limit
    try:
        if why := explain_mismatch(wheel.name, runtime):
            raise Unsupported(why)
        if (emulator := find_emulator(runtime.cpu)) is None:
            raise Unsupported(f"{runtime.cpu.emulator} isn't installed: {HOW_TO_GET_QEMU}")
        with create_run_folder() as folder:
            run = Run(wheel, runtime, tests, tests_folder, limit, folder, update)
            rootfs = _require_rootfs(runtime, emulator, update)
            site = run.create_site(rootfs)
            start = time.monotonic()
            isolation, how = _choose_isolation(runtime, rootfs, folder, update)
            verdict = replace(verdict, how=how)
            if time_limit is None:
                run = replace(run, limit=limit * choose_patience(time.monotonic() - start))
            verdict = run.decide(verdict, rootfs, isolation, site)
    except (Unsupported, CannotRunTests) as error:
        verdict = replace(verdict, why=f"{error.message}\n{error.hint}".strip())
    except NoBinary as error:
        if claims_extension(wheel.name):
            verdict = replace(verdict, outcome="failed", findings=(error.message,))
        verdict = replace(verdict, why=error.message)
    except BadImage as error:
        verdict = replace(verdict, outcome="failed", why=error.message, findings=(error.message,))
    return replace(verdict, seconds=time.monotonic() - began)


def choose_patience(seconds: float) -> float:
    """Return by how much time limits grow if Python started within ``seconds``: a busy machine is no endless loop."""
    return min(max(seconds / USUAL_START, 1.0), MAX_PATIENCE)


def _name_platform(runtime: Runtime) -> str:
    """Return the name of a run's CPU, and of the system whose code was rewrapped, if it was."""
    code = f", code of {SYSTEM_NAMES[runtime.system]} rewrapped" if runtime.is_rewrapped else ""
    return f"{runtime.cpu.debian}{code}"


def _require_rootfs(runtime: Runtime, emulator: str, update: Update) -> Rootfs:
    """Return the root of a run: this machine itself, the user's, or Debian's, which is made if it isn't in the cache.

    Raises Unsupported if it can't be made.
    """
    began = time.monotonic()
    if runtime.root == HOST_ROOT:
        return open_host_root(runtime.python, runtime.program, runtime.cpu)
    if runtime.root:
        return open_users_root(runtime.root, runtime.python, runtime.program, runtime.cpu, emulator)
    try:
        root = make_compiled_rootfs(runtime.cpu, runtime.python)
    except CannotMakeRootfs as error:
        raise Unsupported(error.message, error.hint) from None
    update(f"root with {runtime}: {root} ({time.monotonic() - began:.1f} s)")
    return Rootfs(root, runtime.python, runtime.cpu, emulator)


def _choose_isolation(runtime: Runtime, rootfs: Rootfs, folder: Path, update: Update) -> tuple[Isolation, str]:
    """Return the first isolation that works here, with the verdict's description of how the wheel was run."""
    candidates = [NAMESPACES, EMULATOR_ALONE] if rootfs.emulator else [NAMESPACES]
    reasons: list[str] = []
    for isolation in candidates:
        version, why = probe_isolation(isolation, rootfs, folder)
        if version:
            model = f" as {rootfs.cpu.model}" if rootfs.cpu.model else ""
            emulator = f" under {_describe_emulator(rootfs.emulator)}{model}" if rootfs.emulator else ""
            limits = f": {isolation.limits}" if isolation.limits else ""
            how = f"CPython {version} for {_name_platform(runtime)}{emulator}, {isolation.name}{limits}"
            update(how + (f" ({reasons[0]})" if reasons else ""))
            return isolation, how
        reasons.append(f"{isolation.name}: {why}")
    hint = f"; {NEWER_QEMU}" if rootfs.emulator else ""
    raise Unsupported(f"the foreign Python doesn't start; {'; '.join(reasons)}{hint}")


def _describe_emulator(emulator: str) -> str:
    words = process.run([emulator, "--version"], timeout=30).output.split()
    return f"qemu {words[words.index('version') + 1]}" if "version" in words else "qemu"
