"""Run a wheel under a real CPython of its CPU: wheels of Windows, macOS and musl after their binaries were changed.

`run_wheel` has four steps. It checks that the wheel, the CPython and the emulator fit, opens the root, makes the
site-packages folder (`Request.create_site`), and runs the tests in it (`Run.decide`). Whatever stops it is an exception
that `judge_error` turns into a verdict.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from wheelworks.core import process
from wheelworks.core.errors import Unsupported, WheelworksError
from wheelworks.core.image import BadImage
from wheelworks.core.verdict import Verdict
from wheelworks.core.wheel import Wheel, claims_extension
from wheelworks.foreign.cpus import Cpu, is_host
from wheelworks.foreign.dependencies import download_dependencies, read_requirements
from wheelworks.foreign.isolation import Isolation, compile_folder
from wheelworks.foreign.judging import apply_limits, judge_results
from wheelworks.foreign.machine import choose_isolation, name_platform, require_emulator, require_rootfs
from wheelworks.foreign.project_run import CannotRunTests, ForeignProject, prepare_project
from wheelworks.foreign.pythons import Runtime, explain_mismatch
from wheelworks.foreign.rewrapping import make_rewrapper
from wheelworks.foreign.rootfs import Rootfs
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


@dataclass(frozen=True)
class Request:
    """What `run_wheel` is asked for. Its docstring describes the fields."""

    wheel: Wheel
    runtime: Runtime
    tests: Tests
    tests_folder: Path
    project: ProjectOptions | None
    time_limit: float | None
    update: Update

    def create_site(self, rootfs: Rootfs, folder: Path, others: Sequence[Wheel] = ()) -> SitePackages:
        """Create a site-packages folder with the wheel and the wheels ``others``, whose binaries Linux can load."""
        began = time.monotonic()
        site = create_site_packages(
            self.wheel,
            folder,
            with_dependencies=self.tests in ("package", "tornado"),
            tests_folder=self.tests_folder if self.tests == "package" else None,
            rewrapper=make_rewrapper(self.runtime, rootfs) if self.runtime.is_rewrapped else None,
            musl=self.runtime.system == "musl",
            others=others,
        )
        done = "unpacked and rewrapped" if self.runtime.is_rewrapped else "unpacked"
        modules = ", ".join(site.modules or site.libraries)
        self.update(f"{self.wheel.path.name} {done}, with {modules} ({time.monotonic() - began:.1f} s)")
        return site

    def choose_limit(self, start: float) -> float:
        """Return the time limit of the tests in seconds; ``start`` is how long Python took to start."""
        return TIME_LIMITS[self.tests] * choose_patience(start) if self.time_limit is None else self.time_limit


@dataclass(frozen=True)
class Run:
    """A run that is ready to start: in which root, isolation and folder, and its time limit in seconds."""

    request: Request
    rootfs: Rootfs
    isolation: Isolation
    folder: Path
    limit: float

    def decide(self, verdict: Verdict, site: SitePackages) -> Verdict:
        """Run the tests and return the verdict on their results."""
        if self.request.project:
            own = self.prepare_project(self.request.project, site)
            results = own.run(self.make_prepare(site), self.isolation, self.limit, self.request.update)
            return apply_limits(own.judge(verdict, results), site, results.results.modules)
        suite = self.run_tests(site)
        if suites.list_missing_modules(suite) and (complete := self.add_dependencies()):
            site, suite = complete, self.run_tests(complete)
        # glibc in place of musl is a limit of a module that can't be loaded, too.
        loaded = {*suite.results.modules, *(site.modules if self.request.runtime.system == "musl" else ())}
        return apply_limits(judge_results(verdict, suite, site), site, loaded)

    def run_tests(self, site: SitePackages) -> suites.SuiteResults:
        """Run the tests of this suite, of this repository, or of Tornado."""
        tests, runtime = self.request.tests, self.request.runtime
        runner = suites.Runner(self.make_prepare(site), process.count_cores(), self.limit, self.request.update)
        if tests == "smoke":
            return suites.run_smoke_suite(runner, site.libraries, runtime.os)
        compile_folder(runtime.python, site.folder, "/site")
        if tests == "package":
            return suites.run_package_suite(runner, f"/site/{site.tests}")
        left_out = suites.read_known_failures("needs-children") if self.isolation.limits else {}
        return suites.run_tornado_suite(runner, "" if site.package == "tornado" else site.package, left_out)

    def add_dependencies(self) -> SitePackages | None:
        """Create a second site-packages folder with all that the wheel requires; None if it requires nothing."""
        request = self.request
        requirements = read_requirements(request.wheel, request.runtime)
        if not requirements:
            return None
        request.update(f"downloading {', '.join(requirements)}")
        others = download_dependencies(requirements, request.runtime, self.folder / "downloads")
        return request.create_site(self.rootfs, self.folder / "site-with-dependencies", others)

    def prepare_project(self, options: ProjectOptions, site: SitePackages) -> ForeignProject:
        """Plan a project's own tests, and add what they need to the site-packages folder."""
        began = time.monotonic()
        work = self.folder / "project-files"
        work.mkdir()
        own = prepare_project(options, self.request.wheel, site, work, self.request.runtime)
        compile_folder(self.request.runtime.python, site.folder, "/site")
        files = len(own.suite.files.kept)
        self.request.update(f"{own.suite.tests.origin}: {files} files ({time.monotonic() - began:.1f} s)")
        return own

    def make_prepare(self, site: SitePackages) -> Callable[[suites.Task], suites.Worker]:
        """Return the function that makes a task's worker."""
        work = self.folder / f"{site.folder.name}-work"
        return partial(prepare_worker, self.rootfs, self.isolation, site, work, self.limit)


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
    suite, after the package's ``install()`` unless the wheel is Tornado itself; "project" runs the tests of the source
    that ``project`` names. Those of "package" and "tornado" are split over all cores. Each takes ``time_limit`` seconds
    at most, counted from the tests' start. ``update`` gets reports of progress.
    Raises WheelworksError for a damaged wheel. If this machine lacks something, the verdict is "unsupported".
    """
    began = time.monotonic()
    verdict = Verdict(wheel.path.name, f"CPython {runtime.python} for {name_platform(runtime)}", "unsupported")
    try:
        if why := explain_mismatch(wheel.name, runtime):
            raise Unsupported(why)
        emulator = require_emulator(runtime)
        with create_run_folder() as folder:
            request = Request(wheel, runtime, tests, tests_folder, project, time_limit, update)
            rootfs = require_rootfs(runtime, emulator, update)
            site = request.create_site(rootfs, folder / "site")
            run, how = _start(request, rootfs, folder)
            verdict = replace(verdict, how=how)
            verdict = run.decide(verdict, site)
    except (Unsupported, CannotRunTests, NoBinary, BadImage) as error:
        verdict = judge_error(verdict, error, claims_extension(wheel.name))
    return replace(verdict, seconds=time.monotonic() - began)


def _start(request: Request, rootfs: Rootfs, folder: Path) -> tuple[Run, str]:
    """Start Python once, to choose the isolation and the time limit. Return the run, and how it is described."""
    start = time.monotonic()
    isolation, how = choose_isolation(request.runtime, rootfs, folder, request.update)
    return Run(request, rootfs, isolation, folder, request.choose_limit(time.monotonic() - start)), how


def judge_error(verdict: Verdict, error: WheelworksError, claims_code: bool) -> Verdict:
    """Return the verdict on a wheel whose tests an error has prevented.

    A binary that no loader accepts speaks against the wheel, and so does the lack of one if its tags claim code.
    """
    if isinstance(error, BadImage) or (isinstance(error, NoBinary) and claims_code):
        return replace(verdict, outcome="failed", why=error.message, findings=(error.message,))
    return replace(verdict, why=f"{error.message}\n{error.hint}".strip())


def choose_patience(seconds: float) -> float:
    """Return by how much time limits grow if Python started within ``seconds``: a busy machine is no endless loop."""
    return min(max(seconds / USUAL_START, 1.0), MAX_PATIENCE)
