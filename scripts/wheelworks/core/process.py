"""Start programs so that none outlives this process, and none runs without a time limit.

Every program gets a process group of its own: Ctrl-C in a terminal reaches this process alone, which then kills whole
groups, grandchildren included. With the environment variable ``WHEELWORKS_VERBOSE``, or after `print_commands`, every
command line is printed on stderr.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from wheelworks.core.errors import WheelworksError

PARENT_VARIABLE = "WHEELWORKS_DIE_WITH_PARENT"  # tells a program that its stdin is closed when its parent dies

_live: set[subprocess.Popen[str]] = set()
_lock = threading.Lock()
_stopping = threading.Event()


class _State:
    """Whether the main thread is starting a program, whether it was interrupted meanwhile and how, whether to print."""

    starting = False
    signal = signal.SIGINT.value
    interrupted = False
    verbose = bool(os.environ.get("WHEELWORKS_VERBOSE"))


class NotStarted(WheelworksError):
    """A program can't be started; usually it isn't installed."""


class TimedOut(WheelworksError):
    """A program took longer than its time limit, and was stopped."""


@dataclass(frozen=True)
class CompletedProgram:
    """A program's exit status, and what it wrote: stdout and stderr together, unless they were kept separate."""

    status: int
    output: str
    errors: str = ""

    def last_lines(self, count: int) -> str:
        """Return the end of the output, where a program says why it failed."""
        return "\n".join((self.output + self.errors).strip().splitlines()[-count:])


def print_commands() -> None:
    """Print the command line of every program from now on."""
    _State.verbose = True


def count_cores() -> int:
    """Return how many cores this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def thread_pool(threads: int = 0) -> Iterator[ThreadPoolExecutor]:
    """Open a pool of threads that run programs: one for each core by default.

    An exception kills the programs first; otherwise leaving the pool would wait for them.
    """
    with ThreadPoolExecutor(threads or count_cores()) as pool:
        try:
            yield pool
        except BaseException:
            stop_all()
            raise


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 1800,
    die_with_parent: bool = False,
    separate_stderr: bool = False,
    inherit_output: bool = False,
    log: Path | None = None,
    decode_errors: str = "replace",
) -> CompletedProgram:
    """Run a program to its end, or for at most ``timeout`` seconds; then kill it and everything that it started.

    Args:
        die_with_parent: for commands of wheelworks, which then end even where this process is killed (`watch_parent`).
        separate_stderr: leave stderr out of the output, for output that is parsed.
        inherit_output: let the program write where this process does; its output is then empty.
        log: let the program write to this file; its output is then empty.
        decode_errors: how bytes that aren't UTF-8 are decoded (`bytes.decode`).

    Raises NotStarted, and TimedOut where the program takes too long. The exit status is for the caller to check.
    """
    words = [str(word) for word in command]
    with _open_stdin(die_with_parent) as stdin, log.open("wb") if log else nullcontext() as file:
        streams: dict[str, Any] = {"stdin": stdin, "errors": decode_errors}
        if not inherit_output:
            streams["stdout"] = file or subprocess.PIPE
            streams["stderr"] = subprocess.PIPE if separate_stderr else subprocess.STDOUT
        if die_with_parent:
            env = {**(os.environ if env is None else env), PARENT_VARIABLE: "1"}
        process = _start(words, env, cwd, streams)
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise TimedOut(f"{words[0]} did not end within {timeout:g} s and was stopped") from None
        finally:
            _finish(process)
        return CompletedProgram(process.returncode, output or "", errors or "")


def run_checked(
    command: Sequence[str | Path], failure: str, hint: str = "", *, lines: int = 8, **options: Any
) -> CompletedProgram:
    """Run a program as `run` does. Raises WheelworksError with its last ``lines`` where it fails."""
    completed = run(command, **options)
    if completed.status:
        raise WheelworksError(f"{failure}:\n{completed.last_lines(lines)}", hint)
    return completed


@contextmanager
def start_server(
    command: Sequence[str | Path], env: Mapping[str, str] | None = None, *, timeout: float = 60, quiet: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """Start a program that answers on pipes, and end it by closing its stdin. Raises NotStarted.

    It has ``timeout`` seconds to end by itself before it is killed; with ``quiet``, its stderr is dropped.
    """
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL if quiet else None}
    process = _start([str(word) for word in command], env, None, streams)
    try:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout)
    finally:
        _finish(process)


def _finish(process: subprocess.Popen[str]) -> None:
    kill_group(process)
    for stream in filter(None, (process.stdin, process.stdout, process.stderr)):
        stream.close()
    with _lock:
        _live.discard(process)


@contextmanager
def _open_stdin(die_with_parent: bool) -> Iterator[int]:
    """Yield an empty stdin, or a pipe that carries nothing and is closed when this process ends."""
    if not die_with_parent:
        yield subprocess.DEVNULL
        return
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(reading)
        os.close(writing)


def watch_parent() -> None:
    """Interrupt this process, as Ctrl-C does, when the parent that started it with ``die_with_parent`` dies."""
    if os.environ.pop(PARENT_VARIABLE, "") == "1":
        threading.Thread(target=_await_closed_stdin, daemon=True).start()


def _await_closed_stdin() -> None:
    while os.read(0, 1):
        pass
    if os.name == "nt":
        signal.raise_signal(signal.SIGINT)
    else:  # to the main thread, which may be waiting for something
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def handle_interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, but not between a program's start and its registration. A signal handler."""
    _State.signal = number
    if _State.starting:
        _State.interrupted = True
    else:
        raise KeyboardInterrupt


def interrupted_status() -> int:
    """Return the exit status of an interrupted command: 128 and the signal's number, as of a shell's commands."""
    return 128 + _State.signal


def _start(
    words: list[str], env: Mapping[str, str] | None, cwd: Path | None, options: Mapping[str, Any]
) -> subprocess.Popen[str]:
    if _State.verbose:
        sys.stderr.write(f"+ {shlex.join(words)}\n")
    if threading.current_thread() is not threading.main_thread():  # only the main thread receives signals
        return _popen(words, env, cwd, options)
    _State.starting = True
    try:
        return _popen(words, env, cwd, options)
    finally:
        _State.starting = False
        if _State.interrupted:
            _State.interrupted = False
            stop_all()
            raise KeyboardInterrupt


def _popen(
    words: list[str], env: Mapping[str, str] | None, cwd: Path | None, options: Mapping[str, Any]
) -> subprocess.Popen[str]:
    group: dict[str, Any] = {"creationflags": 0x200} if os.name == "nt" else {"start_new_session": True, "umask": 0o022}
    with _lock:  # so that stop_all() can't miss a program that is being started
        if _stopping.is_set():
            raise WheelworksError("interrupted")
        text = {"text": True, "encoding": "utf-8", "errors": "replace"}
        try:
            process: subprocess.Popen[str] = subprocess.Popen(words, env=env, cwd=cwd, **{**group, **text, **options})
        except OSError as error:
            raise NotStarted(f"cannot start {words[0]}: {error.strerror}") from error
        _live.add(process)
    return process


def kill_group(process: subprocess.Popen[str]) -> None:
    """Kill a program and everything that it started, and wait for its end."""
    if os.name == "nt":
        if process.poll() is None:
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)
    else:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # the whole group has ended by itself
    process.wait()


def is_stopping() -> bool:
    """Return whether all programs are being killed, so that the way in which one ends means nothing."""
    return _stopping.is_set()


def stop_all() -> None:
    """Kill every program that was started here, and refuse to start more: what Ctrl-C does."""
    _stopping.set()
    with _lock:
        live = list(_live)
    for process in live:
        kill_group(process)
