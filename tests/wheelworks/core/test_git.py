"""Test running Git in a repository: its output, its errors, and clones."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheelworks.core import git
from wheelworks.core.errors import WheelworksError

from tests.fixtures import projects


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    place = tmp_path / "source"
    place.mkdir()
    (place / "ü").write_text("x")
    projects.committed(place)
    return place


def test_names_come_back_as_they_are(repository: Path) -> None:
    assert git.run_git(repository, "ls-files", "-z").output == "ü\0"


def test_a_failure_is_an_error_with_git_s_reason(repository: Path) -> None:
    assert len(git.read_git(repository, "rev-parse", "HEAD")) == 40
    with pytest.raises(WheelworksError, match=r"git rev-parse --verify nothing: fatal: "):
        git.read_git(repository, "rev-parse", "--verify", "nothing")


def test_a_clone_has_the_files_of_its_commit(repository: Path, tmp_path: Path) -> None:
    (repository / "ü").write_text("not committed")
    assert (git.clone(repository, tmp_path / "copy") / "ü").read_text() == "x"
    with pytest.raises(WheelworksError, match=r"git can't clone it:\n.*nothing"):
        git.clone(repository, tmp_path / "other", "nothing")


def test_without_git_the_hint_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WheelworksError, match="git isn't installed"):
        git.run_git(tmp_path, "status")
