"""Find CPythons on this machine: to run build backends, and to test wheels under.

python-discovery looks at this interpreter, PATH, uv's installations and the Windows registry; pyenv's are added here.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import packaging
import python_discovery

from wheelworks.core import process
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.files import get_cache_folder
from wheelworks.core.targets import BUILD_VERSION, load_abis
from wheelworks.core.wheel import parse_wheel_name

SUPPORTED_MINORS = range(11, 16)  # of Python 3: those in the package's classifiers
INSTALL_HINT = "uv python install {version}, or pyenv install {version}, or name a program: --python PATH"

# Wheels are built with the headers of the oldest supported Python: later headers declare functions that it lacks, and
# from 3.13 on name others differently.
BUILD_PYTHON_HINT = """\
install it in one of these ways:
  uv python install {version}                          (any system)
  pyenv install {version}                              (Linux, macOS)
  sudo apt install python{version}-dev python{version}-venv (Debian, Ubuntu; where that release has it)
  brew install python@{version}                        (macOS)
  winget install Python.Python.{version}               (Windows)
or name a program: --python /path/to/python{version}"""

_DESCRIBE = """\
import json, sys, sysconfig
sys.path.insert(0, sys.argv[1])
from packaging.tags import sys_tags
free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
version = "%d.%d.%d" % sys.version_info[:3]
print(json.dumps({"version": version, "free_threaded": free, "tags": list(map(str, sys_tags()))}))
"""


@dataclass(frozen=True)
class Python:
    """An interpreter: its program, version ("3.13.0"), and the tags of wheels that it accepts, best first."""

    executable: Path
    version: str
    free_threaded: bool
    tags: tuple[str, ...]

    @property
    def label(self) -> str:
        """The version for people: "3.14.0t" is free-threaded."""
        return self.version + ("t" if self.free_threaded else "")


def find_pythons(requested: Sequence[str] = ()) -> tuple[list[Python], list[str]]:
    """Return the requested interpreters ("3.13", "3.14t", a path), or all; and the versions that are missing.

    The newest release of each version is taken. Raises UsageError for text that is neither a version nor a program,
    WheelworksError for a version that isn't installed or a program that isn't a Python.
    """
    if requested:
        return [_describe_python(_resolve(name)) for name in dict.fromkeys(requested)], []
    newest = _select_newest(_iter_installed("cpython>=3.11"))
    missing = [f"3.{minor}" for minor in SUPPORTED_MINORS if (minor, False) not in newest]
    return [_describe_python(newest[key]) for key in sorted(newest) if key[0] in SUPPORTED_MINORS], missing


@functools.cache
def list_installed_pythons() -> Mapping[str, Path]:
    """Return the program of the newest release of each CPython of this machine, by version: "3.13", "3.13t"."""
    newest = _select_newest(_iter_installed("cpython>=3.11"))
    return {f"3.{minor}" + ("t" if free else ""): program for (minor, free), program in sorted(newest.items())}


def list_installed() -> list[Python]:
    """Return the newest release of each installed CPython that wheels are built for, the oldest version first."""
    newest = _select_newest(_iter_installed(f"cpython>={load_abis()[0].python}"))
    known = {(abi.minor, abi.free_threaded) for abi in load_abis()}
    return [_describe_python(newest[key]) for key in sorted(newest.keys() & known)]


def choose_wheel(wheels: Iterable[Path], python: Python) -> Path | None:
    """Return the wheel that an installer prefers for this interpreter; None if it accepts none of them."""
    ranks = {tag: rank for rank, tag in enumerate(python.tags)}
    fitting = [
        (min(ranks[str(tag)] for tag in tags), wheel)
        for wheel in wheels
        if (tags := [tag for tag in parse_wheel_name(wheel.name).tags if str(tag) in ranks])
    ]
    return min(fitting)[1] if fitting else None


def list_pyenv_pythons(environ: Mapping[str, str], home: Path, windows: bool, versions: str = "3.*") -> list[Path]:
    """Return the programs of pyenv's ``versions`` (a glob pattern), which aren't on PATH."""
    place = environ.get("PYENV_ROOT") or environ.get("PYENV") or str(home / ".pyenv" / ("pyenv-win" if windows else ""))
    return sorted(Path(place).glob(f"versions/{versions}/{'python.exe' if windows else 'bin/python'}"))


def drop_shims(environ: Mapping[str, str], separator: str) -> dict[str, str]:
    """Return the environment without pyenv's shims on PATH: slow scripts, which fail where no version is set."""
    folders = environ.get("PATH", "").split(separator)
    kept = [folder for folder in folders if not re.search(r"[/\\]shims[/\\]?$", folder)]
    return {**environ, "PATH": separator.join(kept)}


def _iter_installed(key: str) -> Iterable[python_discovery.PythonInfo]:
    return python_discovery.iter_interpreters(
        key,
        try_first_with=[str(path) for path in list_pyenv_pythons(os.environ, Path.home(), os.name == "nt")],
        env=drop_shims(os.environ, os.pathsep),
        cache=python_discovery.DiskCache(get_cache_folder() / "pythons"),
    )


