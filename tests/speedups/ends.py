"""A server's end of a WebSocket connection, of a given class, for tests that step through what it does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tornado.iostream import IOStream
from tornado.websocket import _WebSocketParams

from tests.speedups.wires import Handler
from tornado_speedups._python import build_frame, parse_frames

HELLO = build_frame(0x81, "hello", b"mask")
PATIENCE = 60.0  # seconds until a hang is one, also on a busy machine and under an emulator


class End:
    """A server's end of a connection, and the socket of its peer."""

    def __init__(self, protocol: Any, answer: Callable[[Any, Any], Any]) -> None:
        self.socket, self.peer = socket.socketpair()
        self.peer.setblocking(False)
        self.handler = Handler(answer)
        self.protocol = self.handler.protocol = protocol(self.handler, False, _WebSocketParams())
        self.protocol.stream = IOStream(self.socket)
        self.task = asyncio.ensure_future(self.protocol._receive_frame_loop())

    async def received(self, count: int) -> list[Any]:
        """Return the payloads of the next ``count`` frames that the peer receives."""
        data = b""
        while len(parse_frames(data, 0, count)[0]) < count:
            more = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.peer, 65536), PATIENCE)
            assert more, "the connection has ended"
            data += more
        return [payload for _, payload in parse_frames(data, 0, count)[0]]

    async def until(self, last: bytes) -> bytes:
        """Return the data that the peer receives, up to and including ``last``."""
        data = b""
        while not data.endswith(last):
            more = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.peer, 65536), PATIENCE)
            assert more, "the connection has ended"
            data += more
        return data


@asynccontextmanager
async def connected(protocol: Any, answer: Callable[[Any, Any], Any]) -> AsyncIterator[End]:
    end = End(protocol, answer)
    try:
        yield end
    finally:
        end.peer.close()
        await asyncio.wait_for(end.task, PATIENCE)
        assert end.handler.events[-1][0] == "close"


def echo(handler: Handler, message: Any) -> None:
    handler.protocol.write_message(message)


def leave_program(
    protocol: Any, answer: Callable[[Handler, Any], Any], exception: type[BaseException], *, delay: float
) -> None:
    """Check that the exception of a handler leaves the event loop, and that the answer written before it is sent.

    Messages are sent after ``delay`` seconds: at 0, before the connection waits for them.
    """
    ends: list[End] = []

    async def scenario() -> None:
        ends.append(End(protocol, answer))
        if delay:
            await asyncio.sleep(delay)
        ends[0].peer.send(HELLO * 2)
        await asyncio.sleep(10)

    with pytest.raises(exception):
        asyncio.run(scenario())
    with ends[0].peer as peer, ends[0].socket:
        assert peer.recv(100) == b"\x81\x05hello"
