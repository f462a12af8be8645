"""Whole HTTP connections over real sockets: servers and clients behave the same with and without the speedups.

The main subject is request smuggling: requests that two parties may interpret differently.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import socket
from typing import Any

import pytest
import tornado.web
from tornado.httpclient import HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.simple_httpclient import SimpleAsyncHTTPClient

import tornado_speedups
from tests.speedups.blocks import blocks
from tests.speedups.heads import BROWSER, LATIN_BLOCKS, PLAIN_BLOCKS, STRANGE_BLOCKS, STRANGE_LINES
from tests.speedups.serving import serving

pytestmark = pytest.mark.usefixtures("stock_tornado")

GET = b"GET /first HTTP/1.1\r\nHost: h\r\n"
POST = b"POST /first HTTP/1.1\r\nHost: h\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"
# A server that accepts the requests before this one also answers this one, then closes the connection.
LAST = b"GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"

LENGTHS = [b"5", b"05", b"+5", b"-5", b"5 ", b"5, 5", b"5,5", b"5, 6", b"0x5", b"5_0", b"", b"1e1", b"\xb2", b"9" * 30]
CODINGS = [
    b"chunked",
    b"Chunked",
    b"chunked, chunked",
    b"gzip, chunked",
    b"identity",
    b"x",
    b" chunked",
    b"chunked\x0b",
    b"",
]
REQUESTS = [
    BROWSER,
    BROWSER.replace(b"\r\n", b"\n"),
    b"\r\n\r\n" + BROWSER,
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
    GET + b"Host: other\r\n\r\n",
    GET + b"Expect: 100-continue\r\n\r\n",
    GET + b"Big: " + b"x" * 70000 + b"\r\n\r\n",
    GET + b"x" * 70000,
    GET + b"".join(b"N%d: v\r\n" % i for i in range(3000)) + b"\r\n",
    *(b"%s\r\nHost: h\r\n\r\n" % line.encode("latin-1", "replace") for line in STRANGE_LINES),
    *(GET + block + b"\r\n" for block in (*PLAIN_BLOCKS[:12], *STRANGE_BLOCKS[:24], *LATIN_BLOCKS[:3])),
    *(POST + b"Content-Length: " + length + b"\r\n\r\nhello" for length in LENGTHS),
    *(POST + b"Content-Length : " + length + b"\r\n\r\nhello" for length in LENGTHS[:2]),
    POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    POST + b"Content-Length: 5\r\nContent-Length: 0\r\n\r\nhello",
    POST + b"Content-Length: 5\r\ncontent-length: 36\r\n\r\nhello" + HIDDEN,
    *(POST + b"Transfer-Encoding: " + coding + b"\r\n\r\n" + CHUNKS for coding in CODINGS),
    POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + CHUNKS,
    POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + CHUNKS,
    POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    POST + b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\nhello",
    POST + b"Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\nhello",
    POST + b"X: y\rTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
    POST + b"X: y\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    POST + b"Content-Length: 5\n\nhello",
    POST + b"Content-Length: 5\r\r\n\r\nhello",
    POST + b"Content-Length: 5\r\n\r\r\n\r\nhello",
    POST + b"Content\x00-Length: 5\r\n\r\nhello",
    POST + b"Content-Length: 5\x00\r\n\r\nhello",
    POST + b"Content_Length: 5\r\n\r\n",
    POST + b"Content-Length\xa0: 5\r\n\r\n",
    POST + b"\xef\xbb\xbfContent-Length: 5\r\n\r\n",
    HIDDEN * 3,
]

RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nset-cookie: b\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"GET / HTTP/1.1\r\n\r\n",
    *(
        b"HTTP/1.1 200 OK\r\n" + block + b"Content-Length: 5\r\n\r\nhello"
        for block in (*STRANGE_BLOCKS[:20], *LATIN_BLOCKS[:2])
    ),
]


class Echo(tornado.web.RequestHandler):
    def prepare(self) -> None:
        request = self.request
        seen = {"line": [request.method, request.uri, request.version], "headers": list(request.headers.get_all())}
        self.finish(json.dumps({**seen, "body": request.body.decode("latin-1")}))


class Sizes(tornado.web.RequestHandler):
    """A handler whose responses use every kind of framing."""

    async def get(self, kind: str) -> None:
        if kind == "flushed":
            for _ in range(3):
                self.write("x" * 1000)
                await self.flush()
        elif kind == "empty":
            self.set_status(204)
        elif kind == "latin":
            self.set_header("Name", "\xe9")
        elif kind == "short":
            self.set_header("Content-Length", "10")
            self.write("short")
        elif kind == "cookies":
            self.set_cookie("a", "b")
            self.set_cookie("c", "d")
        elif kind == "reason":
            self.set_status(299, "Because: \u20ac")
        else:
            self.write(b"\0" * int(kind))


KINDS = [b"flushed", b"empty", b"latin", b"short", b"cookies", b"reason", b"0", b"1", b"131072", b"3000000"]


def make_server() -> HTTPServer:
    return HTTPServer(tornado.web.Application([(r"/sizes/(\w+)", Sizes), (r".*", Echo)]))


async def converse(port: int, pieces: list[bytes]) -> bytes:
    """Send the pieces and return the server's answer, with a constant in place of its dates.

    If the server keeps the connection open for 3 seconds, the client closes its sending half.
    """
    loop = asyncio.get_running_loop()
    with socket.socket() as peer:
        peer.setblocking(False)
        await loop.sock_connect(peer, ("127.0.0.1", port))
        reading = asyncio.ensure_future(all_of(peer))
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                await loop.sock_sendall(peer, piece)
                await asyncio.sleep(0.01)
        await asyncio.wait([reading], timeout=3)
        if not reading.done():
            peer.shutdown(socket.SHUT_WR)
        answer = await reading
    return re.sub(rb"\r\nDate: [^\r]+GMT", b"\r\nDate: now", answer)


async def all_of(peer: socket.socket) -> bytes:
    """Return all data until the connection ends.

    A reset counts as the end: the server causes one if it closes with unread data, which can depend on timing.
    """
    received = b""
    with contextlib.suppress(ConnectionError):
        while data := await asyncio.get_running_loop().sock_recv(peer, 65536):
            received += data
    return received


async def serve(conversations: list[list[bytes]]) -> list[bytes]:
    async with serving(make_server()) as port:
        return await asyncio.gather(*(converse(port, pieces) for pieces in conversations))


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    messages = sorted(re.sub(r"\d+\.\d+ms|0x\w+|fd=\d+|:\d{4,5}\)?", "-", text) for text in caplog.messages)
    caplog.clear()
    return messages


def same_outcome(conversations: list[list[bytes]], caplog: pytest.LogCaptureFixture) -> list[bytes]:
    caplog.set_level(logging.INFO)
    caplog.clear()
    expected = asyncio.run(serve(conversations))
    said = logged(caplog)
    tornado_speedups.install()
    assert set(tornado_speedups.status().values()) == {"installed"}
    answers = asyncio.run(serve(conversations))
    for pieces, stock, ours in zip(conversations, expected, answers, strict=True):
        assert ours == stock, pieces
    assert logged(caplog) == said
    return answers


@pytest.mark.exhaustive
@pytest.mark.usefixtures("c_extension")
def test_requests_at_once(caplog: pytest.LogCaptureFixture) -> None:
    answers = same_outcome([[request + LAST] for request in REQUESTS], caplog)
    assert sum(b"400 Bad Request" in each for each in answers) > 40
    assert sum(b"/last" in each for each in answers) > 25


@pytest.mark.exhaustive
@pytest.mark.usefixtures("c_extension")
def test_requests_in_pieces(caplog: pytest.LogCaptureFixture) -> None:
    cuts = [len(request) * (1 + i % 7) // 8 for i, request in enumerate(REQUESTS)]
    same_outcome([[each[:cut], each[cut:] + LAST] for each, cut in zip(REQUESTS, cuts, strict=True)], caplog)


@pytest.mark.exhaustive
@pytest.mark.usefixtures("c_extension")
def test_a_request_split_anywhere(caplog: pytest.LogCaptureFixture) -> None:
    head = b"\r\n" + GET + b"A: b\nC: d\r\n\r\n"
    answers = same_outcome([[head[:cut], head[cut:] + LAST] for cut in range(len(head) + 1)], caplog)
    assert set(answers) == {answers[0]} and b"/last" in answers[0]


@pytest.mark.exhaustive
@pytest.mark.usefixtures("c_extension")
def test_a_request_byte_by_byte(caplog: pytest.LogCaptureFixture) -> None:
    request = POST + b"Content-Length: 5\r\n\r\nhello" + LAST
    assert b"/last" in same_outcome([[bytes([octet]) for octet in request]], caplog)[0]


@pytest.mark.exhaustive
@pytest.mark.usefixtures("c_extension")
def test_responses_of_every_size(caplog: pytest.LogCaptureFixture) -> None:
    versions = (
        b"GET %s HTTP/1.1",
        b"HEAD %s HTTP/1.1",
        b"GET %s HTTP/1.0",
        b"GET %s HTTP/1.0\r\nConnection: keep-alive",
    )
    conversations = [
        [(version % (b"/sizes/" + kind)) + b"\r\nHost: h\r\n\r\n" + LAST] for kind in KINDS for version in versions
    ]
    answers = same_outcome(conversations, caplog)
    assert max(map(len, answers)) > 3_000_000


async def fetch(port: int) -> Any:
    client = SimpleAsyncHTTPClient(force_instance=True)
    try:
        response = await client.fetch(HTTPRequest(f"http://127.0.0.1:{port}/", request_timeout=10), raise_error=False)
        body = response.body if response.error is None or response.code != 599 else None
        return response.code, list(response.headers.get_all()), body, repr(response.error)
    except Exception as error:
        return type(error), str(error)
    finally:
        client.close()


async def fetch_all() -> list[Any]:
    """Return the result of Tornado's client for each response, sent by a server that doesn't use Tornado."""

    async def answer(raw: bytes) -> Any:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(raw)
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        try:
            return await fetch(server.sockets[0].getsockname()[1])
        finally:
            server.close()

    return await asyncio.gather(*map(answer, RESPONSES))


@pytest.mark.exhaustive
@pytest.mark.usefixtures("c_extension")
def test_responses_to_a_client(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    expected = asyncio.run(fetch_all())
    said = logged(caplog)
    tornado_speedups.install()
    got = asyncio.run(fetch_all())
    for raw, stock, ours in zip(RESPONSES, expected, got, strict=True):
        assert ours == stock, raw
    assert logged(caplog) == said
    assert sum(each[0] == 200 for each in got) > 5


async def leave_in_some_way(port: int, number: int) -> None:
    """Send a few requests on a new connection.

    Depending on ``number``, it ends with an answer, a bad request, an incomplete head, or a reset.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(BROWSER * 3 + [LAST, b"nonsense\r\n\r\n", BROWSER[:100], b""][number % 4])
    if number % 4 == 2:
        writer.write_eof()
    if number % 4 == 3:
        await reader.readuntil(b"}")
        writer.transport.abort()
    else:
        await asyncio.wait_for(reader.read(), 10)
    writer.close()


