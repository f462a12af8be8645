"""The suites of servers, ``websocket``, ``http`` and ``applications``: CPU time of a server, or its instructions."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wheelworks.bench import application_clients, clients, requests
from wheelworks.bench.measurements import Measurement, Plan, Suite, Update
from wheelworks.bench.slow_clock import make_clock_variables
from wheelworks.core import process
from wheelworks.core.errors import WheelworksError

# The cost of an allocation must not depend on earlier ones: see mallopt(3).
PINNED_MALLOC = {
    "MALLOC_TRIM_THRESHOLD_": "400000000",
    "MALLOC_MMAP_THRESHOLD_": "400000000",
    "MALLOC_TOP_PAD_": "50000000",
}
# Valgrind counts `rep stosb` and `rep movsb` once for each byte that they fill or copy. From which size on glibc uses
# them depends on the CPU: 2 or 8 KiB. It is told not to use them, so that the same work counts alike on all machines.
_NEVER = 1_000_000_000
COUNTABLE = {
    "PYTHONHASHSEED": "0",
    "GLIBC_TUNABLES": f"glibc.cpu.x86_rep_stosb_threshold={_NEVER}:glibc.cpu.x86_rep_movsb_threshold={_NEVER}",
}
COLLECTED = re.compile(r"Collected : (\d+)")
_SECONDS = 60

Load = Callable[[int, int], None]


@dataclass(frozen=True)
class Case:
    """A load of ``count`` operations (ten times as many where time is measured) for several kinds of servers.

    ``variables`` are added to the servers' environment. A case is ``countable`` if the kernel does so little of the
    work that instructions in user space measure the cost of an operation.
    """

    name: str
    load: Load
    count: int
    subjects: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()
    countable: bool = True


_ECHOERS = ("tornado", "speedups", "websockets", "aiohttp", "picows")
_PINNED = tuple(PINNED_MALLOC.items())
_ON_20 = partial(clients.echo_parallel, size=32, connections=20)
_DEFLATED = partial(clients.echo_deflated, connections=20)


def _in_flight(size: int, depth: int) -> Load:
    return partial(clients.echo_pipelined, size=size, depth=depth)


def _serve(handler: str, *libraries: str) -> tuple[str, ...]:
    return tuple(f"{library}-{handler}" for library in ("tornado", "speedups", *libraries))


def _ask(request: bytes, body: bytes) -> Load:
    return partial(clients.repeat_request, request=request, body=body)


CASES = {
    "websocket": (
        Case("32 B, 64 in flight", _in_flight(32, 64), 1920, _ECHOERS),
        Case("32 B, 1 in flight on each of 20", _ON_20, 1200, _ECHOERS),
        Case("32 B, 64 in flight, async", _in_flight(32, 64), 1920, _serve("async")),
        Case("32 B, 1 in flight on each of 20, async", _ON_20, 1200, _serve("async")),
        Case("32 B, 64 in flight, async, not awaited", _in_flight(32, 64), 1920, _serve("async-unawaited")),
        Case("32 B, 1 in flight on each of 20, async, not awaited", _ON_20, 1200, _serve("async-unawaited")),
        Case("4 KiB deflated, 1 in flight on each of 20", _DEFLATED, 640, _serve("deflate", "websockets", "aiohttp")),
        Case(
            "4 KiB deflated by zlib-ng, 1 in flight on each of 20",
            _DEFLATED,
            640,
            ("tornado-deflate", "speedups-deflate-ng"),
        ),
        Case(
            "32 B, written and read by a client",
            partial(clients.answer_client, size=32),
            640,
            _serve("client", "websockets", "aiohttp"),
        ),
        Case("4 KiB, 1 in flight", _in_flight(4096, 1), 1000, _ECHOERS, _PINNED),
        Case("1 MiB, 1 in flight, malloc pinned", _in_flight(1 << 20, 1), 40, _ECHOERS, _PINNED, countable=False),
        Case("1 MiB, 1 in flight", _in_flight(1 << 20, 1), 40, _ECHOERS, countable=False),
    ),
    "http": (
        Case(
            "12 headers of a browser",
            _ask(requests.BROWSER_REQUEST, requests.GREETING),
            150,
            _serve("hello", "aiohttp"),
        ),
        Case("bare", _ask(requests.BARE_REQUEST, requests.GREETING), 150, _serve("hello", "aiohttp")),
        Case("JSON API, 20 headers", _ask(requests.JSON_REQUEST, requests.JSON_ANSWER), 150, _serve("json", "aiohttp")),
        Case("POST, 10 KiB", _ask(requests.UPLOAD_REQUEST, requests.UPLOAD_ANSWER), 150, _serve("upload", "aiohttp")),
        Case("static file, 10 KiB", _ask(requests.FILE_REQUEST, requests.FILE), 150, _serve("static", "aiohttp")),
    ),
    "applications": (
        Case(
            "Jupyter, a message displayed", application_clients.display_jupyter, 250, _serve("jupyter"), countable=False
        ),
        Case("Bokeh, 50 changes of a document", application_clients.burst_bokeh, 15, _serve("bokeh"), countable=False),
        Case("static file, 10 KiB", _ask(requests.FILE_REQUEST, requests.FILE), 150, _serve("static")),
        Case("JSON API, 20 headers", _ask(requests.JSON_REQUEST, requests.JSON_ANSWER), 150, _serve("json")),
        Case("chat room, a message to 100 members", application_clients.chat, 20, _serve("chat")),
    ),
}


def measure_cases(suite: str, cases: Sequence[Case], plan: Plan, update: Update) -> list[Measurement]:
    """Return the CPU time per operation of every server in every case; or instructions, of countable cases."""
    wanted = [case for case in cases if case.countable or not plan.count_instructions]
    return [each for case in wanted for each in _measure_case(suite, case, plan, update)]


WEBSOCKET = Suite("WebSocket echo, per message", "tornado", partial(measure_cases, "websocket", CASES["websocket"]))
HTTP = Suite("HTTP, per request", "tornado", partial(measure_cases, "http", CASES["http"]))


def measure_applications(plan: Plan, update: Update) -> list[Measurement]:
    """Return the CPU time of each application with the speedups and without. Raises WheelworksError without Bokeh."""
    missing = [name for name in ("bokeh", "jupyter_server") if importlib.util.find_spec(name) is None]
    if missing:
        raise WheelworksError(f"{' and '.join(missing)}: not installed", "nox -s bench -- applications")
    return measure_cases("applications", CASES["applications"], plan, update)


APPLICATIONS = Suite("Applications, per message, burst or request", "tornado", measure_applications)


def _measure_case(suite: str, case: Case, plan: Plan, update: Update) -> Sequence[Measurement]:
    rounds: dict[str, list[float]] = {subject: [] for subject in case.subjects if plan.wants(subject)}
    for number in range(1 if plan.count_instructions else plan.rounds):
        for subject, figures in rounds.items():
            update(suite, f"{case.name}: {subject}, round {number + 1}")
            figures.append(_measure_server(case, subject, plan))
    unit = "instructions" if plan.count_instructions else "us"
    # The subject is the library, without the kind of handler.
    return [Measurement(case.name, one.partition("-")[0], unit, tuple(figures)) for one, figures in rounds.items()]


def _measure_server(case: Case, subject: str, plan: Plan) -> float:
    if plan.count_instructions:
        return count_instructions(subject, case.load, case.count)
    count = max(64, int(case.count * 10 * plan.scale))
    return measure_cpu_time(subject, case.load, count, dict(case.variables))


class Server:
    """A running server process with its port."""

    def __init__(self, program: subprocess.Popen[str], kind: str) -> None:
        self._process = program
        self._kind = kind
        self.port = int(self._read_line())

    def cpu_seconds(self) -> float:
        """Return the user and system time that the process has used so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._read_line())

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WheelworksError(f"the server {self._kind} ended unexpectedly")
        return line


