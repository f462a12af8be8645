"""Whole HTTP connections by script, on an event loop whose time is virtual: what a server does can be compared exactly.

The server and its client are in one process, connected by a socket pair, and take turns: the client goes on when the
server has nothing left to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple
from unittest.mock import patch

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

from tests.speedups import delegates, programs
from tests.speedups.virtual import VirtualLoop

# Virtual seconds after which the handlers of a script have finished, if they ever do.
_PATIENCE = 5.0

# The time of day at which a connection begins. Tokens and timeouts depend on it.
START = 1_700_000_000.25


Kind = Literal["application", "callback", "delegate"]


class Step(NamedTuple):
    """What the client does next.

    send: send ``data``. turns: let ``number`` turns of the event loop pass. settle: wait until the server is idle, for
    at most ``number`` hundredths of a virtual second. half: close the sending half. close: close the connection. deaf:
    read no more until "hear".
    """

    kind: Literal["send", "turns", "settle", "half", "close", "deaf", "hear"]
    data: bytes = b""
    number: int = 0


class Script(NamedTuple):
    """A connection: the settings of the application and the server, what serves it, and the steps.

    The access log of a ``quiet`` one takes no successful requests.
    """

    application: tuple[tuple[str, Any], ...]
    server: tuple[tuple[str, Any], ...]
    kind: Kind
    steps: tuple[Step, ...]
    quiet: bool = False


class Part(NamedTuple):
    """What happened until the server was idle: the handlers' events, what the client received, and what was logged."""

    events: list[Any]
    received: bytes
    ended: bool
    logged: list[str]


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and isinstance(record.exc_info[1], asyncio.InvalidStateError):
            return  # Tornado's, if a handler flushes after it has finished, unless a turn has passed in between
        error = f" {record.exc_info[1]!r}" if record.exc_info else ""
        text = re.sub(_VARIABLE, "-", record.getMessage().split("\nTraceback")[0])
        self.lines.append(f"{record.levelname} {record.name} {text}{error}")


_ENDED = re.compile(rb"finished|(finish|send_error|redirect)\d*-")
_VARIABLE = re.compile(r"\d+\.\d+ms|0x\w+|fd=\d+|:\d+>|Task-\d+|(?<=Exception in callback ).*", re.DOTALL)
_log = _Log()
_LOGGERS = ("tornado", "tornado.access", "asyncio")


@contextlib.contextmanager
def observed() -> Iterator[None]:
    """Observe logs and garbage, which must be collected at the end of a connection, and make randomness constant."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(each.level, each.propagate) for each in loggers]
    for each in loggers:
        each.addHandler(_log)
        each.setLevel(logging.INFO)
        each.propagate = False
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        with patch.object(os, "urandom", lambda count: b"\1\2\3\4\5\6\7\x08"[:count].ljust(count, b"r")):
            yield
    finally:
        gc.enable()
        gc.unfreeze()
        for each, (level, propagate) in zip(loggers, before, strict=True):
            each.removeHandler(_log)
            each.setLevel(level)
            each.propagate = propagate


class Servers:
    """The applications of all settings, and the event loop that runs them; one for all scripts of a test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name, content in (("short.txt", b"0123456789"), ("long.bin", bytes(range(256)) * 1200), ("empty", b"")):
            (folder / name).write_bytes(content)
            os.utime(folder / name, (1_700_000_000, 1_700_000_000))
        self._applications: dict[Any, Any] = {}
        self.loop = VirtualLoop()

    def run(self, script: Script) -> list[Part]:
        """Return what happened on a connection, in parts that each end when the server was idle."""
        if script.application not in self._applications:
            self._applications[script.application] = programs.make_application(
                str(self._folder), **dict(script.application)
            )
        serve: Any = self._applications[script.application]
        if script.kind == "callback":
            serve = delegates.answer_request
        elif script.kind == "delegate":
            serve = delegates.RawServer()
        logging.getLogger("tornado.access").setLevel(logging.WARNING if script.quiet else logging.INFO)
        self.loop.rewind()
        with patch.object(time, "time", lambda: START + self.loop.time()):
            parts = self.loop.run_until_complete(Conversation(self.loop).run(script, serve))
        gc.collect()  # asyncio logs exceptions that nobody has asked for when their tasks go
        parts.append(take_part(b"", True))
        return _normalize(script, parts)


def _normalize(script: Script, parts: list[Part]) -> list[Part]:
    """Drop from a transcript what turns of the event loop decide."""
    if is_racy(script):
        parts = [part._replace(events=_join_data(part.events)) for part in _merge(parts)]
    if may_leave_others(script) or _goes_on(script):
        parts = [part._replace(events=sorted(part.events, key=repr), logged=sorted(part.logged)) for part in parts]
    return parts


def _merge(parts: list[Part]) -> list[Part]:
    """Return one part for all but the last two: how much of a body a slow handler has at a time depends on turns."""
    events = [event for part in parts[:-2] for event in part.events]
    lines = [line for part in parts[:-2] for line in part.logged]
    return [Part(events, b"".join(part.received for part in parts[:-2]), True, lines), *parts[-2:]]


def is_racy(script: Script) -> bool:
    """Return whether turns of the event loop decide how much of what the client sends has been read at a time."""
    return any(step.kind == "turns" for step in script.steps) or "chunk_size" in dict(script.server)


def is_hasty(script: Script) -> bool:
    """Return whether the client leaves right after it has sent something: turns decide whether that is still read."""
    return any(one.kind == "send" and other.kind in ("half", "close") for one, other in pairwise(script.steps))


