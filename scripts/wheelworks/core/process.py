"""Start programs so that none outlives us, and none can run for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

from wheelworks.core.errors import WheelworksError

TIED = "WHEELWORKS_TIED"  # a variable that tells a program that its stdin ends when its parent does

_live: set[subprocess.Popen[str]] = set()
_lock = threading.Lock()
_stopping = threading.Event()


class _Signals:
    """Whether the main thread is just starting a program, and whether it was interrupted meanwhile."""

    starting = False
    pending = False


class TimedOut(WheelworksError):
    """A program took longer than its time limit, and was stopped."""


@dataclass(frozen=True)
class Result:
    """How a program ended: its exit status, and what it wrote to stdout and stderr, together unless kept apart."""

    status: int
    output: str
    errors: str = ""

    def last(self, lines: int) -> str:
        """The end of what it wrote: where a program tells why it failed."""
        return "\n".join((self.output + self.errors).strip().splitlines()[-lines:])


def interpreter_in(environment: Path, *, windows: bool = os.name == "nt") -> Path:
    """The Python of a virtual environment."""
    return environment / ("Scripts/python.exe" if windows else "bin/python")


def cores() -> int:
    """How many cores this process may use, which may be fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def side_by_side(threads: int = 0) -> Iterator[ThreadPoolExecutor]:
    """Threads to run programs in, one for each core unless told; left by an exception, it ends the programs first.

    Else leaving the pool would wait for them.
    """
    with ThreadPoolExecutor(threads or cores()) as pool:
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
    seconds: float = 1800,
    tied: bool = False,
    apart: bool = False,
    shown: bool = False,
    log: Path | None = None,
) -> Result:
    """Run a program to its end, or for at most ``seconds``, then end it and whatever it started.

    With ``tied``, for commands of wheelworks, it ends with us even where we are killed (`end_with_parent`).
    With ``apart``, the output is what it wrote to stdout alone: for what a program reads. With ``shown`` it is empty:
    the program writes where we do. With ``log``, it writes to that file, and the output is empty too.
    Raises WheelworksError where it can't be started, TimedOut where it takes too long. The exit status is the
    caller's to judge.
    """
    words = [str(word) for word in command]
    with _stdin(tied) as stdin, log.open("wb") if log else nullcontext() as file:
        try:
            env = {**(os.environ if env is None else env), TIED: "1"} if tied else env
            process = _start(words, env, cwd, {"stdin": stdin, **_outputs(file, apart=apart, shown=shown)})
        except OSError as error:
            raise WheelworksError(f"cannot start {words[0]}: {error.strerror}") from error
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise TimedOut(f"{words[0]} did not end within {seconds:g} s and was stopped") from None
        finally:
            end(process)
            for stream in filter(None, (process.stdout, process.stderr)):
                stream.close()
            with _lock:
                _live.discard(process)
        return Result(process.returncode, output or "", errors or "")


def _outputs(log: IO[bytes] | None, *, apart: bool, shown: bool) -> dict[str, Any]:
    """Return where a program writes, as subprocess takes it."""
    if shown:
        return {}
    return {"stdout": log or subprocess.PIPE, "stderr": subprocess.PIPE if apart else subprocess.STDOUT}


@contextmanager
def _stdin(tied: bool) -> Iterator[int]:
    """What a program reads: nothing; or a pipe on which nothing comes and that only our end closes."""
    if not tied:
        yield subprocess.DEVNULL
        return
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(reading)
        os.close(writing)


def end_with_parent() -> None:
    """Where a `tied` program's parent goes, however it does, do what Ctrl-C does."""
    if os.environ.pop(TIED, "") == "1":
        threading.Thread(target=_await_the_end, daemon=True).start()


def _await_the_end() -> None:
    while os.read(0, 1):
        pass
    if os.name == "nt":
        signal.raise_signal(signal.SIGINT)
    else:  # to the main thread, which may be waiting for something
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def interrupt(number: int, frame: FrameType | None) -> None:
    """A signal handler: KeyboardInterrupt, but not between a program's start and the moment that we know of it."""
    if _Signals.starting:
        _Signals.pending = True
    else:
        raise KeyboardInterrupt


def _start(
    words: list[str], env: Mapping[str, str] | None, cwd: Path | None, streams: Mapping[str, Any]
) -> subprocess.Popen[str]:
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's affair
        return _popen(words, env, cwd, streams)
    _Signals.starting = True
    try:
        return _popen(words, env, cwd, streams)
    finally:
        _Signals.starting = False
        if _Signals.pending:
            _Signals.pending = False
            stop_all()
            raise KeyboardInterrupt


def _popen(
    words: list[str], env: Mapping[str, str] | None, cwd: Path | None, streams: Mapping[str, Any]
) -> subprocess.Popen[str]:
    # A group of its own: a terminal's Ctrl-C then reaches us alone, and we end the group as a whole.
    group: dict[str, Any] = {"creationflags": 0x200} if os.name == "nt" else {"start_new_session": True, "umask": 0o022}
    with _lock:  # so that stop_all() can't miss one that is just being started
        if _stopping.is_set():
            raise WheelworksError("interrupted")
        process: subprocess.Popen[str] = subprocess.Popen(
            words,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=env,
            cwd=cwd,
            **streams,
            **group,
        )
        _live.add(process)
    return process


def end(process: subprocess.Popen[str]) -> None:
    """End a program and everything that it started."""
    if os.name == "nt":
        if process.poll() is None:
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)
    else:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # the whole group has ended by itself
    process.wait()


def stopping() -> bool:
    """Whether everything is being ended, so that a program's end means nothing."""
    return _stopping.is_set()


def stop_all() -> None:
    """End every program started here and refuse to start more: what Ctrl-C does."""
    _stopping.set()
    with _lock:
        live = list(_live)
    for process in live:
        end(process)
