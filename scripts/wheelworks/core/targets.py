"""The matrix of targets and ABIs, and its only reader."""

from __future__ import annotations

import difflib
import platform
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from wheelworks.core.errors import UsageError, WheelworksError

T = TypeVar("T", "Target", "Abi")

TABLE = Path(__file__).parents[1] / "targets.toml"
_OS = {"linux": "linux", "darwin": "macos", "win32": "windows"}
_CPU = {"arm64": "aarch64", "amd64": "x86_64", "i686": "x86", "armv7l": "arm", "ppc64le": "powerpc64le"}


@dataclass(frozen=True)
class Target:
    """One row of ``targets.toml``; the file's head says what each field means."""

    id: str
    os: str
    cpu: str
    tags: tuple[str, ...]
    compiler: str
    model: str
    minimum: str
    platform: str
    machine: str
    run: tuple[str, ...]
    runner: str

    @property
    def family(self) -> tuple[str, str]:
        """Targets of one family run the same binary where it calls no libc."""
        return self.os, self.cpu


@dataclass(frozen=True)
class Abi:
    """An ABI of CPython that wheels are built for; the file's head says what each field means."""

    id: str
    specific: str
    python: str
    free_threaded: bool

    @property
    def nodot(self) -> str:
        """The Python as file names have it: "311", "314t"."""
        return self.python.replace(".", "") + ("t" if self.free_threaded else "")

    @property
    def tags(self) -> tuple[str, ...]:
        """The ABI tags of its wheels: ("abi3", "abi3t")."""
        return tuple(self.id.partition("-")[2].split("."))

    def makes(self, abi: str) -> bool:
        """Whether a wheel with these Python and ABI tags is what a project may build for it.

        A project may keep to the stable ABI of an older Python than the one it is built with.
        """
        python, _, tags = abi.partition("-")
        if abi == self.specific or tags != self.id.partition("-")[2]:
            return abi == self.specific
        older = python[:3] == "cp3" and python[3:].isdigit() and int(python[3:]) <= int(self.python[2:])
        return older if "abi3" in self.tags else abi == self.id


def parse(text: str) -> tuple[Target, ...]:
    """Read the targets of a table.

    Raises WheelworksError for a row with a missing, surplus or mistyped field, and for an id used twice.
    """
    targets = _rows(text, "target", Target)
    if empty := [target.id for target in targets if not target.tags]:
        raise WheelworksError(f"targets.toml: {empty[0]}: tags must name one at least")
    return targets


def parse_abis(text: str) -> tuple[Abi, ...]:
    """Read the ABIs of a table. Raises WheelworksError as ``parse`` does."""
    return _rows(text, "abi", Abi)


def _rows(text: str, kind: str, made: type[T]) -> tuple[T, ...]:
    try:
        rows = tomllib.loads(text)[kind]
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise WheelworksError(f"targets.toml: not a target table: {error}") from None
    found = tuple(made(**_fields(row, get_type_hints(made))) for row in rows)
    ids = [one.id for one in found]
    if len(set(ids)) != len(ids):
        raise WheelworksError(f"targets.toml: an id is used twice: {', '.join(sorted(ids))}")
    return found


def _fields(row: object, expected: Mapping[str, type]) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise WheelworksError(f"targets.toml: not a target table: {row!r} is no row")
    name = row.get("id", "(a row without id)")
    if wrong := sorted(expected.keys() ^ row.keys()):
        raise WheelworksError(f"targets.toml: {name}: missing or unknown: {', '.join(wrong)}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    for key, value in values.items():
        wanted = getattr(expected[key], "__origin__", expected[key])
        if not isinstance(value, wanted):
            raise WheelworksError(f"targets.toml: {name}: {key} must be a {wanted.__name__}, not {value!r}")
        if isinstance(value, tuple) and not all(isinstance(part, str) for part in value):
            raise WheelworksError(f"targets.toml: {name}: {key} must be of strings, not {value!r}")
    return values


@cache
def all_targets() -> tuple[Target, ...]:
    """Every target, in the table's order."""
    return parse(TABLE.read_text(encoding="utf-8"))


@cache
def all_abis() -> tuple[Abi, ...]:
    """Every ABI, in the table's order."""
    return parse_abis(TABLE.read_text(encoding="utf-8"))


def floor() -> Abi:
    """The ABI of the oldest Python: what a build for one ABI alone is for."""
    return min(all_abis(), key=lambda abi: int(abi.python.partition(".")[2]))


def find(name: str, among: Sequence[Target] | None = None) -> Target:
    """The target whose id or wheel tag is ``name``.

    Raises UsageError that names the nearest id.
    """
    targets = all_targets() if among is None else among
    for target in targets:
        if name == target.id or name in target.tags:
            return target
    raise _unknown("target", name, [target.id for target in targets])


def find_abi(name: str) -> Abi:
    """The ABI whose id is ``name``, or whose wheels of other projects are called so.

    Raises UsageError that names the nearest id.
    """
    for abi in all_abis():
        if name in (abi.id, abi.specific, *abi.tags):
            return abi
    raise _unknown("ABI", name, [abi.id for abi in all_abis()])


def _unknown(kind: str, name: str, known: list[str]) -> UsageError:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return UsageError(
        f"unknown {kind} {name!r}" + (f": did you mean {near[0]}?" if near else ""),
        f"the {kind}s are {', '.join(known)}",
    )


def select(names: Iterable[str]) -> tuple[Target, ...]:
    """The named targets, each once, in the table's order."""
    wanted = {find(name).id for name in names}
    return tuple(target for target in all_targets() if target.id in wanted)


def with_cpu(cpu: str) -> tuple[Target, ...]:
    """Every target of one CPU, in the table's order."""
    return tuple(target for target in all_targets() if target.cpu == cpu)


def family_of(target: Target) -> tuple[Target, ...]:
    """All targets that share the operating system and the CPU of ``target``, in the table's order."""
    return tuple(other for other in all_targets() if other.family == target.family)


def host(system: str = sys.platform, machine: str | None = None) -> Target | None:
    """The target that this machine is; None where the table has no row for it."""
    cpu = (platform.machine() if machine is None else machine).lower()
    family = _OS.get(system, system), _CPU.get(cpu, cpu)
    return next((target for target in all_targets() if target.family == family), None)
