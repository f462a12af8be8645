"""WebSockets over real connections: the handshake, TLS, compression, and messages of all sizes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, ClassVar

import pytest
import tornado.test
import tornado.web
import tornado.websocket
from tornado.httpclient import HTTPRequest
from tornado.httpserver import HTTPServer

from tests.speedups.serving import serving
from tornado_speedups.websocket.protocol import FastWebSocketProtocol13


class Echo(tornado.websocket.WebSocketHandler):
    connections: ClassVar[list[Any]] = []

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return subprotocols[-1] if subprotocols else None

    def get_compression_options(self) -> dict[str, Any] | None:
        return {} if self.get_argument("compressed", None) else None

    def open(self) -> None:
        self.connections.append(self.ws_connection)

    def on_message(self, message: str | bytes) -> None:
        self.write_message(message, binary=isinstance(message, bytes))


class AsyncEcho(Echo):
    async def on_message(self, message: str | bytes) -> None:  # type: ignore[override]
        await self.write_message(message, binary=isinstance(message, bytes))


MESSAGES: list[Any] = [
    "",
    "é 漢字",
    b"",
    *(bytes(range(256)) * (size // 256) for size in (256, 65536, 2**17, 2**20)),
    "x" * 300_000,
]


@pytest.mark.parametrize("handler", [Echo, AsyncEcho])
@pytest.mark.parametrize("query", ["", "?compressed=1"])
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.usefixtures("installed")
def test_over_the_network(handler: Any, query: str, tls: bool) -> None:
    """A real server and a real client test the handshake, TLS, compression, and many messages of all sizes."""

    async def scenario() -> None:
        certificates = Path(tornado.test.__file__).parent
        files = {"certfile": str(certificates / "test.crt"), "keyfile": str(certificates / "test.key")}
        application = tornado.web.Application([("/", handler)])
        async with serving(HTTPServer(application, ssl_options=files if tls else None)) as port:
            request = HTTPRequest(f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/{query}", validate_cert=False)
            connect: Any = tornado.websocket.websocket_connect
            client = await connect(request, subprotocols=["a", "b"], compression_options={} if query else None)
            assert type(client.protocol) is type(handler.connections[-1]) is FastWebSocketProtocol13
            assert client.selected_subprotocol == "b"
            for message in MESSAGES:
                await client.write_message(message, binary=isinstance(message, bytes))
                assert await client.read_message() == message
            for message in MESSAGES * 3:
                client.write_message(message, binary=isinstance(message, bytes))
            assert [await client.read_message() for _ in MESSAGES * 3] == MESSAGES * 3
            client.close(4321, "enough")
            assert await client.read_message() is None
            assert client.close_code == 4321

    asyncio.run(asyncio.wait_for(scenario(), 30))
