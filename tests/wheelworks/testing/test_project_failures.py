"""The table of expected failures in projects' tests: its parser is strict, its rows hold where they say."""

from __future__ import annotations

import pytest
from wheelworks.core.errors import WheelworksError
from wheelworks.testing import project_failures
from wheelworks.testing.project_failures import Run, find_expected_failures, matches, parse_expected_failures

ROW = '[[failures]]\nproject = "Zope.Interface"\nreason = "r"\non-linux = "fails"\ntests = ["t.py::a", "t.py::b*"]\n'
MAC = Run("macos", "aarch64", "qemu")


def test_the_table_is_sound() -> None:
    assert isinstance(project_failures.read_expected_failures(), tuple)


def test_a_row_holds_for_its_project_and_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_failures, "read_expected_failures", lambda: parse_expected_failures(ROW))
    tests = ["t.py::a", "t.py::ab", "t.py::b[1]", "x"]
    assert find_expected_failures("zope_interface", MAC, tests) == {"t.py::a": "r", "t.py::b[1]": "r"}
    assert find_expected_failures("zope", MAC, tests) == {}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ('systems = ["macos", "windows"]', True),
        ('systems = ["linux"]', False),
        ('cpus = ["aarch64"]', True),
        ('cpus = ["x86_64"]', False),
        ('engines = ["native"]', False),
        ('engines = ["qemu"]\nsystems = ["linux"]', False),
    ],
)
def test_a_row_may_have_conditions(condition: str, holds: bool) -> None:
    [row] = parse_expected_failures(f"{ROW}{condition}\n")
    assert row.applies("zope-interface", MAC) == holds


@pytest.mark.parametrize(
    "text",
    [
        "x = 1",
        "[[failures]]\nproject = 'a'",
        ROW.replace('"r"', '" "'),
        ROW.replace('"r"', "1"),
        ROW.replace('"fails"', '"maybe"'),
        ROW.replace('["t.py::a", "t.py::b*"]', "[]"),
        ROW.replace('["t.py::a", "t.py::b*"]', '"t.py::a"'),
        ROW.replace('["t.py::a", "t.py::b*"]', '["", "t.py::a"]'),
        ROW.replace('["t.py::a", "t.py::b*"]', '["*"]'),
        ROW + 'since = "1"',
        ROW + 'systems = ["beos"]',
        ROW + "cpus = []",
        ROW + ROW,
        ROW.replace("t.py::b*", "t.py::a"),
    ],
)
def test_an_unsound_table_is_refused(text: str) -> None:
    with pytest.raises(WheelworksError, match=r"project_failures\.toml"):
        parse_expected_failures(text)


def test_patterns() -> None:
    assert matches("a::b*", "a::bc") and matches("a::b", "a::b") and not matches("a::b", "a::bc")
