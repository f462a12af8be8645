"""Test comparing the recorded behaviour of two builds of a module: differences and calls not run are reported."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from wheelworks.compare.behaviour import compare_behaviour
from wheelworks.compare.pairs import WheelPair
from wheelworks.core.tags import CompatibilityTarget
from wheelworks.core.wheel import open_wheel

from tests.fixtures.wheels import wheel

FILE = "sample/_c.pyd"
KEY = (FILE, "aarch64")


@dataclass(frozen=True)
class Notes:
    definition: dict[str, str] = field(default_factory=lambda: {"import": "works", "name": "_c"})
    attributes: dict[str, str] = field(default_factory=lambda: {"f": "a function"})
    calls: dict[str, str] = field(default_factory=lambda: {"f()": "1", "f(2)": "ValueError: two"})
    why: str = ""


@pytest.fixture
def pair(tmp_path: Path) -> WheelPair:
    made = open_wheel(wheel(tmp_path, files={FILE: b"MZ"}))
    return WheelPair(made, made, (CompatibilityTarget("cp311-abi3", "windows", "aarch64"),))


def test_the_same_notes(pair: WheelPair) -> None:
    assert compare_behaviour(pair, {KEY: Notes()}, {KEY: Notes()}) == ([], [], 2)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"definition": {"import": "works", "name": "_d"}}, "definition"),
        ({"definition": {"import": "fault: wild-pointer"}}, "definition"),
        ({"attributes": {}}, "attributes"),
        ({"calls": {"f()": "2", "f(2)": "ValueError: two"}}, "calls"),
        ({"calls": {"f()": "1"}}, "calls"),
    ],
)
def test_other_notes(change: dict[str, dict[str, str]], code: str, pair: WheelPair) -> None:
    other = replace(Notes(), **change)  # type: ignore[arg-type]  # the keys are field names
    for first, second in ((Notes(), other), (other, Notes())):
        found, unproven, _ = compare_behaviour(pair, {KEY: first}, {KEY: second})
        assert [one.code for one in found] == [code] and unproven == []


def test_a_call_that_could_not_run_is_reported_and_no_difference(pair: WheelPair) -> None:
    other = replace(Notes(), calls={"f()": "Unsupported: it calls malloc", "f(2)": "ValueError: two"})
    found, unproven, calls = compare_behaviour(pair, {KEY: Notes()}, {KEY: other})
    assert found == [] and calls == 1
    assert "1 of 2 calls need what isn't emulated" in str(unproven[0])


@pytest.mark.parametrize("second", [{(FILE, ""): Notes(why="no emulated CPU")}, {}])
def test_what_did_not_run_is_reported(second: dict[tuple[str, str], Notes], pair: WheelPair) -> None:
    found, unproven, calls = compare_behaviour(pair, {KEY: Notes()}, second)
    assert (found, calls, len(unproven)) == ([], 0, 1)


def test_two_that_cannot_be_imported_are_reported(pair: WheelPair) -> None:
    broken = Notes({"import": "fault: wild-pointer"}, {}, {})
    found, unproven, _ = compare_behaviour(pair, {KEY: broken}, {KEY: broken})
    assert found == [] and "neither can be imported: fault: wild-pointer" in str(unproven[0])
