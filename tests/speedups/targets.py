"""The names of the functions of Tornado that install() wraps on this Python."""

from __future__ import annotations

import sys

from tornado_speedups import patching

EXECUTE = "web:_HandlerDelegate.execute"
_LEFT_OUT = {EXECUTE} if sys.version_info < (3, 12) else set()
WRAPPED = [target for targets in patching._WRAPPERS.values() for target in targets if target not in _LEFT_OUT]
OURS = ["websocket:WebSocketProtocol13.write_message", "websocket:WebSocketProtocol13._receive_frame"]
