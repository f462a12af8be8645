"""What a wheel is made of, as two hashes: by these one knows that it need not be built again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

from wheelworks.build.context import Workshop
from wheelworks.core import manifest
from wheelworks.core.manifest import WheelRecord
from wheelworks.core.targets import Abi, Target

_SUITE = Path(__file__).parents[1]


def of(shop: Workshop, family: Sequence[Target], abi: Abi | None) -> manifest.Fingerprint:
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
        "builder": builder(),
        "family": [asdict(row) for row in family],
        "abi": asdict(abi) if abi else {},
    }
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    if abi is None:
        return manifest.Fingerprint(recipe_sha256=digest)
    found = shop.headers[abi.id]
    return manifest.Fingerprint(recipe_sha256=digest, headers=found.release, headers_sha256=found.sha256)


@cache
def builder() -> str:
    """SHA-256 over what builds: our code, and the lock files, of which a wheel's bill of materials tells."""
    files = [*_SUITE.glob("*.py"), *(_SUITE / "core").glob("*.py"), _SUITE / "build" / "pyconfig.h"]
    files += (_SUITE / "build").rglob("*.py")
    files += _SUITE.glob("locks/*.txt")
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(f"{path.relative_to(_SUITE).as_posix()}\0{manifest.sha256(path)}\n".encode())
    return total.hexdigest()


def unchanged(records: Sequence[WheelRecord], wanted: manifest.Fingerprint, rows: Sequence[Target]) -> bool:
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
