"""A program for a clean environment: echo messages over a WebSocket, with the speedups installed."""

import asyncio

import tornado.httpserver
import tornado.testing
import tornado.web
import tornado.websocket

import tornado_speedups


class _Echo(tornado.websocket.WebSocketHandler):
    async def on_message(self, message: str | bytes) -> None:
        await self.write_message(message, binary=isinstance(message, bytes))


async def main() -> None:
    """Echo text and bytes. Raises AssertionError if something else comes back."""
    tornado_speedups.install()
    assert tornado_speedups.implementation == "c", "the wheel without C was installed"
    socket, port = tornado.testing.bind_unused_port()
    server = tornado.httpserver.HTTPServer(tornado.web.Application([("/", _Echo)]))
    server.add_socket(socket)
    client = await tornado.websocket.websocket_connect(f"ws://127.0.0.1:{port}/")
    for message in ("text", b"bytes" * 10_000):
        await client.write_message(message, binary=isinstance(message, bytes))
        assert await client.read_message() == message
    client.close()


asyncio.run(main())
