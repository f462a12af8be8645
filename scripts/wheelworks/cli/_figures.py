"""The figures beside wheels, in DIR/bench/, as sections of the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wheelworks.bench import icount, measurements, plot
from wheelworks.bench.measurements import Measurement
from wheelworks.core import console
from wheelworks.core.errors import WheelworksError
from wheelworks.report.page import Figure, Section

COPY = "bytes() of a bytearray: the limit for many bytes; for few, the call itself is what counts"
FOLDER, SPEED, ICOUNT = "bench", "bench.json", "icount.json"


def load_sections(folder: Path) -> list[Section]:
    """Return a section for each file of figures beside wheels. Unreadable files are reported and left out."""
    found: list[Section] = []
    for file, make in ((folder / FOLDER / SPEED, _speed), (folder / FOLDER / ICOUNT, _icount)):
        try:
            found += [make(file)] if file.is_file() else []
        except WheelworksError as error:
            console.print_note(f"{error.message}: left out of the page")
    return found


def _speed(file: Path) -> Section:
    results = measurements.load_results(file)
    figures = [one for suite, found in results.items() for one in _suite_figures(suite, found, file.parent)]
    return Section("Speed", "speed", {**measurements.load_facts(file), "copy": COPY}, figures)


def _suite_figures(suite: str, found: Sequence[Measurement], folder: Path) -> list[Figure]:
    groups: dict[str, list[Measurement]] = {}
    for one in found:
        groups.setdefault(one.series, []).append(one)
    return [
        _figure(f"{suite}: {name}" if name else suite, folder / plot.plot_name(suite, name), group)
        for name, group in groups.items()
    ]


def _figure(title: str, file: Path, group: Sequence[Measurement]) -> Figure:
    subjects = list(dict.fromkeys(one.subject for one in group))
    medians = {(one.case, one.subject): f"{one.median:,.0f} {one.unit}" for one in group}
    rows = [
        [case, *(medians.get((case, one), "") for one in subjects)] for case in dict.fromkeys(one.case for one in group)
    ]
    return Figure(title, file.read_bytes() if file.is_file() else b"", subjects, rows)


def _icount(file: Path) -> Section:
    known = icount.load_counts(file)["wheels"]
    names = list(dict.fromkeys(name for row in known.values() for name in row if name != icount.UNSUPPORTED))
    rows = [[tags, *(_cost(row, name) for name in names)] for tags, row in known.items()]
    title = "Instructions per call + per byte, counted on the emulated CPU"
    return Section("Instructions on every CPU", "icount", {}, [Figure(title, b"", names, rows)])


def _cost(row: dict[str, str], name: str) -> str:
    if name not in row:
        return "unsupported"
    counts = icount.parse_counts(row[name])
    return f"{icount.cost_per_call(counts):,.0f} + {icount.cost_per_byte(counts):.2f}"
