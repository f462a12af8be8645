"""Start a user's program for ``--compare``, and read how much CPU time it took."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from types import TracebackType
from urllib.parse import SplitResult

from tornado_speedups.commands.measured import CPU_TIME

_START_LIMIT = 30.0  # seconds
_END_LIMIT = 3.0  # seconds
_POSIX = os.name == "posix"


class CompareError(Exception):
    """The comparison can't be made. The message says why."""


class Server:
    """A program that runs, and answers at an address. Use it as a context manager, which ends the program."""

    def __init__(self, subject: str, program: Sequence[str], url: SplitResult) -> None:
        self._name, self._url = name_program(program), url
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 # closed by _end()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(_START_LIMIT)
            port = str(listener.getsockname()[1])
            command = [sys.executable, "-m", "tornado_speedups.commands.measured", port, subject, *program]
            environment = {name: value for name, value in os.environ.items() if name != "TORNADO_SPEEDUPS_INSTALL"}
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                start_new_session=_POSIX,
            )
            self._connection = self._accept(listener)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._connection.close()

    def wait(self) -> None:
        """Wait until the program listens. Raises CompareError if it ends, or doesn't listen for 30 seconds."""
        limit, where = time.monotonic() + _START_LIMIT, f"{self._url.hostname}:{find_port(self._url)}"
        while not is_listening(self._url):
            if self._process.poll() is not None:
                ended = f"ended with status {self._process.returncode} before it listened at {where}"
                raise CompareError(f"{self._name} {ended}{self.last_lines()}")
            if time.monotonic() > limit:
                raise CompareError(f"{self._name} doesn't listen at {where} after 30 seconds{self.last_lines()}")
            time.sleep(0.05)

    def read_cpu_time(self) -> float:
        """Return the CPU time of the process so far, in seconds. Raises CompareError if it has ended."""
        try:
            self._connection.sendall(b"?")
            data = self._connection.recv(CPU_TIME.size)
        except OSError:
            data = b""
        if len(data) < CPU_TIME.size:
            raise CompareError(f"{self._name} ended while it was measured{self.last_lines()}")
        return float(CPU_TIME.unpack(data)[0])

    def last_lines(self) -> str:
        """Return what the program wrote last, as the end of a message."""
        self._output.seek(0)
        lines = self._output.read().decode("utf-8", "replace").splitlines()[-8:]
        return "; its last lines:" + "".join(f"\n  {line}" for line in lines) if lines else ""

    def _accept(self, listener: socket.socket) -> socket.socket:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            error = CompareError(f"Python didn't start in 30 seconds{self.last_lines()}")
            self._end()
            raise error from None
        connection.settimeout(_START_LIMIT)
        return connection

    def _end(self) -> None:
        """End the program, and on POSIX the processes that it started; kill what hasn't ended after some seconds."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_LIMIT)
        self._signal(signal.SIGKILL if _POSIX else signal.SIGTERM)
        self._process.wait()
        self._output.close()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # all have ended; macOS then denies permission
            os.killpg(self._process.pid, number) if _POSIX else self._process.terminate()


def name_program(program: Sequence[str]) -> str:
    """Return how messages name a program: its file, or "-m" and its module."""
    return " ".join(program[: 2 if program[0] == "-m" else 1])


def find_port(url: SplitResult) -> int:
    """Return the port of an address."""
    return url.port or (443 if url.scheme in ("https", "wss") else 80)


def is_listening(url: SplitResult) -> bool:
    """Return whether something accepts connections at the address."""
    try:
        socket.create_connection((url.hostname or "", find_port(url)), 5).close()
    except OSError:
        return False
    return True
