"""Plots of figures against sizes, both in powers: a line for each subject, a dashed one for the limit. As SVG.

Colours stand in attributes, so that a file can be looked at by itself; a page's style sheet may choose others by class.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wheelworks.bench.measurements import SECONDS, Measurement
from wheelworks.markup import Safe, element

LIMIT = "copy"
COLOURS = ("#0b57b0", "#a4121f", "#14652b", "#7a4b00", "#6a2c91", "#4d5763")
DASHES = (None, "8 3", "2 3", "10 3 2 3", "5 5", "1 4")  # lines differ without colours, too
WIDTH, HEIGHT = 640, 380
LEFT, RIGHT, TOP, BOTTOM = 70, 130, 40, 50
_UNITS = ((1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B"))


@dataclass(frozen=True)
class Line:
    """One subject: points of a size in bytes and a figure."""

    name: str
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Axis:
    """Numbers onto a length, by their logarithm."""

    low: float
    high: float
    start: float
    end: float

    def place(self, number: float) -> float:
        """Where a number lies."""
        part = (math.log(number) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return round(self.start + part * (self.end - self.start), 1)


def series(found: Sequence[Measurement]) -> dict[str, list[Measurement]]:
    """The measurements of each series that has two sizes at least: what can be drawn."""
    named: dict[str, list[Measurement]] = {}
    for one in found:
        if one.series and one.size:  # nothing, as a size, has no logarithm
            named.setdefault(one.series, []).append(one)
    return {name: group for name, group in named.items() if len({one.size for one in group}) > 1}


def lines(found: Sequence[Measurement]) -> list[Line]:
    """The subjects of one series, in their order."""
    subjects = list(dict.fromkeys(one.subject for one in found))
    return [
        Line(name, tuple(sorted((one.size, one.median) for one in found if one.subject == name and one.size)))
        for name in subjects
    ]


def draw(title: str, unit: str, drawn: Sequence[Line]) -> Safe:
    """The plot. Raises ValueError where there is nothing to draw."""
    points = [point for line in drawn for point in line.points]
    if len({size for size, _ in points}) < 2:
        raise ValueError("a plot needs two sizes at least")
    figures = [figure for _, figure in points]
    across = Axis(min(size for size, _ in points), max(size for size, _ in points), LEFT, WIDTH - RIGHT)
    up = Axis(10 ** math.floor(math.log10(min(figures))), _above(max(figures)), HEIGHT - BOTTOM, TOP)
    return element(
        "svg",
        element("title", title),
        element("rect", width=str(WIDTH), height=str(HEIGHT), fill="#ffffff", class_="plot-ground"),
        _text(title, LEFT, 24, weight="bold"),
        *_grid(across, up, unit, sorted({size for size, _ in points})),
        *(part for number, line in enumerate(drawn) for part in _line(line, number, across, up)),
        *_legend(drawn, up),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=str(WIDTH),
        height=str(HEIGHT),
        role="img",
        aria_label=title,
    )


def _above(figure: float) -> float:
    return float(10 ** (math.floor(math.log10(figure)) + 1))


def _grid(across: Axis, up: Axis, unit: str, sizes: Sequence[int]) -> Iterator[Safe]:
    """A line for each power of ten, and the sizes that were measured."""
    exponent = round(math.log10(up.low))
    while 10.0**exponent <= up.high * 1.001:
        place = up.place(10.0**exponent)
        yield _stroke(LEFT, place, WIDTH - RIGHT, place)
        yield _text(_shown(10.0**exponent, unit), LEFT - 6, place + 4, anchor="end")
        exponent += 1
    taken = -math.inf
    for size in sizes:
        if across.place(size) - taken > 44:
            taken = across.place(size)
            yield _stroke(taken, TOP, taken, HEIGHT - BOTTOM)
            yield _text(_bytes(size), taken, HEIGHT - BOTTOM + 18, anchor="middle")
    yield _text("size", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, anchor="middle")


def _shown(figure: float, unit: str) -> str:
    """A time in its best unit; any other figure with its own."""
    if unit not in SECONDS:
        return f"{figure:,.0f}"
    seconds = figure * SECONDS[unit]
    for step, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= step * 0.999:
            return f"{seconds / step:,.0f} {name}"
    return f"{seconds * 1e9:,.0f} ns"


def _bytes(size: int) -> str:
    return next(f"{size // step} {name}" for step, name in _UNITS if size >= step and (size % step == 0 or step == 1))


def _line(line: Line, number: int, across: Axis, up: Axis) -> Iterator[Safe]:
    places = [(across.place(size), up.place(figure)) for size, figure in line.points]
    path = " ".join(f"{x},{y}" for x, y in places)
    yield element("polyline", points=path, fill="none", stroke_width="2", **_look(line, number))
    for x, y in places:
        yield element("circle", cx=str(x), cy=str(y), r="2.5", fill="none", **_look(line, number, dashed=False))


def _look(line: Line, number: int, *, dashed: bool = True) -> dict[str, str | bool | None]:
    """Colour and dashes of a line; the limit has its own."""
    chosen = len(COLOURS) - 1 if line.name == LIMIT else number % (len(COLOURS) - 1)
    return {
        "stroke": COLOURS[chosen],
        "class": f"series-{chosen}",
        "stroke_dasharray": DASHES[chosen] if dashed else None,
    }


def _legend(drawn: Sequence[Line], up: Axis) -> Iterator[Safe]:
    """Each line's name at its end, moved down where another one's stands there."""
    ends = sorted((up.place(line.points[-1][1]), number) for number, line in enumerate(drawn))
    free = float(TOP)
    for place, number in ends:
        at = max(place, free)
        free = at + 16
        line = drawn[number]
        yield element("path", d=f"M{WIDTH - RIGHT + 6} {at}h18", stroke_width="2", **_look(line, number))
        name = f"{line.name} (the limit)" if line.name == LIMIT else line.name
        yield _text(name, WIDTH - RIGHT + 28, at + 4)


def _stroke(x1: float, y1: float, x2: float, y2: float) -> Safe:
    ends = {"x1": str(x1), "y1": str(y1), "x2": str(x2), "y2": str(y2)}
    return element("line", stroke="#c9d0d8", class_="plot-grid", **ends)


def _text(text: str, x: float, y: float, anchor: str | None = None, weight: str | None = None) -> Safe:
    places = {"x": str(x), "y": str(y), "text_anchor": anchor, "font_weight": weight}
    return element("text", text, fill="#1b1f24", class_="plot-text", font_size="12", font_family="sans-serif", **places)
