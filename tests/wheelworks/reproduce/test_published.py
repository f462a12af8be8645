"""Reproduce a published release from a real package index on this machine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wheelworks.core import index as ordinary
from wheelworks.release import steps
from wheelworks.release.steps import Release
from wheelworks.reproduce.provenance import PROVENANCE_FILE

from tests.fixtures import indexes, projects
from tests.fixtures.commands import ROOT, Ended, environment, wheelworks
from tests.fixtures.indexes import Server
from tests.fixtures.package import STEM, VERSION

pytestmark = pytest.mark.integration

WHEEL = f"{STEM}-cp311-abi3-win_arm64.whl"
COMMIT = "c" * 40
CHOSEN = ("--target", "win_arm64", "--abi", "cp311-abi3", "--vary", "umask")
REPRODUCE = ("reproduce", f"tornado-speedups=={VERSION}", *CHOSEN)


class Index:
    """A package index that serves the project's release and its provenance."""

    def __init__(self, server: Server, folder: Path, cache: Path) -> None:
        self.server, self.folder, self.cache = server, folder, cache
        self.account(COMMIT)

    def account(self, commit: str) -> None:
        """Serve the release with a provenance that names this commit."""
        steps.record_provenance(Release(ROOT, self.folder, VERSION, commit, STEM))
        self.serve()

    def serve(self) -> None:
        """Serve the current files of the folder."""
        files = [*self.folder.glob("*.whl"), *self.folder.glob("*.tar.gz")]
        self.server.listing(*files, project="tornado-speedups")
        self.server.pages[f"/files/{PROVENANCE_FILE}"] = (self.folder / PROVENANCE_FILE).read_bytes()

    def change(self, place: str, value: Any) -> None:
        """Change a tool's version or a lock file's hash in the provenance."""
        path = self.folder / PROVENANCE_FILE
        statement = json.loads(path.read_text())
        definition = statement["predicate"]["buildDefinition"]
        if place.startswith("requirements/"):
            (lock,) = [one for one in definition["resolvedDependencies"] if one["uri"].endswith(f"#{place}")]
            lock["digest"]["sha256"] = value
        else:
            definition["internalParameters"]["toolchain"][place] = value
        path.write_text(json.dumps(statement))
        self.serve()

    def reproduce(self, *words: str | Path) -> Ended:
        """Run the reproduce command for the Windows wheel for ARM64."""
        env = {"PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": self.server.address, "PIP_EXTRA_INDEX_URL": ""}
        return wheelworks(*REPRODUCE, *words, cache=self.cache, env=env)


@pytest.fixture
def index(release: Path, wheelworks_cache: Path, tmp_path: Path) -> Iterator[Index]:
    folder = Path(shutil.copytree(release, tmp_path / "served"))
    with indexes.serving() as server:
        yield Index(server, folder, wheelworks_cache)


def test_it_is_built_again_to_the_same_bytes(index: Index) -> None:
    ended = index.reproduce()
    assert ended.status == 0, ended.err
    assert "same bytes" in ended.out and "1 build" in ended.out
    wheels = {path for path in index.server.asked if path.endswith(".whl")}
    assert wheels == {f"/files/{WHEEL}"} and f"/files/{STEM}.tar.gz" in index.server.asked


def test_the_time_and_the_source_are_the_published_ones(index: Index) -> None:
    """A different timestamp in the provenance gives a different wheel."""
    statement = json.loads((index.folder / PROVENANCE_FILE).read_text())
    statement["predicate"]["buildDefinition"]["internalParameters"]["epoch"] += 86_400
    (index.folder / PROVENANCE_FILE).write_text(json.dumps(statement))
    index.serve()
    ended = index.reproduce()
    assert ended.status == 1 and "built differently" in ended.err and "time" in ended.err


