"""The checks of the clone before a release, and the prompt, tag and push of `--publish` with a bare repository."""

from __future__ import annotations

import io
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from wheelworks.cli import release as command
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.files import wait_for_turn
from wheelworks.release import publishing, steps

from tests.fixtures import projects
from tests.fixtures.commands import ROOT

CHANGELOG = "# Changelog\n\n## 1.0 (2026-01-02)\n\n- All of it.\n"


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A bare repository."""
    place = tmp_path / "remote.git"
    place.mkdir()
    projects.git(place, "init", "--quiet", "--bare")
    return place


@pytest.fixture
def ready(tmp_path: Path, remote: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that may be released as 1.0. It is pushed to the remote, and it is the current folder."""
    folder = projects.sample(tmp_path / "p", **{"CHANGELOG.md": CHANGELOG, ".gitignore": "/dist\n"})
    projects.committed(folder)
    for name, value in [("user.name", "Tester"), ("user.email", "tester@example.invalid"), ("tag.gpgSign", "false")]:
        projects.git(folder, "config", name, value)
    projects.git(folder, "branch", "--move", "main")
    projects.git(folder, "remote", "add", "origin", str(remote))
    projects.git(folder, "push", "--quiet", "origin", "main")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(steps, "STEPS", ())  # test_steps.py tests the steps
    return folder


def release(*words: str) -> tuple[int, str]:
    """Return the exit status and the error message."""
    try:
        return command.main(["1.0", *words]), ""
    except WheelworksError as error:
        return error.exit_code, error.message


def publish(monkeypatch: pytest.MonkeyPatch, typed: str, *words: str) -> tuple[int, str]:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    return release("--publish", *words)


def tags(repository: Path) -> str:
    return projects.git(repository, "tag", "--list")


