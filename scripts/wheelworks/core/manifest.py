"""``manifest.json``: what the sessions know of a folder's wheels, and where they meet.

It holds no time of day, no duration and no path, so that two builds of one source give the same file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wheelworks.core.errors import WheelworksError

SCHEMA = 1
FILE = "manifest.json"

Record = dict[str, Any]


def schema() -> Record:
    """What a manifest looks like, as JSON Schema."""
    found: Record = json.loads(Path(__file__).with_name("manifest.schema.json").read_text(encoding="utf-8"))
    return found


def load(folder: Path) -> Record | None:
    """The folder's manifest; None where there is none. Raises WheelworksError for one that can't be read."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if wrong := [name for name, fits in _parts(found).items() if not fits]:
            raise ValueError(f"its {wrong[0]} can't be read")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WheelworksError(f"{path}: no manifest of this version: {error}", "delete it and build again") from error
    return dict(found)


def _parts(record: Record) -> dict[str, bool]:
    """Whether each part has what its readers take for granted, which is less than the schema asks for.

    Raises KeyError or TypeError for one that isn't there.
    """
    return {
        "schema": record["schema"] == SCHEMA,
        "source": isinstance(record["source"]["epoch"], int),
        "toolchain": isinstance(record["toolchain"], dict),
        "wheels": isinstance(record["wheels"], list) and all(map(_is_a_wheel, record["wheels"])),
    }


def _is_a_wheel(record: Record) -> bool:
    named = isinstance(record["file"], str) and isinstance(record["sha256"], str)
    if "inputs" not in record:
        return named
    return named and isinstance(record["inputs"], dict) and isinstance(record["targets"], list) and "abi" in record


def merge(
    old: Record | None, source: Mapping[str, Any], toolchain: Mapping[str, Any], wheels: Iterable[Record]
) -> Record:
    """A manifest with ``wheels`` in it: beside those of an earlier build of the same source and tools, else alone.

    A wheel that was built again to the same bytes keeps what other sessions have found out about it.
    """
    kept: dict[str, Record] = {}
    if old is not None and old.get("source") == source and old.get("toolchain") == toolchain:
        kept = {wheel["file"]: wheel for wheel in old["wheels"]}
    for wheel in wheels:
        before = kept.get(wheel["file"], {})
        kept[wheel["file"]] = {**before, **wheel} if before.get("sha256") == wheel["sha256"] else wheel
    return {
        "schema": SCHEMA,
        "source": dict(source),
        "toolchain": dict(toolchain),
        "wheels": [kept[name] for name in sorted(kept)],
    }


def existing(record: Record, folder: Path) -> Record:
    """The same manifest without the wheels that are gone, or are no longer what it says they are."""
    kept = [wheel for wheel in record["wheels"] if sha256(folder / wheel["file"]) == wheel["sha256"]]
    return {**record, "wheels": kept}


def save(record: Record, folder: Path) -> Path:
    """Write a folder's manifest, whole or not at all."""
    text = json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return write(folder / FILE, text.encode())


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal; "" where there is no file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def write(path: Path, data: bytes) -> Path:
    """Write a file so that it appears whole or not at all."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(name, 0o644)  # mkstemp's 600 is for secrets
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def sweep(folder: Path, names: Iterable[str]) -> None:
    """Remove what `write` has left of files with these names where it was killed."""
    begun = tuple(f".{name}." for name in names)
    for path in folder.iterdir():
        if path.name.startswith(begun) and re.fullmatch(r"[a-z0-9_]{8}", path.name.rpartition(".")[2]):
            path.unlink(missing_ok=True)
