"""A folder's manifest and its page, written together: what every command that adds to a manifest ends with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wheelworks import console, manifest
from wheelworks.commands import measured
from wheelworks.errors import WheelworksError
from wheelworks.execute.verdict import Verdict
from wheelworks.report import page


def save(record: manifest.Record, folder: Path) -> Path:
    """Write a folder's manifest, and the page that is made of it; returns the manifest's path."""
    place = manifest.save(record, folder)
    write(record, folder)
    return place


def write(record: manifest.Record, folder: Path) -> Path:
    """Write the page of a folder's manifest, whole or not at all."""
    return manifest.write(folder / page.FILE, page.render(record, *measured.sections(folder)).encode())


def previous(folder: Path) -> manifest.Record | None:
    """A folder's manifest for a build to add to; None where there is none, or none that can be read, which it says."""
    try:
        return manifest.load(folder)
    except WheelworksError as error:
        console.err.print(f"{error.message}: replaced", markup=False)
        return None


def refresh(folder: Path) -> None:
    """Write a folder's page again, if it has a manifest: what lies beside it has changed."""
    record = manifest.load(folder)
    if record is not None:
        write(record, folder)


def remember(wheels: Sequence[Path], verdicts: Sequence[Verdict]) -> None:
    """Add what running has shown to the manifests that know the wheels, in place of earlier runs of the same kind."""
    for folder in sorted({wheel.parent for wheel in wheels}):
        record = manifest.load(folder)
        if record is not None:
            fresh = {wheel.name: manifest.sha256(wheel) for wheel in wheels if wheel.parent == folder}
            told = [_told(known, fresh, verdicts) for known in record["wheels"]]
            if told != record["wheels"]:
                save({**record, "wheels": told}, folder)


def _told(known: manifest.Record, wheels: dict[str, str], verdicts: Sequence[Verdict]) -> manifest.Record:
    """One wheel's record with its verdicts; unchanged where the file is another one by now."""
    if wheels.get(known["file"]) != known["sha256"]:
        return known
    fresh = [verdict.record() for verdict in verdicts if verdict.wheel == known["file"]]
    ways = [run["how"] for run in fresh]
    before = known.get("runs") if isinstance(known.get("runs"), list) else []
    kept = [run for run in before or [] if isinstance(run, dict) and run.get("how") not in ways]
    return {**known, "runs": kept + fresh} if fresh else known
