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
from wheelworks.testing.project_failures import Run
from wheelworks.testing.project_results import judge_project
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
        cpu = self.runtime.cpu
        run = Run(self.runtime.os, cpu.name, "native" if is_host(cpu) else "qemu")
        decided = judge_project(verdict, self.suite, results, run, ("/site", str(self.site.folder)))
        why = "; ".join([decided.why, *self.site.remarks])
        if not self.site.defects:
            return replace(decided, why=why)
        return replace(decided, outcome="failed", why=why, findings=(*self.site.defects, *decided.findings))


def prepare_project(
    options: ProjectOptions, wheel: Wheel, site: SitePackages, work: Path, runtime: Runtime
) -> ForeignProject:
    """Plan a project's tests for a wheel that is unpacked in ``site``, and add there what they need.

    ``work`` is a folder for the source and the downloads, which are wheels of Linux. Raises CannotRunTests where there
    are no tests, or a requirement has no wheel, WheelworksError for a damaged source, UsageError for wrong options.
    """
    python, cpu = runtime.python, runtime.cpu.name
    environment, platforms = requirements.make_environment(python, cpu), requirements.list_linux_platforms(cpu)
    name = wheel.path.name
    try:
        files, tests, words = project.open_and_plan(options, wheel.members, name, environment, work / "source")
        wheels = requirements.download_requirements(words, python, platforms, work / "wheels")
    except (project.NoTests, requirements.NoWheel) as error:
        raise CannotRunTests(error.message, error.hint) from error
    add_wheels(wheels, wheel.path, site.folder, work)
    files.copy_added(site.folder)
    return ForeignProject(ProjectSuite(tests, files, wheel.path, site.modules), site, runtime)


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
