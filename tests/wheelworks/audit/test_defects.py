"""Each defect of a good wheel is found under its own code, and nothing else is reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheelworks.audit.inspection import inspect

from tests.fixtures.defects import OURS, Defect, draft


def found(path: Path) -> set[str]:
    return {finding.code for finding in inspect(path).findings}


@pytest.mark.integration
def test_our_wheels_are_clean(ours: dict[str, Path]) -> None:
    assert {name: inspect(path).findings for name, path in ours.items()} == dict.fromkeys(ours, ())


@pytest.mark.integration
@pytest.mark.parametrize("defect", OURS, ids=str)
def test_a_defect_is_found_and_nothing_else(defect: Defect, ours: dict[str, Path], tmp_path: Path) -> None:
    one = draft(ours[defect.base])
    defect.spoil(one)
    assert found(one.write(tmp_path)) == {defect.code}
