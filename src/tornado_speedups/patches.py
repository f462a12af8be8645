"""install() puts the speedups into Tornado, uninstall() takes them out again, status() tells what has come of it.

Tornado itself is imported by install(), not before.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from importlib import import_module

from tornado_speedups import hooks, http_hooks
from tornado_speedups.hooks import Replacement, UnknownCodeError
from tornado_speedups.known import Code

# Of each hook what it is about, for a warning, and what finds its replacements.
_HOOKS: dict[str, tuple[str, Callable[[Code], list[Replacement]]]] = {
    "masking": ("WebSocket masking", hooks.masking),
    "websocket": ("WebSocket connections", hooks.websocket),
    "headers": ("HTTP headers", http_hooks.headers),
    "http": ("HTTP connections", http_hooks.connections),
}

_lock = threading.Lock()

# Of each hook that was asked for what is in place of Tornado's own, and what status() says of it.
_outcomes: dict[str, tuple[list[Replacement], str]] = {}


def install(*, masking: bool = True, websocket: bool = True, headers: bool = True, http: bool = True) -> None:
    """Put the speedups into Tornado, for the whole process and the connections to come.

    ``masking`` replaces the function that masks frames, ``websocket`` the class of WebSocket connections, ``headers``
    the parsing of HTTP heads, ``http`` the writing of them, and how HTTP uses sockets. What has been installed stays:
    later calls only add. A Tornado whose code isn't known at a hook keeps its own there, with a RuntimeWarning. So
    does, silently, one whose masking in C would make way for Python. Raises ImportError where Tornado is missing.
    """
    wanted = {"masking": masking, "websocket": websocket, "headers": headers, "http": http}
    with _lock:
        code = Code()
        for name, (subject, find) in _HOOKS.items():
            if wanted[name] and name not in _outcomes:
                _outcomes[name] = _install(subject, find, code)


def uninstall() -> None:
    """Put back what install() replaced; without install() before it, nothing changes.

    Connections that are open keep what they began with. What someone else has replaced since is left to them.
    """
    with _lock:
        for replacements, _ in _outcomes.values():
            for each in replacements:
                if vars(each.owner).get(each.name) is each.ours:
                    setattr(each.owner, each.name, each.stock)
        _outcomes.clear()


def status() -> dict[str, str]:
    """For each hook: "installed", "not installed", or why it has been left to Tornado."""
    with _lock:
        return {name: _outcomes[name][1] if name in _outcomes else "not installed" for name in _HOOKS}


def _install(subject: str, find: Callable[[Code], list[Replacement]], code: Code) -> tuple[list[Replacement], str]:
    version = import_module("tornado").version
    try:
        replacements = find(code)
    except UnknownCodeError as reason:
        left = f"to Tornado {version}, {reason}"
        warnings.warn(f"tornado_speedups leaves {subject} {left}", RuntimeWarning, stacklevel=3)
        return [], f"left {left}"
    for each in replacements:
        setattr(each.owner, each.name, each.ours)
    return replacements, "installed" if replacements else f"left to Tornado {version}, whose C is faster"
