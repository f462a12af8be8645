"""Prepare what all builds of one run share: the source tree, CPython's headers, and the build environment."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from wheelworks.build import source
from wheelworks.build.backend import (
    Backend,
    BackendError,
    BuildEnvironment,
    make_build_environment,
    parse_requirements,
    select_requirements,
    shorten_traceback,
)
from wheelworks.build.headers import Headers, adapt_headers, find_headers
from wheelworks.build.object_cache import remove_old_objects
from wheelworks.build.sdist import write_sdist
from wheelworks.build.source import SourceTree
from wheelworks.core import cibuildwheel, interpreters, manifest, source_tree
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.sdist import unpack_sdist
from wheelworks.core.targets import Abi, get_build_abi
from wheelworks.core.zig import find_object_cache

Update = Callable[[str], None]

# The variables without which programs can't start, on each host. Any other (CFLAGS, CC, ARCHFLAGS, PYTHONPATH,
# MACOSX_DEPLOYMENT_TARGET ...) would make the wheel depend on the user's settings.
_PASSED_VARIABLES = (
    *("PATH", "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "NUMBER_OF_PROCESSORS"),
    "LD_LIBRARY_PATH",
)

# Constraints of the build requirements: for pip, and for uv where that installs them.
CONSTRAINT_VARIABLES = ("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT", "UV_CONSTRAINT", "UV_BUILD_CONSTRAINT")


def make_environment(outer: Mapping[str, str], work: Path, epoch: int, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for running the project's code: few variables, and the same on every machine.

    ``work`` contains the home and the temporary folder, ``variables`` are those that the user passes by ``--env``.
    """
    home, temporary = work / "home", work / "tmp"
    home.mkdir(exist_ok=True, parents=True)
    temporary.mkdir(exist_ok=True)
    passed = {key: value for key, value in outer.items() if key.upper() in _PASSED_VARIABLES}
    return {
        **passed,
        **dict.fromkeys(("HOME", "USERPROFILE"), str(home)),
        **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary)),
        **dict.fromkeys(("LANG", "LC_ALL"), "C.UTF-8"),
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "SOURCE_DATE_EPOCH": str(epoch),
        "PKG_CONFIG_LIBDIR": str(home),  # hides the host's libraries, which aren't the target's
        "GIT_OPTIONAL_LOCKS": "0",
        **variables,
    }


def parse_variables(settings: Sequence[str]) -> dict[str, str]:
    """Parse words of the form ``NAME=VALUE``. Raises UsageError for any other word."""
    table = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--env {setting}: not of the form NAME=VALUE", "--env CFLAGS=-O2")
        table[name] = value
    return table


NATIVE_HINT = "its build fails on this machine, too: try python -m build {}"


@dataclass(frozen=True)
class BuildContext:
    """What all builds of one run share.

    ``sdist`` is the file that everything is built from, ``headers`` has those of each ABI's id, ``work`` is a temporary
    folder, ``out`` the folder for the wheels, ``variables`` those that the user passes to the project's build, and
    ``environments`` are the build environments by ABI. ``allowed_missing`` are extension modules that wheels may lack,
    ``folder`` is the project's folder unless SOURCE is an sdist.
    """

    source: SourceTree
    sdist: Path
    python: interpreters.BuildPython
    headers: Mapping[str, Headers]
    environment: BuildEnvironment
    work: Path
    out: Path
    variables: Mapping[str, str]
    environments: Mapping[str, BuildEnvironment] = field(default_factory=dict)
    allowed_missing: frozenset[str] = frozenset()
    folder: Path | None = None

    def select_abi(self, abi: Abi) -> BuildContext:
        """Return the context with the environment for an ABI's builds: requirements may depend on the Python."""
        return replace(self, environment=self.environments.get(abi.id, self.environment))

    def toolchain(self) -> manifest.Toolchain:
        """Return the versions that decide a wheel's bytes, besides its headers."""
        return manifest.Toolchain(
            wheelworks=_read_own_version(),
            ziglang=importlib.metadata.version("ziglang"),
            deflate=importlib.metadata.version("deflate"),
            python=".".join(self.python.version.split(".")[:2]),
            build_requirements=self.environment.versions,
        )


def _read_own_version() -> str:
    try:
        return importlib.metadata.version("wheelworks")
    except importlib.metadata.PackageNotFoundError:
        return "checkout"


