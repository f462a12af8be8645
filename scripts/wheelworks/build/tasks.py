"""What the builder is asked for, and what comes of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from wheelworks.build import driver
from wheelworks.build.context import BuildContext
from wheelworks.core import manifest, plan
from wheelworks.core.errors import WheelworksError
from wheelworks.core.manifest import WheelRecord
from wheelworks.core.targets import Abi, Target


@dataclass(frozen=True)
class BuildTask:
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
    compilation: driver.Compilation


@dataclass(frozen=True)
class UpToDate:
    """A wheel that was there already, made of just the same things."""

    file: Path
    record: manifest.WheelRecord


@dataclass(frozen=True)
class Failed:
    """A job without a wheel, and why."""

    job: BuildTask
    error: WheelworksError


BuildResult = Built | UpToDate | Failed


def make_tasks(targets: Iterable[Target], abis: Iterable[Abi]) -> list[BuildTask]:
    """A job for each ABI and each family of ``targets``."""
    families: dict[tuple[str, str], list[Target]] = {}
    for target in targets:
        families.setdefault(target.family, []).append(target)
    return [BuildTask(tuple(rows), abi) for abi in abis for rows in families.values()]


_SUITE = Path(__file__).parents[1]


def compute_fingerprint(shop: BuildContext, family: Sequence[Target], abi: Abi | None) -> manifest.Fingerprint:
    """The hashes for the wheels of one family and ABI (none for the pure wheel).

    ``recipe_sha256`` is over the source, the tools, this builder and the rows of the matrix; ``headers_sha256`` stands
    apart, since another release's headers should make no difference.
    """
    recipe = {
        "tree": shop.source.sha256,
        "name": shop.source.name,
        "epoch": shop.source.epoch,
        "extra": dict(shop.extra),
        "toolchain": shop.toolchain().versions(),
        "builder": hash_builder(),
        "family": [asdict(row) for row in family],
        "abi": asdict(abi) if abi else {},
    }
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    if abi is None:
        return manifest.Fingerprint(recipe_sha256=digest)
    found = shop.headers[abi.id]
    return manifest.Fingerprint(recipe_sha256=digest, headers=found.release, headers_sha256=found.sha256)


@cache
def hash_builder() -> str:
    """SHA-256 over what builds: our code, and the lock files, of which a wheel's bill of materials tells."""
    files = [*_SUITE.glob("*.py"), *(_SUITE / "core").glob("*.py"), _SUITE / "build" / "pyconfig.h"]
    files += (_SUITE / "build").rglob("*.py")
    files += _SUITE.glob("locks/*.txt")
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(f"{path.relative_to(_SUITE).as_posix()}\0{manifest.sha256(path)}\n".encode())
    return total.hexdigest()


def is_up_to_date(records: Sequence[WheelRecord], wanted: manifest.Fingerprint, rows: Sequence[Target]) -> bool:
    """Return whether wheels with this fingerprint serve all of ``rows`` (none: whether there is such a wheel)."""
    fitting = [record for record in records if _hashes(record.fingerprint) == _hashes(wanted)]
    served = {name for record in fitting for name in record.targets}
    return bool(fitting) and {row.id for row in rows} <= served


def only_headers_differ(old: WheelRecord, new: WheelRecord) -> bool:
    """Return whether two wheels of one name were made of the same things but for CPython's headers."""
    before, after = _hashes(old.fingerprint), _hashes(new.fingerprint)
    return before[0] == after[0] and before != after


def _hashes(one: manifest.Fingerprint | None) -> tuple[str, str]:
    return (one.recipe_sha256, one.headers_sha256) if one else ("", "")
