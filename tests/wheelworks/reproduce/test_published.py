"""A published release, built again from what the index serves: a real index on this machine, real files."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wheelworks import plan
from wheelworks.release import steps
from wheelworks.release.steps import Release
from wheelworks.reproduce.provenance import FILE

from tests.fixtures import indexes
from tests.fixtures.commands import ROOT, Ended, wheelworks
from tests.fixtures.indexes import Server

pytestmark = pytest.mark.integration

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
STEM = plan.stem("tornado-speedups", VERSION)
WHEEL = f"{STEM}-cp311-abi3-win_arm64.whl"
COMMIT = "c" * 40


class Index:
    """The project's release in an index, with its provenance beside it."""

    def __init__(self, server: Server, folder: Path, cache: Path) -> None:
        self.server, self.folder, self.cache = server, folder, cache
        steps.provenance(Release(ROOT, folder, VERSION, COMMIT, STEM))
        self.serve()

    def serve(self) -> None:
        """Serve the folder as it is now."""
        files = [*self.folder.glob("*.whl"), *self.folder.glob("*.tar.gz")]
        self.server.listing(*files, project="tornado-speedups")
        self.server.pages[f"/files/{FILE}"] = (self.folder / FILE).read_bytes()

    def change(self, place: str, value: Any) -> None:
        """Change what the provenance says of how the files were made."""
        path = self.folder / FILE
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
        """Build the wheel for Windows on ARM64 again."""
        env = {"PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": self.server.address, "PIP_EXTRA_INDEX_URL": ""}
        pin, chosen = (
            f"tornado-speedups=={VERSION}",
            ("--target", "win_arm64", "--abi", "cp311-abi3", "--vary", "umask"),
        )
        return wheelworks("reproduce", pin, *chosen, *words, cache=self.cache, env=env)


@pytest.fixture
def index(release: Path, wheelworks_cache: Path, tmp_path: Path) -> Iterator[Index]:
    folder = Path(shutil.copytree(release, tmp_path / "served"))
    with indexes.serving() as server:
        yield Index(server, folder, wheelworks_cache)


def test_it_is_built_again_to_the_same_bytes(index: Index) -> None:
    ended = index.reproduce()
    assert ended.status == 0, ended.err
    assert "the same bytes" in ended.out and "1 build" in ended.out
    wheels = {path for path in index.server.asked if path.endswith(".whl")}
    assert wheels == {f"/files/{WHEEL}"} and f"/files/{STEM}.tar.gz" in index.server.asked


def test_the_time_and_the_source_are_the_published_ones(index: Index) -> None:
    """An sdist that says something else, at another time, gives another wheel."""
    statement = json.loads((index.folder / FILE).read_text())
    statement["predicate"]["buildDefinition"]["internalParameters"]["epoch"] += 86_400
    (index.folder / FILE).write_text(json.dumps(statement))
    index.serve()
    ended = index.reproduce()
    assert ended.status == 1 and "made otherwise" in ended.err and "time" in ended.err


@pytest.mark.parametrize("name", [WHEEL, f"{STEM}.tar.gz"])
def test_a_file_that_was_changed_in_the_index_is_refused(name: str, index: Index) -> None:
    path = index.folder / name
    path.write_bytes(path.read_bytes() + b"more")
    index.serve()
    ended = index.reproduce()
    assert ended.status == 1 and f"{name}: isn't the file that its provenance.json tells of" in ended.err


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
    assert f"try: git checkout {COMMIT}" in ended.err


def test_a_provenance_from_elsewhere_takes_the_place_of_none(index: Index, tmp_path: Path) -> None:
    del index.server.pages[f"/files/{FILE}"]
    assert index.reproduce("--provenance", index.folder / FILE).status == 0
    assert index.reproduce("--provenance", tmp_path / "nothing.json").status == 2


def test_a_provenance_that_cannot_be_read_is_refused(index: Index) -> None:
    index.server.pages[f"/files/{FILE}"] = b"[]"
    ended = index.reproduce()
    assert ended.status == 1 and "no provenance that can be read" in ended.err
