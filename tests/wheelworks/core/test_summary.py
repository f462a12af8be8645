"""Test the table of a summary for names of every kind, its lines, failures, and the file for programs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from wheelworks.core import summary
from wheelworks.core.errors import UsageError
from wheelworks.core.summary import Cell, Failure, Summary

from tests.fixtures.schemas import jsonschema

LINUX = "x-1-cp311-abi3-manylinux_2_17_x86_64.whl"


@pytest.mark.parametrize(
    ("file", "place"),
    [
        (LINUX, ("linux glibc x86_64", "cp311-abi3")),
        ("x-1-cp312-cp312-manylinux_2_17_x86_64.musllinux_1_2_x86_64.whl", ("linux x86_64", "cp312")),
        ("x-1-cp314-cp314t-macosx_10_9_universal2.whl", ("macos aarch64+x86_64", "cp314t")),
        ("x-1-py3-none-win32.whl", ("windows x86", "py3-none")),
        ("x-1-py2.py3-none-any.whl", ("pure wheel", "")),
        ("x-1-cp311-abi3-any.whl", ("any", "cp311-abi3")),
        ("x-1.tar.gz", ("sdist", "")),
        ("x-1-py3-none-plan9_4_amd64.whl", ("plan9_4_amd64", "py3-none")),
        ("odd\u202e.whl", ("odd\\u{202e}.whl", "")),
        (f"{'a' * 99}.whl", (f"{'a' * 27}...", "")),
    ],
)
def test_the_place_of_a_file(file: str, place: tuple[str, str]) -> None:
    assert summary.locate(file) == place


def test_columns_that_do_not_fit_are_in_a_table_below() -> None:
    cells: dict[summary.File, Cell] = {f"x-1-cp3{n}-cp3{n}-win_amd64.whl": Cell("ok 60 kB") for n in range(10, 20)}
    lines = summary.render_cells(cells, 80)
    assert [line.split()[0] for line in lines] == ["[bold]", "windows", "[bold]", "windows"]
    assert lines[0].split()[1:] == [*(f"cp3{n}" for n in range(10, 15)), "cp315[/]"]
    assert lines[3].count("ok 60 kB") == 4


def test_files_of_one_place_share_a_cell() -> None:
    others: dict[summary.File, Cell] = {LINUX: Cell("ok 1 kB"), LINUX.replace("2_17", "2_28"): Cell("ok 2 kB")}
    assert summary.render_cells(others, 80)[1].endswith("[green]2 ok[/]")
    bad = LINUX.replace("2_17", "2_34")
    assert summary.render_cells({**others, bad: Cell("FAILED", "failed")}, 80)[1].endswith("[bold red]FAILED[/]")


def test_counts() -> None:
    assert summary.format_count("wheels", 1) == "1 wheel" and summary.format_count("wheels", 2000) == "2,000 wheels"
    assert summary.format_count("not_run", 1) == "1 not run"
    counts = {"wheels": 3, "failed": 0}
    good, zeros = Summary("x", 0, 1.0, counts), Summary("x", 1, 1.0, counts, zeros=True)
    assert summary.render_verdict(good, 80) == ["[bold green]passed[/]: 3 wheels; 1.0 s"]
    assert summary.render_verdict(zeros, 80) == ["[bold red]FAILED[/]: 3 wheels, 0 failed; 1.0 s"]


def test_a_summary_fits_whatever_the_names_are() -> None:
    cells: dict[summary.File, Cell] = {
        f"x-1-cp311-{'a' * 90}-{'p' * 90}.whl": Cell("ok"),
        f"{'s' * 90}.whl": Cell("ok"),
    }
    counts = dict.fromkeys(("wheels", "built", "up_to_date", "not_built", "passed", "failed", "not_run"), 100)
    lines = summary.render(Summary("x", 1, 9.0, counts, "t" * 90, cells, lines=["word " * 40]), 80)
    shown = [re.sub(r"\[/?[a-z ]*\]", "", line) for line in lines]
    assert [line for line in shown if len(line) > 80] == []
    assert len(shown) == 8 and shown[-1] == "    failed, 100 not run; 9.0 s"


def test_a_reason_names_few_files_and_counts_many() -> None:
    names = [LINUX.replace("cp311", f"cp3{number}") for number in range(10, 14)]
    few, many = (
        summary.render(Summary("x", 0, 1.0, notes={"no Python": found}), 80)[0] for found in (names[:1], names)
    )
    assert (few, many) == ("linux glibc x86_64 cp310-abi3: no Python", "4 files: no Python")


def test_many_failures_are_cut_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    long = Failure("a", "\n".join(f"line {number}" for number in range(80)), command="nox -s x")
    many = [long, *(Failure(f"wheel {number}", "why", "do this") for number in range(15))]
    assert summary.finish(Summary("x", 1, 1.0, failures=many)) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "error: a: line 0" and lines[50:52] == [
        "... 30 more lines: --verbose shows them",
        "again: nox -s x",
    ]
    assert lines[52:] == [
        *(f"error: wheel {number}: why" for number in range(10)),
        "and 5 more failures: --verbose shows all of them",
    ]
    summary.finish(Summary("x", 1, 1.0, failures=many), everything=True)
    told = capsys.readouterr().err
    assert "line 79" in told and told.count("hint: do this") == 15


def test_a_cause_that_names_what_failed_does_so_once() -> None:
    assert Failure("win32", "win32: no compiler").message == "win32: no compiler"


@pytest.mark.parametrize("target", ["result.json", "-"])
def test_the_result_for_programs_is_what_its_schema_says(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    summary.check_json(target)
    failures = [Failure("win32", "why", command="nox -s x")]
    result = Summary("x", 1, 1.23456, {"wheels": 1}, failures=failures, wheels=[{"file": LINUX}], page=Path("a.html"))
    assert summary.finish(result, target) == 1
    shown = capsys.readouterr()
    found = json.loads(shown.out if target == "-" else (tmp_path / target).read_text())
    jsonschema.validate(found, summary.generate_schema())
    assert found["failures"] == [{"what": "win32", "cause": "why", "command": "nox -s x"}]
    assert (found["seconds"], found["page"], found["counts"]) == (1.235, "a.html", {"wheels": 1})
    assert ("error: win32: why" in shown.err) == (target != "-")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**found, "status": "good"}, summary.generate_schema())


@pytest.mark.parametrize(
    ("target", "says"), [("x.whl", "must end in .json"), ("dist", "must end in .json"), ("no/x.json", "no folder no")]
)
def test_other_files_are_not_overwritten(target: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        summary.check_json(target)
