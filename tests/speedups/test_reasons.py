"""Each function that install() put into Tornado says why it steps aside, in every case that makes it do so."""

from __future__ import annotations

import asyncio
import datetime
import socket
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any
from unittest.mock import patch

import pytest
import tornado.websocket
from tornado import httputil
from tornado.httpclient import AsyncHTTPClient
from tornado.iostream import IOStream

from tests.speedups.asides import (
    Aside,
    Own,
    OwnHeaders,
    OwnProtocol,
    cancel_read,
    echo,
    echo_own,
    execute_elsewhere,
    limit_writes,
    old_version,
    read_from_own_queue,
    read_from_queue,
    read_late,
    read_with_callback,
    replace_stream,
    request,
    serve,
    watch_tasks,
)
from tests.speedups.clients import settle
from tests.speedups.targets import EXECUTE, OURS, WRAPPED, count_calls

pytestmark = pytest.mark.usefixtures("c_extension", "installed")

OTHER_STREAM = "the stream is of another class than Tornado's"
OTHER_QUEUE = "the application has replaced the connection's queue"
NOT_PLAIN = "the head isn't plain"


async def on_streams(use: Callable[[Any, socket.socket], Awaitable[Any]], make: Any = IOStream, **options: Any) -> None:
    """Call ``use`` with a stream and the socket of its peer."""
    ours, peer = socket.socketpair()
    with peer:
        stream = make(ours, **options)
        await use(stream, peer)
        stream.close()


async def write(stream: Any, peer: socket.socket) -> None:
    await stream.write(b"data")


async def write_much(stream: Any, peer: socket.socket) -> None:
    stream.write(bytes(200_000))


async def write_view(stream: Any, peer: socket.socket) -> None:
    await stream.write(bytearray(b"data"))


async def set_nodelay(stream: Any, peer: socket.socket) -> None:
    stream.set_nodelay(True)


async def set_nodelay_closed(stream: Any, peer: socket.socket) -> None:
    stream.close()
    stream.set_nodelay(True)


async def set_nodelay_broken(port: int) -> None:
    stream = IOStream(socket.create_connection(("127.0.0.1", port)))
    stream.socket.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        stream.set_nodelay(True)


async def fill(stream: Any, peer: socket.socket) -> None:
    while not stream.writing():
        stream.write(bytes(100_000))
    stream.write(b"behind").cancel()


async def write_closed(stream: Any, peer: socket.socket) -> None:
    stream.close()
    with pytest.raises(tornado.iostream.StreamClosedError):
        stream.write(b"data")


async def read(stream: Any, peer: socket.socket) -> None:
    peer.sendall(bytes(100))
    assert len(await stream.read_bytes(100)) == 100


async def read_in_parts(stream: Any, peer: socket.socket) -> None:
    peer.sendall(bytes(66_000))
    reading = stream.read_until(b"end")
    await asyncio.sleep(0)
    peer.sendall(b"end")
    assert len(await reading) == 66_003


async def wait_for_bytes(stream: Any, peer: socket.socket) -> None:
    reading = stream.read_bytes(3)
    await asyncio.sleep(0)
    peer.sendall(b"abc")
    assert await reading == b"abc"


async def drain(stream: Any, peer: socket.socket) -> None:
    writing = stream.write(bytes(2_000_000))
    while not writing.done():
        await asyncio.to_thread(peer.recv, 1 << 20)


async def hear(stream: Any, peer: socket.socket) -> None:
    stream.set_close_callback(lambda: None)
    peer.sendall(b"unexpected")
    await settle()


async def read_into(stream: Any, peer: socket.socket) -> None:
    peer.sendall(bytes(100))
    await stream.read_into(bytearray(100))


async def read_pattern(stream: Any, peer: socket.socket) -> None:
    peer.sendall(b"a1")
    await stream.read_until_regex(rb"\d")


async def parse_own() -> None:
    OwnHeaders.parse("a: b\r\n")


async def get_own() -> None:
    assert OwnHeaders({"a": "b"}).get("A") == "b"


async def format_times(*times: Any) -> None:
    for each in times:
        httputil.format_timestamp(each)


async def fetch(port: int) -> None:
    response = await AsyncHTTPClient(force_instance=True).fetch(f"http://127.0.0.1:{port}/x")
    assert response.body == b"hello"


