"""Clean environments: nothing in them but the wheel, Tornado, and the pinned packages that tests need."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from wheelworks.core import venv
from wheelworks.testing.outcomes import GUEST_PACKAGE, GUEST_PROGRAMS

ROOT = Path(__file__).parents[3]
LOCK = ROOT / "requirements" / "native.txt"
TESTS = ROOT / "tests" / "speedups"

# What would have the interpreter or the package under test look elsewhere, or behave otherwise.
_STEERING = ("PYTHON", "TORNADO", "VIRTUAL_ENV", "PYTEST_", "HYPOTHESIS_", "COVERAGE_")


@dataclass(frozen=True)
class Environment:
    """An environment of its own folder: its interpreter, and the folder that guest programs and tests are in."""

    folder: Path
    python: Path
    guests: Path


def create(python: Path, folder: Path) -> Environment:
    """Make an empty environment of an interpreter. Raises WheelworksError."""
    place = folder / "environment"
    return Environment(place, venv.create_venv(python, place), _lay_guests(folder / "guests"))


def install(environment: Environment, *files: Path) -> None:
    """Install the pinned packages that tests need, and these files as they are. Raises WheelworksError.

    A file may be an sdist, where the index has no wheel for the interpreter: pip then builds it.
    """
    failure = "the packages that tests need can't be installed"
    venv.install_requirements(environment.python, failure, "--require-hashes", "--requirement", LOCK)
    names = ", ".join(file.name for file in files)
    venv.install_requirements(environment.python, f"can't be installed: {names}", "--no-deps", *files)


def variables(environ: dict[str, str], guests: Path, with_c: bool) -> dict[str, str]:
    """The environment variables of a guest: this process's, without what would steer it; missing C is an error."""
    kept = {name: value for name, value in environ.items() if not name.upper().startswith(_STEERING)}
    extension = "1" if with_c else "0"
    return {**kept, "PYTHONPATH": str(guests), "TORNADO_SPEEDUPS_EXTENSION": extension, "PYTHONUTF8": "1"}


def _lay_guests(folder: Path) -> Path:
    """A folder to import from with the guest programs and the package's tests: a copy, beside no source tree."""
    nothing_compiled = shutil.ignore_patterns("__pycache__")
    shutil.copytree(GUEST_PROGRAMS, folder / GUEST_PACKAGE, ignore=nothing_compiled)
    shutil.copytree(TESTS, folder / "tests" / TESTS.name, ignore=nothing_compiled)
    return folder
