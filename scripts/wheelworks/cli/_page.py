"""Update a folder's manifest together with the page that is made from it and from the figures in DIR/bench/."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from wheelworks.audit.findings import CODES
from wheelworks.bench import icount, measurements, plot
from wheelworks.core import console, manifest
from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import hash_file, write_file
from wheelworks.core.manifest import Manifest, RunRecord, WheelRecord
from wheelworks.core.verdict import Verdict
from wheelworks.report import model, page


def save_with_page(record: Manifest, folder: Path) -> Path:
    """Write a folder's manifest and its page; returns the page's path."""
    manifest.save(record, folder)
    return write_page(record, folder)


def write_page(record: Manifest, folder: Path) -> Path:
    """Write the page of a folder's manifest, whole or not at all; returns its path."""
    files = frozenset(path.name for path in folder.iterdir() if path.is_file())
    codes = {code.id: (code.what, code.do) for code in CODES.values()}
    # Commands on the page name a folder outside of this one as its parent does: others read the page, too.
    beside = page.Beside(folder.name if folder.is_absolute() else str(folder), files, codes)
    return write_file(folder / page.FILE, page.render_page(record, load_sections(folder), beside).encode())


def update(folder: Path, change: Callable[[Manifest], Manifest]) -> Path | None:
    """Change a folder's manifest and write its page; return the page's path, None for a folder without a manifest.

    ``change`` is given the manifest as it is now, not as it was when this session began.
    """
    with manifest.lock(folder):
        record = manifest.load(folder)
        return save_with_page(change(record), folder) if record else None


def load_previous(folder: Path) -> Manifest | None:
    """Return a folder's manifest; None where there is none, or, after a note, an unreadable one."""
    try:
        return manifest.load(folder)
    except WheelworksError as error:
        console.print_note(f"{error.message}: replaced")
        return None


def refresh_page(folder: Path) -> Path | None:
    """Write a folder's page again, after the files beside it have changed; see `update`."""
    return update(folder, lambda record: record)


def hash_wheels(wheels: Iterable[Path]) -> dict[Path, str]:
    """Return the SHA-256 of wheels that are going to be run, for `record_runs`."""
    return {wheel: hash_file(wheel) for wheel in wheels}


def record_runs(hashes: Mapping[Path, str], verdicts: Sequence[Verdict]) -> None:
    """Add the verdicts to the manifests of the wheels' folders, in place of earlier runs of the same kind.

    ``hashes`` are those of the wheels before they were run: another session may have built them again since.
    """
    for folder in sorted({wheel.parent for wheel in hashes}):
        here = {wheel.name: digest for wheel, digest in hashes.items() if wheel.parent == folder}
        update(folder, partial(_add_runs, here, verdicts))


def _add_runs(hashes: Mapping[str, str], verdicts: Sequence[Verdict], record: Manifest) -> Manifest:
    fresh = {one.file for one in record.wheels if hashes.get(one.file) == one.sha256}
    runs = {file: [verdict.record() for verdict in verdicts if verdict.wheel == file] for file in fresh}
    return replace(record, wheels=[_with_runs(known, runs.get(known.file, [])) for known in record.wheels])


def _with_runs(known: WheelRecord, fresh: Sequence[RunRecord]) -> WheelRecord:
    ways = [run.how for run in fresh]
    return replace(known, runs=[*(run for run in known.runs if run.how not in ways), *fresh]) if fresh else known


def add_native_runs(record: Manifest, others: Iterable[Manifest]) -> Manifest:
    """Return a manifest with the native runs of CI's machines, from their copies of it.

    The runs of other files are left out, with a note.
    """
    found: dict[tuple[str, str], list[RunRecord]] = {}
    for wheel in (wheel for other in others for wheel in other.wheels):
        found.setdefault((wheel.file, wheel.sha256), []).extend(_in_ci(wheel.runs))
    wheels = [_with_runs(known, found.pop((known.file, known.sha256), [])) for known in record.wheels]
    for file, _ in (key for key, runs in found.items() if runs):
        console.print_note(f"{file}: its native runs are left out: they are those of another file")
    return replace(record, wheels=wheels)


def _in_ci(runs: Iterable[RunRecord]) -> list[RunRecord]:
    """Return the native runs, which say "here", wherever that was."""
    return [replace(run, how=run.how.replace(model.HERE, model.IN_CI)) for run in runs if model.HERE in run.how]


COPY = "bytes() of a bytearray: the limit for many bytes; for few, the call itself is what counts"
FOLDER, SPEED, ICOUNT = "bench", "bench.json", "icount.json"


def load_sections(folder: Path) -> list[page.Section]:
    """Return a section for each file of figures beside wheels. Unreadable files are reported and left out."""
    found: list[page.Section] = []
    for file, make in ((folder / FOLDER / SPEED, _speed), (folder / FOLDER / ICOUNT, _icount)):
        try:
            found += [make(file)] if file.is_file() else []
        except WheelworksError as error:
            console.print_note(f"{error.message}: left out of the page")
    return found


def _speed(file: Path) -> page.Section:
    results = measurements.load_results(file)
    figures = [one for suite, found in results.items() for one in _suite_figures(suite, found, file.parent)]
    return page.Section("Speed", "speed", {**measurements.load_facts(file), "copy": COPY}, figures)


def _suite_figures(suite: str, found: Sequence[measurements.Measurement], folder: Path) -> list[page.Figure]:
    groups: dict[str, list[measurements.Measurement]] = {}
    for one in found:
        groups.setdefault(one.series, []).append(one)
    return [
        _figure(f"{suite}: {name}" if name else suite, folder / plot.plot_name(suite, name), group)
        for name, group in groups.items()
    ]


def _figure(title: str, file: Path, group: Sequence[measurements.Measurement]) -> page.Figure:
    subjects = list(dict.fromkeys(one.subject for one in group))
    medians = {(one.case, one.subject): f"{one.median:,.0f} {one.unit}" for one in group}
    rows = [
        [case, *(medians.get((case, one), "") for one in subjects)] for case in dict.fromkeys(one.case for one in group)
    ]
    return page.Figure(title, file.read_bytes() if file.is_file() else b"", subjects, rows)


def _icount(file: Path) -> page.Section:
    known = icount.load_counts(file)["wheels"]
    names = list(dict.fromkeys(name for row in known.values() for name in row if name != icount.UNSUPPORTED))
    rows = [[tags, *(_cost(row, name) for name in names)] for tags, row in known.items()]
    title = "Instructions per call + per byte, counted on the emulated CPU"
    return page.Section("Instructions on every CPU", "icount", {}, [page.Figure(title, b"", names, rows)])


def _cost(row: dict[str, str], name: str) -> str:
    if name not in row:
        return "unsupported"
    counts = icount.parse_counts(row[name])
    return f"{icount.cost_per_call(counts):,.0f} + {icount.cost_per_byte(counts):.2f}"
