"""The CPythons of this machine, and which wheel each of them takes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import packaging
import python_discovery

from wheelworks.core import cache, process
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.wheel import parse_wheel_name

MINORS = range(11, 16)  # of Python 3: those that the package's classifiers name
WAYS = "uv python install {version}, or pyenv install {version}, or name a program: --python PATH"

_ASKED = """\
import json, sys, sysconfig
sys.path.insert(0, sys.argv[1])
from packaging.tags import sys_tags
free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
version = "%d.%d.%d" % sys.version_info[:3]
print(json.dumps({"version": version, "free_threaded": free, "tags": list(map(str, sys_tags()))}))
"""


@dataclass(frozen=True)
class Python:
    """An interpreter: its program, version ("3.13.0"), kind, and the tags of wheels that it takes, best first."""

    executable: Path
    version: str
    free_threaded: bool
    tags: tuple[str, ...]

    @property
    def label(self) -> str:
        """What people call it: "3.14.0t" is free-threaded."""
        return self.version + ("t" if self.free_threaded else "")


def find(asked: Sequence[str] = ()) -> tuple[list[Python], list[str]]:
    """The interpreters asked for ("3.13", "3.14t", a path), or every one there is; and the versions there are none of.

    Of each version the newest is taken. Raises UsageError for what is no version, WheelworksError for a version or a
    program that isn't there.
    """
    if asked:
        return [_ask(_one(name)) for name in dict.fromkeys(asked)], []
    newest = _newest(_all("cpython>=3.11"))
    missing = [f"3.{minor}" for minor in MINORS if (minor, False) not in newest]
    return [_ask(newest[key]) for key in sorted(newest) if key[0] in MINORS], missing


def best_wheel(wheels: Iterable[Path], python: Python) -> Path | None:
    """The wheel that this interpreter likes best, or None if it takes none of them."""
    ranks = {tag: rank for rank, tag in enumerate(python.tags)}
    fitting = [
        (min(ranks[str(tag)] for tag in tags), wheel)
        for wheel in wheels
        if (tags := [tag for tag in parse_wheel_name(wheel.name).tags if str(tag) in ranks])
    ]
    return min(fitting)[1] if fitting else None


def pyenv_pythons(environ: Mapping[str, str], home: Path, windows: bool, versions: str = "3.*") -> list[Path]:
    """The programs of pyenv's ``versions`` (a pattern), which are on no PATH."""
    place = environ.get("PYENV_ROOT") or environ.get("PYENV") or str(home / ".pyenv" / ("pyenv-win" if windows else ""))
    return sorted(Path(place).glob(f"versions/{versions}/{'python.exe' if windows else 'bin/python'}"))


def without_shims(environ: Mapping[str, str], separator: str) -> dict[str, str]:
    """The environment with a PATH without pyenv's shims: slow scripts that fail where no version is set."""
    folders = environ.get("PATH", "").split(separator)
    kept = [folder for folder in folders if not re.search(r"[/\\]shims[/\\]?$", folder)]
    return {**environ, "PATH": separator.join(kept)}


def _all(key: str) -> list[python_discovery.PythonInfo]:
    windows = os.name == "nt"
    return list(
        python_discovery.iter_interpreters(
            key,
            try_first_with=[str(path) for path in pyenv_pythons(os.environ, Path.home(), windows)],
            env=without_shims(os.environ, os.pathsep),
            cache=python_discovery.DiskCache(cache.folder() / "pythons"),
        )
    )


def _newest(
    infos: Iterable[python_discovery.PythonInfo],
) -> dict[tuple[int, bool], Path]:
    """The program of the newest of each minor version and kind."""
    found: dict[tuple[int, bool], Path] = {}
    for info in sorted(infos, key=lambda info: info.version_info[:3]):
        if not info.debug_build:
            found[info.version_info[1], bool(info.free_threaded)] = Path(info.system_executable or info.executable)
    return found


def _one(name: str) -> Path:
    if match := re.fullmatch(r"3\.(\d+)(t?)", name):
        found = _newest(_all(f"cpython3.{match[1]}{match[2]}"))
        key = int(match[1]), bool(match[2])
        if key not in found:
            raise WheelworksError(f"no CPython {name} on this machine", WAYS.format(version=name))
        return found[key]
    if not Path(name).is_file():
        raise UsageError(
            f"--python {name}: neither a version nor a program", "use X.Y, such as 3.13 or 3.14t, or a path"
        )
    return Path(name)


def _ask(executable: Path) -> Python:
    library = str(Path(str(packaging.__file__)).parents[1])
    ended = process.run([executable, "-I", "-c", _ASKED, library], timeout=60)
    try:
        told = json.loads(ended.output.splitlines()[-1])
        return Python(executable, told["version"], told["free_threaded"], tuple(told["tags"]))
    except (ValueError, IndexError, KeyError, TypeError):
        said = " ".join(ended.output.split())[-200:]
        raise WheelworksError(f"{executable} can't be asked what wheels it takes: {said}") from None
