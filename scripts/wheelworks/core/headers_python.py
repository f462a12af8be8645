"""The Python that runs build backends: one of the oldest version that wheels serve, with its headers."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import python_discovery

from wheelworks.core.errors import WheelworksError

# Headers of a later Python promise functions that this one lacks, and from 3.13 on spell others differently.
FLOOR = "3.11"

WAYS = """\
any of these brings one:
  uv python install {version}                          (any system)
  pyenv install {version}                              (Linux, macOS)
  sudo apt install python{version}-dev python{version}-venv (Debian, Ubuntu; where that release has it)
  brew install python@{version}                        (macOS)
  winget install Python.Python.{version}               (Windows)
or name one: --python /path/to/python{version}"""


@dataclass(frozen=True)
class BuildPython:
    """The interpreter that runs build backends: its program, version ("3.11.7") and folder of C headers."""

    executable: Path
    version: str
    headers: Path


def find(version: str = FLOOR, chosen: str = "") -> BuildPython:
    """A CPython of that version with its headers: the ``chosen`` one, or whatever is found on this machine.

    Looks where python-discovery does: this interpreter, PATH, pyenv, uv's, the Windows registry.
    Raises WheelworksError that names the ways to get one.
    """
    without: list[Path] = []

    def fits(info: python_discovery.PythonInfo) -> bool:
        found = _from(info)
        if not (found.headers / "Python.h").is_file():
            without.append(found.executable)
            return False
        return not info.free_threaded and not info.debug_build

    try:
        info = python_discovery.get_interpreter(
            chosen or f"cpython{version}", try_first_with=[sys.executable], predicate=fits
        )
    except RuntimeError as error:
        said = str(error).splitlines()[0][:200]
        raise WheelworksError(f"--python {chosen} can't be asked for its version: {said}", _ways(version)) from error
    if info is None:
        what = f"--python {chosen}" if chosen else f"no CPython {version} on this machine"
        where = f" ({', '.join(map(str, dict.fromkeys(without)))} has no C headers)" if without else ""
        raise WheelworksError(f"{what} has what a build needs: CPython {version} with headers{where}", _ways(version))
    if info.version_info[:2] != tuple(map(int, version.split("."))):
        raise WheelworksError(f"--python {chosen} is CPython {_from(info).version}, not {version}", _ways(version))
    return _from(info)


def _ways(version: str) -> str:
    return WAYS.format(version=version)


def _from(info: python_discovery.PythonInfo) -> BuildPython:
    version = ".".join(map(str, info.version_info[:3]))
    return BuildPython(Path(info.system_executable or info.executable), version, Path(info.system_include))
