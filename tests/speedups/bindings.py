"""What install() replaces for WebSockets in the modules and classes of Tornado, as it is now and as it was."""

from __future__ import annotations

from typing import Any

import tornado.util
import tornado.web
import tornado.websocket

MODULES: list[Any] = [tornado.util, tornado.websocket, tornado.web]


def bound() -> list[Any]:
    """Return the functions that mask frames, as Tornado binds them now."""
    return [module._websocket_mask for module in MODULES]


_OWNERS: list[Any] = [tornado.websocket.WebSocketHandler, tornado.websocket.WebSocketClientConnection]
STOCK_METHODS = [owner.get_websocket_protocol for owner in _OWNERS]


def methods() -> list[Any]:
    """Return the methods that make WebSocket connections, as Tornado has them now."""
    return [owner.get_websocket_protocol for owner in _OWNERS]
