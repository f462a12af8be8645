"""Test that no child process outlives its timeout, its parent or Ctrl-C."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from wheelworks.core import process
from wheelworks.core.errors import WheelworksError

from tests.fixtures.commands import environment, wait_for

GRANDCHILD = """\
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {child.pid}")
time.sleep(600 if sys.argv[2] == "stay" else 0)
"""


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "pids"
    process._stopping.clear()


def gone(pids: Path) -> bool:
    """Return whether the program and its child have ended, after waiting for at most 5 seconds."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        if not any(alive(int(pid)) for pid in pids.read_text().split()):
            return True
        time.sleep(0.02)
    return False


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_status_and_output_of_both_kinds() -> None:
    code = "import sys; print('out'); sys.stdout.flush(); print('ü', file=sys.stderr); sys.exit(3)"
    result = process.run([sys.executable, "-X", "utf8", "-c", code])
    assert (result.status, result.output) == (3, "out\nü\n")


def test_what_is_shown_goes_where_we_write(capfd: pytest.CaptureFixture[str]) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    result = process.run([sys.executable, "-c", code], inherit_output=True)
    assert (result.status, result.output, *capfd.readouterr()) == (3, "", "out\n", "err\n")


def test_output_that_is_no_text() -> None:
    result = process.run([sys.executable, "-c", r"import sys; sys.stdout.buffer.write(b'\xff\n')"])
    assert result.output == "\ufffd\n"


@pytest.mark.skipif(os.name != "posix", reason="a umask is POSIX's")
def test_the_umask_is_always_the_same() -> None:
    before = os.umask(0o077)
    try:
        result = process.run([sys.executable, "-c", "import os; print(oct(os.umask(0)))"])
    finally:
        os.umask(before)
    assert result.output == "0o22\n"


@pytest.mark.parametrize("words", [["/nowhere/program"], ["."]])
def test_a_program_that_cant_be_started(words: list[str]) -> None:
    with pytest.raises(WheelworksError, match="cannot start"):
        process.run(words)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks for processes in /proc")
def test_a_timeout_ends_grandchildren_too(pids: Path) -> None:
    with pytest.raises(WheelworksError, match="did not end within 1 s and was stopped"):
        process.run([sys.executable, "-c", GRANDCHILD, pids, "stay"], timeout=1)
    assert gone(pids)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks for processes in /proc")
def test_a_grandchild_that_keeps_the_output_open_is_ended(pids: Path) -> None:
    with pytest.raises(WheelworksError, match="did not end within"):
        process.run([sys.executable, "-c", GRANDCHILD, pids, "leave"], timeout=1)
    assert gone(pids)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks for processes in /proc")
def test_stopping_ends_everything_and_starts_nothing(tmp_path: Path) -> None:
    """The code runs in a program of its own, because stopping cannot be undone."""
    code = """\
import pathlib, sys, threading, time
from wheelworks.core import process
from wheelworks.core.errors import WheelworksError
place = pathlib.Path(sys.argv[1])
worker = threading.Thread(target=lambda: process.run([sys.executable, "-c", sys.argv[2], place, "stay"]))
worker.start()
deadline = time.monotonic() + 60
while not place.exists() or not place.read_text():
    assert time.monotonic() < deadline
    time.sleep(0.01)
process.stop_all()
worker.join(5)
assert not worker.is_alive()
try:
    process.run([sys.executable, "-c", ""])
except WheelworksError as error:
    print(error)
"""
    place = tmp_path / "pids"
    ended = subprocess.run(
        [sys.executable, "-c", code, str(place), GRANDCHILD],
        check=True,
        capture_output=True,
        text=True,
        env=environment(tmp_path),
    )
    assert ended.stdout == "interrupted\n"
    assert gone(place)


def test_an_interrupt_waits_until_the_program_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a program that was started, but not yet recorded, would outlive this process."""
    started = []

    def interrupted(*words: object) -> subprocess.Popen[str]:
        process.handle_interrupt(2, None)  # as a signal does that arrives during the start
        started.append(words)
        started_one = subprocess.Popen([sys.executable, "-c", ""], text=True)
        started_one.wait()
        return started_one

    monkeypatch.setattr(process, "_popen", interrupted)
    monkeypatch.setattr(process, "_stopping", threading.Event())
    with pytest.raises(KeyboardInterrupt):
        process.run(["anything"])
    assert len(started) == 1
    with pytest.raises(KeyboardInterrupt):
        process.handle_interrupt(2, None)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks for processes in /proc")
def test_a_program_dies_with_a_killed_parent(tmp_path: Path) -> None:
    """The program is interrupted as by Ctrl-C, so that it can clean up."""
    child = """\
import os, pathlib, signal, sys, time
from wheelworks.core import process
signal.signal(signal.SIGINT, process.handle_interrupt)
process.watch_parent()
try:
    pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
    time.sleep(600)
except KeyboardInterrupt:
    pathlib.Path(sys.argv[1]).with_name("cleaned").touch()
"""
    code = """\
import sys
from wheelworks.core import process
process.run([sys.executable, *sys.argv[1:]], die_with_parent=True)
"""
    place = tmp_path / "pids"
    command = [sys.executable, "-c", code, "-c", child, str(place)]
    with subprocess.Popen(command, env=environment(tmp_path), stdin=subprocess.DEVNULL) as parent:
        wait_for(lambda: place.exists() and bool(place.read_text()))
        parent.kill()
    assert gone(place)
    assert (tmp_path / "cleaned").exists()


def test_a_program_without_die_with_parent_reads_nothing() -> None:
    assert process.run([sys.executable, "-c", "import sys; print(repr(sys.stdin.read()))"]).output == "''\n"
    process.watch_parent()  # nothing happens: this process has no die_with_parent either


def test_what_a_program_reads_has_none_of_stderr() -> None:
    text = "import os; os.write(1, b'1\\n'); os.write(2, b'warned\\n'); os.write(1, b'2\\n')"
    together = process.run([sys.executable, "-c", text])
    apart = process.run([sys.executable, "-c", text], separate_stderr=True)
    assert (together.output, together.errors) == ("1\nwarned\n2\n", "")
    assert (apart.output, apart.errors, apart.last_lines(2)) == ("1\n2\n", "warned\n", "2\nwarned")


def test_commands_are_printed_on_request(tmp_path: Path) -> None:
    code = "from wheelworks.core import process; import sys; process.run([sys.executable, '-c', 'x = 1'])"
    command = [sys.executable, "-c", code]
    for more, printed in (({}, ""), ({"WHEELWORKS_VERBOSE": "1"}, f"+ {sys.executable} -c 'x = 1'\n")):
        env = {**environment(tmp_path), **more}
        assert subprocess.run(command, check=True, capture_output=True, text=True, env=env).stderr == printed


def test_a_failure_shows_the_last_lines() -> None:
    with pytest.raises(WheelworksError, match=r"^it is broken:\n2\n3$") as raised:
        process.run_checked([sys.executable, "-c", "print('1\\n2\\n3'); exit(1)"], "it is broken", "fix it", lines=2)
    assert raised.value.hint == "fix it"


def test_a_server_ends_when_its_stdin_is_closed() -> None:
    code = "import sys; print('ready', flush=True); sys.stdin.read(); sys.exit(7)"
    with process.start_server([sys.executable, "-c", code]) as server:
        assert server.stdout and server.stdout.readline() == "ready\n"
    assert server.returncode == 7
