"""Test that each check is needed: without it, a defect is not found.

`mutants.py` asks the same of all tests and of every function that finds something. It takes an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from wheelworks.audit import inspection
from wheelworks.audit.findings import Finding
from wheelworks.audit.inspection import inspect_wheel

from tests.fixtures.defects import OFFICIAL, OURS
from tests.fixtures.downloads import Published
from tests.fixtures.drafts import draft
from tests.fixtures.release_defects import DEFECTS
from tests.wheelworks.audit import made, mutants
from tests.wheelworks.audit.mutants import TABLES

Check = Callable[[Any], Iterator[Finding]]
CHECKS = {f"{one.__module__}.{one.__name__}": table for table in TABLES for one in getattr(inspection, table)}
del CHECKS["wheelworks.audit.hardening.check_debug_path"]  # it needs a compiler's output: see test_debug_paths.py


def _name(check: Check) -> str:
    return f"{check.__module__}.{check.__name__}"


def _noted(check: Check, seen: dict[str, set[str]]) -> Check:
    def noting(subject: Any) -> Iterator[Finding]:
        for finding in check(subject):
            seen.setdefault(_name(check), set()).add(finding.code)
            yield finding

    return noting


@pytest.fixture(scope="module")
def witnesses(
    ours: dict[str, Path], published: Published, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, str]]:
    """A defective wheel for each check that finds a defect, and the code that the check reports."""
    found: dict[str, tuple[Path, str]] = {}
    for defect in (*OURS, *OFFICIAL, *DEFECTS):
        if defect.code in {code for _, code in found.values()}:
            continue
        if defect in DEFECTS:
            one = draft(made.wheel(tmp_path_factory.mktemp("good")))
        else:
            one = draft(published.wheel("tornado==6.6.1", defect.base) if defect in OFFICIAL else ours[defect.base])
        defect.spoil(one)
        path, seen = one.write(tmp_path_factory.mktemp("bad")), dict[str, set[str]]()
        with pytest.MonkeyPatch.context() as patch:
            for table in TABLES:
                patch.setattr(inspection, table, tuple(_noted(check, seen) for check in getattr(inspection, table)))
            inspect_wheel(path)
        found.update({name: (path, defect.code) for name, codes in seen.items() if defect.code in codes})
    return found


def test_the_program_that_removes_checks_knows_all_of_them() -> None:
    assert {*CHECKS} <= {*mutants.list_checks()}


@pytest.mark.integration
@pytest.mark.parametrize("name", CHECKS)
def test_without_a_check_its_defect_is_not_found(
    name: str, witnesses: dict[str, tuple[Path, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, code = witnesses[name]
    before = getattr(inspection, CHECKS[name])
    monkeypatch.setattr(inspection, CHECKS[name], tuple(one for one in before if _name(one) != name))
    assert code not in {one.code for one in inspect_wheel(path).findings}
