"""Test that files and cached folders are written completely or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import get_cache_folder, get_cached_folder, remove_leftovers, remove_tree, write_file

from tests.fixtures.commands import environment, wait_for


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WHEELWORKS_CACHE", str(tmp_path))
    return tmp_path


def test_is_made_once(place: Path) -> None:
    calls = []

    def make(folder: Path) -> None:
        calls.append(folder)
        (folder / "file").write_text("x")

    assert get_cached_folder("a/b", make) == get_cached_folder("a/b", make) == place / "a" / "b"
    assert len(calls) == 1
    assert {path.name for path in (place / "a").iterdir()} <= {"b", "b.lock"}


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt(), ValueError("x")])
def test_a_failure_leaves_nothing(error: BaseException, place: Path) -> None:
    def make(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise error

    with pytest.raises(type(error)):
        get_cached_folder("a/b", make)
    assert {path.name for path in (place / "a").iterdir()} <= {"b.lock"}


def test_the_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    assert get_cache_folder() == place
    monkeypatch.setenv("WHEELWORKS_CACHE", "")
    assert get_cache_folder().is_absolute() and "wheelworks" in str(get_cache_folder())


def test_two_processes_see_whole_folders_only(place: Path) -> None:
    code = """\
import sys, time
from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import get_cached_folder
def make(folder):
    for number in range(40):
        (folder / str(number)).write_text("x")
        time.sleep(0.001)
for name in range(20):
    assert len(list(get_cached_folder(f"n/{name}", make).iterdir())) == 40
"""
    running = [subprocess.Popen([sys.executable, "-c", code], env=environment(place)) for _ in range(2)]
    assert [process.wait(60) for process in running] == [0, 0]
    assert sorted(int(path.name) for path in (place / "n").iterdir() if path.is_dir()) == list(range(20))


SLOW_FILL = """
import pathlib, sys, time
from wheelworks.core.files import get_cached_folder
def make(folder):
    with open(sys.argv[1], "a") as log:
        log.write("made\\n")
    (folder / "half").touch()
    time.sleep(float(sys.argv[2]))
    (folder / "whole").touch()
print(sorted(path.name for path in get_cached_folder("rooms/thing", make).iterdir()))
"""


def test_two_processes_make_an_entry_once(place: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW_FILL, str(tmp_path / "log"), "0.5"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(place)) for _ in range(2)]
    assert [process.communicate(timeout=30)[0].strip() for process in both] == ["['half', 'whole']"] * 2
    assert (tmp_path / "log").read_text() == "made\n"


def test_a_killed_process_leaves_no_entry(place: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = subprocess.Popen([sys.executable, "-c", SLOW_FILL, str(log), "30"], env=environment(place))
    wait_for(log.exists)
    process.kill()
    process.wait()
    assert not (place / "rooms/thing").exists()
    assert get_cached_folder("rooms/thing", lambda folder: (folder / "new").touch()).is_dir()
    assert {path.name for path in (place / "rooms").iterdir()} <= {"thing", "thing.lock"}


def test_unwritable_folders_are_removed_and_links_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    tree = tmp_path / "tree"
    (tree / "locked").mkdir(parents=True)
    (tree / "locked/file").touch()
    (tree / "link").symlink_to(outside)
    (tree / "locked").chmod(0o500)
    remove_tree(tree)
    assert not tree.exists() and outside.is_dir() and os.access(outside, os.W_OK)


def test_a_cache_that_cannot_be_written_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WHEELWORKS_CACHE", str(tmp_path / "file"))
    with pytest.raises(WheelworksError, match="can't be written") as caught:
        get_cached_folder("a/b", lambda folder: None)
    assert "WHEELWORKS_CACHE" in caught.value.hint


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = write_file(tmp_path / "x", b"old")

    def full(source: str, destination: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_file(place, b"new")
    assert place.read_bytes() == b"old" and list(tmp_path.iterdir()) == [place]


def test_what_a_killed_write_has_left_is_swept_away_and_nothing_else(tmp_path: Path) -> None:
    for name in (".sums.ab_12cd3", "sums", ".sums.keep", ".others.ab_12cd3", ".sums.AB12CD34"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, ["sums", "more"])
    assert {path.name for path in tmp_path.iterdir()} == {"sums", ".sums.keep", ".others.ab_12cd3", ".sums.AB12CD34"}
