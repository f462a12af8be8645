"""Call a project's build backend (PEP 517), through pypa/build, in an isolated environment with its requirements.

The environment is made once for each set of requirements, and cached.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import build
import msgspec
import pyproject_hooks
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from wheelworks.build.source import hash_tree
from wheelworks.core import process, venv
from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import create_cache_folder, get_cache_folder, get_cached_folder, write_file
from wheelworks.core.interpreters import BuildPython

# Hash-locked versions of setuptools and other build tools; pip resolves the requirements that it doesn't lock.
LOCK = Path(__file__).parents[1] / "locks" / "build.txt"

# The backend's output has its warnings already, once for each call. They are for the project's developers.
warnings.simplefilter("ignore", pyproject_hooks.BuildBackendWarning)

T = TypeVar("T")
Distribution = Literal["sdist", "wheel"]


@dataclass(frozen=True)
class BuildEnvironment:
    """A virtual environment: its folder, its interpreter, and its packages' versions by name."""

    folder: Path
    python: Path
    versions: dict[str, str]
    requirements: tuple[str, ...] = ()  # as the project states them, for every Python


def parse_requirements(words: Sequence[str]) -> list[Requirement]:
    """Parse build requirements, without those for other Pythons. Raises WheelworksError for invalid ones."""
    try:
        parsed = [Requirement(word) for word in words]
    except InvalidRequirement as error:
        raise WheelworksError(f"pyproject.toml: a build requirement can't be read: {error}") from error
    return [one for one in parsed if one.marker is None or one.marker.evaluate({"extra": ""})]


def select_requirements(words: Sequence[str], python: str) -> list[Requirement]:
    """Return the build requirements for a target's Python ("3.13"), which the build's own Python must run.

    Those are the requirements whose markers fit the target, without the markers, and those of further projects that
    fit the build's Python. Raises WheelworksError for invalid ones.
    """
    here, target = parse_requirements(words), {"extra": "", "python_version": python}
    target["python_full_version"] = f"{python}.0"
    every = [Requirement(word) for word in words]
    chosen = [one for one in every if one.marker is None or one.marker.evaluate(dict(target))]
    names = {canonicalize_name(one.name) for one in chosen}
    for one in chosen:
        if str(one) not in set(map(str, here)):
            one.marker = None
    return chosen + [one for one in here if canonicalize_name(one.name) not in names]


