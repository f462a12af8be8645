"""Test the screen of a release: kinds of findings, failures first, a cell for each file, details behind --verbose."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from wheelworks.audit import screen
from wheelworks.audit.findings import CODES, FileAudit, Finding
from wheelworks.core.summary import Cell

from tests.fixtures.commands import wheelworks_here
from tests.wheelworks.audit import made

MAC, LINUX = "a-1-cp311-abi3-macosx_10_9_universal2.whl", "a-1-cp311-abi3-manylinux_2_17_x86_64.whl"


def test_the_cell_of_a_file_is_its_worst_finding() -> None:
    warning, error = Finding("W014", "x.orig", wheel=MAC), Finding("W013", "x.pyc", wheel=LINUX)
    files = [FileAudit(MAC, (warning,)), FileAudit(LINUX, (error, error, warning)), FileAudit("a-1.tar.gz", ())]
    assert screen.make_cells(files) == {
        MAC: Cell("1 warning", "warning"),
        LINUX: Cell("2 errors", "failed"),
        "a-1.tar.gz": Cell("ok"),
    }


def test_errors_come_before_warnings() -> None:
    warning = Finding("W014", "x.orig", wheel=MAC)
    errors = [Finding("W013", "x.pyc", wheel=f"{number}{LINUX}") for number in range(2)]
    assert list(screen.list_kinds([warning, *errors], 80)) == [
        "[bold red]error W013 bytecode[/] 2 files, first linux glibc x86_64 cp311-abi3: x.pyc",
        "[bold yellow]warning W014 stray-file[/] macos aarch64+x86_64 cp311-abi3: x.orig",
        "--verbose shows every file and what to do; --explain CODE explains a code",
    ]


def test_many_kinds_of_warnings_are_counted() -> None:
    codes = [code for code, about in CODES.items() if about.severity == "warning"][:9]
    lines = list(screen.list_kinds([Finding(code, "x", wheel=MAC) for code in codes], 80))
    assert (len(lines), lines[6]) == (8, "and 3 more kinds of warnings")


def test_details_are_behind_verbose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    here = partial(wheelworks_here, cache=tmp_path / "cache", monkeypatch=monkeypatch, capsys=capsys)
    for version in range(3):
        path = made.wheel(tmp_path, **{"sample/x.pyc": b""})
        path.rename(tmp_path / f"sample{version}-1.0-py3-none-any.whl")
    brief = here("audit", tmp_path, "--offline")
    full = here("audit", tmp_path, "--offline", "--verbose")
    assert brief.status == full.status == 1
    assert "3 files, first pure wheel: sample/x.pyc" in brief.out and "try:" not in brief.out
    assert "sample2-1.0" not in brief.out and "sample2-1.0" in full.out and "Leave `__pycache__` out" in full.out
