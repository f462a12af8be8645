"""Test the plots: their scales are logarithmic, their lines are labelled, and no text becomes markup."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelworks.bench import measurements, plot
from wheelworks.bench.measurements import Measurement
from wheelworks.core.text import escape_invisible

from tests.wheelworks.report.manifests import HOSTILE

SVG = "{http://www.w3.org/2000/svg}"
REPLACEMENT = ("speedups", {1: 10.0, 100: 1000.0, 10_000: 100_000.0})
COPY = ("copy", {1: 10.0, 10_000: 10.0})

Line = tuple[str, dict[int, float]]


def measurements_of(*lines: Line) -> list[Measurement]:
    return [
        Measurement(f"{size} B", name, "ns", (figure,), "s", size)
        for name, line in lines
        for size, figure in line.items()
    ]


def drawn(*lines: Line) -> ElementTree.Element:
    return ElementTree.fromstring(plot.draw_plot("mask", measurements_of(*lines)))


@cache
def drawn_plain() -> ElementTree.Element:
    return drawn(("x", REPLACEMENT[1]))


def words(svg: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in svg.iter(f"{SVG}text")]


def path_of(svg: ElementTree.Element, number: int) -> ElementTree.Element:
    found = svg.find(f".//{SVG}g[@id='line-{number}']/{SVG}path")
    assert found is not None
    return found


def test_a_power_is_a_straight_line() -> None:
    places = re.findall(r"[ML] (\S+) (\S+)", path_of(drawn(REPLACEMENT, COPY), 0).attrib["d"])
    (x1, y1), (x2, y2), (x3, y3) = [(float(x), float(y)) for x, y in places]
    assert x1 < x2 < x3
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2) and y2 - y1 == pytest.approx(y3 - y2, abs=0.2)
    assert y3 < y1, "more is further up"


def test_names_units_and_the_limit_are_shown() -> None:
    found = words(drawn(REPLACEMENT, COPY))
    assert {"mask", "speedups", "copy (the limit)", "10 ns", "100 \u00b5s", "1 B", "10000 B"} <= set(found)


def test_the_limit_is_dashed_differently() -> None:
    svg = drawn(REPLACEMENT, COPY)
    first, second = (path_of(svg, number).attrib["style"] for number in (0, 1))
    assert "stroke-dasharray" not in first and "stroke-dasharray" in second


def test_names_do_not_cover_each_other() -> None:
    svg = drawn(*((f"line {number}", {1: 1.0, 2: 2.0}) for number in range(5)))
    heights = sorted(float(text.attrib["y"]) for text in svg.iter(f"{SVG}text") if "line" in (text.text or ""))
    assert len(heights) == 5
    assert all(below - above >= 12 for above, below in pairwise(heights)), "the font's size is 9"


def test_the_background_is_white() -> None:
    assert next(drawn(REPLACEMENT).iter(f"{SVG}path")).attrib["style"] == "fill: #ffffff"


def test_a_plot_needs_two_sizes() -> None:
    with pytest.raises(ValueError, match="two sizes"):
        plot.draw_plot("x", measurements_of(("a", {1: 1.0})))


def test_the_same_figures_give_the_same_bytes() -> None:
    found = measurements_of(REPLACEMENT, COPY)
    assert plot.draw_plot("mask", found) == plot.draw_plot("mask", found)
    assert b"<dc:date>" not in plot.draw_plot("mask", found)


@settings(deadline=None, max_examples=20)
@given(name=st.text() | st.sampled_from([*HOSTILE, "$x^2$", "_hidden", "\\frac"]))
def test_names_stay_text(name: str) -> None:
    named = drawn((name, REPLACEMENT[1]))
    assert [element.tag for element in named.iter()] == [element.tag for element in drawn_plain().iter()]
    assert escape_invisible(name).strip() in {"", *(each.strip() for each in words(named))}


@pytest.mark.parametrize(
    ("figure", "unit", "shown"),
    [(10.0, "ns", "10 ns"), (1e4, "ns", "10 \u00b5s"), (2500.0, "us", "2 ms"), (3.0, "s", "3 s"), (1e4, "x", "10,000")],
)
def test_times_are_shown_in_their_best_unit(figure: float, unit: str, shown: str) -> None:
    assert plot.format_figure(figure, unit) == shown


def document(folder: Path, series: str = "to bytes") -> Path:
    sizes = [Measurement(f"{size} B", "tornado", "ns", (5.0,), series, size) for size in (0, 8, 64)]
    place = folder / "bench.json"
    place.write_text(measurements.format_results({"mask": sizes}))
    return place


def test_a_file_of_figures_becomes_plots(tmp_path: Path) -> None:
    [made] = plot.write_plots(document(tmp_path))
    assert made.name == "mask-to-bytes.svg"
    svg = ElementTree.parse(made).getroot()
    assert "mask: to bytes" in words(svg) and svg.findtext(f"{SVG}title") == "mask: to bytes"


def test_a_path_cannot_come_from_a_name(tmp_path: Path) -> None:
    [made] = plot.write_plots(document(tmp_path, series="../../x"))
    assert made.parent == tmp_path
