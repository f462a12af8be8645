"""What install() replaces in Tornado, and how uninstall() puts it back.

Tornado itself is imported by install(), not before.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

from tornado_speedups import _implementation

_NAME = "_websocket_mask"

# Every module that binds the function; a Tornado without it in the first two is none that we know.
_NEEDED = ("tornado.util", "tornado.websocket")
_ALSO = ("tornado.web",)


class _Binding(NamedTuple):
    module: ModuleType
    stock: Callable[..., bytes]
    ours: Callable[..., bytes]


_lock = threading.Lock()
_bindings: list[_Binding] | None = None


def install() -> None:
    """Put the speedups into Tornado, for the whole process; calls after the first change nothing.

    A Tornado that lacks a hook keeps its own code, with a RuntimeWarning. So does, silently, one whose C code would
    make way for Python. Raises ImportError where Tornado is missing.
    """
    global _bindings
    with _lock:
        if _bindings is None:
            _bindings = _bind() if _tornado_is_known() else []


def uninstall() -> None:
    """Put back what install() replaced; without install() before it, nothing changes.

    What someone else has replaced since is left to them.
    """
    global _bindings
    with _lock:
        for module, stock, ours in _bindings or []:
            if getattr(module, _NAME) is ours:
                setattr(module, _NAME, stock)
        _bindings = None


def _tornado_is_known() -> bool:
    missing = [name for name in _NEEDED if not callable(getattr(import_module(name), _NAME, None))]
    if missing:
        warnings.warn(
            f"tornado_speedups leaves WebSocket masking to Tornado {import_module('tornado').version}, "
            f"which has no {' and no '.join(f'{name}.{_NAME}' for name in missing)}",
            RuntimeWarning,
            stacklevel=3,
        )
    return not missing


def _bind() -> list[_Binding]:
    ours = _implementation.websocket_mask
    modules = [import_module(name) for name in (*_NEEDED, *_ALSO)]
    bindings = [_Binding(module, getattr(module, _NAME), ours) for module in modules if hasattr(module, _NAME)]
    kept = [binding for binding in bindings if not _is_slower(binding.stock)]
    for module, _, _ in kept:
        setattr(module, _NAME, ours)
    return kept


def _is_slower(stock: Callable[..., bytes]) -> bool:
    """Whether our function would be Python in place of Tornado's C, about five times slower."""
    return _implementation.implementation == "python" and stock.__module__ == "tornado.speedups"
