"""Clean environments of this machine's interpreters: nothing but the wheel, Tornado, and what tests need."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import parse_sdist_filename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from wheelworks.core import process, venv
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.files import hash_file
from wheelworks.testing.suites import WORKERS, WORKERS_PACKAGE, Task, Worker

ROOT = Path(__file__).parents[3]
LOCK = ROOT / "requirements" / "native.txt"
TESTS = ROOT / "tests" / "speedups"
DEFAULT_TORNADOS = ("6.5", "6.6")

# Prefixes of variables that would make the interpreter or the package under test look elsewhere, or behave otherwise.
_STEERING = ("PYTHON", "TORNADO", "VIRTUAL_ENV", "PYTEST_", "HYPOTHESIS_", "COVERAGE_")


@dataclass(frozen=True)
class Tornado:
    """A distribution file of Tornado, with its version and hash."""

    file: Path
    version: str
    sha256: str


@dataclass(frozen=True)
class Environment:
    """A virtual environment: its folder and interpreter, its Tornado, and the folder with workers and tests."""

    folder: Path
    python: Path
    tornado: Tornado
    workers: Path


def create_environment(python: Path, version: str, wheel: Path, folder: Path) -> Environment:
    """Create an environment with a Tornado ("6.6", "6.6.1"), a wheel and what tests need. Raises WheelworksError."""
    environment = folder / "environment"
    interpreter = venv.create_venv(python, environment)
    tornado = download_tornado(version, interpreter, folder / "tornado")
    failure = "the packages that tests need can't be installed"
    venv.install_requirements(interpreter, failure, "--require-hashes", "--requirement", LOCK)
    failure = f"can't be installed: {tornado.file.name}, {wheel.name}"
    venv.install_requirements(interpreter, failure, "--no-deps", tornado.file, wheel)
    return Environment(environment, interpreter, tornado, _copy_workers(folder / "workers"))


def clean_variables(environ: dict[str, str], workers: Path, with_c: bool) -> dict[str, str]:
    """Return the environment variables of a worker: ``environ`` without what would steer it.

    ``with_c`` makes the package raise an error if its extension is missing.
    """
    own = {"PYTHONPATH": str(workers), "TORNADO_SPEEDUPS_EXTENSION": "1" if with_c else "0", "PYTHONUTF8": "1"}
    return {**drop_steering(environ), **own}


def drop_steering(environ: dict[str, str]) -> dict[str, str]:
    """Return the environment variables without those that would steer the interpreter or the packages under test."""
    return {name: value for name, value in environ.items() if not name.upper().startswith(_STEERING)}


def _copy_workers(folder: Path) -> Path:
    """Copy the workers and the package's tests to ``folder``, so that no source tree is beside them."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(WORKERS, folder / WORKERS_PACKAGE, ignore=ignored)
    shutil.copytree(TESTS, folder / "tests" / TESTS.name, ignore=ignored)
    return folder


def prepare_worker(environment: Environment, work: Path, modules: Sequence[str], with_c: bool, task: Task) -> Worker:
    """Return the worker of a task, in an empty folder below ``work``. It records the files of ``modules``."""
    folder = work / task.name
    (folder / "empty").mkdir(parents=True)
    results = folder / "results.xml"
    words = ["-m", f"{WORKERS_PACKAGE}.{task.program}", str(results), *task.arguments, *modules]
    variables = clean_variables(dict(os.environ), environment.workers, with_c)
    return Worker([environment.python, *words], variables, folder / "empty", results, folder / "log")


def parse_tornado(version: str) -> str:
    """Return pip's requirement for "6.5" (the newest of its series) or "6.5.2". Raises UsageError for anything else."""
    try:
        parsed = Version(version)
    except InvalidVersion:
        hint = "use 6.6 for the newest 6.6.x, or a version such as 6.6.1"
        raise UsageError(f"--tornado {version}: no version", hint) from None
    series = len(parsed.release) == 2 and not parsed.is_prerelease
    return f"tornado~={parsed}.0" if series else f"tornado=={parsed}"


def download_tornado(version: str, python: Path, folder: Path) -> Tornado:
    """Download the wheel or sdist of a Tornado ("6.6", "6.6.1") for an interpreter. Raises WheelworksError."""
    folder.mkdir(parents=True)
    requirement = parse_tornado(version)
    words = ("download", "--quiet", "--no-deps", "--dest", folder, requirement)
    ended = process.run(venv.pip_command(python, *words), timeout=300)
    files = list(folder.iterdir())
    if ended.status or len(files) != 1:
        message = f"{requirement} can't be downloaded from the package index: {ended.last_lines(3)}"
        raise WheelworksError(message, "name another version by --tornado")
    [file] = files
    parse = parse_wheel_filename if file.suffix == ".whl" else parse_sdist_filename
    return Tornado(file, str(parse(file.name)[1]), hash_file(file))
