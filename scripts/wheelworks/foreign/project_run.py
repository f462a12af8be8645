"""A project's own tests on its wheel under a foreign CPython: the requirements in /site, its files in /job."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.utils import canonicalize_name

from wheelworks.core.errors import WheelworksError
from wheelworks.core.verdict import Verdict
from wheelworks.core.wheel import Wheel, open_wheel, parse_wheel_name
from wheelworks.foreign.cpus import is_host
from wheelworks.foreign.isolation import Isolation
from wheelworks.foreign.pythons import Runtime
from wheelworks.foreign.site_packages import LIMITS, SitePackages, unpack_wheel
from wheelworks.testing import project, requirements
from wheelworks.testing.project import ProjectOptions
from wheelworks.testing.project_failures import Run, find_expected_failures
from wheelworks.testing.project_results import Judge
from wheelworks.testing.project_source import list_packages, open_source, split_project
from wheelworks.testing.project_suite import ProjectRunner, ProjectSuite
from wheelworks.testing.suites import SuiteResults, Task, Update, Worker


class CannotRunTests(WheelworksError):
    """The tests can't run here: a requirement has no wheel, or none are found. That is no fault of the wheel."""


@dataclass(frozen=True)
class ForeignProject:
    """A project's tests, ready to run under a CPython, with the site-packages that they import from."""

    suite: ProjectSuite
    site: SitePackages
    runtime: Runtime

    def run(
        self, prepare: Callable[[Task], Worker], isolation: Isolation, limit: float, update: Update
    ) -> SuiteResults:
        """Run the tests by workers that ``prepare`` makes, for ``limit`` seconds each."""
        can_start_programs = not isolation.limits
        return ProjectRunner(self.suite, prepare, limit, update, can_start_programs).run()

    def judge(self, verdict: Verdict, results: SuiteResults) -> Verdict:
        """Return the verdict on the results."""
        name, runtime = parse_wheel_name(self.suite.wheel.name), self.runtime
        run = Run(runtime.system, runtime.cpu.name, "native" if is_host(runtime.cpu) else "qemu")
        expected = find_expected_failures(name.distribution, run, results.results.finished)
        sites, modules = ("/site", str(self.site.folder)), self.suite.modules
        judge = Judge(modules, list_packages(modules), sites, expected)
        decided = judge.decide(verdict, results, self.suite.tests.origin)
        why = "; ".join([decided.why, *self.site.remarks])
        if not self.site.defects:
            return replace(decided, why=why)
        return replace(decided, outcome="failed", why=why, findings=(*self.site.defects, *decided.findings))


def prepare_project(
    options: ProjectOptions, wheel: Wheel, site: SitePackages, work: Path, runtime: Runtime
) -> ForeignProject:
    """Plan a project's tests for a wheel that is unpacked in ``site``, and add there what they need.

    ``work`` is a folder for the source and the downloads. Raises CannotRunTests where there are no tests,
    or a requirement has no wheel, WheelworksError for a damaged source, UsageError for wrong options.
    """
    files, metadata = list(wheel.members), requirements.read_metadata(wheel.members, wheel.path.name)
    split = split_project(open_source(options.source, work / "source"), files)
    try:
        tests = project.plan_tests(options, split, wheel.name, files, metadata)
        wheels = _download_requirements(tests, metadata, runtime, work / "wheels")
    except (project.NoTests, requirements.NoWheel) as error:
        raise CannotRunTests(error.message, error.hint) from error
    add_wheels(wheels, wheel.path, site.folder, work)
    split.copy_added(site.folder)
    return ForeignProject(ProjectSuite(tests, split, wheel.path, site.modules), site, runtime)


def _download_requirements(tests: project.ProjectTests, metadata: str, runtime: Runtime, folder: Path) -> list[Path]:
    """Download what a wheel and its tests require, as wheels of Linux, into ``folder``. Raises NoWheel."""
    python, cpu = runtime.python, runtime.cpu.name
    environment = requirements.make_environment(python, cpu)
    words = requirements.list_requirements(metadata, tests.extras, tests.requires, environment)
    return requirements.download_requirements(words, python, requirements.list_linux_platforms(cpu), folder)


def add_wheels(wheels: list[Path], wheel: Path, site: Path, work: Path) -> None:
    """Unpack the wheels of requirements into ``site``. They replace nothing, and none is of the wheel's project."""
    own = canonicalize_name(parse_wheel_name(wheel.name).distribution)
    for number, other in enumerate(wheels):
        if canonicalize_name(parse_wheel_name(other.name).distribution) == own:
            continue
        folder = work / f"requirement{number}"
        unpack_wheel(open_wheel(other, LIMITS), folder)
        for path in sorted(folder.rglob("*")):
            target = site / path.relative_to(folder)
            if path.is_dir():
                target.mkdir(exist_ok=True)
            elif not target.exists():
                path.rename(target)
        shutil.rmtree(folder)
