"""What a release refuses to begin with: each by its words."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.release import publishing

from tests.fixtures import projects

CHANGELOG = "# Changelog\n\n## 1.0\n\n- All of it.\n\n## 0.9\n\n- Less.\n"


@pytest.fixture
def ready(tmp_path: Path) -> Path:
    """A project that may be released as 1.0."""
    folder = projects.sample(tmp_path / "p", **{"CHANGELOG.md": CHANGELOG})
    projects.committed(folder)
    projects.git(folder, "branch", "--move", "main")
    return folder


def changed(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    projects.git(folder, "commit", "--quiet", "--all", "--message=Change")
    return folder


def refusal(folder: Path, version: str = "1.0") -> str:
    with pytest.raises(WheelworksError) as raised:
        publishing.check_preconditions(folder, version)
    return raised.value.message


def test_what_is_ready_gives_its_commit(ready: Path) -> None:
    assert publishing.check_preconditions(ready, "1.0") == projects.git(ready, "rev-parse", "HEAD")


def test_an_unclean_tree(ready: Path) -> None:
    (ready / "new.py").touch()
    assert refusal(ready) == "the work tree isn't clean:\n?? new.py"


def test_another_branch(ready: Path) -> None:
    projects.git(ready, "checkout", "--quiet", "-b", "other")
    assert refusal(ready) == "the current branch is other; releases are made from main"


def test_another_version_than_the_projects(ready: Path) -> None:
    assert refusal(ready, "1.1") == "pyproject.toml has version 1.0, not 1.1"


@pytest.mark.parametrize("version", ["", "one", "1.0-beta", "v1.0", "1.0+local", "../1"])
def test_no_version(ready: Path, version: str) -> None:
    with pytest.raises(UsageError):
        publishing.check_preconditions(ready, version)


@pytest.mark.parametrize("text", ["# Changelog\n", "## 1.0\n\n## 0.9\n\n- Less.\n", "## 1.0.1\n\n- Next.\n"])
def test_no_entry_in_the_changelog(ready: Path, text: str) -> None:
    assert refusal(changed(ready, "CHANGELOG.md", text)) == "CHANGELOG.md has no entry for 1.0"


def test_a_version_that_is_tagged(ready: Path) -> None:
    projects.git(ready, "tag", "v1.0")
    assert refusal(ready) == "1.0 is already tagged"


def test_a_version_that_is_lower(ready: Path) -> None:
    for tag in ("v0.9", "v1.0.1", "vague"):
        projects.git(ready, "tag", tag)
    assert refusal(ready) == "1.0 isn't higher than 1.0.1, which is tagged"


def test_what_is_none_of_gits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))  # Nox puts temporary folders into a repository
    projects.sample(tmp_path / "p", **{"CHANGELOG.md": CHANGELOG})
    assert "not a git repository" in refusal(tmp_path / "p")