async def replace_headers(port: int) -> None:
    with patch.object(httputil, "HTTPHeaders", OwnHeaders):
        await request(b"GET /x HTTP/1.1")(port)


NOT_FORM = b'--b\r\nContent-Disposition: form-data; name="f"; filename="\xc3\xa9"\r\n\r\nhello\r\n--b--\r\n'
FORM = b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n" % len(NOT_FORM)
PROTOCOL = "websocket:WebSocketHandler.get_websocket_protocol"
WRITE_MESSAGE = "websocket:WebSocketProtocol13.write_message"
RECEIVE_FRAME = "websocket:WebSocketProtocol13._receive_frame"
READ_MESSAGE = "websocket:WebSocketClientConnection.read_message"
ON_MESSAGE = "websocket:WebSocketClientConnection._on_message"
WRITE_HEADERS = "http1connection:HTTP1Connection.write_headers"
WRITE = "iostream:BaseIOStream.write"
READ = "iostream:BaseIOStream._read_to_buffer"
NODELAY = "iostream:IOStream.set_nodelay"
EVENTS = "iostream:BaseIOStream._handle_events"
TIMESTAMP = "httputil:format_timestamp"
READ_BODY = "http1connection:HTTP1Connection._read_body"
FINISH = "http1connection:HTTP1Connection.finish"
DETACH = "http1connection:HTTP1Connection.detach"
CLIENT = "it is the connection of a client"
READ_REQUEST = "http1connection:HTTP1Connection._read_message"
ASIDES = [
    Aside(READ_REQUEST, CLIENT, lambda: serve(fetch)),
    Aside(READ_REQUEST, OTHER_STREAM, lambda: serve(request(b"GET /x HTTP/1.1"), replace_stream)),
    Aside(READ_BODY, CLIENT, lambda: serve(fetch)),
    Aside(
        READ_BODY,
        "the body is chunked, or has no plain length",
        lambda: serve(request(b"POST /x HTTP/1.1", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n")),
    ),
    Aside(
        READ_BODY,
        "the body is long, or hasn't come with its head",
        lambda: serve(request(b"POST /x HTTP/1.1", b"Content-Length: 70000\r\n", bytes(70_000))),
    ),
    Aside(
        "web:RequestHandler.set_header",
        "the application converts the values of headers itself",
        lambda: serve(request(b"GET /own HTTP/1.1")),
    ),
    Aside(
        "http1connection:HTTP1Connection._clear_callbacks",
        OTHER_STREAM,
        lambda: serve(request(b"GET /x HTTP/1.1"), replace_stream),
    ),
    Aside(FINISH, CLIENT, lambda: serve(echo)),
    Aside(FINISH, OTHER_STREAM, lambda: serve(request(b"GET /x HTTP/1.1"), replace_stream)),
    Aside(FINISH, "the response is chunked, or has a wrong length", lambda: serve(request(b"GET /parts HTTP/1.1"))),
    Aside(FINISH, "the application sets TCP_NODELAY itself", lambda: serve(request(b"GET /nodelay HTTP/1.1"))),
    Aside(FINISH, "something is still to be written", lambda: serve(request(b"GET /much HTTP/1.1"))),
    Aside(DETACH, "TCP_NODELAY isn't kept on", lambda: serve(request(b"GET /detach HTTP/1.1"))),
    Aside(DETACH, OTHER_STREAM, lambda: serve(request(b"GET /detach HTTP/1.1"), replace_stream)),
    Aside(
        "routing:_RoutingDelegate.headers_received",
        NOT_PLAIN,
        lambda: serve(request(b"GET /x HTTP/1.1", b"Host: other\r\n")),
    ),
    Aside(
        "web:_ApplicationRouter.get_target_delegate",
        "the rule leads to neither a handler nor to rules of the application",
        lambda: serve(request(b"GET /routed HTTP/1.1")),
    ),
    Aside(
        "routing:RuleRouter.find_handler",
        "the router isn't one of an application's own",
        lambda: serve(request(b"GET /routed HTTP/1.1")),
    ),
    Aside(
        "httputil:HTTPServerRequest._parse_body",
        "the body is a form, or the headers are of a class of the application",
        lambda: serve(request(b"POST /x HTTP/1.1", FORM, NOT_FORM)),
    ),
    Aside("web:RequestHandler.clear", "someone has replaced HTTPHeaders", lambda: serve(replace_headers)),
    Aside(
        "web:RequestHandler.set_header",
        "the value is neither an integer nor valid text",
        lambda: serve(request(b"GET /dated HTTP/1.1")),
    ),
    Aside(
        "web:RequestHandler.compute_etag",
        "the response wasn't written at once",
        lambda: serve(request(b"GET /twice HTTP/1.1")),
    ),
    Aside(
        "web:RequestHandler.check_etag_header",
        "the request has If-None-Match",
        lambda: serve(request(b"GET /x HTTP/1.1", b'If-None-Match: "x"\r\n')),
    ),
    Aside(
        "web:Application.log_request",
        "the request is logged, or the application may have its own log",
        lambda: serve(request(b"GET /not/found HTTP/1.1")),
    ),
    Aside(PROTOCOL, "the version of the WebSocket protocol is unknown", lambda: serve(old_version)),
    Aside(WRITE_MESSAGE, "the message isn't exactly bytes or str", lambda: serve(echo_own)),
    Aside(WRITE_MESSAGE, "the stream limits its writes", lambda: serve(echo, limit_writes)),
    Aside(WRITE_MESSAGE, OTHER_STREAM, lambda: serve(echo, replace_stream)),
    Aside(RECEIVE_FRAME, OTHER_STREAM, lambda: serve(echo, replace_stream)),
    Aside(
        RECEIVE_FRAME,
        "the stream's buffer is smaller than the largest message",
        lambda: serve(echo, websocket_max_message_size=1 << 28),
    ),
    Aside("httputil:HTTPHeaders.parse", "the class or the argument is a subclass of Tornado's or of str", parse_own),
    Aside("httputil:HTTPHeaders.get", "the headers are of a subclass of Tornado's class", get_own),
    Aside("httputil:HTTPHeaders.parse", NOT_PLAIN, lambda: serve(request(b"POST /x HTTP/1.1", FORM, NOT_FORM))),
    Aside(
        "http1connection:HTTP1Connection._parse_headers",
        NOT_PLAIN,
        lambda: serve(request(b"GET /x HTTP/1.1", b"no colon\r\n")),
    ),
    Aside("httputil:parse_request_start_line", NOT_PLAIN, lambda: serve(request(b"GET /x HTTP/1.2345"))),
    Aside(READ_MESSAGE, OTHER_QUEUE, lambda: serve(read_from_own_queue)),
    Aside(READ_MESSAGE, "a message waits for room in the queue", lambda: serve(read_late)),
    Aside(READ_MESSAGE, "a callback gets the message", lambda: serve(read_with_callback)),
    Aside(ON_MESSAGE, OTHER_QUEUE, lambda: serve(read_from_own_queue)),
    Aside(ON_MESSAGE, "the queue is full", lambda: serve(read_late)),
    Aside(ON_MESSAGE, "a read was cancelled", lambda: serve(cancel_read)),
    Aside(ON_MESSAGE, "something else than read_message() takes from the queue", lambda: serve(read_from_queue)),
    Aside(WRITE_HEADERS, "it is the request of a client", lambda: serve(echo)),
    Aside(
        WRITE_HEADERS,
        "the start line or the headers are of a class of the application",
        lambda: serve(request(b"GET /line HTTP/1.1")),
    ),
    Aside(WRITE_HEADERS, "the connection is closed", lambda: serve(request(b"GET /closed HTTP/1.1"))),
    Aside(
        WRITE_HEADERS, "the response isn't plain, or has a wrong length", lambda: serve(request(b"GET /wrong HTTP/1.1"))
    ),
    Aside(TIMESTAMP, "the time isn't an ordinary number of seconds", lambda: format_times(5)),
    Aside(TIMESTAMP, "the time is the last microsecond of a second", lambda: format_times(5.9999999)),
    Aside(TIMESTAMP, "the date is new, or in a time zone", lambda: format_times(datetime.datetime(2020, 1, 2))),
    Aside(TIMESTAMP, "a new second has begun", lambda: format_times(5.5, 6.5)),
    Aside(
        "iostream:BaseIOStream.read_until_regex",
        "the pattern isn't the end of a head",
        lambda: on_streams(read_pattern),
    ),
    Aside(READ, OTHER_STREAM, lambda: on_streams(read, Own)),
    Aside(READ, "the application reads into its own buffer", lambda: on_streams(read_into)),
    Aside(READ, "the stream has another chunk size than Tornado's", lambda: on_streams(read, read_chunk_size=1000)),
    Aside(READ, "the stream's buffer is nearly full", lambda: on_streams(read_in_parts, max_buffer_size=131_072)),
    Aside(EVENTS, OTHER_STREAM, lambda: on_streams(wait_for_bytes, Own)),
    Aside(EVENTS, "something else has happened than that there is something to read", lambda: on_streams(drain)),
    Aside(
        EVENTS,
        "something else than a head is read, or a head that comes in parts",
        lambda: on_streams(wait_for_bytes),
    ),
    Aside(EVENTS, "nobody reads, and no response has just left", lambda: on_streams(hear)),
    Aside(NODELAY, OTHER_STREAM, lambda: on_streams(set_nodelay, Own)),
    Aside(NODELAY, "the stream is closed", lambda: on_streams(set_nodelay_closed)),
    Aside(NODELAY, "the socket refuses the option", lambda: serve(set_nodelay_broken)),
    Aside(EXECUTE, "the body is streamed", lambda: serve(request(b"PUT /upload HTTP/1.1"))),
    Aside(
        EXECUTE,
        "caches must be emptied for each request",
        lambda: serve(request(b"GET /x HTTP/1.1"), compiled_template_cache=False),
    ),
    Aside(EXECUTE, "coroutines don't start eagerly here", lambda: serve(request(b"GET /x HTTP/1.1"), watch_tasks)),
    Aside(EXECUTE, "the connection is of another class than Tornado's", execute_elsewhere),
    Aside(
        EXECUTE,
        "the connection is closed",
        lambda: serve(request(b"GET /x HTTP/1.1", body=b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")),
    ),
    Aside(WRITE, OTHER_STREAM, lambda: on_streams(write, Own)),
    Aside(WRITE, "the data isn't exactly bytes", lambda: on_streams(write_view)),
    Aside(WRITE, "the stream is closed, or isn't connected yet", lambda: on_streams(write_closed)),
    Aside(WRITE, "something is still to be written", lambda: on_streams(fill)),
    Aside(WRITE, "the socket is full", lambda: on_streams(fill)),
    Aside(WRITE, "the stream limits its writes", lambda: on_streams(write, max_write_buffer_size=100)),
    Aside(WRITE, "the data is long", lambda: on_streams(write_much)),
]


def count(drive: Callable[[], Awaitable[Any]]) -> Any:
    async def run() -> None:
        await asyncio.wait_for(drive(), 60)

    with count_calls() as counts:
        asyncio.run(run())
    return counts


@pytest.mark.parametrize(
    "aside",
    [each for each in ASIDES if each.name in {*WRAPPED, *OURS}],
    ids=lambda aside: f"{aside.name}: {aside.reason}",
)
def test_it_says_why_it_steps_aside(aside: Aside) -> None:
    assert count(aside.drive).asides[aside.name][aside.reason] > 0


def test_every_function_that_can_step_aside_is_driven_to_it() -> None:
    reasons = import_module("tornado_speedups.reasons").REASONS
    assert {aside.name for aside in ASIDES} == reasons.keys() | {PROTOCOL}
    assert {*WRAPPED, EXECUTE} - {PROTOCOL} - reasons.keys() == {PROTOCOL.replace("Handler", "ClientConnection")}


@pytest.mark.parametrize(
    ("module", "name", "value", "reason"),
    [
        (tornado.websocket, "WebSocketProtocol13", OwnProtocol, "the application has a protocol of its own"),
        (asyncio, "_nest_patched", True, "nest_asyncio is active"),
    ],
)
def test_it_says_why_a_connection_keeps_its_protocol(
    module: Any, name: str, value: Any, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, value, raising=False)
    counts = count(lambda: serve(echo))
    for each in (PROTOCOL, PROTOCOL.replace("Handler", "ClientConnection")):
        assert counts.asides[each] == {reason: 1} and counts.count_fast(each) == 0
