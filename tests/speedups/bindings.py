"""What install() replaces for WebSockets in the modules and classes of Tornado, as it is now and as it was."""

from __future__ import annotations

from typing import Any

import pytest
import tornado.util
import tornado.web
import tornado.websocket

import tornado_speedups
from tornado_speedups.websocket import handling, protocol, reader, writer

MODULES: list[Any] = [tornado.util, tornado.websocket, tornado.web]


def bound() -> list[Any]:
    """Return the functions that mask frames, as Tornado binds them now."""
    return [module._websocket_mask for module in MODULES]


_OWNERS: list[Any] = [tornado.websocket.WebSocketHandler, tornado.websocket.WebSocketClientConnection]
STOCK_METHODS = [owner.get_websocket_protocol for owner in _OWNERS]


def methods() -> list[Any]:
    """Return the methods that make WebSocket connections, as Tornado has them now."""
    return [owner.get_websocket_protocol for owner in _OWNERS]


def use_implementation(functions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bind the functions of one implementation in every module of WebSocket connections that binds one."""
    names = {*vars(functions)} & {*tornado_speedups.__all__}
    for module in (reader, writer, handling, protocol):
        for name in names & {*vars(module)}:
            monkeypatch.setattr(module, name, getattr(functions, name))
