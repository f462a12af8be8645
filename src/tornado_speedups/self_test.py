"""Prove on this machine that what install() has put into Tornado does the work of real connections.

``run_self_test()`` opens connections to a server of its own on 127.0.0.1: HTTP requests, pipelined ones, a form with a
file, WebSocket messages of a server and a client. It returns for each installed function how often it did the work, and
why it left the rest to Tornado. It is for the command line: ``print(run_self_test())`` shows one line a function, and
``run_self_test().passed`` tells whether all of them fired.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler, WebSocketProtocol13, websocket_connect

from tornado_speedups import patching
from tornado_speedups.counting import Counts, count_calls
from tornado_speedups.patch import Patch

_SECONDS = 30.0
_MESSAGES = ("text", b"bytes", "\xe9", "x" * 100_000)
_FORM = b'--b\r\nContent-Disposition: form-data; name="f"; filename="n"\r\n\r\nhello\r\n--b--\r\n'
_GET = b"GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: self-test\r\nAccept: */*\r\n\r\n"
_POST = (
    b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_FORM), _FORM)
)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


@dataclass(frozen=True)
class FunctionResult:
    """How often one installed function did the work, and how often it didn't, by the reason."""

    name: str
    fast: int
    asides: dict[str, int]

    def __str__(self) -> str:
        asides = "".join(
            f"; left to Tornado {_count(count, 'time')}: {reason}" for reason, count in self.asides.items()
        )
        fast = _count(self.fast, "call") if self.fast else "NEVER FIRED"
        return f"{self.name}: {fast}{asides}"


@dataclass(frozen=True)
class SelfTestResult:
    """The results of all installed functions, and what went wrong with the connections; "" if nothing did."""

    functions: tuple[FunctionResult, ...]
    error: str = ""

    @property
    def passed(self) -> bool:
        """Whether the connections worked, and each installed function has done work."""
        return not self.error and all(each.fast for each in self.functions)

    def __str__(self) -> str:
        return "\n".join([*map(str, self.functions), *([f"error: {self.error}"] if self.error else [])])


def run_self_test() -> SelfTestResult:
    """Drive connections through what is installed now, in an event loop of its own.

    Raises RuntimeError if an event loop is running in this thread. A failing connection is no exception: the result
    names it.
    """
    error = ""
    with count_calls() as counts:
        try:
            asyncio.run(asyncio.wait_for(_drive(), _SECONDS))
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"
    return SelfTestResult(tuple(_list_results(counts)), error)


def _list_results(counts: Counts) -> list[FunctionResult]:
    names = {_name_function(patch): None for patch in patching.list_patches()}
    if any("get_websocket_protocol" in name for name in names):
        names |= dict.fromkeys(name for name in counts.calls if name.startswith("websocket:WebSocketProtocol13."))
    return [FunctionResult(name, *_sum_counts(name, counts)) for name in names]


def _name_function(patch: Patch) -> str:
    """Return the name of what is replaced; one for masking, which Tornado binds in several modules."""
    return "_websocket_mask" if patch.target.endswith(":_websocket_mask") else patch.target


def _sum_counts(name: str, counts: Counts) -> tuple[int, dict[str, int]]:
    targets = [each for each in counts.calls if each == name or each.endswith(f":{name}")]
    return sum(map(counts.count_fast, targets)), sum((counts.asides[each] for each in targets), Counter())


class _Form(RequestHandler):
    def get(self) -> None:
        self.write("hello")

    def check_xsrf_cookie(self) -> None:
        """Accept a form without the token."""

    def post(self) -> None:
        self.write(self.request.files["f"][0]["body"])


class _Echo(WebSocketHandler):
    def on_message(self, message: str | bytes) -> None:
        self.write_message(message, binary=isinstance(message, bytes))


class _OwnProtocol(WebSocketProtocol13):
    """A protocol of an application, which masks by Tornado's function."""


class _OwnEcho(_Echo):
    def get_websocket_protocol(self) -> Any:
        protocol: Any = super().get_websocket_protocol()
        return _OwnProtocol(self, False, protocol.params)


async def _drive() -> None:
    server = HTTPServer(Application([("/", _Form), ("/echo", _Echo), ("/own", _OwnEcho)]))
    listener, port = bind_unused_port()
    server.add_socket(listener)
    try:
        await _request(port)
        await _echo(port, "echo")
        await _echo(port, "own")
    finally:
        server.stop()
        await server.close_all_connections()


async def _request(port: int) -> None:
    """Send pipelined requests; raises ValueError unless all are answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(_GET * 4 + _POST)
        received = await reader.read(-1)
    finally:
        writer.close()
        await writer.wait_closed()
    if received.count(b"HTTP/1.1 200 OK\r\n") != 5 or received.count(b"\r\n\r\nhello") != 5:
        raise ValueError(f"the server's answers are wrong: {received[:500]!r}")


async def _echo(port: int, path: str) -> None:
    """Exchange messages; raises ValueError if one doesn't come back as it was sent."""
    client = await websocket_connect(f"ws://127.0.0.1:{port}/{path}")
    try:
        for message in _MESSAGES:
            await client.write_message(message, binary=isinstance(message, bytes))
            received = await client.read_message()
            if received != message:
                raise ValueError(f"a message came back changed: {received!r:.100}")
    finally:
        client.close()
        await client.read_message()  # returns None when the connection has ended
