"""Running guest programs side by side, and reading what they tell."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wheelworks.foreign.supervisor import start
from wheelworks.testing.results import Told, ended_by, read

POLL = 0.1
TELL_EVERY = 5.0
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
                progress(_read(programs).counted())
        late = [process.poll() is None for process in running]
    finally:
        for process in running:
            _end(process)
    told = _read(programs)
    for program, process, was_late in zip(programs, running, late, strict=True):
        if was_late or process.returncode:
            how = f"not done after {limit:.0f} s" if was_late else ended_by(process.returncode)
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


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        return file.read().decode(errors="replace").strip()


def _read(programs: Sequence[Program]) -> Told:
    return read(program.events for program in programs)
