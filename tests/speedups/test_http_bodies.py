"""Bodies of requests reach their handlers as by Tornado, and responses leave a connection's options as they should."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
import socket
from typing import Any

import pytest
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

import tornado_speedups
from tests.speedups.serving import serving

pytestmark = pytest.mark.usefixtures("stock_tornado")


class Whole(web.RequestHandler):
    def post(self) -> None:
        body = self.request.body
        assert type(body) is bytes
        self.write(f"{len(body)} {hashlib.sha256(body).hexdigest()} {self.request.body_arguments}")


@web.stream_request_body
class Streamed(web.RequestHandler):
    """A handler that gets its body in parts, and may fail, wait or answer before its end."""

    def prepare(self) -> None:
        self.kind = self.get_query_argument("kind", "")
        self.received: list[int] = []
        if self.kind == "early":
            self.finish("early")

    def data_received(self, chunk: bytes) -> Any:
        if self.kind == "fails":
            raise ValueError("on purpose")
        self.received.append(len(chunk))
        return self.wait() if self.kind in ("waits", "fails_later") else None

    async def wait(self) -> None:
        await asyncio.sleep(0.001)
        if self.kind == "fails_later":
            raise ValueError("on purpose")

    def post(self) -> None:
        self.write(str(sum(self.received)))  # where the parts of a body end depends on the network


def post(path: str, body: bytes, *fields: str) -> bytes:
    head = "".join(f"{field}\r\n" for field in (f"POST {path} HTTP/1.1", "Host: h", *fields))
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


FORM = "Content-Type: application/x-www-form-urlencoded"
LAST = post("/whole", b"last", "Connection: close")
BODIES = [b"", b"a=1&b=2", b"x" * 65_535, b"x" * 65_536, b"x" * 150_000]
KEEPING = {
    **{
        f"{path} {len(body)}": post(path, body)
        for path in ("/whole", "/streamed", "/streamed?kind=waits")
        for body in BODIES
    },
    "form": post("/whole", b"a=1&b=2", FORM),
    "gzip": post("/whole", gzip.compress(b"hello" * 99), "Content-Encoding: gzip"),
    "twice": post("/whole", b"hello", "Content-Length: 5"),
    "continue": post("/whole", b"hello", "Expect: 100-continue"),
    "pipelined": post("/whole", b"1") + post("/streamed", b"22") + post("/whole", b"333"),
}
# The server closes the connection after these. Something that it hasn't read would reset the connection.
CLOSING = {
    **{
        f"{kind} {size}": post(f"/streamed?kind={kind}", b"x" * size)
        for kind in ("early", "fails", "fails_later")
        for size in (1, 5)
    },
    "bad gzip": post("/whole", b"hello", "Content-Encoding: gzip", "Connection: close"),
    "unequal": b"POST /whole HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "too long": b"POST /whole HTTP/1.1\r\nHost: h\r\nContent-Length: 200001\r\n\r\n",
}
REQUESTS = {name: data + LAST for name, data in KEEPING.items()} | CLOSING


async def exchange(data: bytes, parts: int, **options: Any) -> bytes:
    application = web.Application([("/whole", Whole), ("/streamed", Streamed)])
    async with serving(HTTPServer(application, max_body_size=200_000, **options)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        size = -(-len(data) // parts)
        for start in range(0, len(data), size):
            writer.write(data[start : start + size])
            await asyncio.sleep(0.002 if parts > 1 else 0)
        try:
            received = await asyncio.wait_for(reader.read(-1), 30)
        finally:
            writer.close()
    return re.sub(rb"Date: [^\r]+", b"Date: now", received)


def run(name: str, caplog: pytest.LogCaptureFixture) -> list[Any]:
    """Return the answers, and what was logged, with each way to read and to send."""
    caplog.clear()
    ways: list[dict[str, Any]] = [{}, {"decompress_request": True}, {"body_timeout": 30.0}, {"chunk_size": 5}]
    if len(REQUESTS[name]) > 1000:
        del ways[1:]
    answers = [asyncio.run(exchange(REQUESTS[name], parts, **way)) for way in ways for parts in (1, 3)]
    return [answers, [each.getMessage() for each in caplog.records]]


@pytest.mark.parametrize("name", REQUESTS)
def test_bodies_are_read_as_by_tornado(name: str, caplog: pytest.LogCaptureFixture) -> None:
    expected = run(name, caplog)
    tornado_speedups.install()
    assert run(name, caplog) == expected


# TCP_NODELAY


class Options(web.RequestHandler):
    """A handler that tells whether TCP_NODELAY is set while it runs, and sets it if asked to."""

    def get(self) -> None:
        stream = self.request.connection.stream  # type: ignore[union-attr]
        value = self.get_query_argument("set", "")
        if value:
            stream.set_nodelay(value == "on")
        if self.get_query_argument("detach", ""):
            taken = self.detach()
            taken.write(b"%d\r\n" % get_nodelay(taken))
        else:
            self.finish(f"{get_nodelay(stream):d}\r\n")


def get_nodelay(stream: Any) -> bool:
    return bool(stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


async def ask(queries: list[str]) -> str:
    """Return what each request on one connection saw, one digit each."""
    async with serving(HTTPServer(web.Application([("/", Options)]))) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        seen = b""
        for query in queries:
            writer.write(f"GET /?{query} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            received = await reader.readuntil(b"\r\n")
            if received.startswith(b"HTTP"):
                await reader.readuntil(b"\r\n\r\n")
                received = await reader.readuntil(b"\r\n")
            seen += received[:1]
        writer.close()
    return seen.decode()


@pytest.mark.parametrize(
    ("queries", "stock", "ours"),
    [
        (["", "", ""], "000", "011"),
        (["", "set=off", "", ""], "0000", "0000"),
        (["set=on", "set=on", ""], "110", "110"),
        (["", "set=on", "", ""], "0100", "0100"),
        (["", "", "detach=1"], "000", "010"),
        (["", "set=on&detach=1"], "01", "01"),
        (["", "set=off&detach=1"], "00", "00"),
        (["set=on&detach=1"], "1", "1"),
    ],
)
def test_a_connection_keeps_nodelay_until_someone_else_decides(queries: list[str], stock: str, ours: str) -> None:
    assert asyncio.run(ask(queries)) == stock
    tornado_speedups.install()
    assert asyncio.run(ask(queries)) == ours


def test_nodelay_is_not_set_twice_a_response(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []
    stock = IOStream.set_nodelay
    tornado_speedups.install()
    fast = IOStream.set_nodelay
    assert fast is not stock

    def set_nodelay(self: Any, value: bool) -> None:
        calls.append(value)
        fast(self, value)

    monkeypatch.setattr(IOStream, "set_nodelay", set_nodelay)
    assert asyncio.run(ask([""] * 9)) == "011111111"
    monkeypatch.undo()
    assert calls == []  # Tornado calls it twice a response