def parse_lock(lock: str) -> dict[str, str]:
    """Return the versions that a lock file (``name==version \\`` and hashes) pins, by canonical name."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def is_locked(wanted: Sequence[Requirement], lock: str) -> bool:
    """Return whether a lock file satisfies every requirement."""
    pins = parse_lock(lock)
    return all(
        canonicalize_name(one.name) in pins
        and not one.extras
        and not one.url
        and one.specifier.contains(pins[canonicalize_name(one.name)], prereleases=True)
        for one in wanted
    )


def make_build_environment(
    python: BuildPython,
    wanted: Sequence[Requirement],
    update: Callable[[str], None],
    constraints: Sequence[Path] = (),
) -> BuildEnvironment:
    """Return an environment with the requirements ``wanted``, a cached one if possible.

    It is installed from the lock file if that satisfies all of them. The project's ``constraints`` replace the lock
    file. Raises WheelworksError with pip's output.
    """
    lock = LOCK.read_text(encoding="utf-8") if LOCK.is_file() else ""
    words = sorted({str(one) for one in wanted})
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in constraints]
    parts = [str(python.executable), python.version, lock, *words, *texts]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def make(folder: Path) -> None:
        update(f"installing {', '.join(words) or 'nothing'} for the build")
        environment = venv.create_venv(python.executable, folder)
        if words:
            own: list[str | Path] = [word for path in constraints for word in ("-c", path)]
            options = [*own, *words] if own else _pip_options(words, wanted, lock, folder)
            venv.install_requirements(environment, "the project's build requirements can't be installed", *options)

    folder = get_cached_folder(f"buildenvs/{key}", make)
    return BuildEnvironment(folder, venv.python_of(folder), _read_versions(folder))


def _pip_options(words: list[str], wanted: Sequence[Requirement], lock: str, folder: Path) -> list[str | Path]:
    if is_locked(wanted, lock):
        return ["--require-hashes", "--no-deps", "--only-binary=:all:", "-r", LOCK]
    constraints = folder / "constraints.txt"
    pins = parse_lock(lock)
    # without the pins that the project's own requirements exclude
    excluded = {canonicalize_name(one.name) for one in wanted if not is_locked([one], lock)}
    constraints.write_text("".join(f"{n}=={v}\n" for n, v in pins.items() if n not in excluded), encoding="utf-8")
    return ["-c", constraints, *words]


def _read_versions(folder: Path) -> dict[str, str]:
    patterns = ("lib/python*/site-packages", "Lib/site-packages")
    places = [str(place) for pattern in patterns for place in folder.glob(pattern)]
    found = importlib.metadata.distributions(path=places)
    return dict(sorted((canonicalize_name(one.metadata["Name"]), one.version) for one in found))


class BackendError(WheelworksError):
    """The backend failed; the message ends with the last lines of its output."""


class Backend:
    """A project's backend in one tree, one build environment, and one set of variables and configuration."""

    def __init__(
        self,
        tree: Path,
        environment: BuildEnvironment,
        variables: Mapping[str, str],
        config: Mapping[str, str | list[str]] | None = None,
    ) -> None:
        self.tree, self.variables, self.config = tree, dict(variables), dict(config or {})
        self.output = ""
        self._environment = environment.folder.name
        self._add_programs(environment)
        try:
            self._builder = build.ProjectBuilder(tree, str(environment.python), runner=self._run)
        except build.BuildException as error:
            raise WheelworksError(f"{tree.name}: {error}") from error

    def _add_programs(self, environment: BuildEnvironment) -> None:
        """Put the environment's programs, such as cython and cmake, first on PATH, as PEP 517 requires."""
        inner = [str(environment.python.parent), *filter(None, [self.variables.get("PATH")])]
        self.variables["PATH"] = os.pathsep.join(inner)

    def list_requirements(self) -> set[str]:
        """Return what the backend requires for an sdist and a wheel beyond ``[build-system] requires``.

        It is asked once for a tree, an environment and its variables, since each answer takes a process of its own.
        Raises BackendError.
        """
        places = ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP", "PKG_CONFIG_LIBDIR")  # of this build
        variables = {name: value for name, value in self.variables.items() if name not in places}
        stated = [hash_tree(self.tree), self._environment, variables]
        key = hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()[:24]
        file = get_cache_folder() / "requirements" / f"{key}.json"
        with suppress(FileNotFoundError, msgspec.DecodeError):
            return set(msgspec.json.decode(file.read_bytes(), type=list[str]))
        found = self._ask_for_requirements()
        create_cache_folder(file.parent)
        write_file(file, json.dumps(sorted(found)).encode())
        return found

    def _ask_for_requirements(self) -> set[str]:
        """Ask in the tree itself, since the backend may read the folders above, and leave it unchanged.

        setuptools leaves an egg-info, which a later build of the same tree would lack.
        """
        with tempfile.TemporaryDirectory(dir=self.tree.parent) as folder:
            untouched = Path(shutil.copytree(self.tree, Path(folder, "untouched"), symlinks=True))
            try:
                return self.requires("wheel") | self.requires("sdist")
            finally:
                self.tree.rename(Path(folder, "asked"))
                untouched.rename(self.tree)

    def requires(self, distribution: Distribution) -> set[str]:
        """Return the requirements beyond ``[build-system] requires``. Raises BackendError."""
        return self._call(lambda: self._builder.get_requires_for_build(distribution, self.config))

    def make(self, distribution: Distribution, into: Path) -> Path:
        """Build a distribution into a folder; return its path. Raises BackendError."""
        into.mkdir(parents=True, exist_ok=True)
        return Path(self._call(lambda: self._builder.build(distribution, into, self.config)))

    def _run(self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        result = process.run(cmd, cwd=Path(cwd or self.tree), env={**self.variables, **(extra_environ or {})})
        self.output += result.output
        if result.status != 0:
            raise subprocess.CalledProcessError(result.status, list(cmd), result.output)

    def _call(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except (build.BuildException, build.BuildBackendException) as error:
            if isinstance(error, build.BuildBackendException) and isinstance(error.exception, WheelworksError):
                raise error.exception from None
            raise BackendError(f"{error}\n{last_lines(self.output)}") from error


def shorten_traceback(message: str) -> str:
    """Return an error without the lines of a traceback, except the last file and line that it names.

    setuptools runs setup.py as ``<string>``.
    """
    lines = message.splitlines()
    if places := [line.strip() for line in lines if line.startswith('  File "')]:
        place = places[-1].replace('"<string>"', '"setup.py"')
        lines = [line for line in lines if line[:1] != " " and not line.startswith("Traceback (")]
        lines.insert(1, place)
    return "\n".join(lines)


def last_lines(output: str, count: int = 12) -> str:
    """Return the last lines of a program's output without blank ones, where its error is."""
    return "\n".join([line for line in output.splitlines() if line.strip()][-count:])
