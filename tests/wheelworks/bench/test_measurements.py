"""Measurements, and what is shown and written of them."""

from __future__ import annotations

from io import StringIO

from rich.console import Console
from wheelworks.bench.measurements import Measurement, ratio, tables

STOCK = Measurement("32 B", "tornado", "us", (100.0, 200.0, 50.0))
OURS = Measurement("32 B", "speedups", "us", (20.0, 30.0, 10.0))
COPY = Measurement("1 MiB", "tornado", "us", (1234.5,))


def test_ratios_are_those_of_the_same_round() -> None:
    assert ratio(OURS, STOCK) == 0.2
    assert ratio(STOCK, STOCK) == 1


def test_a_table_has_a_row_for_each_case_and_a_column_for_each_subject() -> None:
    [table] = tables("echo", "tornado", [STOCK, OURS, COPY])
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
    assert len(tables("echo", "tornado", [STOCK, counted])) == 2
