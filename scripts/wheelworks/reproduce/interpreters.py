"""The other CPythons of the floor's version on this machine: another patch version, other headers."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import python_discovery

from wheelworks.reproduce.environment import RebuildEnvironment

FLOOR = "3.11"


@dataclass(frozen=True)
class _Found:
    program: Path
    version: str
    headers: Path


@functools.cache
def _all() -> tuple[_Found, ...]:
    """Every one with headers, in the order in which the builder would take them, each once."""
    found: dict[Path, _Found] = {}

    def note(info: python_discovery.PythonInfo) -> bool:
        program, headers = Path(info.system_executable or info.executable), Path(info.system_include)
        fits = not info.free_threaded and not info.debug_build and (headers / "Python.h").is_file()
        if fits and info.version_info[:2] == tuple(map(int, FLOOR.split("."))):
            version = ".".join(map(str, info.version_info[:3]))
            found.setdefault(headers.resolve(), _Found(program, version, headers))
        return False  # go on looking

    python_discovery.get_interpreter(f"cpython{FLOOR}", try_first_with=[sys.executable], predicate=note)
    return tuple(found.values())


def missing() -> str:
    """Why there is no other Python to take; "" where there is one."""
    return "" if len(_all()) > 1 else f"there is one CPython {FLOOR} with headers only on this machine"


def how() -> str:
    """What is taken in place of what."""
    usual, other = _all()[:2]
    return f"{other.version} ({other.program}) in place of {usual.version}"


def with_another(now: RebuildEnvironment) -> RebuildEnvironment:
    """The surroundings with the other one."""
    return replace(now, python=str(_all()[1].program))
