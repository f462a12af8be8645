"""The Python that the ABI's floor asks for, and its headers made fit for every target."""

from __future__ import annotations

import hashlib
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import python_discovery

from wheelworks import cache
from wheelworks.errors import WheelworksError

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

_OURS = Path(__file__).with_name("pyconfig.h")


@dataclass(frozen=True)
class BuildPython:
    """The interpreter that runs build backends: its program, version ("3.11.7") and folder of C headers."""

    executable: Path
    version: str
    headers: Path

    @property
    def nodot(self) -> str:
        """The version as file names have it: "311"."""
        return "".join(self.version.split(".")[:2])


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

    info = python_discovery.get_interpreter(
        chosen or f"cpython{version}", try_first_with=[sys.executable], predicate=fits
    )
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


def target_headers(python: BuildPython) -> tuple[Path, str]:
    """A copy of the interpreter's headers with our ``pyconfig.h``, fit for every target; and its SHA-256.

    Python.h finds the pyconfig.h beside it before any other, so that no search path could do instead.
    """
    names = sorted(path.relative_to(python.headers) for path in python.headers.rglob("*.h"))
    digest = hashlib.sha256()
    for name in names:
        contents = (_OURS if name == Path("pyconfig.h") else python.headers / name).read_bytes()
        digest.update(f"{name.as_posix()}\0{len(contents)}\0".encode() + contents)

    def make(place: Path) -> None:
        for name in names:
            (place / name).parent.mkdir(exist_ok=True, parents=True)
            shutil.copyfile(python.headers / name, place / name)
        shutil.copyfile(_OURS, place / "pyconfig.h")

    return cache.keep(f"headers/{python.version}-{digest.hexdigest()[:16]}", make), digest.hexdigest()
