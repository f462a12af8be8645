"""The names of the functions of Tornado that install() wraps on this Python, and the count of their calls."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from tornado_speedups import patching

EXECUTE = "web:_HandlerDelegate.execute"
_LEFT_OUT = {EXECUTE} if sys.version_info < (3, 12) else set()
WRAPPED = [target for targets in patching._WRAPPERS.values() for target in targets if target not in _LEFT_OUT]
OURS = ["websocket:WebSocketProtocol13.write_message", "websocket:WebSocketProtocol13._receive_frame"]


def count_calls() -> Any:
    """Return the context in which calls of these functions are counted."""
    return import_module("tornado_speedups.counting").count_calls()
