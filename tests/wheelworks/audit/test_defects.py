"""Test that each defect added to a good wheel is found under its own code, and nothing else is reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheelworks.audit.inspection import inspect_wheel

from tests.fixtures.defects import OFFICIAL, OURS, other_format
from tests.fixtures.downloads import Published
from tests.fixtures.drafts import draft
from tests.fixtures.linking import GOOD
from tests.fixtures.spoilers import Defect
from tests.wheelworks.audit.conftest import ABIS

# Masking uses AVX2 only where it detects AVX2 at run time, so the audit reports information and not an error.
TOLD = {f"linux_x86_64{end}": {"W202"} for end in ABIS}


def found(path: Path) -> set[str]:
    return {finding.code for finding in inspect_wheel(path).findings}


@pytest.mark.integration
def test_our_wheels_are_clean(ours: dict[str, Path]) -> None:
    assert {name: found(path) for name, path in ours.items()} == {name: TOLD.get(name, set()) for name in ours}


@pytest.mark.integration
@pytest.mark.parametrize("defect", OURS, ids=str)
def test_a_defect_is_found_and_nothing_else(defect: Defect, ours: dict[str, Path], tmp_path: Path) -> None:
    one = draft(ours[defect.base])
    defect.spoil(one)
    assert found(one.write(tmp_path)) - TOLD.get(defect.base, set()) == {defect.code}


@pytest.mark.integration
@pytest.mark.parametrize("twin", GOOD, ids=str)
def test_what_only_looks_like_a_defect_is_not_reported(twin: Defect, ours: dict[str, Path], tmp_path: Path) -> None:
    one = draft(ours[twin.base])
    twin.spoil(one)
    assert found(one.write(tmp_path)) == TOLD.get(twin.base, set())


@pytest.mark.integration
@pytest.mark.parametrize("defect", OFFICIAL, ids=str)
def test_a_defect_of_an_official_wheel_adds_its_code_alone(
    defect: Defect, published: Published, tmp_path: Path
) -> None:
    good = published.wheel("tornado==6.6.1", defect.base)
    one = draft(good)
    same = one.write(tmp_path)
    before = found(same)
    same.unlink()
    defect.spoil(one)
    assert found(one.write(tmp_path)) - before == {defect.code}


@pytest.mark.integration
@pytest.mark.parametrize(("base", "other"), [("win_arm64", "linux_x86_64"), ("linux_aarch64", "macos_arm64")])
def test_another_systems_format_is_found(base: str, other: str, ours: dict[str, Path], tmp_path: Path) -> None:
    one = draft(ours[base])
    other_format(ours[other])(one)
    assert found(one.write(tmp_path)) == {"W102"}
