"""A WebSocket client, and a peer that sends it what a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from tornado.websocket import WebSocketProtocol13, websocket_connect

import tornado_speedups
from tests.speedups.ends import PATIENCE
from tornado_speedups._python import build_frame, parse_frames


class Peer:
    """The server's end of the connection of one client."""

    def __init__(self) -> None:
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the handshake (RFC 6455, section 4.2.2)."""
        self.reader, self.writer = reader, writer
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        [key] = [line.split(": ")[1] for line in head.splitlines() if line.lower().startswith("sec-websocket-key")]
        accept = WebSocketProtocol13.compute_accept_value(key)
        writer.write(
            f"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        self.connected.set_result(None)

    def send(self, *messages: str, head: int = 0x81) -> None:
        """Send messages together."""
        self.writer.write(b"".join(build_frame(head, message.encode(), None) for message in messages))

    async def receive(self, count: int = 1) -> list[tuple[int, Any]]:
        data = b""
        while len(frames := parse_frames(data, 0, count)[0]) < count:
            more = await self.reader.read(65536)
            assert more, "the client has ended the connection"
            data += more
        return [(head, bytes(payload)) for head, payload in frames]


Scenario = Callable[[Any, Peer], Awaitable[Any]]


@asynccontextmanager
async def connect(**options: Any) -> AsyncIterator[tuple[Any, Peer]]:
    peer = Peer()
    server = await asyncio.start_server(peer.accept, "127.0.0.1", 0)
    client: Any = await websocket_connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", **options)
    await peer.connected
    try:
        yield client, peer
    finally:
        client.close()
        peer.writer.close()
        server.close()
        await asyncio.sleep(0.01)


async def settle() -> None:
    """Wait until everything that was sent has been handled: for many turns, which a busy machine may make slow."""
    for _ in range(20):
        await asyncio.sleep(0.0005)


def run(scenario: Scenario, debug: bool = False, **options: Any) -> Any:
    async def call() -> Any:
        async with connect(**options) as (client, peer):
            return await scenario(client, peer)

    return asyncio.run(asyncio.wait_for(call(), PATIENCE), debug=debug)


def compare(scenario: Scenario, **options: Any) -> Any:
    """Return what a scenario sees with Tornado's clients and, alike, with ours; also where no task runs eagerly."""
    tornados = run(scenario, **options)
    for eager in (False, True):
        tornado_speedups.install(eager=eager)
        assert run(scenario, **options) == tornados
        tornado_speedups.uninstall()
    return tornados
