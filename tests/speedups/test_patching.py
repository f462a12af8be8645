"""install() and uninstall(): their effects on Tornado, and WebSockets over real connections."""

from __future__ import annotations

import asyncio
import functools
import inspect
import pkgutil
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any
from unittest.mock import Mock

import pytest
import tornado.util
import tornado.web
import tornado.websocket
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

import tornado_speedups
from tests.speedups.bindings import MODULES, STOCK_METHODS, bound, methods
from tests.speedups.serving import serving
from tornado_speedups import _implementation, fingerprints, patching
from tornado_speedups.websocket.protocol import replace_protocol

pytestmark = pytest.mark.usefixtures("stock_tornado")


@pytest.fixture
def tornado_in_c() -> Any:
    return pytest.importorskip("tornado.speedups", reason="this Tornado has no C extension").websocket_mask


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, native: Any, tornado_in_python: Any) -> list[int]:
    """The lengths of the data masked so far by the implementation under test, which install() will use."""
    lengths: list[int] = []

    def websocket_mask(mask: bytes, data: bytes) -> bytes:
        lengths.append(len(data))
        masked: bytes = native.websocket_mask(mask, data)
        return masked

    monkeypatch.setattr(_implementation, "websocket_mask", websocket_mask)
    return lengths


def test_every_module_that_binds_the_function_is_known() -> None:
    """A module of Tornado that binds the function but isn't patched would keep the slow one."""
    found = set()
    for each in pkgutil.iter_modules(tornado.__path__, "tornado."):
        try:
            module = import_module(each.name)
        except ImportError:  # the module is for another platform
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


def test_different_bindings_are_restored_each(
    tornado_in_python: Any, tornado_in_c: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tornado.websocket, "_websocket_mask", tornado_in_c)
    tornado_speedups.install()
    assert bound() == [tornado_speedups.websocket_mask] * 3
    tornado_speedups.uninstall()
    assert bound() == [tornado_in_python, tornado_in_c, tornado_in_python]


@pytest.mark.usefixtures("tornado_in_python")
@pytest.mark.parametrize("module", MODULES)
def test_attributes_that_others_replaced_before_are_left_alone(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def theirs(mask: bytes, data: bytes) -> bytes:
        return b""

    monkeypatch.setattr(module, "_websocket_mask", theirs)
    before = bound()
    masking_refused(f"whose {module.__name__}._websocket_mask has been patched")
    assert bound() == before


@pytest.mark.usefixtures("tornado_in_python")
def test_masking_of_another_version_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = bound()
    monkeypatch.setattr(tornado, "version_info", (6, 7, 0, 0))
    masking_refused("a version it doesn't know")
    assert bound() == before


def test_all_unknown_hooks_share_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tornado, "version_info", (6, 7, 0, 0))
    with pytest.warns(RuntimeWarning) as caught:
        tornado_speedups.install()
    subjects = "WebSocket masking, WebSocket connections, HTTP headers, HTTP connections"
    left = f"to Tornado {tornado.version}, a version it doesn't know"
    assert [str(each.message) for each in caught] == [f"tornado_speedups leaves {subjects} {left}"]
    assert caught[0].filename == __file__


@pytest.mark.usefixtures("tornado_in_python")
def test_a_warning_that_is_an_error_comes_once_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with ``python -W error``: what can be installed is, and the status says what couldn't."""
    reasons = {name: f"whose {name} it doesn't know" for name in ("tornado.a", "tornado.b")}
    unknown = {"masking": reasons["tornado.a"], "headers": reasons["tornado.b"]}
    explained = {tuple(patching.REQUIRED[name]): reason for name, reason in unknown.items()}
    monkeypatch.setattr(
        fingerprints.TornadoCode, "explain_unknown", lambda code, names: explained.get(tuple(names)), raising=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning) as raised:
            tornado_speedups.install()
        tornado_speedups.install()
    left = [f"to Tornado {tornado.version}, {reason}" for reason in unknown.values()]
    assert str(raised.value) == f"tornado_speedups leaves WebSocket masking {left[0]}; HTTP headers {left[1]}"
    assert tornado_speedups.status() == {
        "masking": f"left {left[0]}",
        "websocket": "installed",
        "headers": f"left {left[1]}",
        "http": "installed",
    }


def masking_refused(reason: str) -> None:
    with pytest.warns(RuntimeWarning, match=reason):
        tornado_speedups.install(websocket=False, headers=False, http=False)
    assert tornado_speedups.status()["masking"] == f"left to Tornado {tornado.version}, {reason}"


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
        tornado_speedups.install()  # the warning is issued only once
    rest = [each for each in MODULES if each is not module]
    assert [each._websocket_mask for each in rest] == [tornado_in_python] * 2
    tornado_speedups.uninstall()
    assert not hasattr(module, "_websocket_mask")