def may_leave_others(script: Script) -> bool:
    """Return whether the client leaves while requests may wait: turns decide how far their handlers have come by then.

    The order of events shows it.
    """
    requests = sum(step.data.count(b" HTTP/") for step in script.steps)
    return requests > 1 and any(step.kind in ("half", "close") for step in script.steps)


def _has_handlers_side_by_side(script: Script) -> bool:
    """Return whether a request may begin while the handler of the one before it is still running.

    They do if that handler closes the connection, or if it has become a WebSocket.
    """
    return _has_word(script, b"websocket", b"hang_up", b"close")


def _goes_on(script: Script) -> bool:
    """Return whether a handler may go on after its response, while the next one begins."""
    return any(_ENDED.search(step.data) for step in script.steps)


def _has_word(script: Script, *words: bytes) -> bool:
    data = b"".join(step.data for step in script.steps)
    return any(word in data for word in words)


class _ClosingServer(HTTPServer):
    """A server that drops the requests that were in its buffer when the connection ended: how many depends on turns.

    Tornado, strangely, handles them.
    """

    def start_request(self, server_conn: object, request_conn: Any) -> Any:
        stream = request_conn.stream
        if stream is not None and stream.closed():
            stream._read_buffer, stream._read_buffer_size = bytearray(), 0
        return super().start_request(server_conn, request_conn)


def _join_data(events: list[Any]) -> list[Any]:
    """Join the data that a handler received in a row, and drop what a detached stream has read.

    Where both were cut depends on when they arrived.
    """
    joined: list[Any] = []
    for event in events:
        name = event[0] if type(event) is tuple else event
        if name == "data" and joined and type(joined[-1]) is tuple and joined[-1][0] == "data":
            joined[-1] = ("data", joined[-1][1] + event[1])
        elif name not in ("taken", "read"):
            joined.append(event)
    return joined


def take_part(received: bytes, ended: bool) -> Part:
    """Return what has happened since the part before."""
    # Tornado takes the time of day elsewhere where it formats these.
    received = re.sub(rb"(\r\nDate:|[Ee]xpires[=:])[^;\r]+ GMT", rb"\1 now", received)
    part = Part(list(delegates.events), received, ended, list(_log.lines))
    delegates.events.clear()
    _log.lines.clear()
    return part


class Conversation:
    """One connection of a server, and the client that does what a script says."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._parts: list[Part] = []
        self._received = bytearray()
        self._deaf = self._ended = False
        ours, self._peer = socket.socketpair()
        ours.setblocking(False)
        self._peer.setblocking(False)
        self._ours = ours

    async def run(self, script: Script, serve: Any) -> list[Part]:
        is_dropping = is_racy(script) or _has_handlers_side_by_side(script)
        kind = _ClosingServer if is_dropping else HTTPServer
        server = kind(serve, **dict(script.server))
        stream = IOStream(
            self._ours,
            max_buffer_size=dict(script.server).get("max_buffer_size"),
            read_chunk_size=dict(script.server).get("chunk_size"),
        )
        server.handle_stream(stream, ("0.0.0.0", 0))
        await self._follow(script.steps, stream)
        delegates.events.append(("connections", len(server._connections)))
        self._parts.append(take_part(b"", True))
        return self._parts

    async def _follow(self, steps: Iterable[Step], stream: IOStream) -> None:
        """Do all steps, and end the connection."""
        with self._peer:
            for step in steps:
                await self._do(step)
            await self._end()
        if not stream.closed():
            delegates.events.append("the server's stream is still open")
            stream.close()
        await self._settle(_PATIENCE)

    async def _end(self) -> None:
        """Wait for all answers, end the sending half, and close."""
        self._deaf = False
        await self._settle(_PATIENCE)
        await self._do(Step("half"))
        await self._settle(_PATIENCE)

    async def _do(self, step: Step) -> None:
        if step.kind == "send":
            await self._send(step.data)
        elif step.kind == "turns":
            for _ in range(step.number):
                await asyncio.sleep(0)
        elif step.kind == "settle":
            await self._settle(step.number / 100)
        elif step.kind == "half":
            with contextlib.suppress(OSError):
                self._peer.shutdown(socket.SHUT_WR)
        elif step.kind == "close":
            self._peer.close()
        else:
            self._deaf = step.kind == "deaf"

    async def _send(self, data: bytes) -> None:
        """Send data. While the socket is full, let the server read and write; give up if it does neither."""
        is_stuck = False
        while data:
            try:
                data = data[self._peer.send(data) :]
                is_stuck = False
            except BlockingIOError:
                if is_stuck:
                    return
                await self._loop.settle(_PATIENCE)
                is_stuck = self._deaf or not self._read()
            except OSError:
                return

    async def _settle(self, seconds: float) -> None:
        while True:
            await self._loop.settle(seconds)
            if self._deaf or not self._read():
                break
        self._parts.append(take_part(bytes(self._received), self._ended))
        self._received.clear()

    def _read(self) -> int:
        """Return the length of what has arrived. A reset counts as the end: timing may cause it."""
        before = len(self._received)
        with contextlib.suppress(BlockingIOError):
            while not self._ended and self._peer.fileno() >= 0:
                try:
                    data = self._peer.recv(1 << 20)
                except ConnectionError:
                    data = b""
                self._received += data
                self._ended = not data
        return len(self._received) - before
