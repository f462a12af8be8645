"""Plots of figures against sizes, with logarithmic scales: a line for each subject, a dashed one for the limit.

They are SVG files with a white background, readable on light and dark pages. The same figures give the same bytes.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheelworks.bench.measurements import SECONDS, Measurement, load_results
from wheelworks.core.files import write_file
from wheelworks.core.text import escape_invisible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LIMIT = "copy"
COLOURS = ("#0b57b0", "#a4121f", "#14652b", "#7a4b00", "#6a2c91")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (2.5, 2.5)))  # lines differ without colours
LIMIT_STYLE = ("#4d5763", (0, (0.5, 2)))
_TEXT, _GRID = "#1b1f24", "#c9d0d8"
_SIZE_UNITS = ((1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B"))
_TIME_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "wheelworks",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial"],
    "font.size": 9,
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), _TEXT),
    **dict.fromkeys(("axes.edgecolor", "grid.color"), _GRID),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
}


def group_series(found: Sequence[Measurement]) -> dict[str, list[Measurement]]:
    """Return the measurements of each series that has at least two sizes above 0, which have a logarithm."""
    named: dict[str, list[Measurement]] = {}
    for one in found:
        if one.series and one.size:
            named.setdefault(one.series, []).append(one)
    return {name: group for name, group in named.items() if len({one.size for one in group}) > 1}


def plot_name(suite: str, series: str) -> str:
    """Return the file name of the plot of a series."""
    plain = ("".join(one if one.isascii() and one.isalnum() else "-" for one in name)[:60] for name in (suite, series))
    return f"{'-'.join(plain)}.svg"


def write_plots(file: Path) -> list[Path]:
    """Write a plot of each series of a results file beside it, and return their paths. Raises WheelworksError."""
    return [
        write_file(file.parent / plot_name(suite, name), draw_plot(f"{suite}: {name}", group))
        for suite, found in load_results(file).items()
        for name, group in group_series(found).items()
    ]


def draw_plot(title: str, group: Sequence[Measurement]) -> bytes:
    """Return the plot of a series as SVG. Raises ValueError for less than two sizes."""
    import matplotlib
    from matplotlib.figure import Figure

    sizes = sorted({one.size for one in group if one.size})
    if len(sizes) < 2:
        raise ValueError("a plot needs at least two sizes")
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        # The file holds text, for which the reader's fonts are used. A very long name leaves no room for the axes.
        warnings.filterwarnings("ignore", r"Glyph .* missing|constrained_layout not applied")
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.add_subplot(xscale="log", yscale="log", xlabel="size")
        axes.set_title(escape_invisible(title), loc="left", weight="bold")
        axes.grid(visible=True)
        axes.tick_params(length=0)
        axes.minorticks_off()
        axes.set_xticks(_thin_out(sizes), map(format_size, _thin_out(sizes)))
        medians = [one.median for one in group if one.size]
        axes.set_ylim(*(10.0 ** math.floor(math.log10(value)) for value in (min(medians), 10 * max(medians))))
        axes.yaxis.set_major_formatter(lambda value, _: format_figure(value, group[0].unit))
        _draw_lines(axes, group)
        written = io.BytesIO()
        metadata = {"Date": None, "Creator": None, "Title": escape_invisible(title)}
        figure.savefig(written, format="svg", metadata=metadata)
    return written.getvalue()


def _draw_lines(axes: Axes, group: Sequence[Measurement]) -> None:
    lines = []
    for number, subject in enumerate(dict.fromkeys(one.subject for one in group)):
        points = sorted((one.size, one.median) for one in group if one.subject == subject and one.size)
        colour, dashes = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
        if subject == LIMIT:
            colour, dashes = LIMIT_STYLE
        name = escape_invisible(f"{subject} (the limit)" if subject == LIMIT else subject)
        style: dict[str, Any] = {"color": colour, "linestyle": dashes, "marker": "o", "markersize": 3}
        [line] = axes.plot(*zip(*points, strict=True), **style, label=name)
        line.set_gid(f"line-{number}")
        lines.append((points[-1][1], line))
    # In the order of the lines' right ends, from top to bottom.
    ordered = [line for _, line in sorted(lines, key=lambda one: -one[0])]
    axes.legend(handles=ordered, loc="upper left", bbox_to_anchor=(1, 1), frameon=False, handlelength=3)


def _thin_out(sizes: Sequence[int]) -> list[int]:
    """Return the sizes whose labels don't touch each other: each is at least twice the one before."""
    kept: list[int] = []
    for size in sizes:
        if not kept or size > 2 * kept[-1]:
            kept.append(size)
    return kept


def format_figure(figure: float, unit: str) -> str:
    """Return a time in its best unit, or another figure as a number."""
    if unit not in SECONDS:
        return f"{figure:,.0f}"
    seconds = figure * SECONDS[unit]
    step, name = next((one for one in _TIME_UNITS if seconds >= one[0] * 0.999), _TIME_UNITS[-1])
    return f"{seconds / step:,.0f} {name}"


def format_size(size: int) -> str:
    """Return a number of bytes in the largest unit that divides it."""
    return next(f"{size // step} {name}" for step, name in _SIZE_UNITS if size % step == 0)
