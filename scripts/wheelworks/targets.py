"""The target table and its only reader."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from wheelworks.errors import UsageError, WheelworksError

TABLE = Path(__file__).with_name("targets.toml")


@dataclass(frozen=True)
class Target:
    """One row of ``targets.toml``; the file's head says what each field means."""

    id: str
    os: str
    cpu: str
    tags: tuple[str, ...]
    compiler: str
    minimum: str
    platform: str
    machine: str
    run: tuple[str, ...]
    runner: str

    @property
    def family(self) -> tuple[str, str]:
        """Targets of one family run the same binary where it calls no libc."""
        return self.os, self.cpu


def parse(text: str) -> tuple[Target, ...]:
    """Read a target table.

    Raises WheelworksError for a row with a missing, surplus or mistyped field, and for an id used twice.
    """
    try:
        rows = tomllib.loads(text)["target"]
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise WheelworksError(f"targets.toml: not a target table: {error}") from None
    targets = tuple(_row(row) for row in rows)
    ids = [target.id for target in targets]
    if len(set(ids)) != len(ids):
        raise WheelworksError(f"targets.toml: an id is used twice: {', '.join(sorted(ids))}")
    return targets


def _row(row: object) -> Target:
    if not isinstance(row, dict):
        raise WheelworksError(f"targets.toml: not a target table: {row!r} is no row")
    name = row.get("id", "(a row without id)")
    expected = {field.name for field in fields(Target)}
    if wrong := sorted(expected ^ row.keys()):
        raise WheelworksError(f"targets.toml: {name}: missing or unknown: {', '.join(wrong)}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    for key, value in values.items():
        wanted = tuple if key in ("tags", "run") else str
        if not isinstance(value, wanted):
            raise WheelworksError(f"targets.toml: {name}: {key} must be a {wanted.__name__}, not {value!r}")
        if not all(isinstance(part, str) for part in value):
            raise WheelworksError(f"targets.toml: {name}: {key} must be of strings, not {value!r}")
    if not values["tags"]:
        raise WheelworksError(f"targets.toml: {name}: tags must name one at least")
    return Target(**values)  # type: ignore[arg-type]  # checked just above


@cache
def all_targets() -> tuple[Target, ...]:
    """Every target, in the table's order."""
    return parse(TABLE.read_text(encoding="utf-8"))


def find(name: str, among: Sequence[Target] | None = None) -> Target:
    """The target whose id or wheel tag is ``name``.

    Raises UsageError that names the nearest id.
    """
    targets = all_targets() if among is None else among
    for target in targets:
        if name == target.id or name in target.tags:
            return target
    known = [target.id for target in targets]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    raise UsageError(
        f"unknown target {name!r}" + (f": did you mean {near[0]}?" if near else ""),
        f"the targets are {', '.join(known)}",
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
