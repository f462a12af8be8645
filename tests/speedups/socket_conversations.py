"""Whole WebSocket connections by script, in virtual time, as conversations.py has those of HTTP servers.

The end that is watched is a server or a client of Tornado, after a real handshake. Its peer sends what the script says.
"""

from __future__ import annotations

import asyncio
import gc
import re
import socket
import time
from typing import Any, NamedTuple
from unittest.mock import patch

import tornado
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.tcpclient import TCPClient
from tornado.websocket import WebSocketProtocol13

from tests.speedups import socket_programs
from tests.speedups.conversations import START, Conversation, Part, Step, take_part
from tests.speedups.delegates import events
from tests.speedups.sockets import Limit, LimitedSocket
from tests.speedups.virtual import SpinningError, VirtualLoop

_REQUEST = (
    b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
_ANSWER = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
# What a peer agrees to that compresses each message for itself.
EXTENSION = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
PROTOCOL = b"Sec-WebSocket-Protocol: chat\r\n"


class Talk(NamedTuple):
    """A connection of a server, or of a client.

    ``kind`` is how messages are handled, ``options`` are those of socket_programs.py, ``headers`` are added to the
    peer's handshake, ``limits`` are those of the socket after it, and ``sndbuf`` is the size of its buffer; 0 for
    what the system gives.
    """

    is_client: bool
    kind: str
    steps: tuple[Step, ...]
    options: tuple[tuple[str, Any], ...] = ()
    headers: bytes = b""
    limits: tuple[Limit, ...] = ()
    sndbuf: int = 0


class Talks:
    """The event loop of all connections of a test."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()

    def run(self, talk: Talk) -> list[Part]:
        """Return what happened on a connection, in parts that each end when the end that is watched was idle."""
        self.loop.rewind()
        gc.collect()
        take_part(b"", True)  # what garbage of another test has logged
        with patch.object(time, "time", lambda: START + self.loop.time()):
            parts = self._run_on(self.loop.create_task(_Talking(self.loop).run_talk(talk)))
        gc.collect()
        parts.append(take_part(b"", True))
        return _drop_unasked(parts)

    def _run_on(self, task: asyncio.Task[list[Part]]) -> list[Part]:
        """Run the event loop until the task is done, however often a handler leaves the program meanwhile."""
        while True:
            try:
                return self.loop.run_until_complete(task)
            except (SystemExit, KeyboardInterrupt) as error:
                if task.done():
                    raise
                events.append(("left the program", repr(error)))


_UNASKED = re.compile(
    r"(Task|WriteFuture) exception was never retrieved.*WebSocketClosedError|"
    r"ERROR asyncio Exception in callback - CancelledError",  # of the task of a write, if a list of them is cancelled
    re.DOTALL,
)


def _drop_unasked(parts: list[Part]) -> list[Part]:
    """Drop what asyncio logs of writes that failed and that nobody awaited: when, or whether, depends on who held them.

    test_websocket_connections.py compares it. Tornado 6.5 logs the exception of a coroutine twice, in any order.
    """
    arrange = sorted if tornado.version_info < (6, 6) else list
    return [part._replace(logged=arrange(line for line in part.logged if not _UNASKED.search(line))) for part in parts]


class _Talking(Conversation):
    async def run_talk(self, talk: Talk) -> list[Part]:
        stream = self._limit_socket(talk)
        server = None
        if talk.is_client:
            await self._accept(talk, stream)
        else:
            server = HTTPServer(socket_programs.make_application(talk.kind, dict(talk.options)))
            server.handle_stream(stream, ("0.0.0.0", 0))
            self._peer.send(_REQUEST + talk.headers + b"\r\n")
            await self._loop.settle()
        self._ours.set_limits(talk.limits)
        try:
            await self._follow(talk.steps, stream)
        except SpinningError:
            events.append("the event loop spins")
            stream.close()
            await self._settle(0)
        events.append(("connections", len(server._connections) if server is not None else 0))
        self._parts.append(take_part(b"", True))
        if talk.is_client and self._client.handler is not None:
            self._client.handler.protocol = None  # otherwise it warns when it goes, maybe in a test of another file
        return self._parts

    def _limit_socket(self, talk: Talk) -> IOStream:
        if talk.sndbuf:
            self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, talk.sndbuf)
        self._ours: Any = LimitedSocket(self._ours)
        return IOStream(self._ours)

    async def _accept(self, talk: Talk, stream: IOStream) -> None:
        """Connect a client, and answer its handshake."""

        async def connect(*_: Any, **options: Any) -> IOStream:
            return stream

        with patch.object(TCPClient, "connect", connect):
            self._client = socket_programs.Client(talk.kind, dict(talk.options))
            await self._loop.settle()
        head = self._peer.recv(10_000).decode()
        [key] = [line.split(": ")[1] for line in head.splitlines() if line.lower().startswith("sec-websocket-key")]
        accept = WebSocketProtocol13.compute_accept_value(key)
        self._peer.send(_ANSWER + talk.headers + f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
