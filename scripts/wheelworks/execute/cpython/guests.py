"""Running guest programs side by side, and reading what they tell (see ``guest/events.py``)."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from wheelworks.execute.cpython.processes import start

POLL = 0.1
TELL_EVERY = 5.0
EVENTS_LIMIT = 64 << 20  # bytes: what a guest writes is untrusted too
TAIL = 2000


@dataclass(frozen=True)
class Program:
    """A guest program: the host's command line for it, its environment, and the work folder it writes to."""

    command: list[str]
    environment: dict[str, str] | None
    work: Path

    @property
    def events(self) -> Path:
        """The file that the guest writes its events to."""
        return self.work / "events"

    @property
    def output(self) -> Path:
        """The file that takes what the guest prints."""
        return self.work.with_name(f"{self.work.name}.output")  # out of the guest's reach


@dataclass
class Told:
    """What guests have told: every test's name, outcomes with details by test, and what had begun but not ended."""

    tests: list[str] = field(default_factory=list)
    ended: dict[str, tuple[str, str]] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    loaded: set[str] = field(default_factory=set)
    deaths: list[str] = field(default_factory=list)

    def having(self, outcome: str) -> list[str]:
        """The tests that ended so, in the order they ended."""
        return [test for test, (how, _) in self.ended.items() if how == outcome]

    def take(self, event: dict[str, object]) -> None:
        """Note one event; raises KeyError, TypeError or ValueError for what is none."""
        match event["event"]:
            case "all":
                self.tests = [str(test) for test in _list(event["tests"])]
            case "start":
                self.begun.add(str(event["test"]))
            case "end":
                test = str(event["test"])
                self.begun.discard(test)
                self.ended[test] = (str(event["outcome"]), str(event["detail"]))
            case "modules":
                self.loaded.update(str(name) for name in _list(event["loaded"]))
            case other:
                raise ValueError(f"unknown event {other!r}")


def run_guests(programs: Sequence[Program], limit: float, progress: Callable[[str], None]) -> Told:
    """Run guest programs at the same time, at most ``limit`` seconds; all are gone when this returns or raises.

    A program that ends with another exit code than 0, or not in time, is among the result's ``deaths``.
    """
    running = [_start(program) for program in programs]
    deadline = time.monotonic() + limit
    told_at = time.monotonic()
    try:
        while any(process.poll() is None for process in running) and time.monotonic() < deadline:
            time.sleep(POLL)
            if time.monotonic() - told_at > TELL_EVERY:
                told_at = time.monotonic()
                progress(_state(programs))
        late = [process.poll() is None for process in running]
    finally:
        for process in running:
            _end(process)
    told = _read(programs)
    for program, process, was_late in zip(programs, running, late, strict=True):
        if was_late or process.returncode:
            how = f"not done after {limit:.0f} s" if was_late else _ended_by(process.returncode)
            told.deaths.append(f"{how}\n{_tail(program.output)}".strip())
    return told


def _start(program: Program) -> subprocess.Popen[bytes]:
    program.work.mkdir(parents=True, exist_ok=True)
    with program.output.open("wb") as output:
        return start(
            program.command, stdout=output, stderr=output, environment=program.environment, folder=program.work
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    # The namespaces' first process dies with this one, and everything in them with that; without namespaces, the
    # children that the guest has forked are in its process group.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _ended_by(code: int) -> str:
    """What an exit code says; 128 and more is a signal's, as a shell and `enter` give it."""
    number = -code if code < 0 else code - 128
    with suppress(ValueError):
        return f"the guest died of {signal.Signals(number).name}"
    return f"the guest ended with exit code {code}"


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        return file.read().decode(errors="replace").strip()


def _state(programs: Sequence[Program]) -> str:
    told = _read(programs)
    failed = len(told.having("failed"))
    return f"{len(told.ended)} of {len(told.tests)} tests" + (f", {failed} failed" if failed else "")


def _read(programs: Sequence[Program]) -> Told:
    told = Told()
    for program in programs:
        for line in _lines(program.events):
            with suppress(ValueError, KeyError, TypeError):  # a line cut short by a death, or no event at all
                told.take(json.loads(line))
    return told


def _lines(path: Path) -> list[bytes]:
    """The lines of a file that a guest may have made anything of: a link to one of the host's, a pipe."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return []
    with os.fdopen(file, "rb") as stream:
        return stream.read(EVENTS_LIMIT).splitlines() if stat.S_ISREG(os.fstat(file).st_mode) else []


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value
