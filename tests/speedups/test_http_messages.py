"""What the delegates of a request are told, and in which order, also where a handler fails or a side closes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import Any
from unittest.mock import Mock

import pytest
from tornado import httputil
from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters, HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream
from tornado.web import Application, RequestHandler

import tornado_speedups
from tests.speedups.clients import settle
from tests.speedups.serving import serving
from tests.speedups.targets import count_calls
from tornado_speedups import eager

pytestmark = pytest.mark.usefixtures("stock_tornado")

METHODS = ("headers_received", "data_received", "finish", "on_connection_close")
ERRORS = (ValueError("on purpose"), httputil.HTTPInputError("on purpose"), asyncio.CancelledError())


class Delegate(httputil.HTTPMessageDelegate):
    """A delegate that keeps what it is told, and may fail, wait, answer or detach then."""

    def __init__(self, told: list[Any], connection: Any, actions: dict[str, Any]) -> None:
        self.told, self.connection, self.actions = told, connection, actions

    def hear(self, name: str, *details: Any) -> Any:
        self.told.append((name, *details))
        action = self.actions.get(name)
        if isinstance(action, BaseException):
            raise action
        if action == "waits":
            return asyncio.sleep(0)
        if action == "answers":
            self.answer()
        elif action == "answers later":
            asyncio.get_running_loop().call_soon(self.answer)
        elif action == "detaches":
            self.connection.detach().close()
        elif action == "closes":
            self.connection.close()
        elif action == "fails later":
            return self.fail()
        return None

    async def fail(self) -> None:
        await asyncio.sleep(0)
        raise ValueError("later")

    def answer(self) -> None:
        headers = httputil.HTTPHeaders({"Content-Length": "2"})
        self.connection.write_headers(httputil.ResponseStartLine("", 200, "OK"), headers, b"ok")
        self.connection.finish()

    def headers_received(self, start_line: Any, headers: Any) -> Any:
        return self.hear("headers_received", tuple(start_line), list(headers.get_all()))

    def data_received(self, chunk: bytes) -> Any:
        return self.hear("data_received", chunk)

    def finish(self) -> None:
        self.hear("finish")

    def on_connection_close(self) -> None:
        self.hear("on_connection_close")


class Server(httputil.HTTPServerConnectionDelegate):
    def __init__(self, **actions: Any) -> None:
        self.told: list[Any] = []
        self.actions = {"finish": "answers", **actions}

    def start_request(self, server_conn: Any, request_conn: Any) -> Any:
        return Delegate(self.told, request_conn, self.actions)

    def on_close(self, server_conn: Any) -> None:
        self.told.append("on_close")


GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"


async def serve(server: Server, parts: list[bytes], **parameters: Any) -> list[Any]:
    """Send the parts of a request, then end the connection. Return what the delegates were told, and the answer."""
    ours, peer = socket.socketpair()
    peer.setblocking(False)
    connection = HTTP1ServerConnection(IOStream(ours), HTTP1ConnectionParameters(**parameters))
    connection.start_serving(server)
    loop = asyncio.get_running_loop()
    received = b""
    with contextlib.suppress(OSError):  # the server may close before everything has been sent
        for part in parts:
            await loop.sock_sendall(peer, part)
            await asyncio.sleep(0.003)
        peer.shutdown(socket.SHUT_WR)
    with contextlib.suppress(OSError):
        while data := await asyncio.wait_for(loop.sock_recv(peer, 65536), 3):
            received += data
    peer.close()
    assert connection._serving_future is not None
    await asyncio.wait([connection._serving_future], timeout=3)
    connection.stream.close()
    return [*server.told, received]


def run(caplog: pytest.LogCaptureFixture, actions: dict[str, Any], parts: list[bytes], **parameters: Any) -> list[Any]:
    caplog.clear()
    with caplog.at_level(logging.INFO):
        result = asyncio.run(serve(Server(**actions), parts, **parameters))
    return [*result, [(each.name, each.levelname, each.getMessage()) for each in caplog.records]]


CASES: list[dict[str, Any]] = [
    {},
    *({name: error} for name in METHODS for error in ERRORS),
    *({"headers_received": error, "on_connection_close": ERRORS[0]} for error in ERRORS),
    *({name: action} for name in METHODS[:3] for action in ("answers", "detaches", "closes")),
    *({name: action, "on_connection_close": ERRORS[0]} for name in METHODS[:2] for action in ("detaches", "closes")),
    *({name: action} for name in METHODS[:2] for action in ("waits", "fails later")),
    {"finish": "answers later"},
]
WAYS = [
    [GET],
    [POST],
    [POST[:-3], POST[-3:]],
    [GET[:20], GET[20:] + POST + GET],
    [GET[:20]],
    [POST[:-2]],
    [b"nonsense\r\n\r\n"],
]


@pytest.mark.parametrize("actions", CASES, ids=str)
def test_delegates_are_told_the_same(actions: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    expected = [run(caplog, actions, parts) for parts in WAYS]
    tornado_speedups.install()
    assert [run(caplog, actions, parts) for parts in WAYS] == expected


@pytest.mark.parametrize("parameters", [{"header_timeout": 0.05}, {"body_timeout": 0.05}, {"header_timeout": 5}])
@pytest.mark.parametrize("parts", [[GET], [GET[:20]], [POST[:-2]], [GET, GET[:20]], [b""]], ids=str)
def test_what_does_not_come_in_time_ends_the_connection(
    parameters: dict[str, float], parts: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    async def drive() -> list[Any]:
        server = Server()
        ours, peer = socket.socketpair()
        connection = HTTP1ServerConnection(IOStream(ours), HTTP1ConnectionParameters(**parameters))  # type: ignore[arg-type]
        connection.start_serving(server)
        for part in parts:
            peer.sendall(part)
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        told = [*server.told]
        connection.stream.close()
        peer.close()
        assert connection._serving_future is not None
        await connection._serving_future
        return [told, server.told, [each.getMessage() for each in caplog.records]]

    expected = asyncio.run(drive())
    caplog.clear()
    tornado_speedups.install()
    with count_calls() as counts:
        assert asyncio.run(drive()) == expected
    assert counts.count_fast("http1connection:HTTP1Connection._read_message") > 0


class Slow(RequestHandler):
    """A handler that answers after a moment, or hears that the client has left."""

    closed: asyncio.Event

    def initialize(self) -> None:
        type(self).closed = asyncio.Event()

    async def get(self) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.closed.wait(), float(self.get_query_argument("seconds")))

    def on_connection_close(self) -> None:
        self.closed.set()


@pytest.mark.parametrize("leaves", [False, True])
def test_a_handler_hears_of_a_client_that_leaves(leaves: bool) -> None:
    async def drive() -> bool:
        async with serving(HTTPServer(Application([("/", Slow)]))) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(GET.replace(b"/ ", b"/?seconds=%d " % (10 * leaves)))
            if leaves:
                await asyncio.sleep(0.01)
                writer.close()
                await asyncio.sleep(0.01)
                await asyncio.wait_for(Slow.closed.wait(), 10)
            else:
                await reader.readuntil(b"\r\n\r\n")
                writer.close()
        return Slow.closed.is_set()

    assert asyncio.run(drive()) == leaves
    tornado_speedups.install()
    assert asyncio.run(drive()) == leaves


def test_a_server_that_is_cancelled_ends_its_connections() -> None:
    async def drive() -> list[Any]:
        server = Server()
        ours, peer = socket.socketpair()
        connection = HTTP1ServerConnection(IOStream(ours), HTTP1ConnectionParameters(header_timeout=60))
        connection.start_serving(server)
        await asyncio.sleep(0)
        task: Any = connection._serving_future
        task.cancel()
        await asyncio.wait([task])
        connection.stream.close()
        peer.close()
        return [*server.told, task.cancelled()]

    expected = asyncio.run(drive())
    tornado_speedups.install()
    assert asyncio.run(drive()) == expected == ["on_close", False]


class Asked(RequestHandler):
    """A handler whose client sends the next request as soon as it has the response."""

    peer: socket.socket
    left = 10

    def get(self) -> None:
        self.write("hello")

    def on_finish(self) -> None:
        type(self).left -= 1
        if self.left:
            self.peer.sendall(GET)


async def answer_quick_client() -> int:
    """Return how often the event loop changes what it watches."""
    ours, Asked.peer = socket.socketpair()
    Asked.left = 10
    io_loop: Any = IOLoop.current()
    server = HTTPServer(Application([("/", Asked)]))
    server.handle_stream(IOStream(ours), ("127.0.0.1", 0))
    await settle()  # so that the event loop watches the connection
    io_loop.update_handler = Mock(wraps=io_loop.update_handler)
    with Asked.peer as peer:
        peer.sendall(GET)
        while Asked.left:
            await asyncio.sleep(0)
        changes: int = io_loop.update_handler.call_count
        assert peer.recv(100_000).count(b"\r\n\r\nhello") == 10
    await server.close_all_connections()
    return changes


@pytest.mark.skipif(not eager.SUPPORTED, reason="this Python has no eager tasks")
def test_what_the_event_loop_watches_stays() -> None:
    """Tornado stops watching the connection for each request that comes before it reads the next one."""
    assert asyncio.run(answer_quick_client()) > 9
    tornado_speedups.install()
    assert asyncio.run(answer_quick_client()) == 0


def test_a_client_that_leaves_after_a_response_is_noticed() -> None:
    """One event is ignored after a response, though nobody reads the next request."""

    async def drive() -> bool:
        ours, peer = socket.socketpair()
        stream = IOStream(ours)
        with peer:
            peer.sendall(GET)
            delegate = Delegate([], None, {"finish": "answers"})
            connection = HTTP1Connection(stream, False)
            delegate.connection = connection
            await connection.read_response(delegate)
            stream.set_close_callback(lambda: None)
        await settle()
        return stream.closed()

    assert asyncio.run(drive())
    tornado_speedups.install()
    with count_calls() as counts:
        assert asyncio.run(drive())
    assert counts.count_fast("iostream:BaseIOStream._handle_events") == 1
