import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from wheelworks.errors import WheelworksError
from wheelworks.execute.cpython.cache import cache_folder, cached, remove_tree, run_folder

SLOW_FILL = """
import pathlib, sys, time
from wheelworks.execute.cpython.cache import cached
def make(folder):
    with open(sys.argv[1], "a") as log:
        log.write("made\\n")
    (folder / "half").touch()
    time.sleep(float(sys.argv[2]))
    (folder / "whole").touch()
print(sorted(path.name for path in cached("rooms/thing", make).iterdir()))
"""


def test_the_environment_chooses_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WHEELWORKS_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/there")
    assert cache_folder() == Path("/there/wheelworks")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the XDG specification has it ignored
    assert cache_folder() == tmp_path / ".cache/wheelworks"
    monkeypatch.setenv("WHEELWORKS_CACHE", "/mine")
    assert cache_folder() == Path("/mine")


def test_an_entry_is_made_once(own_cache: Path) -> None:
    made: list[Path] = []
    for _ in range(2):
        assert cached("a/b", made.append) == own_cache / "a/b"
    assert len(made) == 1


def test_what_fails_leaves_nothing(own_cache: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise WheelworksError("no")

    with pytest.raises(WheelworksError, match="no"):
        cached("a/b", fail)
    assert [path.name for path in (own_cache / "a").iterdir()] == ["b.lock"]


def test_two_processes_make_an_entry_once(own_cache: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW_FILL, str(tmp_path / "log"), "0.5"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=30)[0].strip() for process in both] == ["['half', 'whole']"] * 2
    assert (tmp_path / "log").read_text() == "made\n"


def test_a_killed_process_leaves_no_entry(own_cache: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = subprocess.Popen([sys.executable, "-c", SLOW_FILL, str(log), "30"])
    while not log.exists():
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not (own_cache / "rooms/thing").exists()
    assert cached("rooms/thing", lambda folder: (folder / "new").touch()).is_dir()
    assert sorted(path.name for path in (own_cache / "rooms").iterdir()) == ["thing", "thing.lock"]


def test_a_run_folder_is_gone_afterwards(own_cache: Path) -> None:
    with run_folder() as folder:
        (folder / "sub").mkdir()
    assert not list((own_cache / "runs").iterdir())


def test_the_next_run_sweeps_a_killed_runs_folder_but_no_living_ones(own_cache: Path) -> None:
    code = "import time\nfrom wheelworks.execute.cpython.cache import run_folder\nwith run_folder() as folder:\n"
    code += "    print(folder, flush=True)\n    time.sleep(30)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    folder = Path(process.stdout.readline().strip())
    with run_folder():
        assert folder.is_dir()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert folder.is_dir()
    with run_folder():
        assert not folder.exists()


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
        cached("a/b", lambda folder: None)
    assert "WHEELWORKS_CACHE" in caught.value.hint
