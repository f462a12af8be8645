"""A project's own tests on its wheel under this machine's Pythons: `test-native --source`."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.fixtures.commands import wheelworks, wheelworks_here

TALLIES = Path(__file__).parents[2] / "projects" / "tallies"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x-1.0-py3-none-any.whl"], "the tests are in the project's source"),
        (["--source", TALLIES, "none-1.0-py3-none-any.whl"], "no such file"),
        (["--source", TALLIES], "no wheel to test"),
        (["--source", TALLIES, "x.whl", "--tornado", "6.5"], "--tornado is for the tests of tornado_speedups"),
        (["--source", "none"], "no such file or folder"),
        (["--source", TALLIES, "--test-requires", "'"], "--test-requires"),
    ],
)
def test_wrong_use(
    tmp_path: Path,
    words: list[str | Path],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["test-native", *words, "--python", sys.executable]
    ended = wheelworks_here(*command, cache=tmp_path, monkeypatch=monkeypatch, capsys=capsys)
    assert ended.status in (1, 2) and message in " ".join(ended.err.split())


@pytest.mark.integration
def test_the_sample_project(tmp_path: Path, wheelworks_cache: Path) -> None:
    out = tmp_path / "out"
    built = wheelworks("host-wheel", TALLIES, "--out", out, cache=wheelworks_cache, seconds=600)
    assert built.status == 0, built.err
    [wheel] = out.glob("*.whl")
    words: list[str | Path] = [wheel, "--source", TALLIES, "--python", sys.executable]
    ended = wheelworks("test-native", *words, cache=wheelworks_cache, seconds=600)
    assert ended.status == 0 and "6 checks" in ended.out, ended.err
    foreign = out / re.sub("-[^-]+.whl$", "-win_arm64.whl", wheel.name)
    shutil.copy(wheel, foreign)
    ended = wheelworks("test-native", foreign, *words, cache=wheelworks_cache, seconds=600)
    assert ended.status == 1 and f"{foreign.name}: not tested" in "".join(ended.err.split("\n"))
    words += ["--test-command", "python -c 'print(1)'"]
    ended = wheelworks("test-native", *words, cache=wheelworks_cache, seconds=600)
    assert ended.status == 1 and "the extension was never loaded" in " ".join(ended.err.split())
