"""Test that Ctrl-C and SIGTERM during a build leave no process, partial file or temporary folder."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.fixtures import commands, projects

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc"),
]

SLOW_SETUP = """\
import os, pathlib, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(os.environ["STARTED"]).touch()
child.wait()
"""

# Records the temporary files that a command creates outside its own folder: an interrupt may leave each of them.
RECORD_TEMPORARY_FILES = """\
import os, sys
def record(event, arguments):
    if event in ("tempfile.mkstemp", "tempfile.mkdtemp") and os.path.dirname(arguments[0]) == os.environ["RECORDED"]:
        with open(os.environ["RECORD"], "a") as file:
            print(arguments[0], file=file)
if "RECORD" in os.environ:
    sys.addaudithook(record)
"""


def left_over(mark: str) -> list[str]:
    """Return the command lines of the processes whose environment contains ``mark``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("when", ["at once", "in the backend", "while compiling"])
def test_nothing_is_left(number: signal.Signals, when: str, tmp_path: Path, wheelworks_cache: Path) -> None:
    place = projects.sample(tmp_path / "project", setup_py=SLOW_SETUP if when == "in the backend" else None)
    if when == "while compiling":
        slow = "".join(f"int f{n}(int x) {{ return x * {n} + (x >> {n % 30}); }}\n" for n in range(60_000))
        projects.sample(tmp_path / "project", projects.module(before=slow))
    temporary, started, out = tmp_path / "tmp", tmp_path / "started", tmp_path / "out"
    temporary.mkdir()
    words = ("cross-arm64", "--no-run", place, "--out", out, "--env", f"STARTED={started}")
    (tmp_path / "sitecustomize.py").write_text(RECORD_TEMPORARY_FILES)
    (record := tmp_path / "record").touch()
    process = commands.start(
        *words,
        cache=wheelworks_cache,
        TMPDIR=str(temporary),
        WHEELWORKS_MARK=str(tmp_path),
        PYTHONPATH=str(tmp_path),
        RECORD=str(record),
        RECORDED=str(temporary),
    )
    logs = "wheelworks-*/*/compiler.log"
    reached = {
        "at once": lambda: bool(list(temporary.glob("wheelworks-*"))) or process.poll() is not None,
        "in the backend": started.exists,
        "while compiling": lambda: any(log.stat().st_size for log in temporary.glob(logs)),
    }
    commands.wait_for(reached[when])
    ended = commands.interrupt(process, number)
    assert ended.status == 128 + number, ended.err
    assert "interrupted; partial output removed" in ended.err
    assert "Traceback" not in ended.err
    assert list(temporary.iterdir()) == []
    assert record.read_text() == ""
    assert not out.exists() or [path.name for path in out.iterdir()] == []
    commands.wait_for(lambda: left_over(str(temporary)) == [], seconds=5)


def test_a_second_signal_changes_nothing(tmp_path: Path, wheelworks_cache: Path) -> None:
    place = projects.sample(tmp_path / "project", setup_py=SLOW_SETUP)
    started = tmp_path / "started"
    words = ("cross-arm64", "--no-run", place, "--out", tmp_path / "out", "--env", f"STARTED={started}")
    process = commands.start(*words, cache=wheelworks_cache, TMPDIR=str(tmp_path))
    commands.wait_for(started.exists)
    os.kill(process.pid, signal.SIGINT)
    time.sleep(0.05)
    ended = commands.interrupt(process, signal.SIGINT)
    assert ended.status == 130
    assert left_over(str(started)) == []