def test_python_does_not_replace_c(tornado_in_c: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in MODULES:
        monkeypatch.setattr(module, "_websocket_mask", tornado_in_c)
    monkeypatch.setattr(_implementation, "implementation", "python")
    tornado_speedups.install()
    assert bound() == [tornado_in_c] * 3
    assert methods() == STOCK_METHODS  # the WebSocket hook masks messages too, so it is left out as well
    left = f"left to Tornado {tornado.version}, whose C is faster"
    assert tornado_speedups.status() == {
        "masking": left,
        "websocket": left,
        "headers": "installed",
        "http": "installed",
    }


@pytest.mark.usefixtures("c_extension")
def test_c_replaces_c(tornado_in_c: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in MODULES:
        monkeypatch.setattr(module, "_websocket_mask", tornado_in_c)
    tornado_speedups.install()
    assert bound() == [tornado_speedups.websocket_mask] * 3
    tornado_speedups.uninstall()
    assert bound() == [tornado_in_c] * 3


def test_threads_may_race(tornado_in_python: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a lock, one of two threads in install() could save the other's function as Tornado's original."""

    def dawdle() -> bool:
        time.sleep(0.02)
        return False

    monkeypatch.setattr(patching, "_is_masking_slower", dawdle)
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


def test_replacements_have_the_names_and_signatures_of_tornados_functions() -> None:
    tornado_speedups.install()
    for patch in patching.list_patches():
        if patch.wrap is None:
            continue
        original, replacement = (getattr(each, "__func__", each) for each in (patch.original, patch.replacement))
        assert replacement is not original
        for name in functools.WRAPPER_ASSIGNMENTS:
            assert getattr(replacement, name, None) == getattr(original, name, None), (patch.target, name)
        assert inspect.signature(replacement) == inspect.signature(original)


def test_hooks_are_switched_one_by_one(stock_tornado: list[Any], tornado_in_python: Any) -> None:
    nothing = dict.fromkeys(("masking", "websocket", "headers", "http"), "not installed")
    assert tornado_speedups.status() == nothing
    tornado_speedups.install(masking=False, headers=False, http=False)
    assert tornado_speedups.status() == {**nothing, "websocket": "installed"}
    assert bound() == [tornado_in_python] * 3
    assert all(ours is not stock for ours, stock in zip(methods(), STOCK_METHODS, strict=True))
    tornado_speedups.install(websocket=False, headers=False, http=False)
    assert tornado_speedups.status() == {**nothing, "masking": "installed", "websocket": "installed"}
    assert bound() == [tornado_speedups.websocket_mask] * 3
    tornado_speedups.uninstall()
    assert tornado_speedups.status() == nothing
    assert methods() == STOCK_METHODS


def test_a_subclass_of_the_protocol_is_left_alone() -> None:
    class Own(tornado.websocket.WebSocketProtocol13):
        pass

    protocol = Own(Mock(), False, tornado.websocket._WebSocketParams())
    assert replace_protocol(protocol) is protocol
    assert replace_protocol(None) is None


def test_loops_that_run_inside_of_themselves_keep_tornados_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """nest_asyncio makes loops reentrant and sets ``asyncio._nest_patched``."""
    protocol = tornado.websocket.WebSocketProtocol13(Mock(), False, tornado.websocket._WebSocketParams())
    assert replace_protocol(protocol) is not protocol
    monkeypatch.setattr(asyncio, "_nest_patched", True, raising=False)
    assert replace_protocol(protocol) is protocol


class Echo(tornado.websocket.WebSocketHandler):
    def on_message(self, message: str | bytes) -> None:
        self.write_message(message, binary=isinstance(message, bytes))


async def echo(messages: list[str | bytes]) -> list[str | bytes | None]:
    """Send the messages to a real echo server on a loopback address, and return its answers."""
    application = tornado.web.Application([("/", Echo)], websocket_max_message_size=2**24)
    async with serving(HTTPServer(application)) as port:
        client = await tornado.websocket.websocket_connect(f"ws://127.0.0.1:{port}/", max_message_size=2**24)
        try:
            answers = []
            for message in messages:
                await client.write_message(message, binary=isinstance(message, bytes))
                answers.append(await client.read_message())
            return answers
        finally:
            client.close()


MESSAGES: list[str | bytes] = [
    b"",
    b"\x00",
    "text, é 漢字 \N{GRINNING FACE}",
    *(bytes(range(256)) * (length // 256) + b"x" * (length % 256) for length in (125, 126, 127, 65535, 65536, 65537)),
    bytes(range(256)) * 4096,
]


def test_echo_over_a_connection(counted: list[int]) -> None:
    tornado_speedups.install(websocket=False)
    assert asyncio.run(echo(MESSAGES)) == MESSAGES
    sent = [len(message.encode() if isinstance(message, str) else message) for message in MESSAGES]
    # The client masks each message and the server unmasks it. The close frame may or may not follow.
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
    """Tornado masks its XSRF tokens with the same function. Each implementation must read the other's tokens."""
    cookie = f"_xsrf={handler_of().xsrf_token.decode()}"
    raw = handler_of(cookie)._get_raw_xsrf_token()
    assert counted == []
    tornado_speedups.install()
    assert handler_of(cookie)._get_raw_xsrf_token() == raw
    assert counted == [16]
