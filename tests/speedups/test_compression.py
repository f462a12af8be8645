"""install(zlib=MODULE): WebSocket messages are compressed by another module than Python's zlib (RFC 7692)."""

from __future__ import annotations

import asyncio
import random
import zlib
from types import ModuleType
from typing import Any

import pytest
import tornado.websocket
from tornado.httpserver import HTTPServer
from tornado.web import Application
from tornado.websocket import WebSocketHandler, websocket_connect

import tornado_speedups
from tests.speedups.serving import serving
from tornado_speedups.websocket.protocol import FastWebSocketProtocol13

RANDOM = random.Random(0)
MESSAGES = ["", "é 漢字", "x" * 300_000, "".join(RANDOM.choices("abc ", k=50_000)), RANDOM.randbytes(50_000), b""]
LIMIT = 400_000


class Echo(WebSocketHandler):
    def get_compression_options(self) -> dict[str, Any]:
        return {}

    def on_message(self, message: str | bytes) -> None:
        assert type(self.ws_connection) is FastWebSocketProtocol13
        self.write_message(message, binary=isinstance(message, bytes))


async def exchange(messages: list[Any]) -> list[Any]:
    """Return the answers of a server, up to the end of the connection; its close code is the last of them."""
    async with serving(HTTPServer(Application([("/", Echo)], websocket_max_message_size=LIMIT))) as port:
        client = await websocket_connect(f"ws://127.0.0.1:{port}/", compression_options={})
        for message in messages:
            await client.write_message(message, binary=isinstance(message, bytes))
        answers = [await client.read_message() for _ in messages]
        client.close(1000)
        while answers[-1] is not None:
            answers.append(await client.read_message())
    return [*answers[: answers.index(None)], client.close_code]


def talk(messages: list[Any]) -> list[Any]:
    return asyncio.run(asyncio.wait_for(exchange(messages), 30))


def make_module(**attributes: Any) -> ModuleType:
    """Return a module like zlib, but for these attributes; None leaves one out."""
    module = ModuleType("own_zlib")
    kept = {**vars(zlib), **attributes, "__name__": "own_zlib"}
    vars(module).update({name: value for name, value in kept.items() if value is not None})
    return module


@pytest.fixture
def counts() -> dict[str, int]:
    return {"compressobj": 0, "decompressobj": 0}


@pytest.fixture
def counting(counts: dict[str, int], stock_tornado: list[Any]) -> ModuleType:
    """A module like zlib that counts the objects it makes."""

    def count(name: str) -> Any:
        def make(*arguments: Any) -> Any:
            counts[name] += 1
            return getattr(zlib, name)(*arguments)

        return make

    return make_module(**{name: count(name) for name in counts})


@pytest.fixture
def zlib_ng(stock_tornado: list[Any]) -> ModuleType:
    module: ModuleType = pytest.importorskip("zlib_ng.zlib_ng")
    return module


def test_connections_compress_with_it(counting: ModuleType, counts: dict[str, int]) -> None:
    tornado_speedups.install(zlib=counting)
    checked = dict(counts)
    assert talk(MESSAGES) == [*MESSAGES, 1000]
    assert {name: counts[name] - checked[name] for name in counts} == {"compressobj": 2, "decompressobj": 2}


@pytest.mark.usefixtures("stock_tornado")
def test_without_it_connections_compress_with_zlib() -> None:
    tornado_speedups.install()
    assert vars(tornado.websocket)["zlib"] is zlib
    assert tornado_speedups.status()["websocket"] == "installed"


def test_status_names_it_and_uninstall_takes_it_out(counting: ModuleType) -> None:
    tornado_speedups.install(zlib=counting)
    assert tornado_speedups.status()["websocket"] == "installed with own_zlib"
    assert vars(tornado.websocket)["zlib"] is counting
    tornado_speedups.uninstall()
    assert tornado_speedups.status()["websocket"] == "not installed"
    assert vars(tornado.websocket)["zlib"] is zlib


