"""Which built files are compared with each other, and which extra files a build may create."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from wheelworks.reproduce import result
from wheelworks.reproduce.bisect import Files
from wheelworks.reproduce.rebuild import BuildOutput, BuildRecipe, Selection
from wheelworks.reproduce.source import RebuildSource

ARM = "sums-1.0-cp311-abi3-win_arm64.whl"
INTEL = "sums-1.0-cp314-cp314t-win_amd64.whl"
EXTRA = "sums-1.0-cp314-cp314t-win_arm64.whl"


@dataclass
class Builder:
    """Returns the given builds in order, and then the last one repeatedly."""

    made: list[Files]
    builds: int = 0

    def __call__(self, variations: object, selection: object = None) -> BuildOutput:
        self.builds += 1
        return BuildOutput(dict(self.made[min(self.builds, len(self.made)) - 1]), None, "")

    def download_inputs(self, variations: object) -> None:
        pass


@pytest.fixture
def built(tmp_path: Path) -> Files:
    files = {name: tmp_path / name for name in (ARM, INTEL, EXTRA)}
    for path in files.values():
        path.write_bytes(b"a wheel")
    return files


def concluded(asked: Files, *made: Files) -> result.ReproductionResult:
    subject = RebuildSource(asked, BuildRecipe(Path("sums-1.0.tar.gz"), Selection((), ())), {})
    return result.reproduce_source(subject, Builder(list(made)), [], [])  # type: ignore[arg-type]


def test_a_folder_need_not_hold_every_abi_of_every_target(built: Files) -> None:
    asked = {name: built[name] for name in (ARM, INTEL)}
    found = concluded(asked, built)
    assert found.reproduced and found.files == {ARM: True, INTEL: True}


def test_a_file_of_only_one_of_two_builds_is_a_difference(built: Files) -> None:
    found = concluded({}, {name: built[name] for name in (ARM, INTEL)}, built)
    assert not found.reproduced and found.files == {ARM: True, INTEL: True, EXTRA: False}


def test_a_file_that_is_not_rebuilt_is_a_difference(built: Files) -> None:
    found = concluded({name: built[name] for name in (ARM, INTEL)}, {ARM: built[ARM]})
    assert found.files == {ARM: True, INTEL: False}
