"""One end of a WebSocket connection, of a given class, and a peer that sends what it likes in pieces.

The two are joined by a pair of sockets, without a handshake: thousands of connections take seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import os
import re
import socket
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from unittest.mock import patch

from tornado.iostream import IOStream
from tornado.websocket import WebSocketProtocol13, _WebSocketParams

Protocol = type[WebSocketProtocol13]
TOO_BIG = 300
_SHOWN = 100

seen_in_context: contextvars.ContextVar[str] = contextvars.ContextVar("seen_in_context", default="nothing")


class Piece(NamedTuple):
    """Bytes that the peer sends, and the turns of the loop it then waits."""

    data: bytes
    turns: int

    def __repr__(self) -> str:
        """Without what would fill a screen; hypothesis keeps the whole of a failing case."""
        shown = repr(self.data) if len(self.data) < _SHOWN else f"<{len(self.data)} bytes, {self.data[:20]!r}...>"
        return f"Piece({shown}, {self.turns})"


class Connection(NamedTuple):
    """How an end behaves: ``answer`` is called with the handler and each message.

    A ``calm`` peer waits for the answers before it closes its half, and reads them meanwhile.
    """

    answer: Callable[[Handler, str | bytes], Any]
    client: bool = False
    compression: bool = False
    calm: bool = False
    limit: int = TOO_BIG


class Handler:
    """What Tornado's WebSocketHandler and WebSocketClientConnection are to their protocol; it notes all it is told."""

    def __init__(self, answer: Callable[[Handler, str | bytes], Any]) -> None:
        self.protocol: Any = None
        self.events: list[Any] = []
        self.answer = answer

    def on_message(self, message: str | bytes) -> Any:
        self.events.append(("message", message, seen_in_context.get()))
        return self.answer(self, message)

    def on_ping(self, data: bytes) -> None:
        self.events.append(("ping", data))

    def on_pong(self, data: bytes) -> None:
        self.events.append(("pong", data))

    def on_ws_connection_close(self, code: int | None = None, reason: str | None = None) -> None:
        self.events.append(("close", code, reason, seen_in_context.get()))

    def log_exception(self, kind: Any, error: Any, traceback: Any) -> None:
        self.events.append(("exception", kind, str(error)))


class Transcript(NamedTuple):
    """All that can be observed of a connection."""

    events: list[Any]
    received: bytes
    outcome: str
    logged: list[str]
    counts: tuple[int, ...]
    ended_by_peer: bool


_UNRETRIEVED = re.compile(
    r"Task exception was never retrieved\n.*write_message.*exception=WebSocketClosedError.*|"
    r"WriteFuture exception was never retrieved\n.*exception=WebSocketClosedError.*"
)


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # A write's future is a Task of Tornado's, and a Future of ours: the one difference that can be seen.
        message = _UNRETRIEVED.sub("a write failed and nobody looked", record.getMessage())
        self.lines.append(f"{record.name} {message}"[:120])


# Turns after which no handler of the tests has anything left to do.
_CALM = 400

# Turns after which an end that hasn't read isn't going to.
_PATIENCE = 20


async def _speak(protocol: Protocol, connection: Connection, pieces: Iterable[Piece]) -> Transcript:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    handler = Handler(connection.answer)
    end: Any = protocol(handler, connection.client, _WebSocketParams(max_message_size=connection.limit))
    handler.protocol = end
    end.stream = IOStream(ours)
    if connection.compression:
        end._create_compressors("client" if connection.client else "server", {}, {})
    task = asyncio.ensure_future(end._receive_frame_loop())
    received = bytearray()
    for data, turns in pieces:
        if not await _send(theirs, data, received):
            break
        for _ in range(turns):
            await asyncio.sleep(0)
    for _ in range(_CALM if connection.calm else 0):
        _read(theirs, received)
        await asyncio.sleep(0)
    theirs.shutdown(socket.SHUT_WR)
    outcome = (await asyncio.gather(asyncio.wait_for(task, 10), return_exceptions=True))[0]
    _read(theirs, received)
    end.stream.close()
    with theirs:
        _read(theirs, received)
    counts = (end._message_bytes_in, end._message_bytes_out, end._wire_bytes_out)
    return Transcript(handler.events, bytes(received), repr(outcome), [], counts, end.client_terminated)


async def _send(peer: socket.socket, data: bytes, received: bytearray) -> bool:
    """Whether all could be sent; as long as the other end doesn't read, the peer reads what has come."""
    patience = _PATIENCE
    while data and patience:
        try:
            data = data[peer.send(data) :]
            patience = _PATIENCE
        except BlockingIOError:
            _read(peer, received)
            await asyncio.sleep(0)
            patience -= 1
        except OSError:
            return False
    return not data


def _read(peer: socket.socket, received: bytearray) -> None:
    with contextlib.suppress(BlockingIOError, ConnectionResetError):  # reset: where something hasn't been read
        while data := peer.recv(65536):
            received += data


def speak(protocol: Protocol, connection: Connection, pieces: Iterable[Piece]) -> Transcript:
    """What comes of a connection of this class."""
    log = _Log()
    loggers = [logging.getLogger(name) for name in ("tornado", "asyncio")]
    for logger in loggers:
        logger.addHandler(log)
    try:
        with patch.object(os, "urandom", lambda count: b"\x01\x02\x03\x04"[:count]):
            transcript = asyncio.run(_speak(protocol, connection, pieces))
    finally:
        for logger in loggers:
            logger.removeHandler(log)
    return transcript._replace(logged=sorted(log.lines))
