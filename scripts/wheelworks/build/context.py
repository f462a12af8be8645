"""What comes before the first target: the Python that builds, headers, the source's tree, its build environment."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wheelworks.build import buildenv, environment, headers, project, sdistfile, source
from wheelworks.build.backend import Backend, BackendError, last_lines
from wheelworks.build.headers import Headers
from wheelworks.build.source import Source
from wheelworks.core import headers_python, manifest
from wheelworks.core.errors import WheelworksError
from wheelworks.core.targets import Abi, floor

Say = Callable[[str], None]


@dataclass(frozen=True)
class Workshop:
    """What all builds of one run share.

    ``sdist`` is the file that everything is built from, ``headers`` are those of each ABI's id, ``work`` is a temporary
    folder, ``out`` receives the wheels, ``extra`` are the variables passed on purpose.
    """

    source: Source
    sdist: Path
    python: headers_python.BuildPython
    headers: Mapping[str, Headers]
    environment: buildenv.BuildEnvironment
    work: Path
    out: Path
    extra: Mapping[str, str]

    def toolchain(self) -> manifest.Toolchain:
        """Return the versions that decide a wheel's bytes, besides its headers."""
        return manifest.Toolchain(
            wheelworks=importlib.metadata.version("wheelworks") if _installed("wheelworks") else "checkout",
            ziglang=importlib.metadata.version("ziglang"),
            deflate=importlib.metadata.version("deflate"),
            python=".".join(self.python.version.split(".")[:2]),
            build_requirements=self.environment.versions,
        )

    def publish_sdist(self) -> Path:
        """Put the sdist beside the wheels."""
        return manifest.write(self.out / self.sdist.name, self.sdist.read_bytes())

    def pure_variables(self) -> Mapping[str, str] | None:
        """The variables with which the project's build leaves its extension out; None where it doesn't say."""
        return project.pure_variables(self.source.tree)


def _installed(name: str) -> bool:
    return bool(importlib.metadata.packages_distributions().get(name))


def prepare(
    path: Path,
    work: Path,
    out: Path,
    extra: Mapping[str, str],
    chosen_python: str,
    say: Say,
    abis: Sequence[Abi] | None = None,
) -> Workshop:
    """Everything that comes before the first target, for ``abis`` (by default that of the oldest Python alone).

    Raises WheelworksError for what is missing, and for what is no project.
    """
    kind = source.check(path)
    python = headers_python.find(chosen=chosen_python)
    found = {abi.id: _headers(abi, python, say) for abi in abis or [floor()]}
    if kind == "sdist":
        unpacked = source.from_sdist(path, work / "unpacked")
        variables = environment.hermetic(os.environ, work, unpacked.epoch, extra)
        env = _environment(unpacked.tree, python, variables, say)
        return Workshop(unpacked, path, python, found, env, work, out, extra)
    say(f"making the sdist of {path.resolve().name}")
    unpacked, archive, env = _from_directory(path, python, work, extra, say)
    return Workshop(unpacked, archive, python, found, env, work, out, extra)


def _headers(abi: Abi, python: headers_python.BuildPython, say: Say) -> Headers:
    if abi == floor():  # the Python that builds is of that version, and may have been chosen
        return headers.fitted(python.headers, abi)
    say(f"looking for the headers of CPython {abi.python}")
    return headers.find(abi)


def _from_directory(
    path: Path, python: headers_python.BuildPython, work: Path, extra: Mapping[str, str], say: Say
) -> tuple[Source, Path, buildenv.BuildEnvironment]:
    """A folder goes through its sdist, so that its wheels are those that the sdist gives to everybody else."""
    folder = path.resolve()
    epoch = source.epoch_of_directory(folder)
    commit, dirty, _ = source.commit_of(folder)
    variables = environment.hermetic(os.environ, work, epoch, extra)
    copy = source.copy_of_directory(folder, work / "copy" / "source")
    env = _environment(copy, python, variables, say)
    try:
        made = Backend(copy, env, variables).make("sdist", work / "made")
    except BackendError as error:
        raise WheelworksError(f"{path}: its sdist can't be made: {error}\n{last_lines(error.output)}") from error
    tree = source.from_sdist(made, work / "packed").tree
    (work / "sdist").mkdir()
    archive = sdistfile.from_tree(tree, epoch, work / "sdist" / made.name)
    unpacked = source.from_sdist(archive, work / "unpacked")
    return replace(unpacked, kind="directory", epoch=epoch, commit=commit, dirty=dirty), archive, env


def _environment(
    tree: Path, python: headers_python.BuildPython, variables: Mapping[str, str], say: Say
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
