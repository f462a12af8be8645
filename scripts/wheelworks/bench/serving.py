"""A server in a process of its own, and what it costs: CPU time, or instructions counted by callgrind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from wheelworks.core.errors import WheelworksError

# What a request for memory costs must not depend on the ones before it: see mallopt(3).
PINNED_MALLOC = {
    "MALLOC_TRIM_THRESHOLD_": "400000000",
    "MALLOC_MMAP_THRESHOLD_": "400000000",
    "MALLOC_TOP_PAD_": "50000000",
}
# Valgrind counts an instruction that fills memory once for each byte: let glibc use others.
_COUNTABLE = {"PYTHONHASHSEED": "0", "GLIBC_TUNABLES": "glibc.cpu.x86_rep_stosb_threshold=1000000000"}
_COLLECTED = re.compile(r"Collected : (\d+)")
_SECONDS = 60

Load = Callable[[int, int], None]


class Server:
    """A running server: its port, and the CPU time that it has used."""

    def __init__(self, process: subprocess.Popen[str], kind: str) -> None:
        self._process = process
        self._kind = kind
        self.port = int(self._line())

    def cpu_seconds(self) -> float:
        """User and system time of the process so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WheelworksError(f"the server {self._kind} has ended by itself")
        return line


@contextmanager
def running(kind: str, variables: dict[str, str], prefix: tuple[str, ...] = ()) -> Iterator[Server]:
    """A server of this kind, ended at the end. Raises WheelworksError if it can't be started."""
    command = [*prefix, sys.executable, "-m", "wheelworks.bench.servers", kind]
    with subprocess.Popen(
        command, env=os.environ | variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Server(process, kind)
            assert process.stdin is not None
            process.stdin.close()
            process.wait(_SECONDS)
        finally:
            process.kill()


def cpu_microseconds(kind: str, load: Load, count: int, variables: dict[str, str]) -> float:
    """CPU time of a fresh server per message, once it is warm."""
    with running(kind, variables) as server:
        load(server.port, max(1, count // 5))
        start = server.cpu_seconds()
        load(server.port, count)
        return (server.cpu_seconds() - start) / count * 1e6


def instructions(kind: str, load: Load, count: int) -> float:
    """Instructions per message in user space: the difference of two runs, one with three times the messages."""
    few, many = (_collected(kind, load, each) for each in (count, 3 * count))
    return (many - few) / (2 * count)


def _collected(kind: str, load: Load, count: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        options = ("--tool=callgrind", f"--callgrind-out-file={folder}/out", f"--log-file={log}")
        with running(kind, _COUNTABLE | PINNED_MALLOC, (valgrind(), *options)) as server:
            load(server.port, count)
        found = _COLLECTED.search(log.read_text())
    if found is None:
        raise WheelworksError(f"callgrind counted nothing for the server {kind}")
    return int(found[1])


def valgrind() -> str:
    """The program that counts instructions. Raises WheelworksError where there is none."""
    found = shutil.which("valgrind")
    if found is None:
        raise WheelworksError(
            "instructions are counted by valgrind, which isn't installed",
            "apt-get install valgrind, or measure CPU time: leave out --count-instructions",
        )
    return found