@contextmanager
def run_server(kind: str, variables: dict[str, str], prefix: tuple[str, ...] = ()) -> Iterator[Server]:
    """Run a server of a kind until the context ends. Raises WheelworksError if it can't be started."""
    command = [*prefix, sys.executable, "-m", "wheelworks.bench.servers", kind]
    with process.start_server(command, os.environ | variables, timeout=_SECONDS) as program:
        yield Server(program, kind)


def measure_cpu_time(kind: str, load: Load, count: int, variables: dict[str, str]) -> float:
    """Return a fresh server's CPU time per operation in microseconds, after a warm-up."""
    with run_server(kind, variables) as server:
        load(server.port, max(1, count // 5))
        start = server.cpu_seconds()
        load(server.port, count)
        return (server.cpu_seconds() - start) / count * 1e6


def count_instructions(kind: str, load: Load, count: int) -> float:
    """Return the instructions per operation in user space, from two runs, the second with three times the operations.

    The servers' clock is slowed down as they are (`slow_clock`), and an instruction that copies many bytes isn't used
    (`COUNTABLE`). Raises WheelworksError if valgrind isn't installed.
    """
    few, many = (_run_callgrind(kind, load, each) for each in (count, 3 * count))
    return (many - few) / (2 * count)


def _run_callgrind(kind: str, load: Load, count: int) -> int:
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        hint = "apt-get install valgrind, or measure CPU time: leave out --count-instructions"
        raise WheelworksError("instructions are counted by valgrind, which isn't installed", hint)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        options = ("--tool=callgrind", f"--callgrind-out-file={folder}/out", f"--log-file={log}")
        variables = COUNTABLE | PINNED_MALLOC | make_clock_variables()
        with run_server(kind, variables, (valgrind, *options)) as server:
            load(server.port, count)
        found = COLLECTED.search(log.read_text())
    if found is None:
        raise WheelworksError(f"callgrind counted no instructions for the server {kind}")
    return int(found[1])
