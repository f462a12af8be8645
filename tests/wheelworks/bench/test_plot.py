"""Plots: points where their logarithms say, names at the ends of lines, and nothing of a file taken for markup."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelworks.bench import plot, results
from wheelworks.bench.measurements import Measurement
from wheelworks.bench.plot import Axis, Line
from wheelworks.cli import _figures

from tests.wheelworks.report.manifests import HOSTILE

SVG = "{http://www.w3.org/2000/svg}"
OURS = Line("speedups", ((1, 10.0), (100, 1000.0), (10_000, 100_000.0)))
COPY = Line("copy", ((1, 10.0), (10_000, 10.0)))


def drawn(*lines: Line) -> ElementTree.Element:
    return ElementTree.fromstring(plot.draw("mask", "ns", lines))


def words(svg: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in svg.iter(f"{SVG}text")]


def test_a_power_is_a_straight_line() -> None:
    line = next(drawn(OURS, COPY).iter(f"{SVG}polyline"))
    places = [tuple(map(float, place.split(","))) for place in line.attrib["points"].split()]
    (x1, y1), (x2, y2), (x3, y3) = places
    assert x1 == plot.LEFT and x3 == plot.WIDTH - plot.RIGHT
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2) and y2 - y1 == pytest.approx(y3 - y2, abs=0.2)
    assert y3 < y1, "more is further up"


def test_names_units_and_the_limit_are_said() -> None:
    found = words(drawn(OURS, COPY))
    assert {"mask", "speedups", "copy (the limit)", "10 ns", "100 \u00b5s", "1 B", "10000 B"} <= set(found)


def test_the_limit_is_dashed_differently() -> None:
    first, second = drawn(OURS, COPY).iter(f"{SVG}polyline")
    assert "stroke-dasharray" not in first.attrib and "stroke-dasharray" in second.attrib


def test_names_do_not_cover_each_other() -> None:
    same = [Line(f"line {number}", ((1, 1.0), (2, 2.0))) for number in range(5)]
    heights = sorted(float(text.attrib["y"]) for text in drawn(*same).iter(f"{SVG}text") if "line" in (text.text or ""))
    assert all(below - above >= 16 for above, below in pairwise(heights))


def test_one_size_is_no_plot() -> None:
    with pytest.raises(ValueError, match="two sizes"):
        plot.draw("x", "ns", [Line("a", ((1, 1.0),))])


@given(number=st.floats(1e-3, 1e6))
def test_places_lie_on_the_axis(number: float) -> None:
    assert 0 <= Axis(1e-3, 1e6, 0, 100).place(number) <= 100


@given(name=st.text() | st.sampled_from(HOSTILE))
def test_names_stay_text(name: str) -> None:
    svg = drawn(Line(name, OURS.points))
    assert {element.tag.removeprefix(SVG) for element in svg.iter()} == {
        *("svg", "title", "rect", "text", "line", "polyline", "circle", "path")
    }


def document(folder: Path, series: str = "to bytes") -> Path:
    sizes = [Measurement(f"{size} B", "tornado", "ns", (5.0,), series, size) for size in (0, 8, 64)]
    place = folder / "bench.json"
    place.write_text(results.document({"mask": sizes}))
    return place


def test_a_file_of_figures_becomes_plots(tmp_path: Path) -> None:
    [made] = _figures.draw(document(tmp_path))
    assert made.name == "mask-to-bytes.svg"
    assert words(ElementTree.parse(made).getroot())[0] == "mask: to bytes"


def test_a_path_cannot_come_from_a_name(tmp_path: Path) -> None:
    [made] = _figures.draw(document(tmp_path, series="../../x"))
    assert made.parent == tmp_path
