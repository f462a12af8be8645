"""Test the checks of lock files and workflows."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from wheelworks.cli import lint_project

ROOT = Path(__file__).parents[3]
HASH = f"--hash=sha256:{'a' * 64}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a project with correct lock files."""
    (tmp_path / "requirements").mkdir()
    (tmp_path / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["b>=2"]\n[project]\ndependencies = ["a>=1"]\n'
    )
    (tmp_path / "requirements" / "base.in").write_text("b\n")
    (tmp_path / "requirements" / "base.txt").write_text(f"# written\nb==2.1 \\\n    {HASH}\n")
    (tmp_path / "requirements" / "all.in").write_text("-r base.in\na>=1 # why\n")
    (tmp_path / "requirements" / "all.txt").write_text(
        f"a==1.5 ; os_name == 'nt' \\\n    {HASH}\nb==2.1 \\\n    {HASH}\n"
    )
    return tmp_path


def codes(folder: Path) -> list[tuple[str, str]]:
    return [(one.code, one.member) for one in lint_project.check_project(folder)]


def test_right_lock_files(folder: Path) -> None:
    assert codes(folder) == []


@pytest.mark.parametrize(
    "line", ["a==1.5", f"a>=1.5 {HASH}", f"a @ https://example.org/a.whl {HASH}", "a==1.5 --hash=md5:1"]
)
def test_a_line_that_is_not_pinned_by_its_hash(folder: Path, line: str) -> None:
    (folder / "requirements" / "all.txt").write_text(f"{line}\nb==2.1 {HASH}\n")
    assert ("W601", "requirements/all.txt") in codes(folder)


def test_a_lock_that_lacks_what_is_asked_for(folder: Path) -> None:
    (folder / "requirements" / "all.in").write_text("-r base.in\na\nc\n")
    assert codes(folder) == [("W602", "requirements/all.txt")]


def test_a_lock_that_is_not_there(folder: Path) -> None:
    (folder / "requirements" / "new.in").write_text("a\n")
    assert codes(folder) == [("W602", "requirements/new.in")]


def test_a_lock_behind_pyproject(folder: Path) -> None:
    text = (folder / "pyproject.toml").read_text()
    (folder / "pyproject.toml").write_text(text.replace("a>=1", "a>=2").replace("b>=2", "z"))
    assert codes(folder) == [("W602", "pyproject.toml"), ("W602", "requirements/all.txt")]


def test_a_pyproject_that_is_no_table_is_reported(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[project\n", encoding="utf-8")
    assert ("W602", "pyproject.toml") in codes(folder)


def test_our_own_lock_files_are_right() -> None:
    assert list(lint_project.check_locks(ROOT)) == []


def test_workflows_that_could_not_be_looked_at_are_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".github" / "workflows").mkdir(parents=True)
    monkeypatch.setattr(lint_project, "ZIZMOR", "no_such_module")
    assert codes(folder) == [("W604", ".github/workflows")]


def test_a_checker_of_workflows_that_fails_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".github" / "workflows").mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(lint_project, "ZIZMOR", Path(sys.executable).name)  # it doesn't know the options
    [found] = lint_project.check_workflows(folder)
    assert found.code == "W604" and "ended with status 2" in found.evidence


def test_a_weak_workflow(folder: Path) -> None:
    (folder / ".github" / "workflows").mkdir(parents=True)
    text = "on: pull_request_target\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n"
    text += "    - uses: actions/checkout@v4\n    - run: echo ${{ github.event.pull_request.title }}\n"
    (folder / ".github" / "workflows" / "ci.yml").write_text(text)
    found = list(lint_project.check_project(folder))
    assert {one.code for one in found} == {"W603"}, found
    evidence = " ".join(one.evidence for one in found)
    assert "template-injection" in evidence and "unpinned-uses" in evidence
    assert found[0].member.endswith(tuple(f"ci.yml:{line}" for line in range(1, 8)))
