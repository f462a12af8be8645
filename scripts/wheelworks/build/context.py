"""The environment variables that a build sees: few, and the same on every machine."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wheelworks.build import backend, headers, sdist, source
from wheelworks.build.backend import Backend, BackendError, last_lines
from wheelworks.build.headers import Headers
from wheelworks.build.source import SourceTree
from wheelworks.core import headers_python, manifest
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.targets import Abi, floor

# What programs can't start without, by host. Everything else that a user has set (CFLAGS, CC, ARCHFLAGS,
# PYTHONPATH, MACOSX_DEPLOYMENT_TARGET ...) would make the wheel theirs.
_PASSED_VARIABLES = (
    "PATH",
    "SYSTEMROOT",
    "SYSTEMDRIVE",
    "WINDIR",
    "COMSPEC",
    "PATHEXT",
    "NUMBER_OF_PROCESSORS",
    "LD_LIBRARY_PATH",
)


def make_environment(outer: Mapping[str, str], work: Path, epoch: int, extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of every step that runs the project's code.

    ``work`` takes the place of the user's home and temporary folder; ``extra`` is what the user passes on
    purpose (``--env``).
    """
    home, temporary = work / "home", work / "tmp"
    home.mkdir(exist_ok=True, parents=True)
    temporary.mkdir(exist_ok=True)
    passed = {key: value for key, value in outer.items() if key.upper() in _PASSED_VARIABLES}
    return {
        **passed,
        "HOME": str(home),
        "USERPROFILE": str(home),
        "TMPDIR": str(temporary),
        "TEMP": str(temporary),
        "TMP": str(temporary),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "SOURCE_DATE_EPOCH": str(epoch),
        "PKG_CONFIG_LIBDIR": str(home),  # the host's libraries are none of the target's
        "GIT_OPTIONAL_LOCKS": "0",
        **extra,
    }


def parse_variables(settings: list[str]) -> dict[str, str]:
    """``NAME=VALUE`` words as a table. Raises UsageError for any other word."""
    table = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--env {setting}: not of the form NAME=VALUE")
        table[name] = value
    return table


Update = Callable[[str], None]


@dataclass(frozen=True)
class BuildContext:
    """What all builds of one run share.

    ``sdist`` is the file that everything is built from, ``headers`` are those of each ABI's id, ``work`` is a temporary
    folder, ``out`` receives the wheels, ``extra`` are the variables passed on purpose.
    """

    source: SourceTree
    sdist: Path
    python: headers_python.BuildPython
    headers: Mapping[str, Headers]
    environment: backend.BuildEnvironment
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
        return source.read_pure_variables(self.source.tree)


def _installed(name: str) -> bool:
    return bool(importlib.metadata.packages_distributions().get(name))


def prepare_context(
    path: Path,
    work: Path,
    out: Path,
    extra: Mapping[str, str],
    chosen_python: str,
    say: Update,
    abis: Sequence[Abi] | None = None,
) -> BuildContext:
    """Everything that comes before the first target, for ``abis`` (by default that of the oldest Python alone).

    Raises WheelworksError for what is missing, and for what is no project.
    """
    kind = source.check_source(path)
    python = headers_python.find(chosen=chosen_python)
    found = {abi.id: _find_headers(abi, python, say) for abi in abis or [floor()]}
    if kind == "sdist":
        unpacked = source.unpack_source(path, work / "unpacked")
        variables = make_environment(os.environ, work, unpacked.epoch, extra)
        env = _install_build_environment(unpacked.tree, python, variables, say)
        return BuildContext(unpacked, path, python, found, env, work, out, extra)
    say(f"making the sdist of {path.resolve().name}")
    unpacked, archive, env = _make_sdist(path, python, work, extra, say)
    return BuildContext(unpacked, archive, python, found, env, work, out, extra)


def _find_headers(abi: Abi, python: headers_python.BuildPython, say: Update) -> Headers:
    if abi == floor():  # the Python that builds is of that version, and may have been chosen
        return headers.adapt_headers(python.headers, abi)
    say(f"looking for the headers of CPython {abi.python}")
    return headers.find_headers(abi)


def _make_sdist(
    path: Path, python: headers_python.BuildPython, work: Path, extra: Mapping[str, str], say: Update
) -> tuple[SourceTree, Path, backend.BuildEnvironment]:
    """A folder goes through its sdist, so that its wheels are those that the sdist gives to everybody else."""
    folder = path.resolve()
    epoch = source.read_directory_epoch(folder)
    commit, dirty, _ = source.read_commit(folder)
    variables = make_environment(os.environ, work, epoch, extra)
    copy = source.copy_directory(folder, work / "copy" / "source")
    env = _install_build_environment(copy, python, variables, say)
    try:
        made = Backend(copy, env, variables).make("sdist", work / "made")
    except BackendError as error:
        raise WheelworksError(f"{path}: its sdist can't be made: {error}\n{last_lines(error.output)}") from error
    tree = source.unpack_source(made, work / "packed").tree
    (work / "sdist").mkdir()
    archive = sdist.write_sdist(tree, epoch, work / "sdist" / made.name)
    unpacked = source.unpack_source(archive, work / "unpacked")
    return replace(unpacked, kind="directory", epoch=epoch, commit=commit, dirty=dirty), archive, env


def _install_build_environment(
    tree: Path, python: headers_python.BuildPython, variables: Mapping[str, str], say: Update
) -> backend.BuildEnvironment:
    words = source.read_build_requirements(tree)
    env = backend.install_requirements(python, backend.parse_requirements(words), say)
    hooks = Backend(tree, env, variables)
    try:
        more = hooks.requires("wheel") | hooks.requires("sdist")
    except BackendError as error:
        raise WheelworksError(f"{tree.name}: {error}\n{last_lines(error.output)}") from error
    if more <= set(words):
        return env
    return backend.install_requirements(python, backend.parse_requirements([*words, *sorted(more)]), say)
