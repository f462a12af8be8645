"""Test the tables of measurements, and the results file, which pyperf can read."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from wheelworks.bench import measurements
from wheelworks.bench.measurements import Measurement, make_tables, paired_ratio
from wheelworks.cli import _page
from wheelworks.core.errors import WheelworksError

ORIGINAL = Measurement("32 B", "tornado", "us", (100.0, 200.0, 50.0))
REPLACEMENT = Measurement("32 B", "speedups", "us", (20.0, 30.0, 10.0))
COPY = Measurement("1 MiB", "tornado", "us", (1234.5,))
COUNTED = Measurement("bare", "tornado", "instructions", (1234.0,))
FAST, SLOW = (Measurement("bare", "tornado", "us", (number, number + 1.0)) for number in (100.0, 200.5))
SIZED = tuple(Measurement(f"{size} B", "tornado", "ns", (5.0, 7.0), "to bytes", size) for size in (0, 8))
SUITES = {"websocket": [ORIGINAL, REPLACEMENT], "http": [COUNTED], "mask": list(SIZED)}


def test_ratios_are_those_of_the_same_round() -> None:
    assert paired_ratio(REPLACEMENT, ORIGINAL) == 0.2
    assert paired_ratio(ORIGINAL, ORIGINAL) == 1


def test_a_table_has_a_row_for_each_case_and_a_column_for_each_subject() -> None:
    [table] = make_tables("echo", "tornado", [ORIGINAL, REPLACEMENT, COPY])
    console = Console(file=StringIO(), width=120)
    console.print(table)
    assert isinstance(console.file, StringIO)
    lines = console.file.getvalue().splitlines()
    assert "echo: us, and how many times tornado's" in lines[0]
    assert [each.split() for each in lines if "32 B" in each] == [
        ["│", "32", "B", "│", "100.0", "1.000", "│", "20.0", "0.200", "│"]
    ]
    assert [each.split() for each in lines if "1 MiB" in each] == [
        ["│", "1", "MiB", "│", "1,234", "1.000", "│", "-", "│"]
    ]


def test_each_unit_has_a_table_of_its_own() -> None:
    counted = Measurement("32 B", "tornado", "instructions", (5.0,))
    assert len(make_tables("echo", "tornado", [ORIGINAL, counted])) == 2


def written(folder: Path, suites: dict[str, list[Measurement]]) -> Path:
    place = folder / "bench.json"
    place.write_text(measurements.format_results(suites), encoding="utf-8")
    return place


def changed(place: Path, **values: Any) -> Path:
    """Change the values or the metadata of the first benchmark in a results file."""
    content = json.loads(place.read_text(encoding="utf-8"))
    run = content["benchmarks"][0]["runs"][0]
    run["values"] = values.pop("values", run["values"])
    run["metadata"] = run.get("metadata", {}) | values
    place.write_text(json.dumps(content), encoding="utf-8")
    return place


def test_figures_come_back_as_they_were_written(tmp_path: Path) -> None:
    back = measurements.load_results(written(tmp_path, SUITES))
    assert back.keys() == SUITES.keys()
    for suite, found in back.items():
        for one, original in zip(found, SUITES[suite], strict=True):
            assert one.rounds == pytest.approx(original.rounds, rel=1e-12)
            assert (one.case, one.subject, one.unit) == (original.case, original.subject, original.unit)
            assert (one.series, one.size) == (original.series, original.size)


@given(figures=st.lists(st.floats(1e-3, 1e12), min_size=1, max_size=9), unit=st.sampled_from([*measurements.SECONDS]))
def test_every_figure_of_every_round_is_kept(
    figures: list[float], unit: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = written(tmp_path_factory.mktemp("kept"), {"mask": [Measurement("a", "b", unit, tuple(figures))]})
    [one] = measurements.load_results(place)["mask"]
    assert one.rounds == pytest.approx(figures, rel=1e-12)


def pyperf(*words: str) -> str:
    return subprocess.run([sys.executable, "-m", "pyperf", *words], check=True, capture_output=True, text=True).stdout


def test_pyperf_shows_it(tmp_path: Path) -> None:
    shown = pyperf("show", "--quiet", str(written(tmp_path, SUITES)))
    assert "http: bare, tornado: 1234" in shown and "mask: 8 B, tornado: Mean +- std dev: 6.00 ns" in shown


def test_pyperf_compares_it_with_another(tmp_path: Path) -> None:
    (tmp_path / "later").mkdir()
    before, after = written(tmp_path, {"http": [FAST]}), written(tmp_path / "later", {"http": [SLOW]})
    assert "2.00x slower" in pyperf("compare_to", str(before), str(after))


def test_it_describes_the_machine_without_its_name(tmp_path: Path) -> None:
    place = written(tmp_path, SUITES)
    told = measurements.load_facts(place)
    assert told["machine"] == platform.machine() and told["tornado version"] and "python version" in told
    assert {"hostname", "python_executable", "python_config_args", "platform"}.isdisjoint(json.loads(place.read_text()))
    assert platform.node() not in place.read_text() or len(platform.node()) < 4


def test_an_empty_measurement_is_an_error() -> None:
    with pytest.raises(WheelworksError, match="nothing was measured"):
        measurements.format_results({"mask": []})


@pytest.mark.parametrize(
    "words",
    [{"values": []}, {"values": ["x"]}, {"values": [0]}, {"values": [float("nan")]}, {"values": None}, {"size": "x"}],
    ids=str,
)
def test_other_figures_are_refused_and_left_out(tmp_path: Path, words: dict[str, Any]) -> None:
    (tmp_path / "bench").mkdir()
    place = changed(written(tmp_path / "bench", SUITES), **words)
    with pytest.raises(WheelworksError, match="not a results file of this version"):
        measurements.load_results(place)
    assert _page.load_sections(tmp_path) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"benchmarks": []}', '{"benchmarks": [{"runs": []}]}', "[" * 10**5])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "bench.json").write_text(text)
    with pytest.raises(WheelworksError, match="not a results file of this version"):
        measurements.load_results(tmp_path / "bench.json")
    with pytest.raises(WheelworksError, match="not a results file of this version"):
        measurements.load_facts(tmp_path / "bench.json")
