"""A server, its handlers, and clients that make installed functions step aside."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple
from unittest.mock import MagicMock

from tornado import httputil
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.queues import Queue
from tornado.routing import RuleRouter
from tornado.web import Application, RequestHandler, stream_request_body
from tornado.websocket import WebSocketHandler, WebSocketProtocol13, websocket_connect

from tests.speedups.clients import settle
from tests.speedups.serving import serving


class Aside(NamedTuple):
    """A function, why it steps aside, and what makes it do so."""

    name: str
    reason: str
    drive: Callable[[], Awaitable[Any]]


class Own(IOStream):
    """A stream of an application."""


class OwnProtocol(WebSocketProtocol13):
    """A protocol of an application, or of a tool that replaces Tornado's."""


class OwnQueue(Queue[Any]):
    """A queue of an application."""


class OwnText(str):
    """A message of an application."""


class OwnStartLine(httputil.ResponseStartLine):
    """A start line of an application."""


class OwnHeaders(httputil.HTTPHeaders):
    """Headers of an application."""


class Say(RequestHandler):
    def get(self, what: str) -> None:
        connection: Any = self.request.connection
        if what == "wrong":
            self.set_header("Content-Length", "2")
        elif what == "closed":
            connection.stream.close()
        elif what == "line":
            connection.write_headers(OwnStartLine("HTTP/1.1", 204, "No"), httputil.HTTPHeaders())
            connection.finish()
            self._finished = True
            return
        getattr(self, f"do_{what}", self.do_nothing)()
        if not self._finished:
            self.finish("hello")

    def do_nothing(self) -> None:
        """Send the greeting alone."""

    def do_twice(self) -> None:
        self.write("once")

    def do_parts(self) -> None:
        self.write("once")
        self.flush()

    def do_much(self) -> None:
        self.write(bytes(20_000_000))

    def do_dated(self) -> None:
        self.set_header("X-Date", datetime.datetime(2020, 1, 2))

    def do_nodelay(self) -> None:
        connection: Any = self.request.connection
        connection.stream.set_nodelay(True)

    def do_detach(self) -> None:
        self.detach().close()

    def post(self, what: str) -> None:
        self.finish(str(len(self.request.files)))


@stream_request_body
class Upload(RequestHandler):
    def data_received(self, chunk: bytes) -> None:
        """Drop the body."""

    def put(self) -> None:
        self.finish("hello")


class OwnValues(RequestHandler):
    def get(self) -> None:
        self.finish("hello")

    def _convert_header_value(self, value: Any) -> str:
        return super()._convert_header_value(value)


class Echo(WebSocketHandler):
    def on_message(self, message: str | bytes) -> None:
        self.write_message(OwnText(message) if message == "own" else message)


class Server(HTTPServer):
    """A server that changes the streams that it gets."""

    change: Callable[[IOStream], IOStream]

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        super().handle_stream(self.change(stream), address)


async def serve(
    use: Callable[[int], Awaitable[Any]], change: Callable[[Any], Any] = lambda stream: stream, **settings: Any
) -> None:
    server: Any = Server(
        Application(
            [("/echo", Echo), ("/routed", RuleRouter()), ("/own", OwnValues), ("/upload", Upload), (r"/(\w+)", Say)],
            **settings,
        )
    )
    server.change = change
    async with serving(server) as port:
        await use(port)


def watch_tasks(stream: IOStream) -> IOStream:
    """Have a function of someone else make the tasks of the event loop."""
    loop = asyncio.get_running_loop()
    loop.create_task = partial(loop.create_task)  # type: ignore[method-assign]
    return stream


def limit_writes(stream: IOStream) -> IOStream:
    stream.max_write_buffer_size = 1 << 20
    return stream


def replace_stream(stream: IOStream) -> IOStream:
    return Own(stream.socket)


async def send(port: int, data: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    await reader.read(65536)
    writer.close()
    await writer.wait_closed()


def request(line: bytes, headers: bytes = b"", body: bytes = b"") -> Callable[[int], Awaitable[Any]]:
    return lambda port: send(port, line + b"\r\nHost: h\r\nConnection: close\r\n" + headers + b"\r\n" + body)


async def execute_elsewhere() -> None:
    """Handle a request that comes from no HTTP1Connection."""
    line, headers = httputil.RequestStartLine("GET", "/x", "HTTP/1.1"), httputil.HTTPHeaders({"Host": "h"})
    found = httputil.HTTPServerRequest(connection=MagicMock(), start_line=line, headers=headers)
    Application([(r"/(\w+)", Say)])(found)


async def echo(port: int, message: str = "hello") -> None:
    client = await websocket_connect(f"ws://127.0.0.1:{port}/echo")
    await client.write_message(message)
    assert await client.read_message() is not None
    client.close()
    assert await client.read_message() is None


async def echo_own(port: int) -> None:
    await echo(port, "own")


async def old_version(port: int) -> None:
    upgrade = b"Upgrade: websocket\r\nSec-WebSocket-Version: 12\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    await send(port, b"GET /echo HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n" + upgrade + b"\r\n")


@asynccontextmanager
async def echoing(port: int) -> AsyncIterator[Any]:
    """A client that has sent two messages, whose echoes come."""
    client = await websocket_connect(f"ws://127.0.0.1:{port}/echo")
    client.write_message("1")
    client.write_message("2")
    yield client
    client.close()
    while await client.read_message() is not None:
        pass


async def read_late(port: int) -> None:
    async with echoing(port) as client:
        await settle()
        assert [await client.read_message(), await client.read_message()] == ["1", "2"]


async def read_from_own_queue(port: int) -> None:
    async with echoing(port) as client:
        client.read_queue = OwnQueue()
        assert [await client.read_message(), await client.read_message()] == ["1", "2"]


async def read_from_queue(port: int) -> None:
    async with echoing(port) as client:
        assert [await client.read_queue.get(), await client.read_message()] == ["1", "2"]


async def read_with_callback(port: int) -> None:
    async with echoing(port) as client:
        await client.read_message(callback=lambda future: None)


async def cancel_read(port: int) -> None:
    async with echoing(port) as client:
        client.read_message().cancel()
        await settle()
        assert await client.read_message() == "1"