def test_the_tag_is_pushed_after_the_version_was_typed_again(
    ready: Path, remote: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish(monkeypatch, "1.0\n") == (0, "")
    shown = capsys.readouterr().out
    head = projects.git(ready, "rev-parse", "HEAD")
    assert f"Type the version to publish {head[:12]}: " in shown and "pushed it to origin" in " ".join(shown.split())
    assert projects.git(remote, "rev-parse", "v1.0^{commit}") == head
    assert projects.git(remote, "cat-file", "-t", "v1.0") == "tag"


@pytest.mark.parametrize("typed", ["", "\n", "1.0.0\n", "yes\n"])
def test_anything_else_tags_nothing(typed: str, ready: Path, remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = f"{typed.strip() or 'nothing'} was typed, not 1.0: nothing is tagged"
    assert publish(monkeypatch, typed) == (2, said)
    assert tags(ready) == tags(remote) == ""


def test_a_rehearsal_asks_nothing_and_tags_nothing(ready: Path, remote: Path) -> None:
    assert release() == (0, "")
    assert tags(ready) == tags(remote) == ""


def test_a_release_waits_for_another_that_writes_to_the_same_folder(
    ready: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second one checks the clone again: what it saw before it waited may have changed."""
    (ready / "dist").mkdir()
    with ThreadPoolExecutor(1) as pool:
        with wait_for_turn(ready / "dist" / command.LOCK_FILE, lambda: None) as waited:
            second = pool.submit(release)
            said = ""
            while "waiting for another release that writes to" not in said:
                assert not second.done(), said
                said += capsys.readouterr().err
                time.sleep(0.01)
            assert not waited
            (ready / "new.py").touch()
        assert second.result(timeout=30)[0] == 1
    (ready / "new.py").unlink()
    assert release() == (0, "")
    assert "waiting" not in capsys.readouterr().err


def test_a_part_is_not_published(ready: Path, remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert publish(monkeypatch, "1.0\n", "--target", "win_arm64") == (2, "a part of a release can't be published")
    assert tags(remote) == ""


def test_an_unreleased_version_is_rehearsed_but_not_published(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (ready / "CHANGELOG.md").write_text(CHANGELOG.replace("2026-01-02", "unreleased"))
    projects.git(ready, "commit", "--quiet", "--all", "--message=Change")
    projects.git(ready, "push", "--quiet", "origin", "main")
    assert release() == (0, "")
    assert publish(monkeypatch, "1.0\n") == (1, "CHANGELOG.md calls 1.0 unreleased")


def test_a_commit_that_is_not_merged_is_refused(ready: Path, remote: Path) -> None:
    projects.git(ready, "commit", "--quiet", "--allow-empty", "--message=Mine")
    head = projects.git(ready, "rev-parse", "HEAD")
    with pytest.raises(WheelworksError, match=f"main at origin doesn't contain {head[:12]}"):
        publishing.check_remote(ready, "1.0", head, "origin")


def test_a_commit_below_the_remotes_newest_is_published(ready: Path, remote: Path) -> None:
    head = projects.git(ready, "rev-parse", "HEAD")
    projects.git(ready, "commit", "--quiet", "--allow-empty", "--message=Later")
    projects.git(ready, "push", "--quiet", "origin", "main")
    projects.git(ready, "reset", "--quiet", "--hard", head)
    publishing.check_remote(ready, "1.0", head, "origin")


def test_a_version_that_the_remote_has_tagged_is_refused(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert publish(monkeypatch, "1.0\n") == (0, "")
    projects.git(ready, "tag", "--delete", "v1.0")  # as in a clone that has not fetched the tag
    with pytest.raises(WheelworksError, match=r"1\.0 is already tagged at origin"):
        publishing.check_remote(ready, "1.0", projects.git(ready, "rev-parse", "HEAD"), "origin")
    projects.git(ready, "fetch", "--quiet", "--tags")
    assert publish(monkeypatch, "1.0\n") == (1, "1.0 is already tagged at origin")


def test_a_missing_remote_is_reported(ready: Path) -> None:
    status, said = release("--publish", "--remote", "nowhere")
    assert status == 1 and "git ls-remote" in said


def test_a_push_that_is_refused_leaves_no_tag(ready: Path, remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho tags are protected\nexit 1\n")
    hook.chmod(0o755)
    head = projects.git(ready, "rev-parse", "HEAD")
    with pytest.raises(WheelworksError, match="tags are protected"):
        publishing.push_tag(ready, "1.0", head, "origin")
    assert tags(ready) == tags(remote) == ""
    hook.unlink()
    assert publish(monkeypatch, "1.0\n") == (0, "")


def test_a_release_killed_between_tag_and_push_continues(
    ready: Path, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    projects.git(ready, "tag", "--annotate", "v1.0", "-m", "1.0")
    assert release() == (1, "1.0 is already tagged")  # a rehearsal
    assert publish(monkeypatch, "1.0\n") == (0, "")
    assert tags(remote) == "v1.0"


def test_another_commit_with_the_tag_is_refused(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    projects.git(ready, "tag", "v1.0")
    projects.git(ready, "commit", "--quiet", "--allow-empty", "--message=Later")
    assert publish(monkeypatch, "1.0\n") == (1, "1.0 is already tagged")


def test_a_part_of_unknown_targets_is_refused(ready: Path) -> None:
    for words in (["--target", "win_arm46"], ["--abi", "cp27"], ["--vary", "weather"]):
        assert release(*words)[0] == 2


def test_the_workflow_that_takes_over_listens_to_such_tags() -> None:
    text = (ROOT / ".github/workflows/release.yml").read_text()
    assert re.search(r'^on:\n  push:\n    tags: \["v\*"\]$', text, re.MULTILINE)
    assert "pypa/gh-action-pypi-publish@" in text and "id-token: write" in text and "attestations: true" in text


# --- what a release requires of the clone --------------------------------------------------------------------------

TWO_RELEASES = "# Changelog\n\n## 1.0\n\n- All of it.\n\n## 0.9\n\n- Less.\n"


@pytest.fixture
def releasable(tmp_path: Path) -> Path:
    """A project that may be released as 1.0, in a repository without a remote."""
    folder = projects.sample(tmp_path / "p", **{"CHANGELOG.md": TWO_RELEASES})
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


def test_a_project_that_is_ready_returns_its_commit(releasable: Path) -> None:
    assert publishing.check_preconditions(releasable, "1.0") == projects.git(releasable, "rev-parse", "HEAD")


def test_uncommitted_files(releasable: Path) -> None:
    (releasable / "new.py").touch()
    assert refusal(releasable) == "the work tree isn't clean:\n?? new.py"


def test_another_branch(releasable: Path) -> None:
    projects.git(releasable, "checkout", "--quiet", "-b", "other")
    assert refusal(releasable) == "the current branch is other; releases are made from main"


def test_another_version_than_the_projects(releasable: Path) -> None:
    assert refusal(releasable, "1.1") == "pyproject.toml has version 1.0, not 1.1"


@pytest.mark.parametrize("version", ["", "one", "1.0-beta", "v1.0", "1.0+local", "../1"])
def test_invalid_versions(releasable: Path, version: str) -> None:
    with pytest.raises(UsageError):
        publishing.check_preconditions(releasable, version)


@pytest.mark.parametrize("text", ["# Changelog\n", "## 1.0\n\n## 0.9\n\n- Less.\n", "## 1.0.1\n\n- Next.\n"])
def test_a_missing_entry_in_the_changelog(releasable: Path, text: str) -> None:
    assert refusal(changed(releasable, "CHANGELOG.md", text)) == "CHANGELOG.md has no entry for 1.0"


def test_a_tagged_version(releasable: Path) -> None:
    projects.git(releasable, "tag", "v1.0")
    assert refusal(releasable) == "1.0 is already tagged"


def test_a_lower_version(releasable: Path) -> None:
    for tag in ("v0.9", "v1.0.1", "vague"):
        projects.git(releasable, "tag", tag)
    assert refusal(releasable) == "1.0 isn't higher than 1.0.1, which is tagged"


def test_a_folder_that_is_no_git_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))  # Nox creates temporary folders inside a repository
    projects.sample(tmp_path / "p", **{"CHANGELOG.md": TWO_RELEASES})
    assert "not a git repository" in refusal(tmp_path / "p")
