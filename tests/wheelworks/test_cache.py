"""The cache: a folder appears whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from wheelworks import cache

from tests.fixtures.commands import environment


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WHEELWORKS_CACHE", str(tmp_path))
    return tmp_path


def test_is_made_once(place: Path) -> None:
    calls = []

    def make(folder: Path) -> None:
        calls.append(folder)
        (folder / "file").write_text("x")

    assert cache.keep("a/b", make) == cache.keep("a/b", make) == place / "a" / "b"
    assert len(calls) == 1
    assert [path.name for path in (place / "a").iterdir()] == ["b"]


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt(), ValueError("x")])
def test_a_failure_leaves_nothing(error: BaseException, place: Path) -> None:
    def make(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise error

    with pytest.raises(type(error)):
        cache.keep("a/b", make)
    assert list((place / "a").iterdir()) == []


def test_another_that_was_first_wins(place: Path) -> None:
    def make(folder: Path) -> None:
        (place / "b").mkdir()
        (place / "b" / "theirs").touch()
        (folder / "ours").touch()

    assert [path.name for path in cache.keep("b", make).iterdir()] == ["theirs"]
    assert [path.name for path in place.iterdir()] == ["b"]


def test_the_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    assert cache.folder() == place
    monkeypatch.setenv("WHEELWORKS_CACHE", "")
    assert cache.folder().is_absolute() and "wheelworks" in str(cache.folder())


def test_two_processes_see_whole_folders_only(place: Path) -> None:
    code = """\
import sys, time
from wheelworks import cache
def make(folder):
    for number in range(40):
        (folder / str(number)).write_text("x")
        time.sleep(0.001)
for name in range(20):
    assert len(list(cache.keep(f"n/{name}", make).iterdir())) == 40
"""
    running = [subprocess.Popen([sys.executable, "-c", code], env=environment(place)) for _ in range(2)]
    assert [process.wait(60) for process in running] == [0, 0]
    assert sorted(int(path.name) for path in (place / "n").iterdir()) == list(range(20))
