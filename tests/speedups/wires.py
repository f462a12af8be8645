"""One end of a WebSocket connection, of a given class, and a peer that sends arbitrary data in pieces.

A socket pair connects them without a handshake, so that thousands of connections take only seconds.
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
    """Data that the peer sends, and the number of event loop turns that it waits afterwards."""

    data: bytes
    turns: int

    def __repr__(self) -> str:
        """Shorten long data, which would fill the screen. Hypothesis stores failing cases in full."""
        shown = repr(self.data) if len(self.data) < _SHOWN else f"<{len(self.data)} bytes, {self.data[:20]!r}...>"
        return f"Piece({shown}, {self.turns})"


class Connection(NamedTuple):
    """The behaviour of an end, which calls ``answer`` with the handler and each message.

    A ``calm`` peer waits for the answers and reads them before it closes its half.
    """

    answer: Callable[[Handler, str | bytes], Any]
    client: bool = False
    compression: bool = False
    calm: bool = False
    limit: int = TOO_BIG


class Handler:
    """A stand-in for WebSocketHandler and WebSocketClientConnection that records the calls of its protocol."""

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
    """Everything that can be observed of a connection."""

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
        # Tornado returns a Task from a write, and we return a Future. This is the only visible difference.
        message = _UNRETRIEVED.sub("a write failed and nobody looked", record.getMessage())
        self.lines.append(f"{record.name} {message}"[:120])


# Event loop turns after which all handlers of the tests have finished.
_CALM = 400

# Event loop turns after which an end that hasn't read any data is not expected to read more.
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
    """Send the data and return whether all of it was sent. While the socket is full, read what has arrived."""
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
    with contextlib.suppress(BlockingIOError, ConnectionResetError):  # a reset if the end closed with unread data
        while data := peer.recv(65536):
            received += data


def speak(protocol: Protocol, connection: Connection, pieces: Iterable[Piece]) -> Transcript:
    """Run a connection of this class and return its transcript."""
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
