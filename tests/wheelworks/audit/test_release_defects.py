"""Test the defects that pip, the index or users meet: each is found under its own code, and its good twin is silent."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheelworks.audit import upload
from wheelworks.audit.inspection import inspect_wheel

from tests.fixtures.defects import Defect
from tests.fixtures.drafts import draft
from tests.fixtures.release_defects import DEFECTS, GOOD
from tests.wheelworks.audit import made


@pytest.mark.parametrize("defect", DEFECTS, ids=str)
def test_a_defect_is_found_and_nothing_else(defect: Defect, tmp_path: Path) -> None:
    one = draft(made.wheel(tmp_path))
    defect.spoil(one)
    assert [finding.code for finding in inspect_wheel(one.write(tmp_path)).findings] == [defect.code]


@pytest.mark.parametrize("name", GOOD)
def test_a_good_twin_is_silent(name: str, tmp_path: Path) -> None:
    one = draft(made.wheel(tmp_path))
    GOOD[name](one)
    assert inspect_wheel(one.write(tmp_path)).findings == ()


def test_a_file_that_is_too_large_for_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made.wheel(tmp_path)
    monkeypatch.setattr(upload, "_LARGEST_FILE", path.stat().st_size)
    assert inspect_wheel(path).findings == ()
    monkeypatch.setattr(upload, "_LARGEST_FILE", path.stat().st_size - 1)
    assert [one.code for one in inspect_wheel(path).findings] == ["W037"]
