"""The class of connections over each implementation of its base types: Python, C, or a wheel's C."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import tornado_speedups
from tornado_speedups import _implementation, _python

_PACKAGE = "tornado_speedups.websocket"
_EXTENSION = "tornado_speedups._speedups"


def make_protocol(module: Any) -> Any:
    """Return FastWebSocketProtocol13 over the types of a module: an extension, or tornado_speedups._python."""
    with _imported_anew(module):
        return import_module(f"{_PACKAGE}.protocol").FastWebSocketProtocol13


@contextmanager
def _imported_anew(module: Any) -> Iterator[None]:
    """Import the modules of connections again, with another implementation, and put back those that there were."""
    implementation, package = _implementation.implementation, getattr(tornado_speedups, "websocket", None)
    ours = [name for name in sys.modules if name == _EXTENSION or name.startswith(_PACKAGE)]
    kept = {name: sys.modules.pop(name) for name in ours}
    try:
        if module is _python:
            _implementation.implementation = "python"
        else:
            _implementation.implementation = "c"
            sys.modules[_EXTENSION] = module
        yield
    finally:
        _implementation.implementation = implementation
        for name in [name for name in sys.modules if name == _EXTENSION or name.startswith(_PACKAGE)]:
            del sys.modules[name]
        sys.modules.update(kept)
        if package is not None:
            tornado_speedups.websocket = package
