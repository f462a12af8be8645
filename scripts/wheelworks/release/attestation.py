"""What goes with a release's files: their checksums, and an account of how they were made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wheelworks.core import manifest
from wheelworks.core.errors import WheelworksError
from wheelworks.reproduce.provenance import PREDICATE, PROVENANCE_FILE, STATEMENT

CHECKSUMS_FILE = "SHA256SUMS"
BUILD_TYPE = "urn:wheelworks:release:1"


def write_checksums(folder: Path, files: Iterable[Path]) -> Path:
    """Write ``SHA256SUMS`` as sha256sum does, sorted by name."""
    lines = [f"{manifest.sha256(path)}  {path.name}\n" for path in sorted(files)]
    return manifest.write(folder / CHECKSUMS_FILE, "".join(lines).encode())


def remove_attestation(folder: Path) -> None:
    """Remove what an earlier release has left: it tells of other files."""
    for name in (PROVENANCE_FILE, CHECKSUMS_FILE):
        (folder / name).unlink(missing_ok=True)


def check_checksums(folder: Path, names: Iterable[str]) -> None:
    """Hold a folder against its ``SHA256SUMS``. Raises WheelworksError for a file changed, missing or surplus."""
    recorded, there = _read_checksums(folder), {name for name in names if (folder / name).is_file()}
    for name in sorted(recorded.keys() ^ there):
        what = "is not there" if name in recorded else f"is not in {CHECKSUMS_FILE}"
        raise WheelworksError(f"{name} {what}", "start the release again")
    check_unchanged_files(folder)


def check_unchanged_files(folder: Path) -> None:
    """Hold those files of a folder that are there against its ``SHA256SUMS``, if it has one.

    Raises WheelworksError for a file that was changed.
    """
    for name, digest in _read_checksums(folder).items():
        if manifest.sha256(folder / name) not in ("", digest):
            hint = f"find out who did that; once {name} is deleted, the release makes it again"
            raise WheelworksError(f"{name} was changed after its checksum was written", hint)


def _read_checksums(folder: Path) -> dict[str, str]:
    lines = (
        (folder / CHECKSUMS_FILE).read_text(encoding="utf-8").splitlines()
        if (folder / CHECKSUMS_FILE).is_file()
        else []
    )
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def create_provenance(
    files: Iterable[Path], record: manifest.Manifest, commit: str, stem: str, locks: Mapping[str, str]
) -> dict[str, Any]:
    """An in-toto statement (v1) with SLSA provenance (v1) of ``files``; ``locks`` are lock files' SHA-256 by path.

    It holds no time of day, so that whoever makes the release again writes the same.
    """
    subjects = [{"name": path.name, "digest": {"sha256": manifest.sha256(path)}} for path in sorted(files)]
    materials = [{"uri": f"pkg:generic/{stem}", "digest": {"gitCommit": commit}}]
    materials += [{"uri": f"pkg:generic/{stem}#{name}", "digest": {"sha256": locks[name]}} for name in sorted(locks)]
    return {
        "_type": STATEMENT,
        "subject": subjects,
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"command": "nox -s build-wheels", "env": []},
                "internalParameters": {"epoch": record.source.epoch, "toolchain": record.toolchain.versions()},
                "resolvedDependencies": materials,
            },
            "runDetails": {"builder": {"id": BUILD_TYPE}},
        },
    }


def write_provenance(folder: Path, statement: Mapping[str, Any]) -> Path:
    """Write ``provenance.json``."""
    return manifest.write(folder / PROVENANCE_FILE, (json.dumps(statement, indent=2, sort_keys=True) + "\n").encode())
