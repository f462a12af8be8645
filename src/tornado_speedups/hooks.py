"""What of Tornado can be replaced, hook by hook: found, never changed, here."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

from tornado_speedups import _implementation
from tornado_speedups.known import Code


class Replacement:
    """An attribute of a module or class of Tornado: what it is, and what it becomes."""

    # Neither a named tuple nor a dataclass: making such a class takes longer than importing the rest of this module.
    __slots__ = ("name", "ours", "owner", "stock")

    def __init__(self, owner: Any, name: str, stock: Any, ours: Any) -> None:
        self.owner, self.name, self.stock, self.ours = owner, name, stock, ours


def replacement(owner: Any, name: str, make: Callable[[Any], Any]) -> Replacement:
    """The attribute of the owner itself, and what ``make`` puts on top of it."""
    stock = vars(owner)[name]
    return Replacement(owner, name, stock, make(stock))


class UnknownCodeError(Exception):
    """This Tornado isn't one that the hook knows; the text says why, and follows its version in a sentence."""


_MASK = "_websocket_mask"
_MASK_IN_PYTHON = "tornado.util:_websocket_mask_python"

# Every module that binds the function; a Tornado without it in the first two is none that we know.
_NEEDED = ("tornado.util", "tornado.websocket")
_ALSO = ("tornado.web",)

_PROTOCOL = [
    "tornado.websocket:WebSocketHandler.get_websocket_protocol",
    "tornado.websocket:WebSocketClientConnection.get_websocket_protocol",
    "tornado.websocket:WebSocketProtocol",
    "tornado.websocket:WebSocketProtocol13",
    "tornado.iostream:BaseIOStream",
    "tornado.iostream:IOStream",
    "tornado.iostream:SSLIOStream",
    "tornado.platform.asyncio:BaseAsyncIOLoop",
]


def masking(code: Code) -> list[Replacement]:
    """Replace Tornado's function that masks the payload of WebSocket frames, unless ours were Python in place of C."""
    missing = [name for name in _NEEDED if not callable(getattr(import_module(name), _MASK, None))]
    if missing:
        raise UnknownCodeError(f"which has no {' and no '.join(f'{name}.{_MASK}' for name in missing)}")
    require(code, [_MASK_IN_PYTHON])
    ours = _implementation.websocket_mask
    modules = [import_module(name) for name in (*_NEEDED, *_ALSO)]
    found = [Replacement(module, _MASK, getattr(module, _MASK), ours) for module in modules if hasattr(module, _MASK)]
    for each in found:
        if not _is_tornados(each.stock):
            raise UnknownCodeError(f"whose {each.owner.__name__}.{_MASK} has been patched")
    return [] if _is_slower() else found


def _is_tornados(function: Any) -> bool:
    """Whether it is one of the two that Tornado has, in C and in Python."""
    return _is_in_c(function) or function is import_module("tornado.util")._websocket_mask_python


def _is_in_c(function: Any) -> bool:
    return getattr(function, "__module__", None) == "tornado.speedups"


def _is_slower() -> bool:
    """Whether our masking would be Python in place of Tornado's C, about five times slower."""
    return _implementation.implementation == "python" and _is_in_c(import_module("tornado.util")._websocket_mask)


def require(code: Code, names: list[str]) -> None:
    """Raises UnknownCodeError, unless Tornado's code of these names is known."""
    reason = code.why_unknown(names)
    if reason:
        raise UnknownCodeError(reason)


def websocket(code: Code) -> list[Replacement]:
    """Replace the class of WebSocket connections, where handlers and clients make them, unless it masked slower."""
    require(code, _PROTOCOL)
    if _is_slower():
        return []
    module = import_module("tornado.websocket")
    return [_protocol_of(owner) for owner in (module.WebSocketHandler, module.WebSocketClientConnection)]


def _protocol_of(owner: Any) -> Replacement:
    from tornado_speedups.websocket import faster

    stock = owner.get_websocket_protocol

    @wraps(stock)
    def get_websocket_protocol(self: Any) -> Any:
        return faster(stock(self))

    return Replacement(owner, "get_websocket_protocol", stock, get_websocket_protocol)