def test_a_later_call_adds_it_and_the_first_one_stays(counting: ModuleType) -> None:
    tornado_speedups.install()
    tornado_speedups.install(zlib=counting)
    tornado_speedups.install(zlib=make_module())
    assert tornado_speedups.status()["websocket"] == "installed with own_zlib"
    assert vars(tornado.websocket)["zlib"] is counting


def test_the_self_test_passes_with_it(counting: ModuleType) -> None:
    from tornado_speedups.self_test import run_self_test

    tornado_speedups.install(zlib=counting)
    result = run_self_test()
    assert result.passed, str(result)


def test_connections_that_are_left_to_tornado_keep_zlib(counting: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tornado_speedups.patching._is_masking_slower", lambda: True)
    tornado_speedups.install(zlib=counting)
    assert "left to Tornado" in tornado_speedups.status()["websocket"]
    assert vars(tornado.websocket)["zlib"] is zlib


def limit_levels(level: int, *arguments: Any) -> Any:
    if level > 3:
        raise ValueError("levels are 0 to 3")
    return zlib.compressobj(level, *arguments)


class Finishing:
    """A compressor that ends the stream where it should only flush it."""

    def __init__(self, *arguments: Any) -> None:
        self._compressor = zlib.compressobj(*arguments)

    def compress(self, data: bytes) -> bytes:
        return self._compressor.compress(data)

    def flush(self, _: int) -> bytes:
        return self._compressor.flush(zlib.Z_FINISH)


class Unlimited:
    """A decompressor that returns more than it is asked for: a message could take any amount of memory."""

    unconsumed_tail = b""

    def __init__(self, *arguments: Any) -> None:
        self._decompressor = zlib.decompressobj(*arguments)

    def decompress(self, data: bytes, _: int = 0) -> bytes:
        return self._decompressor.decompress(data)


@pytest.mark.parametrize(
    ("module", "error", "message"),
    [
        ("zlib_ng", TypeError, "zlib='zlib_ng': it must be a module"),
        (random, TypeError, "zlib=random: it has no DEFLATED, MAX_WBITS, Z_SYNC_FLUSH, compressobj, decompressobj"),
        (make_module(decompressobj=None), TypeError, "zlib=own_zlib: it has no decompressobj, which Tornado uses"),
        (make_module(compressobj=limit_levels), ValueError, "it fails at level 6 .* levels are 0 to 3"),
        (make_module(compressobj=Finishing), ValueError, "at level 6 .* it doesn't do the same as zlib"),
        (make_module(decompressobj=Unlimited), ValueError, "it doesn't do the same as zlib"),
    ],
)
def test_others_are_refused_before_anything_is_installed(
    module: Any, error: type[Exception], message: str, stock_tornado: list[Any]
) -> None:
    with pytest.raises(error, match=message):
        tornado_speedups.install(zlib=module)
    assert set(tornado_speedups.status().values()) == {"not installed"}


def test_it_needs_websocket_connections(counting: ModuleType) -> None:
    with pytest.raises(ValueError, match="it needs websocket=True"):
        tornado_speedups.install(websocket=False, zlib=counting)


@pytest.mark.usefixtures("stock_tornado")
def test_zlib_itself_is_accepted() -> None:
    tornado_speedups.install(zlib=zlib)
    assert tornado_speedups.status()["websocket"] == "installed with zlib"


def test_zlib_ng_exchanges_messages(zlib_ng: ModuleType) -> None:
    tornado_speedups.install(zlib=zlib_ng)
    assert tornado_speedups.status()["websocket"] == "installed with zlib_ng.zlib_ng"
    assert talk(MESSAGES) == [*MESSAGES, 1000]


def test_zlib_ng_keeps_the_limit_of_messages(zlib_ng: ModuleType) -> None:
    tornado_speedups.install(zlib=zlib_ng)
    assert talk(["x" * (LIMIT + 1)]) == [1009]
