"""install() and uninstall(): what they do to Tornado, and that WebSockets work over real connections with them."""

from __future__ import annotations

import asyncio
import pkgutil
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any
from unittest.mock import Mock

import pytest
import tornado.speedups
import tornado.util
import tornado.web
import tornado.websocket
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.testing import bind_unused_port

import tornado_speedups
from tornado_speedups import _implementation, patches

MODULES: list[Any] = [tornado.util, tornado.websocket, tornado.web]


def bound() -> list[Any]:
    return [module._websocket_mask for module in MODULES]


@pytest.fixture(autouse=True)
def stock_tornado() -> Iterator[list[Any]]:
    """What Tornado binds, before the test and, whatever happens in it, after."""
    stock = bound()
    yield stock
    tornado_speedups.uninstall()
    assert bound() == stock


@pytest.fixture
def tornado_in_python(monkeypatch: pytest.MonkeyPatch, stock_tornado: list[Any]) -> Any:
    for module in MODULES:
        monkeypatch.setattr(module, "_websocket_mask", tornado.util._websocket_mask_python)
    yield tornado.util._websocket_mask_python
    tornado_speedups.uninstall()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, native: Any, tornado_in_python: Any) -> list[int]:
    """The implementation under test is the one to be installed; the list holds the lengths that it has masked."""
    lengths: list[int] = []

    def websocket_mask(mask: bytes, data: bytes) -> bytes:
        lengths.append(len(data))
        masked: bytes = native.websocket_mask(mask, data)
        return masked

    monkeypatch.setattr(_implementation, "websocket_mask", websocket_mask)
    return lengths


def test_every_module_that_binds_the_function_is_known() -> None:
    """A module of Tornado that took the function along and isn't patched would keep the slow one."""
    found = set()
    for each in pkgutil.iter_modules(tornado.__path__, "tornado."):
        try:
            module = import_module(each.name)
        except ImportError:  # of another platform
            continue
        if hasattr(module, "_websocket_mask"):
            found.add(module.__name__)
    assert found == {module.__name__ for module in MODULES}


def test_install_and_uninstall(stock_tornado: list[Any], tornado_in_python: Any) -> None:
    tornado_speedups.install()
    assert bound() == [tornado_speedups.websocket_mask] * 3
    tornado_speedups.uninstall()
    assert bound() == [tornado_in_python] * 3


def test_calls_may_be_repeated(tornado_in_python: Any) -> None:
    tornado_speedups.install()
    tornado_speedups.install()
    tornado_speedups.uninstall()
    assert bound() == [tornado_in_python] * 3
    tornado_speedups.uninstall()
    assert bound() == [tornado_in_python] * 3
    tornado_speedups.install()
    assert bound() == [tornado_speedups.websocket_mask] * 3


def test_uninstall_alone_does_nothing(stock_tornado: list[Any]) -> None:
    tornado_speedups.uninstall()
    assert bound() == stock_tornado