@pytest.mark.exhaustive
@pytest.mark.usefixtures("c_extension")
def test_connections_and_requests_leave_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    tornado_speedups.install()
    caplog.set_level(logging.ERROR, "tornado.access")

    async def scenario() -> int:
        async with serving(make_server()) as port:
            before = 0
            for number in range(4000):
                if number == 1000:
                    before = blocks()
                await leave_in_some_way(port, number)
            return blocks() - before

    assert asyncio.run(scenario()) < 500


def test_a_reader_that_has_gone(caplog: pytest.LogCaptureFixture) -> None:
    """If the socket is broken when the response is written, the connection ends without a warning, as in Tornado."""

    async def abandon() -> list[Any]:
        async with serving(make_server()) as port:
            for _ in range(3):
                peer = socket.create_connection(("127.0.0.1", port))
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                peer.sendall(b"GET /sizes/3000000 HTTP/1.1\r\nHost: h\r\n\r\n" * 3)
                await asyncio.sleep(0.05)
                peer.close()  # sends a reset, because of SO_LINGER
            await asyncio.sleep(0.1)
            answer = await converse(port, [LAST])
        return [b"/last" in answer]

    caplog.set_level(logging.WARNING)
    expected = asyncio.run(abandon()), logged(caplog)
    tornado_speedups.install()
    assert (asyncio.run(abandon()), logged(caplog)) == expected == ([True], [])