@pytest.mark.parametrize("name", [WHEEL, f"{STEM}.tar.gz"])
def test_a_file_that_was_changed_in_the_index_is_refused(name: str, index: Index) -> None:
    path = index.folder / name
    path.write_bytes(path.read_bytes() + b"more")
    index.serve()
    ended = index.reproduce()
    assert ended.status == 1 and f"{name}: doesn't have the hash that its provenance.json states" in ended.err


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("ziglang", "0.1.0", "where the record says 0.1.0"),
        ("requirements/wheelworks.txt", "0" * 64, f"where the record says {'0' * 64}"),
    ],
)
def test_other_tools_than_the_provenance_names_are_refused(place: str, value: str, said: str, index: Index) -> None:
    index.change(place, value)
    ended = index.reproduce()
    assert ended.status == 1 and f"{place}: " in ended.err and said in ended.err
    assert f"hint: git checkout {COMMIT}" in ended.err


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of this project whose lock files have changed since its first commit."""
    folder = projects.committed(projects.copied(ROOT, tmp_path / "clone"))
    projects.git(folder, "branch", "--move", "main")
    with (folder / "requirements/wheelworks.txt").open("a", encoding="utf-8") as file:
        file.write("# locked again since\n")
    projects.git(folder, "commit", "--quiet", "--all", "--message=Lock again")
    return folder


def from_clone(clone: Path, index: Index) -> subprocess.CompletedProcess[str]:
    # The test's index comes first, so that it serves the release even if the ordinary index has it too.
    usual = " ".join(ordinary.list_indexes(ordinary.read_pip_settings()))
    pip = {"PIP_INDEX_URL": index.server.address, "PIP_EXTRA_INDEX_URL": usual}
    env = {**environment(index.cache), **pip, "PYTHONPATH": str(clone / "scripts")}
    command = [sys.executable, "-m", "wheelworks", *REPRODUCE]
    return subprocess.run(command, cwd=clone, env=env, capture_output=True, text=True, check=False, timeout=600)


def test_the_suite_of_its_commit_builds_it_if_the_tools_have_changed(index: Index, clone: Path) -> None:
    index.account(projects.git(clone, "rev-parse", "HEAD~1"))
    ended = from_clone(clone, index)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    assert "installing the tools of commit" in ended.stderr and "same bytes" in ended.stdout
    assert re.search(r"^sdist +same bytes$", ended.stdout, re.MULTILINE)


def test_the_sdist_is_made_again_from_its_commit(index: Index, clone: Path) -> None:
    projects.git(clone, "checkout", "--quiet", "HEAD~1")
    index.account(projects.git(clone, "rev-parse", "HEAD"))
    ended = from_clone(clone, index)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    assert re.search(r"^sdist +same bytes$", ended.stdout, re.MULTILINE)
    with (clone / "README.md").open("a", encoding="utf-8") as file:
        file.write("More.\n")
    projects.git(clone, "commit", "--quiet", "--all", "--message=Say more")
    index.account(projects.git(clone, "rev-parse", "HEAD"))
    ended = from_clone(clone, index)
    assert ended.returncode == 1 and f"{STEM}.tar.gz" in ended.stderr and "README.md: line" in ended.stderr


def test_a_commit_of_another_history_is_not_run(index: Index, clone: Path) -> None:
    """The commit isn't run even if this clone contains it, for example from a branch or a pull request."""
    projects.git(clone, "checkout", "--quiet", "-b", "stranger", "HEAD~1")
    projects.git(clone, "commit", "--quiet", "--allow-empty", "--message=Of a stranger")
    index.account(projects.git(clone, "rev-parse", "HEAD"))
    projects.git(clone, "checkout", "--quiet", "main")
    ended = from_clone(clone, index)
    assert ended.returncode == 1 and "doesn't have the tools that the release was built with" in ended.stderr
    assert "installing" not in ended.stderr


def test_a_provenance_can_be_given(index: Index, tmp_path: Path) -> None:
    del index.server.pages[f"/files/{PROVENANCE_FILE}"]
    assert index.reproduce("--provenance", index.folder / PROVENANCE_FILE).status == 0
    assert index.reproduce("--provenance", tmp_path / "nothing.json").status == 2


def test_an_unreadable_provenance_is_refused(index: Index) -> None:
    index.server.pages[f"/files/{PROVENANCE_FILE}"] = b"[]"
    ended = index.reproduce()
    assert ended.status == 1 and "unreadable provenance" in ended.err
