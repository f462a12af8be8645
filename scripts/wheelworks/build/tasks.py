"""What the builder is asked for, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from wheelworks.build import report
from wheelworks.core import manifest, plan
from wheelworks.core.errors import WheelworksError
from wheelworks.core.targets import Abi, Target


@dataclass(frozen=True)
class Job:
    """One ABI for targets of one family: usually one wheel. Without an ABI it is the pure wheel, for no target."""

    rows: tuple[Target, ...]
    abi: Abi | None

    def __str__(self) -> str:
        return f"{self.rows[0].id}, {self.abi.id}" if self.abi else plan.PURE


@dataclass(frozen=True)
class Built:
    """A wheel that was built, verified and written: its file, and what the manifest keeps of it."""

    file: Path
    record: manifest.WheelRecord
    seconds: float
    compilation: report.Compilation


@dataclass(frozen=True)
class Kept:
    """A wheel that was there already, made of just the same things."""

    file: Path
    record: manifest.WheelRecord


@dataclass(frozen=True)
class Failed:
    """A job without a wheel, and why."""

    job: Job
    error: WheelworksError


Outcome = Built | Kept | Failed


def jobs(targets: Iterable[Target], abis: Iterable[Abi]) -> list[Job]:
    """A job for each ABI and each family of ``targets``."""
    families: dict[tuple[str, str], list[Target]] = {}
    for target in targets:
        families.setdefault(target.family, []).append(target)
    return [Job(tuple(rows), abi) for abi in abis for rows in families.values()]