def _select_newest(infos: Iterable[python_discovery.PythonInfo]) -> dict[tuple[int, bool], Path]:
    """Return the program of the newest release of each (minor version, whether it is free-threaded)."""
    found: dict[tuple[int, bool], Path] = {}
    for info in sorted(infos, key=lambda info: info.version_info[:3]):
        if not info.debug_build:
            found[info.version_info[1], bool(info.free_threaded)] = Path(info.system_executable or info.executable)
    return found


def _resolve(name: str) -> Path:
    if match := re.fullmatch(r"3\.(\d+)(t?)", name):
        found = _select_newest(_iter_installed(f"cpython3.{match[1]}{match[2]}"))
        key = int(match[1]), bool(match[2])
        if key not in found:
            raise WheelworksError(f"no CPython {name} on this machine", INSTALL_HINT.format(version=name))
        return found[key]
    if not Path(name).is_file():
        hint = "use X.Y, such as 3.13 or 3.14t, or a path"
        raise UsageError(f"--python {name}: neither a version nor a program", hint)
    return Path(name)


def _describe_python(executable: Path) -> Python:
    library = str(Path(str(packaging.__file__)).parents[1])
    completed = process.run([executable, "-I", "-c", _DESCRIBE, library], timeout=60)
    try:
        answer = json.loads(completed.output.splitlines()[-1])
        return Python(executable, answer["version"], answer["free_threaded"], tuple(answer["tags"]))
    except (ValueError, IndexError, KeyError, TypeError):
        output = " ".join(completed.output.split())[-200:]
        raise WheelworksError(f"{executable} doesn't list the wheel tags that it accepts: {output}") from None


# --- interpreters that run build backends -----------------------------------------------------------------------------


@dataclass(frozen=True)
class BuildPython:
    """The interpreter that runs build backends: its program, version ("3.11.7") and folder of C headers."""

    executable: Path
    version: str
    headers: Path


def find_build_python(version: str = BUILD_VERSION, chosen: str = "") -> BuildPython:
    """Return a CPython of that version with its headers: the ``chosen`` program, or one of this machine.

    Raises WheelworksError that names the ways to get one, UsageError for a chosen file that isn't there.
    """
    hint, headerless = BUILD_PYTHON_HINT.format(version=version), dict[Path, Path]()

    def accepts(info: python_discovery.PythonInfo) -> bool:
        found = _describe_build_python(info)
        if not (found.headers / "Python.h").is_file():
            headerless[found.executable] = found.headers
            return False
        return not info.free_threaded and not info.debug_build

    key = _resolve_program(chosen, hint) or f"cpython{version}"
    try:
        info = python_discovery.get_interpreter(key, try_first_with=[sys.executable], predicate=accepts)
    except RuntimeError as error:
        reason = str(error).splitlines()[0][:200]
        raise WheelworksError(f"--python {chosen} can't be asked for its version: {reason}", hint) from error
    if info is None:
        raise WheelworksError(_explain_rejection(version, chosen, headerless), hint)
    found = _describe_build_python(info)
    if not found.version.startswith(f"{version}."):
        raise WheelworksError(f"--python {chosen} is CPython {found.version}, not {version}", hint)
    return found


def _resolve_program(chosen: str, hint: str) -> str:
    """Return a path absolute, and a version or a name as it is. Raises UsageError for a file that isn't there."""
    if not {os.sep, os.altsep} & set(chosen):
        return chosen
    path = Path(chosen).expanduser().absolute()
    if not path.is_file():
        raise UsageError(f"--python {chosen}: no such file", hint)
    return str(path)


def _explain_rejection(version: str, chosen: str, headerless: Mapping[Path, Path]) -> str:
    lacking = "; ".join(f"{program} has no C headers in {headers}" for program, headers in headerless.items())
    if not chosen:
        return f"no CPython {version} on this machine has what a build needs{f': {lacking}' if lacking else ''}"
    return f"--python {chosen}: {lacking or 'not found, or a free-threaded or debug build, which can run no build'}"


@functools.cache
def list_build_pythons() -> tuple[BuildPython, ...]:
    """Return every CPython of `BUILD_VERSION` with headers, in the order of preference; one for each header folder."""
    found: dict[Path, BuildPython] = {}

    def collect(info: python_discovery.PythonInfo) -> bool:
        python = _describe_build_python(info)
        usable = not info.free_threaded and not info.debug_build and (python.headers / "Python.h").is_file()
        if usable and python.version.startswith(f"{BUILD_VERSION}."):
            found.setdefault(python.headers.resolve(), python)
        return False  # continue the search

    python_discovery.get_interpreter(f"cpython{BUILD_VERSION}", try_first_with=[sys.executable], predicate=collect)
    return tuple(found.values())


def _describe_build_python(info: python_discovery.PythonInfo) -> BuildPython:
    version = ".".join(map(str, info.version_info[:3]))
    return BuildPython(Path(info.system_executable or info.executable), version, Path(info.system_include))
