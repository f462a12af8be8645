"""The methods of WebSocket clients are replaced when the first one connects after install()."""

from __future__ import annotations

import sys
from functools import partialmethod
from typing import Any
from unittest.mock import Mock

import pytest
from tornado.websocket import WebSocketClientConnection

import tornado_speedups
from tests.speedups.clients import Peer, run

pytestmark = pytest.mark.usefixtures("stock_tornado")

READING = ("read_message", "_on_message")


def reading_methods() -> list[Any]:
    return [vars(WebSocketClientConnection)[name] for name in READING]


async def read_one(client: Any, peer: Peer) -> Any:
    peer.send("message")
    return await client.read_message()


def test_the_first_client_brings_its_code() -> None:
    before = reading_methods()
    tornado_speedups.install()
    assert reading_methods() == before
    assert run(read_one) == "message"
    assert all(now is not stock for now, stock in zip(reading_methods(), before, strict=True))
    tornado_speedups.uninstall()
    assert reading_methods() == before


def test_methods_of_clients_that_others_replaced_since_install_are_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    stock = WebSocketClientConnection.read_message
    theirs = Mock(side_effect=stock)  # which has no name

    tornado_speedups.install()
    monkeypatch.setattr(WebSocketClientConnection, "read_message", partialmethod(theirs))
    replaced = reading_methods()[0]
    assert run(read_one) == "message"
    assert theirs.call_count == 1
    assert reading_methods()[0] is replaced
    tornado_speedups.uninstall()
    assert reading_methods()[0] is replaced


def test_uninstall_before_the_first_client_leaves_tornados_code() -> None:
    before = reading_methods()
    tornado_speedups.install()
    tornado_speedups.uninstall()
    assert run(read_one) == "message"
    assert reading_methods() == before


def test_a_client_whose_code_cannot_be_read_is_tornados(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = reading_methods()
    tornado_speedups.install()
    monkeypatch.setitem(sys.modules, "tornado_speedups.websocket.client", None)
    assert run(read_one) == "message"
    assert reading_methods() == before
    assert "tornado_speedups leaves a WebSocket to Tornado: import of tornado_speedups.websocket.cl" in caplog.text
