"""What comes before the first target: the floor's Python, the source's tree, its build environment."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from wheelworks import manifest
from wheelworks.cross import buildenv, environment, pythons, source
from wheelworks.cross.backend import Backend, BackendError, last_lines
from wheelworks.cross.source import Source
from wheelworks.errors import WheelworksError


@dataclass(frozen=True)
class Workshop:
    """What all targets of one run share.

    ``work`` is a temporary folder, ``out`` receives the wheels, ``extra`` are the variables passed on purpose.
    """

    source: Source
    python: pythons.BuildPython
    headers: Path
    headers_sha256: str
    environment: buildenv.BuildEnvironment
    work: Path
    out: Path
    extra: Mapping[str, str]

    def toolchain(self) -> manifest.Record:
        """The versions that decide a wheel's bytes."""
        return {
            "wheelworks": importlib.metadata.version("wheelworks") if _installed("wheelworks") else "checkout",
            "ziglang": importlib.metadata.version("ziglang"),
            "deflate": importlib.metadata.version("deflate"),
            "python": ".".join(self.python.version.split(".")[:2]),
            "headers_sha256": self.headers_sha256,
            "build_requirements": self.environment.versions,
        }


def _installed(name: str) -> bool:
    return bool(importlib.metadata.packages_distributions().get(name))


def prepare(
    path: Path, work: Path, out: Path, extra: Mapping[str, str], chosen_python: str, say: Callable[[str], None]
) -> Workshop:
    """Everything that comes before the first target: the floor's Python, the source's tree, its build environment."""
    kind = source.check(path)
    python = pythons.find(chosen=chosen_python)
    headers, digest = pythons.target_headers(python)
    if kind == "sdist":
        found = source.from_sdist(path, work / "unpacked")
        env = _environment(found.tree, python, environment.hermetic(os.environ, work, found.epoch, extra), say)
    else:
        say(f"making the sdist of {path.resolve().name}")
        found, env = _from_directory(path, python, work, extra, say)
    return Workshop(found, python, headers, digest, env, work, out, extra)


def _from_directory(
    path: Path, python: pythons.BuildPython, work: Path, extra: Mapping[str, str], say: Callable[[str], None]
) -> tuple[Source, buildenv.BuildEnvironment]:
    """A folder goes through its sdist, so that its wheels are those that the sdist gives to everybody else."""
    folder = path.resolve()
    epoch = source.epoch_of_directory(folder)
    commit, dirty, _ = source.commit_of(folder)
    variables = environment.hermetic(os.environ, work, epoch, extra)
    copy = source.copy_of_directory(folder, work / "copy" / "source")
    env = _environment(copy, python, variables, say)
    backend = Backend(copy, env, variables)
    try:
        archive = backend.make("sdist", work / "sdist")
    except BackendError as error:
        raise WheelworksError(f"{path}: its sdist can't be made: {error}\n{last_lines(error.output)}") from error
    unpacked = source.from_sdist(archive, work / "unpacked")
    return replace(unpacked, kind="directory", epoch=epoch, commit=commit, dirty=dirty, archive_sha256=""), env


def _environment(
    tree: Path, python: pythons.BuildPython, variables: Mapping[str, str], say: Callable[[str], None]
) -> buildenv.BuildEnvironment:
    words = source.build_requirements(tree)
    env = buildenv.ensure(python, buildenv.requirements(words), say)
    backend = Backend(tree, env, variables)
    try:
        more = backend.requires("wheel") | backend.requires("sdist")
    except BackendError as error:
        raise WheelworksError(f"{tree.name}: {error}\n{last_lines(error.output)}") from error
    if more <= set(words):
        return env
    return buildenv.ensure(python, buildenv.requirements([*words, *sorted(more)]), say)
