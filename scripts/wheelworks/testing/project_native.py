"""Run a project's own tests on its wheel under an interpreter of this machine, in a new virtual environment."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from wheelworks.core import process, venv
from wheelworks.core.errors import WheelworksError
from wheelworks.core.interpreters import Python
from wheelworks.core.targets import SYSTEMS
from wheelworks.core.verdict import Verdict
from wheelworks.core.wheel import check_record, read_members
from wheelworks.testing import project, requirements
from wheelworks.testing.environments import drop_steering
from wheelworks.testing.project import ProjectOptions
from wheelworks.testing.project_failures import Run
from wheelworks.testing.project_results import judge_project
from wheelworks.testing.project_source import list_extension_modules
from wheelworks.testing.project_suite import ProjectRunner, ProjectSuite
from wheelworks.testing.suites import WORKERS, WORKERS_PACKAGE, Task, Update, Worker

TIME_LIMIT = 1800.0  # seconds
_CPUS = {"arm64": "aarch64", "amd64": "x86_64", "x86": "i686"}  # other systems' names of CPUs


@dataclass(frozen=True)
class ProjectEnvironment:
    """A virtual environment with the wheel and what its tests need: its interpreter and its site-packages folder."""

    python: Path
    site: Path


def run_natively(
    wheel: Path,
    python: Python,
    options: ProjectOptions,
    folder: Path,
    update: Update,
    time_limit: float | None = None,
) -> Verdict:
    """Run a project's tests on a wheel under ``python``, with everything in the empty ``folder``.

    Each step takes ``time_limit`` seconds at most (default: `TIME_LIMIT`). What this machine or the package index lacks
    makes the verdict "unsupported". Raises WheelworksError for a damaged wheel or source, UsageError for wrong options.
    """
    began = time.monotonic()
    verdict = Verdict(wheel.name, f"CPython {python.label} here", "unsupported")
    try:
        suite, created = _prepare_project(wheel, python, options, folder, update)
    except (project.NoTests, requirements.NoWheel) as error:
        verdict = replace(verdict, why=f"{error.message}; {error.hint}")
    else:
        limit = TIME_LIMIT if time_limit is None else time_limit
        results = ProjectRunner(suite, partial(prepare_worker, created, folder), limit, update).run()
        sites = (str(created.site), str(created.site.resolve()))
        verdict = judge_project(verdict, suite, results, _describe_run(), sites)
    return replace(verdict, seconds=time.monotonic() - began)


def _prepare_project(
    wheel: Path, python: Python, options: ProjectOptions, folder: Path, update: Update
) -> tuple[ProjectSuite, ProjectEnvironment]:
    """Plan a project's tests, and create their environment. Raises NoTests and NoWheel for what is missing."""
    members = read_members(wheel)
    check_record(members, wheel.name)
    environment = requirements.make_native_environment(python.version)
    files, tests, words = project.open_and_plan(options, members, wheel.name, environment, folder / "source")
    update("creating an environment")
    created = create_environment(python, wheel, words, folder / "environment")
    files.copy_added(created.site)
    return ProjectSuite(tests, files, wheel, tuple(list_extension_modules(members))), created


def _describe_run() -> Run:
    machine = platform.machine().lower()
    return Run(SYSTEMS.get(sys.platform, sys.platform), _CPUS.get(machine, machine), "native")


def create_environment(python: Python, wheel: Path, words: list[str], folder: Path) -> ProjectEnvironment:
    """Create a virtual environment with a wheel, requirements and the workers.

    Raises NoWheel if a requirement can't be installed, WheelworksError if the wheel can't.
    """
    interpreter = venv.create_venv(python.executable, folder)
    venv.install_requirements(interpreter, f"can't be installed: {wheel.name}", "--no-deps", wheel)
    if words:
        try:
            venv.install_requirements(interpreter, "not all can be installed", "--only-binary=:all:", "--", *words)
        except WheelworksError as error:
            message = f"the tests need {', '.join(words)}: {error.message}"
            raise requirements.NoWheel(message, "name fewer: --test-requires") from error
    return add_workers(interpreter)


def add_workers(interpreter: Path) -> ProjectEnvironment:
    """Copy the workers into an environment's site-packages folder; return the environment."""
    code = "import sysconfig; print(sysconfig.get_path('platlib'))"
    site = Path(process.run_checked([interpreter, "-c", code], "the environment doesn't work").output.strip())
    shutil.copytree(WORKERS, site / WORKERS_PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    return ProjectEnvironment(interpreter, site)


def prepare_worker(environment: ProjectEnvironment, work: Path, task: Task) -> Worker:
    """Return the worker of a task, in a new folder below ``work``."""
    folder = work / task.name
    folder.mkdir()
    results = folder / "results.xml"
    command: list[str | Path] = [environment.python, "-m", f"{WORKERS_PACKAGE}.{task.program}", results]
    variables = drop_steering(dict(os.environ))
    path = os.pathsep.join([str(environment.python.parent), variables.get("PATH", "")])
    variables.update({"PATH": path, "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"})
    return Worker(command, variables, folder, results, work / f"{task.name}.log")
