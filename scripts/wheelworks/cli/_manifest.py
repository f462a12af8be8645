"""A folder's manifest and its page, written together: what every command that adds to a manifest ends with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from wheelworks.cli import _figures
from wheelworks.core import console, manifest
from wheelworks.core.errors import WheelworksError
from wheelworks.core.verdict import Verdict
from wheelworks.report import model, page


def save(record: manifest.Record, folder: Path) -> Path:
    """Write a folder's manifest, and the page that is made of it; returns the manifest's path."""
    place = manifest.save(record, folder)
    write(record, folder)
    return place


def write(record: manifest.Record, folder: Path) -> Path:
    """Write the page of a folder's manifest, whole or not at all."""
    return manifest.write(folder / page.FILE, page.render(record, *_figures.sections(folder)).encode())


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
    return _with_runs(known, [verdict.record() for verdict in verdicts if verdict.wheel == known["file"]])


def _with_runs(known: manifest.Record, fresh: Sequence[manifest.Record]) -> manifest.Record:
    ways = [run["how"] for run in fresh]
    kept = [run for run in _runs(known) if run.get("how") not in ways]
    return {**known, "runs": [*kept, *fresh]} if fresh else known


def _runs(known: manifest.Record) -> list[manifest.Record]:
    runs = known.get("runs")
    return [run for run in runs if isinstance(run, dict)] if isinstance(runs, list) else []


def gathered(record: manifest.Record, others: Iterable[manifest.Record]) -> manifest.Record:
    """A manifest with the native runs of CI's machines, from their copies of it; those of other files are told of."""
    found: dict[tuple[str, str], list[manifest.Record]] = {}
    for wheel in (wheel for other in others for wheel in other["wheels"]):
        found.setdefault((wheel["file"], wheel["sha256"]), []).extend(_in_ci(_runs(wheel)))
    wheels = [_with_runs(known, found.pop((known["file"], known["sha256"]), [])) for known in record["wheels"]]
    for file, _ in (key for key, runs in found.items() if runs):
        console.note(f"{file}: its native runs are left out: they are those of another file")
    return {**record, "wheels": wheels}


def _in_ci(runs: Iterable[manifest.Record]) -> list[manifest.Record]:
    """The native ones, which were done "here", wherever that was."""
    named = ((run, run.get("how")) for run in runs)
    return [
        {**run, "how": how.replace(model.HERE, model.IN_CI)}
        for run, how in named
        if isinstance(how, str) and model.HERE in how
    ]
