"""Figures that lie beside wheels, in DIR/bench/: as plots in files, and as sections of the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wheelworks.bench import baseline, plot, results
from wheelworks.bench.measurements import Measurement
from wheelworks.core import console, manifest
from wheelworks.core.errors import WheelworksError
from wheelworks.markup import Safe
from wheelworks.report.figures import Figure, section

COPY = "bytes() of a bytearray: the limit for many bytes; for few, the call itself is what counts"
FOLDER, SPEED, WORK = "bench", "bench.json", "work.json"


def draw(file: Path) -> list[Path]:
    """Write a plot of each series of a file of figures beside it; returns them. Raises WheelworksError."""
    made = []
    for suite, found in results.load(file).items():
        for name, group in plot.series(found).items():
            place = file.parent / f"{_plain(suite)}-{_plain(name)}.svg"
            made.append(manifest.write(place, f"{_plot(suite, name, group)}\n".encode()))
    return made


def _plain(name: str) -> str:
    return "".join(one if one.isascii() and one.isalnum() else "-" for one in name)[:60]


def _plot(suite: str, name: str, group: Sequence[Measurement]) -> Safe:
    return plot.draw(f"{suite}: {name}", group[0].unit, plot.lines(group))


def sections(folder: Path) -> list[Safe]:
    """What was measured beside a folder's wheels; what can't be read is told, and left out."""
    found: list[Safe] = []
    for file, make in ((folder / FOLDER / SPEED, _speed), (folder / FOLDER / WORK, _work)):
        try:
            found += [make(file)] if file.is_file() else []
        except WheelworksError as error:
            console.note(f"{error.message}: left out of the page")
    return found


def _speed(file: Path) -> Safe:
    suites = results.load(file)
    return section(
        "How fast",
        {**results.about(file), "copy": COPY},
        [one for name in suites for one in _suite(name, suites[name])],
        "speed",
    )


def _suite(suite: str, found: Sequence[Measurement]) -> list[Figure]:
    plots = {name: _plot(suite, name, group) for name, group in plot.series(found).items()}
    groups: dict[str, list[Measurement]] = {}
    for one in found:
        groups.setdefault(one.series, []).append(one)
    return [_table(f"{suite}: {name}" if name else suite, plots.get(name), group) for name, group in groups.items()]


def _table(title: str, drawn: Safe | None, group: Sequence[Measurement]) -> Figure:
    subjects = list(dict.fromkeys(one.subject for one in group))
    medians = {(one.case, one.subject): f"{one.median:,.0f} {one.unit}" for one in group}
    rows = [
        [case, *(medians.get((case, one), "") for one in subjects)] for case in dict.fromkeys(one.case for one in group)
    ]
    return Figure(title, drawn, subjects, rows)


def _work(file: Path) -> Safe:
    known = baseline.load(file)["wheels"]
    names = list(dict.fromkeys(name for row in known.values() for name in row if name != baseline.CANNOT))
    rows = [[tags, *(_costs(row, name) for name in names)] for tags, row in known.items()]
    title = "Instructions per call + per byte, counted on the emulated CPU"
    return section("Work on every CPU", {}, [Figure(title, None, names, rows)], "work")


def _costs(row: dict[str, str], name: str) -> str:
    if name not in row:
        return "unsupported"
    counts = baseline.counts(row[name])
    return f"{baseline.per_call(counts):,.0f} + {baseline.per_byte(counts):.2f}"