def test_different_bindings_are_restored_each(tornado_in_python: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def another(mask: bytes, data: bytes) -> bytes:
        return b""

    monkeypatch.setattr(tornado.websocket, "_websocket_mask", another)
    tornado_speedups.install()
    assert bound() == [tornado_speedups.websocket_mask] * 3
    tornado_speedups.uninstall()
    assert bound() == [tornado_in_python, another, tornado_in_python]


def test_what_others_replaced_since_is_theirs(tornado_in_python: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def theirs(mask: bytes, data: bytes) -> bytes:
        return b""

    tornado_speedups.install()
    monkeypatch.setattr(tornado.websocket, "_websocket_mask", theirs)
    tornado_speedups.uninstall()
    assert bound() == [tornado_in_python, theirs, tornado_in_python]


@pytest.mark.parametrize("module", [tornado.util, tornado.websocket])
def test_an_unknown_tornado_is_left_alone(module: Any, tornado_in_python: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(module, "_websocket_mask")
    with pytest.warns(RuntimeWarning) as caught:
        tornado_speedups.install()
    said = "tornado_speedups leaves WebSocket masking to Tornado"
    expected = f"{said} {tornado.version}, which has no {module.__name__}._websocket_mask"
    assert [str(warning.message) for warning in caught] == [expected]
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tornado_speedups.install()  # said once
    rest = [each for each in MODULES if each is not module]
    assert [each._websocket_mask for each in rest] == [tornado_in_python] * 2
    tornado_speedups.uninstall()
    assert not hasattr(module, "_websocket_mask")


def test_python_does_not_replace_c(stock_tornado: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for module in MODULES:
        monkeypatch.setattr(module, "_websocket_mask", tornado.speedups.websocket_mask)
    monkeypatch.setattr(_implementation, "implementation", "python")
    tornado_speedups.install()
    assert bound() == [tornado.speedups.websocket_mask] * 3


@pytest.mark.usefixtures("c_extension")
def test_c_replaces_c(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in MODULES:
        monkeypatch.setattr(module, "_websocket_mask", tornado.speedups.websocket_mask)
    tornado_speedups.install()
    assert bound() == [tornado_speedups.websocket_mask] * 3
    tornado_speedups.uninstall()
    assert bound() == [tornado.speedups.websocket_mask] * 3


def test_threads_may_race(tornado_in_python: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads that were inside install() at once would each take the other's function for Tornado's."""

    def dawdle() -> bool:
        time.sleep(0.02)
        return True

    monkeypatch.setattr(patches, "_tornado_is_known", dawdle)
    together = threading.Barrier(8)

    def race(_: int) -> list[Any]:
        together.wait()
        tornado_speedups.install()
        return bound()

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(race, range(8)))
    assert seen == [[tornado_speedups.websocket_mask] * 3] * 8
    tornado_speedups.uninstall()
    assert bound() == [tornado_in_python] * 3


class Echo(tornado.websocket.WebSocketHandler):
    def on_message(self, message: str | bytes) -> None:
        self.write_message(message, binary=isinstance(message, bytes))


async def echo(messages: list[str | bytes]) -> list[str | bytes | None]:
    """The answers of a real server on a loopback address, to a real client."""
    application = tornado.web.Application([("/", Echo)], websocket_max_message_size=2**24)
    server = HTTPServer(application)
    listener, port = bind_unused_port()
    server.add_socket(listener)
    client = await tornado.websocket.websocket_connect(f"ws://127.0.0.1:{port}/", max_message_size=2**24)
    try:
        answers = []
        for message in messages:
            await client.write_message(message, binary=isinstance(message, bytes))
            answers.append(await client.read_message())
        return answers
    finally:
        client.close()
        server.stop()
        await server.close_all_connections()


MESSAGES: list[str | bytes] = [
    b"",
    b"\x00",
    "text, é 漢字 \N{GRINNING FACE}",
    *(bytes(range(256)) * (length // 256) + b"x" * (length % 256) for length in (125, 126, 127, 65535, 65536, 65537)),
    bytes(range(256)) * 4096,
]


def test_echo_over_a_connection(counted: list[int]) -> None:
    tornado_speedups.install()
    assert asyncio.run(echo(MESSAGES)) == MESSAGES
    sent = [len(message.encode() if isinstance(message, str) else message) for message in MESSAGES]
    # Masked by the client and unmasked by the server; the close frame may or may not follow.
    assert counted[: 2 * len(sent)] == [length for length in sent for _ in range(2)]


def test_no_call_after_uninstall(counted: list[int]) -> None:
    tornado_speedups.install()
    tornado_speedups.uninstall()
    assert asyncio.run(echo(MESSAGES)) == MESSAGES
    assert counted == []


def handler_of(cookie: str = "") -> tornado.web.RequestHandler:
    headers = HTTPHeaders({"Host": "localhost", "Cookie": cookie})
    start_line = RequestStartLine("GET", "/", "HTTP/1.1")
    request = HTTPServerRequest(start_line=start_line, headers=headers, connection=Mock())
    return tornado.web.RequestHandler(tornado.web.Application([]), request)


def test_cross_site_tokens_survive_the_switch(counted: list[int]) -> None:
    """Tornado masks its XSRF tokens with the same function: a token of one implementation is read by the other."""
    cookie = f"_xsrf={handler_of().xsrf_token.decode()}"
    raw = handler_of(cookie)._get_raw_xsrf_token()
    assert counted == []
    tornado_speedups.install()
    assert handler_of(cookie)._get_raw_xsrf_token() == raw
    assert counted == [16]
