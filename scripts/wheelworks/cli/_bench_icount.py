"""``bench --work``: the instructions of each wheel's functions, against a baseline that is checked in."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from wheelworks.bench import baseline, work
from wheelworks.bench.baseline import Change, Work
from wheelworks.cli import _figures, _manifest
from wheelworks.core import console, manifest, process
from wheelworks.core.errors import UsageError
from wheelworks.core.wheel import parse_wheel_name


def run(folder: Path, *, renew: bool) -> int:
    """Count, show, write FOLDER/work.json; 1 where a count is above the baseline's. Raises WheelworksError."""
    wheels = _wheels(folder)
    with console.Progress() as progress, ProcessPoolExecutor(process.count_cores()) as pool:
        progress.say("work", f"counting the instructions of {len(wheels)} wheels")
        works = list(pool.map(work.measure, wheels))
    place = folder / _figures.FOLDER
    place.mkdir(exist_ok=True)
    manifest.write(place / _figures.WORK, baseline.document(works).encode())
    _manifest.refresh(folder)
    show(works)
    if renew:
        manifest.write(baseline.BASELINE, baseline.document(works).encode())
        console.note(f"the baseline is now what was counted: {len(works)} wheels")
        return 0
    return conclude(list(baseline.compare(works, baseline.load())))


def conclude(changes: Sequence[Change]) -> int:
    """Tell of every change; 1 if one is a loss."""
    for change in changes:
        (console.error if change.lost else console.note)(change.text)
    if changes:
        console.note("a change that is meant becomes the baseline by: nox -s bench -- --work --renew")
    return int(any(change.lost for change in changes))


def _wheels(folder: Path) -> list[Path]:
    """The folder's wheels of this package that have machine code. Raises UsageError where there is none."""
    found = [path for path in sorted(folder.glob("tornado_speedups-*.whl")) if not _is_pure(path)]
    if not found:
        raise UsageError(f"{folder}: there is no wheel of this package with C in it", "nox -s build-wheels")
    return found


def _is_pure(wheel: Path) -> bool:
    return parse_wheel_name(wheel.name).platforms == {"any"}


def show(works: Sequence[Work]) -> None:
    """A table of what a byte costs, one of what a call does, in the worst wheel of a CPU."""
    for title, figure, form in (
        ("byte", baseline.per_byte, ".2f"),
        ("call, beside its bytes", baseline.per_call, ",.0f"),
    ):
        cpus = sorted({one.cpu for one in works if one.counts})
        table = console.table(f"instructions per {title}, at most", "", *cpus)
        for name in work.CALLS:
            highest = (max(figure(one.counts[name]) for one in works if one.cpu == cpu) for cpu in cpus)
            table.add_row(name, *(format(number, form) for number in highest))
        console.out.print(table)
    for one in works:
        if one.why:
            console.note(f"{one.tags}: not counted: {one.why}")
