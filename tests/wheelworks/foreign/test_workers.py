"""Guests are played by this machine's own Python: what is under test is the host's side."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from wheelworks.foreign import workers
from wheelworks.foreign.supervisor import start
from wheelworks.foreign.workers import Program, run_guests
from wheelworks.testing import results as told_module
from wheelworks.testing.results import Told
from wheelworks.testing.workers.events import Events


def program(folder: Path, code: str) -> Program:
    prelude = "import json, os, sys, time\ndef tell(**event): open('events', 'a').write(json.dumps(event) + '\\n')\n"
    return Program([sys.executable, "-c", prelude + code], None, folder)


def run(*programs: Program, limit: float = 20.0) -> Told:
    return run_guests(programs, limit, lambda text: None)


def test_what_guests_tell_is_gathered(tmp_path: Path) -> None:
    for shard, outcome in enumerate(["passed", "failed"]):
        (tmp_path / str(shard)).mkdir()
        events = Events(str(tmp_path / str(shard) / "events"))
        events.all(["t0", "t1"])
        events.start(f"t{shard}")
        events.end(f"t{shard}", outcome, "why")
        events.hooks({f"h{shard}": "installed"})
        events.modules([["json", "pytest"][shard], "missing"])
    told = run(program(tmp_path / "0", ""), program(tmp_path / "1", ""))
    assert (
        told.tests == ["t0", "t1"]
        and told.loaded == {"json": json.__file__, "pytest": pytest.__file__}
        and not told.deaths
        and not told.begun
    )
    assert told.ended == {"t0": ("passed", "why"), "t1": ("failed", "why")}
    assert told.hooks == {"h0": "installed", "h1": "installed"}


def test_a_hanging_guest_is_ended_and_named(tmp_path: Path) -> None:
    began = time.monotonic()
    told = run(program(tmp_path, "tell(event='start', test='t')\nos.fork()\nwhile True: pass"), limit=1.0)
    assert told.deaths == ["not done after 1 s"] and told.begun == {"t"}
    assert time.monotonic() - began < 5


def test_a_crash_is_named_by_its_signal(tmp_path: Path) -> None:
    told = run(program(tmp_path, "sys.stderr.write('last words')\nsys.stderr.flush()\nos.kill(os.getpid(), 11)"))
    assert told.deaths == ["the guest died of SIGSEGV\nlast words"]


@pytest.mark.parametrize(("code", "words"), [(3, "exit code 3"), (139, "died of SIGSEGV")])
def test_exit_codes_are_named(code: int, words: str, tmp_path: Path) -> None:
    (death,) = run(program(tmp_path, f"sys.exit({code})")).deaths
    assert words in death


def test_what_is_no_event_is_passed_over(tmp_path: Path) -> None:
    junk = [
        "not json",
        "[]",
        "{}",
        '{"event": "?"}',
        '{"event": "end"}',
        '{"event": "all", "tests": 1}',
        '{"event": "e',
    ]
    told = run(program(tmp_path, f"open('events', 'w').write({chr(10).join(junk)!r})"))
    assert told == Told()


def test_events_are_read_from_a_file_and_not_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(program(tmp_path / "link", "os.symlink('/dev/zero', 'events')")) == Told()
    monkeypatch.setattr(told_module, "EVENTS_LIMIT", 100)
    assert len(run(program(tmp_path / "long", "for i in range(99): tell(event='start', test=str(i))")).begun) == 3


def test_progress_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "TELL_EVERY", 0.2)
    code = (
        "tell(event='all', tests=['a', 'b'])\ntell(event='end', test='a', outcome='failed', detail='')\ntime.sleep(1)"
    )
    said: list[str] = []
    run_guests([program(tmp_path, code)], 20.0, said.append)
    assert said[-1] == "1 of 2 tests, 1 failed"


def test_an_interrupt_ends_the_guests(tmp_path: Path) -> None:
    def interrupt(text: str) -> None:
        raise KeyboardInterrupt

    workers.TELL_EVERY, kept = 0.5, workers.TELL_EVERY
    try:
        with pytest.raises(KeyboardInterrupt):
            run_guests([program(tmp_path, "open('pid', 'w').write(str(os.getpid()))\ntime.sleep(60)")], 20.0, interrupt)
    finally:
        workers.TELL_EVERY = kept
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()


def test_a_child_dies_with_its_killed_parent(tmp_path: Path) -> None:
    code = "import sys, time\nfrom wheelworks.foreign.supervisor import start\n"
    code += "print(start(['sleep', '60']).pid, flush=True)\ntime.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = int(parent.stdout.readline())
    time.sleep(0.3)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    deadline = time.monotonic() + 5
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)


def test_a_child_whose_parent_is_gone_already_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 1)  # as if the parent had died, and its child passed to another
    process = start(["touch", str(tmp_path / "done")])
    assert process.wait(10) != 0 and not (tmp_path / "done").exists()


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
