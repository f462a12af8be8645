"""install() puts the speedups into Tornado, uninstall() takes them out again, status() tells what has come of it.

Tornado itself is imported by install(), not before.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from tornado_speedups import hooks, http_hooks
from tornado_speedups.hooks import Replacement, UnknownCodeError


class _Hook(NamedTuple):
    subject: str
    find: Callable[[], list[Replacement]]


class _Outcome(NamedTuple):
    replacements: list[Replacement]
    text: str


_HOOKS = {
    "masking": _Hook("WebSocket masking", hooks.masking),
    "websocket": _Hook("WebSocket connections", hooks.websocket),
    "headers": _Hook("HTTP headers", http_hooks.headers),
    "http": _Hook("HTTP connections", http_hooks.connections),
}

_lock = threading.Lock()
_outcomes: dict[str, _Outcome] = {}


def install(*, masking: bool = True, websocket: bool = True, headers: bool = True, http: bool = True) -> None:
    """Put the speedups into Tornado, for the whole process and the connections to come.

    ``masking`` replaces the function that masks frames, ``websocket`` the class of WebSocket connections, ``headers``
    the parsing of HTTP heads, ``http`` the writing of them, and how HTTP uses sockets. What has been installed stays:
    later calls only add. A Tornado whose code isn't known at a hook keeps its own there, with a RuntimeWarning. So
    does, silently, one whose C code would make way for Python. Raises ImportError where Tornado is missing.
    """
    wanted = {"masking": masking, "websocket": websocket, "headers": headers, "http": http}
    with _lock:
        for name, hook in _HOOKS.items():
            if wanted[name] and name not in _outcomes:
                _outcomes[name] = _install(hook)


def uninstall() -> None:
    """Put back what install() replaced; without install() before it, nothing changes.

    Connections that are open keep what they began with. What someone else has replaced since is left to them.
    """
    with _lock:
        for outcome in _outcomes.values():
            for owner, name, stock, ours in outcome.replacements:
                if vars(owner).get(name) is ours:
                    setattr(owner, name, stock)
        _outcomes.clear()


def status() -> dict[str, str]:
    """For each hook: "installed", "not installed", or why it has been left to Tornado."""
    with _lock:
        return {name: _outcomes[name].text if name in _outcomes else "not installed" for name in _HOOKS}


def _install(hook: _Hook) -> _Outcome:
    version = import_module("tornado").version
    try:
        replacements = hook.find()
    except UnknownCodeError as reason:
        left = f"to Tornado {version}, {reason}"
        warnings.warn(f"tornado_speedups leaves {hook.subject} {left}", RuntimeWarning, stacklevel=3)
        return _Outcome([], f"left {left}")
    for owner, name, _, ours in replacements:
        setattr(owner, name, ours)
    return _Outcome(replacements, "installed" if replacements else f"left to Tornado {version}, whose C is faster")
