"""Count how often each function that install() put into Tornado did the work, and why it left the work to Tornado.

Nothing is counted, and nothing costs anything, outside of ``count_calls()``: it puts counting functions around the
installed ones, and takes them out again. ``self_test.py`` and the tests use it on real connections.

This module imports Tornado.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from tornado.websocket import WebSocketProtocol13

from tornado_speedups import patching
from tornado_speedups.patch import Patch
from tornado_speedups.reasons import REASONS, explain_protocol
from tornado_speedups.websocket.protocol import FastWebSocketProtocol13

# Methods of our protocol that may leave the work to the method of Tornado's class of the same name.
_METHODS = ("write_message", "_receive_frame")


class Counts:
    """Calls of each function, by its name: "module:function" or "module:Class.function", without "tornado."."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        # For each function how often it stepped aside, by the reason.
        self.asides: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def count_fast(self, name: str) -> int:
        """Return how many calls of this function didn't need Tornado's own function."""
        return self.calls[name] - self.asides[name].total()


@contextmanager
def count_calls() -> Iterator[Counts]:
    """Count calls of the functions that are installed now, in all threads, until the context ends."""
    counts = Counts()
    replaced: list[tuple[Any, str, Any, Any]] = []
    for owner, name, function in _list_counted(counts):
        replaced.append((owner, name, vars(owner).get(name), function))
        setattr(owner, name, function)
    try:
        yield counts
    finally:
        for owner, name, original, function in replaced:
            if vars(owner).get(name) is not function:
                continue
            if original is None:  # the attribute is that of a base
                delattr(owner, name)
            else:
                setattr(owner, name, original)


def _list_counted(counts: Counts) -> Iterator[tuple[Any, str, Any]]:
    """Yield each attribute to replace while calls are counted: its owner, its name, and the function that counts."""
    for patch in patching.list_patches():
        yield patch.owner, patch.name, _count_patch(patch, counts)
    for name in _METHODS:
        full_name = f"websocket:WebSocketProtocol13.{name}"
        yield FastWebSocketProtocol13, name, _count_calls(getattr(FastWebSocketProtocol13, name), full_name, counts)
        original = vars(WebSocketProtocol13)[name]
        yield WebSocketProtocol13, name, _count_asides(original, full_name, counts, is_ours=_is_ours)


def _count_patch(patch: Patch, counts: Counts) -> Any:
    if patch.wrap is None:  # a function of its own, which never steps aside
        return _count_calls(patch.replacement, patch.target, counts)
    if patch.target.endswith(".get_websocket_protocol"):
        return _count_protocols(patch.replacement, patch.target, counts)
    if not isinstance(patch.original, classmethod):
        return _count_calls(patch.wrap(_count_asides(patch.original, patch.target, counts)), patch.target, counts)
    original = classmethod(_count_asides(patch.original.__func__, patch.target, counts))
    return classmethod(_count_calls(patch.wrap(original).__func__, patch.target, counts))


def _count_calls(function: Any, name: str, counts: Counts) -> Callable[..., Any]:
    @wraps(function)
    def counted(*arguments: Any, **options: Any) -> Any:
        counts.calls[name] += 1
        return function(*arguments, **options)

    return counted


def _count_asides(
    original: Any, name: str, counts: Counts, is_ours: Callable[..., bool] = lambda *_: True
) -> Callable[..., Any]:
    """Wrap Tornado's own function. Where it is a method of Tornado's class too, only ours are to be counted."""

    @wraps(original)
    def counted(*arguments: Any, **options: Any) -> Any:
        if is_ours(*arguments):
            counts.asides[name][REASONS[name](*arguments, **options)] += 1
        return original(*arguments, **options)

    return counted


def _is_ours(protocol: Any, *_: Any) -> bool:
    return isinstance(protocol, FastWebSocketProtocol13)


def _count_protocols(function: Any, name: str, counts: Counts) -> Callable[[Any], Any]:
    """Wrap a function that makes protocols: it steps aside if it makes one of Tornado's."""

    @wraps(function)
    def counted(self: Any) -> Any:
        counts.calls[name] += 1
        protocol = function(self)
        if not isinstance(protocol, FastWebSocketProtocol13):
            counts.asides[name][explain_protocol(protocol)] += 1
        return protocol

    return counted
