"""Test the table of findings: it is complete and documented, and a check reports each of its codes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from wheelworks.audit import findings
from wheelworks.audit.findings import CODES, GROUPS
from wheelworks.core.errors import UsageError

from tests.fixtures.defects import OFFICIAL, OURS
from tests.fixtures.release_defects import DEFECTS

ROOT = Path(__file__).parents[3]
# Codes that no edit of a good wheel can cause. Other test modules cover them.
ELSEWHERE = {"W028", "W037", "W120", "W203", "W403", "W501", "W502", "W503", "W504", "W505", "W506"}
ELSEWHERE |= {"W601", "W602", "W603", "W604"}


def test_every_finding_about_a_wheel_has_a_defect_that_it_reports() -> None:
    assert {one.code for one in (*OURS, *OFFICIAL, *DEFECTS)} | ELSEWHERE == set(CODES)


def test_there_are_sixty_defects_over_every_format() -> None:
    names = [str(one) + one.base for one in (*OURS, *OFFICIAL, *DEFECTS)]
    assert len(set(names)) == len(names) >= 60
    assert {one.base for one in OURS} >= {"win_arm64", "macos_arm64", "linux_aarch64", "linux_x86_64"}
    assert {one.base.rpartition("_")[2] for one in OURS} >= {"314t", "abi3t"}


def test_no_check_has_a_code_that_the_table_lacks_and_none_is_unused() -> None:
    folder = ROOT / "scripts" / "wheelworks" / "audit"
    files = [*folder.glob("*.py"), folder.parent / "cli" / "lint_project.py"]
    used = {code for path in files for code in re.findall(r'"(W\d{3})"', path.read_text(encoding="utf-8"))}
    assert used == set(CODES)


def test_each_row_is_whole() -> None:
    assert len({code.name for code in CODES.values()}) == len(CODES)
    for code in CODES.values():
        assert re.fullmatch(r"W\d{3}", code.id) and re.fullmatch(r"[a-z-]+", code.name)
        assert code.severity in ("error", "warning", "information") and code.group in GROUPS
        assert code.what.endswith(".") and code.do.endswith(".")


def test_the_table_of_the_reference_names_every_code() -> None:
    rows = [line for line in findings.render_markdown().splitlines() if line.startswith("| `W")]
    assert [row.split("`")[1] for row in rows] == list(CODES)


@pytest.mark.parametrize("word", ["W101", "w101", "wrong-machine"])
def test_a_code_is_found_by_number_and_name(word: str) -> None:
    assert findings.find_code(word) is CODES["W101"]
    assert "wrong-machine: error" in findings.find_code(word).explain()


def test_a_word_that_is_nearly_a_code_is_guessed() -> None:
    with pytest.raises(UsageError) as caught:
        findings.find_code("wrong-machin")
    assert "did you mean wrong-machine?" in caught.value.hint
