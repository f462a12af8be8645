"""An isolated environment with a project's build requirements, made once and kept."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from wheelworks.core import cache, process
from wheelworks.core.errors import WheelworksError
from wheelworks.core.headers_python import BuildPython

# setuptools and its kin, hash-locked; a requirement that it doesn't cover is resolved by pip.
LOCK = Path(__file__).parents[1] / "locks" / "build.txt"


@dataclass(frozen=True)
class BuildEnvironment:
    """A virtual environment: its folder, its interpreter, and the versions that it holds."""

    folder: Path
    python: Path
    versions: dict[str, str]


def requirements(words: Sequence[str]) -> list[Requirement]:
    """Build requirements, parsed and without those for other Pythons. Raises WheelworksError for what is none."""
    try:
        parsed = [Requirement(word) for word in words]
    except InvalidRequirement as error:
        raise WheelworksError(f"pyproject.toml: a build requirement can't be read: {error}") from error
    return [one for one in parsed if one.marker is None or one.marker.evaluate({"extra": ""})]


def locked_versions(lock: str) -> dict[str, str]:
    """The versions that a lock file (``name==version \\`` and hashes) pins."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def covered(wanted: Sequence[Requirement], lock: str) -> bool:
    """Whether a lock file answers every requirement."""
    pins = locked_versions(lock)
    return all(
        canonicalize_name(one.name) in pins
        and not one.extras
        and not one.url
        and one.specifier.contains(pins[canonicalize_name(one.name)], prereleases=True)
        for one in wanted
    )


def ensure(python: BuildPython, wanted: Sequence[Requirement], say: Callable[[str], None]) -> BuildEnvironment:
    """The environment that holds ``wanted``: the kept one, or a new one, from the lock file where that suffices.

    Raises WheelworksError with pip's words where a requirement can't be had.
    """
    lock = LOCK.read_text(encoding="utf-8") if LOCK.is_file() else ""
    words = sorted({str(one) for one in wanted})
    key = hashlib.sha256("\0".join([str(python.executable), python.version, lock, *words]).encode()).hexdigest()[:16]

    def make(folder: Path) -> None:
        say(f"installing {', '.join(words) or 'nothing'} for the build")
        _check(
            process.run([python.executable, "-m", "venv", "--without-pip", folder]), f"CPython {python.version}: venv"
        )
        if words:
            pip: list[str | Path] = [
                sys.executable,
                "-m",
                "pip",
                "--python",
                process.interpreter_in(folder),
                "install",
                "--no-input",
                "-q",
            ]
            # what PYTHONPATH names, such as an installed suite's neighbours, pip would take for installed there
            env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
            _check(
                process.run([*pip, *_what(words, wanted, lock, folder)], env=env), "the project's build requirements"
            )

    folder = cache.keep(f"buildenvs/{key}", make)
    return BuildEnvironment(folder, process.interpreter_in(folder), _versions(folder))


def _what(words: list[str], wanted: Sequence[Requirement], lock: str, folder: Path) -> list[str | Path]:
    if covered(wanted, lock):
        return ["--require-hashes", "--no-deps", "--only-binary=:all:", "-r", LOCK]
    constraints = folder / "constraints.txt"
    pins = locked_versions(lock)
    # a pin that the project's own requirement excludes is no help to it
    excluded = {canonicalize_name(one.name) for one in wanted if not covered([one], lock)}
    constraints.write_text("".join(f"{n}=={v}\n" for n, v in pins.items() if n not in excluded), encoding="utf-8")
    return ["-c", constraints, *words]


def _check(result: process.Result, what: str) -> None:
    if result.status != 0:
        lines = [line for line in result.output.splitlines() if line.strip()]
        raise WheelworksError(f"{what} can't be installed:\n" + "\n".join(lines[-8:]))


def _versions(folder: Path) -> dict[str, str]:
    places = [
        str(place) for pattern in ("lib/python*/site-packages", "Lib/site-packages") for place in folder.glob(pattern)
    ]
    found = importlib.metadata.distributions(path=places)
    return dict(sorted((canonicalize_name(one.metadata["Name"]), one.version) for one in found))