def prepare_context(
    path: Path,
    work: Path,
    out: Path,
    update: Update,
    *,
    variables: Mapping[str, str] | None = None,
    python: str = "",
    abis: Callable[[Path], Iterable[Abi]] | None = None,
    allowed_missing: Sequence[str] = (),
) -> BuildContext:
    """Prepare building ``path`` for the ABIs that ``abis`` returns for its tree.

    By default this is the ABI of the Python that runs the build. ``python`` is the interpreter that the user chose.
    Raises WheelworksError if ``path`` is no project, or if something is missing.
    """
    kind, variables = source_tree.check_source(path), variables or {}
    if objects := find_object_cache():
        remove_old_objects(objects)
    interpreter = interpreters.find_build_python(chosen=python)
    if kind == "directory":
        source.check_build_system(path.resolve())
        update(f"making the sdist of {path.resolve().name}")
        tree, archive, environment = _make_sdist(path, interpreter, work, variables, update)
    else:
        tree, archive = source.unpack_source(path, work / "unpacked"), path
        passed = make_environment(os.environ, work, tree.epoch, variables)
        environment = _install_build_environment(tree.tree, interpreter, passed, update, path.name)
    wanted = list(abis(tree.tree)) if abis else [get_build_abi()]
    headers = {abi.id: _find_headers(abi, interpreter, update) for abi in wanted}
    constraints = find_constraints(tree.tree, variables)
    environments = {abi.id: _adapt_environment(environment, abi, interpreter, constraints, update) for abi in wanted}
    context = BuildContext(tree, archive, interpreter, headers, environment, work, out, variables, environments)
    folder = path.resolve() if kind == "directory" else None
    return replace(context, allowed_missing=frozenset(allowed_missing), folder=folder)


def _adapt_environment(
    environment: BuildEnvironment,
    abi: Abi,
    python: interpreters.BuildPython,
    constraints: Sequence[Path],
    update: Update,
) -> BuildEnvironment:
    """Return an environment with the build requirements for an ABI's Python: the given one if these are the same."""
    words = environment.requirements
    wanted = select_requirements(words, abi.python)
    if set(map(str, wanted)) == set(map(str, parse_requirements(words))):
        return environment
    return make_build_environment(python, wanted, update, constraints)


def _find_headers(abi: Abi, python: interpreters.BuildPython, update: Update) -> Headers:
    if abi == get_build_abi():  # the interpreter that runs the build has this version, and the user may have chosen it
        return adapt_headers(python.headers, abi)
    update(f"looking for the headers of CPython {abi.python}")
    return find_headers(abi)


def _make_sdist(
    path: Path, python: interpreters.BuildPython, work: Path, variables: Mapping[str, str], update: Update
) -> tuple[SourceTree, Path, BuildEnvironment]:
    """Make and unpack a folder's sdist, so that its wheels are the ones that anyone builds from the sdist."""
    folder = path.resolve()
    commit, dirty, committed = source.read_commit(folder)
    epoch = source.read_directory_epoch(folder, committed)
    passed = make_environment(os.environ, work, epoch, variables)
    copy = source_tree.copy_directory(folder, work / "copy" / "source")
    environment = _install_build_environment(copy, python, passed, update, str(path))
    try:
        made = Backend(copy, environment, passed).make("sdist", work / "made")
    except BackendError as error:
        message = f"{path}: its sdist can't be made: {shorten_traceback(error.message)}"
        raise WheelworksError(message, NATIVE_HINT.format(path)) from error
    packed, _ = unpack_sdist(made, work / "packed")
    (work / "sdist").mkdir()
    archive = write_sdist(packed, epoch, work / "sdist" / made.name)
    tree = source.unpack_source(archive, work / "unpacked")
    return replace(tree, kind="directory", epoch=epoch, commit=commit, dirty=dirty), archive, environment


def _install_build_environment(
    tree: Path, python: interpreters.BuildPython, variables: Mapping[str, str], update: Update, name: str
) -> BuildEnvironment:
    """Install what the build of ``tree`` requires. Errors call the project ``name``: the tree may be a copy."""
    source.check_build_system(tree)
    words = source.read_build_requirements(tree)
    constraints = find_constraints(tree, variables)
    environment = make_build_environment(python, parse_requirements(words), update, constraints)
    backend = Backend(tree, environment, {**_read_project_variables(tree, variables), **variables})
    try:
        more = backend.list_requirements()
    except BackendError as error:
        raise WheelworksError(f"{name}: {shorten_traceback(error.message)}", NATIVE_HINT.format(name)) from error
    every = [*words, *sorted(more - set(words))]
    if more <= set(words):
        return replace(environment, requirements=tuple(every))
    environment = make_build_environment(python, parse_requirements(every), update, constraints)
    return replace(environment, requirements=tuple(every))


def _read_project_variables(tree: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a project's [tool.cibuildwheel]: it may decide which requirements a build has."""
    settings = cibuildwheel.read_settings(tree)
    options = settings.select(f"cp{get_build_abi().nodot}-manylinux_x86_64") if settings else None
    return options.variables("environment", variables) if options else {}


def find_constraints(tree: Path, variables: Mapping[str, str]) -> list[Path]:
    """Return pip's constraint files for a project's build requirements, in its tree.

    `CONSTRAINT_VARIABLES` name them: the user's among ``variables``, else those in the environment of the project's
    [tool.cibuildwheel]. Raises WheelworksError for a file that the tree doesn't have.
    """
    stated = {**_read_project_variables(tree, {}), **variables}
    names = {name: variable for variable in CONSTRAINT_VARIABLES for name in stated.get(variable, "").split()}
    for name, variable in names.items():
        if not (tree / name).is_file() or not (tree / name).resolve().is_relative_to(tree.resolve()):
            message = f"{tree.name}: {variable} of its [tool.cibuildwheel] names {name}, which it doesn't have"
            raise WheelworksError(message, f"--env {variable}= builds without it")
    return [tree / name for name in names]
