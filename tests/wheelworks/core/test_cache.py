"""The cache: a folder appears whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from wheelworks.core import cache
from wheelworks.core.errors import WheelworksError

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
    assert {path.name for path in (place / "a").iterdir()} <= {"b", "b.lock"}


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt(), ValueError("x")])
def test_a_failure_leaves_nothing(error: BaseException, place: Path) -> None:
    def make(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise error

    with pytest.raises(type(error)):
        cache.keep("a/b", make)
    assert {path.name for path in (place / "a").iterdir()} <= {"b.lock"}


def test_the_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    assert cache.folder() == place
    monkeypatch.setenv("WHEELWORKS_CACHE", "")
    assert cache.folder().is_absolute() and "wheelworks" in str(cache.folder())


def test_two_processes_see_whole_folders_only(place: Path) -> None:
    code = """\
import sys, time
from wheelworks.core import cache
from wheelworks.core.errors import WheelworksError
def make(folder):
    for number in range(40):
        (folder / str(number)).write_text("x")
        time.sleep(0.001)
for name in range(20):
    assert len(list(cache.keep(f"n/{name}", make).iterdir())) == 40
"""
    running = [subprocess.Popen([sys.executable, "-c", code], env=environment(place)) for _ in range(2)]
    assert [process.wait(60) for process in running] == [0, 0]
    assert sorted(int(path.name) for path in (place / "n").iterdir() if path.is_dir()) == list(range(20))


SLOW_FILL = """
import pathlib, sys, time
from wheelworks.core import cache
def make(folder):
    with open(sys.argv[1], "a") as log:
        log.write("made\\n")
    (folder / "half").touch()
    time.sleep(float(sys.argv[2]))
    (folder / "whole").touch()
print(sorted(path.name for path in cache.keep("rooms/thing", make).iterdir()))
"""


def test_two_processes_make_an_entry_once(place: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW_FILL, str(tmp_path / "log"), "0.5"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(place)) for _ in range(2)]
    assert [process.communicate(timeout=30)[0].strip() for process in both] == ["['half', 'whole']"] * 2
    assert (tmp_path / "log").read_text() == "made\n"


def test_a_killed_process_leaves_no_entry(place: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = subprocess.Popen([sys.executable, "-c", SLOW_FILL, str(log), "30"], env=environment(place))
    while not log.exists():
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not (place / "rooms/thing").exists()
    assert cache.keep("rooms/thing", lambda folder: (folder / "new").touch()).is_dir()
    assert {path.name for path in (place / "rooms").iterdir()} <= {"thing", "thing.lock"}


def test_unwritable_folders_are_removed_and_links_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    tree = tmp_path / "tree"
    (tree / "locked").mkdir(parents=True)
    (tree / "locked/file").touch()
    (tree / "link").symlink_to(outside)
    (tree / "locked").chmod(0o500)
    cache.remove_tree(tree)
    assert not tree.exists() and outside.is_dir() and os.access(outside, os.W_OK)


def test_a_cache_that_cannot_be_written_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WHEELWORKS_CACHE", str(tmp_path / "file"))
    with pytest.raises(WheelworksError, match="can't be written") as caught:
        cache.keep("a/b", lambda folder: None)
    assert "WHEELWORKS_CACHE" in caught.value.hint
