"""A project's own tests on its wheel under a foreign CPython: the requirements in /site, its files in /job."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.utils import canonicalize_name

from wheelworks.core.errors import WheelworksError
from wheelworks.core.tags import parse_platform
from wheelworks.core.verdict import Verdict
from wheelworks.core.wheel import parse_wheel_name, read_members
from wheelworks.foreign.cpus import is_host
from wheelworks.foreign.isolation import Isolation
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
    """A project's tests, ready to run under CPython ``python`` for ``cpu``, with the site-packages they import from."""

    suite: ProjectSuite
    site: SitePackages
    cpu: str
    emulated: bool

    def run(
        self, prepare: Callable[[Task], Worker], isolation: Isolation, limit: float, update: Update
    ) -> SuiteResults:
        """Run the tests by workers that ``prepare`` makes, for ``limit`` seconds each."""
        can_start_programs = not isolation.limits
        return ProjectRunner(self.suite, prepare, limit, update, can_start_programs).run()

    def judge(self, verdict: Verdict, results: SuiteResults) -> Verdict:
        """Return the verdict on the results."""
        name = parse_wheel_name(self.suite.wheel.name)
        platforms = [found for tag in sorted(name.platforms) if (found := parse_platform(tag))]
        run = Run(platforms[0].os if platforms else "linux", self.cpu, "qemu" if self.emulated else "native")
        expected = find_expected_failures(name.distribution, run, results.results.finished)
        sites, modules = ("/site", str(self.site.folder)), self.suite.modules
        judge = Judge(modules, list_packages(modules), sites, expected)
        decided = judge.decide(verdict, results, self.suite.tests.origin)
        why = "; ".join([decided.why, *self.site.remarks])
        if not self.site.defects:
            return replace(decided, why=why)
        return replace(decided, outcome="failed", why=why, findings=(*self.site.defects, *decided.findings))


def prepare_project(
    options: ProjectOptions, wheel: Path, site: SitePackages, work: Path, *, python: str, cpu: str, emulated: bool
) -> ForeignProject:
    """Plan a project's tests for a wheel that is unpacked in ``site``, and add there what they need.

    ``work`` is a folder for the source and the downloads. Raises CannotRunTests for what isn't to be had here,
    WheelworksError for a damaged source, UsageError for wrong options.
    """
    members = read_members(wheel, LIMITS)
    files, metadata = list(members), requirements.read_metadata(members, wheel.name)
    split = split_project(open_source(options.source, work / "source"), files)
    try:
        tests = project.plan_tests(options, split, parse_wheel_name(wheel.name), files, metadata)
        environment = requirements.make_environment(python, cpu)
        words = requirements.list_requirements(metadata, tests.extras, tests.requires, environment)
        add_wheels(requirements.download_requirements(words, python, cpu, work / "wheels"), wheel, site.folder, work)
    except (project.NoTests, requirements.NoWheel) as error:
        raise CannotRunTests(error.message, error.hint) from error
    split.copy_added(site.folder)
    return ForeignProject(ProjectSuite(tests, split, wheel, site.modules), site, cpu, emulated)


def add_wheels(wheels: list[Path], wheel: Path, site: Path, work: Path) -> None:
    """Unpack the wheels of requirements into ``site``. They replace nothing, and none is of the wheel's project."""
    own = canonicalize_name(parse_wheel_name(wheel.name).distribution)
    for number, other in enumerate(wheels):
        if canonicalize_name(parse_wheel_name(other.name).distribution) == own:
            continue
        folder = work / f"requirement{number}"
        unpack_wheel(other, folder)
        for path in sorted(folder.rglob("*")):
            target = site / path.relative_to(folder)
            if path.is_dir():
                target.mkdir(exist_ok=True)
            elif not target.exists():
                path.rename(target)
        shutil.rmtree(folder)
