"""Replace an attribute of Tornado, and restore it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


class Patch:
    """An attribute of a module or class of Tornado, its own or inherited, with its original and its replacement.

    ``target`` is its name, "module:function" or "module:Class.function", without "tornado.". ``wrap`` makes the
    replacement from the original; it is None for a replacement that doesn't know the original.
    """

    # Neither a named tuple nor a dataclass: making such a class takes longer than importing the rest of this module.
    __slots__ = ("is_own", "name", "original", "owner", "replacement", "target", "wrap")

    def __init__(self, target: str, replacement: Any = None, wrap: Callable[[Any], Any] | None = None) -> None:
        self.target, self.wrap = target, wrap
        self.owner, self.name = resolve(f"tornado.{target}")
        self.is_own = self.name in vars(self.owner)
        self.original = vars(self.owner)[self.name] if self.is_own else getattr(self.owner, self.name)
        self.replacement = replacement if wrap is None else _imitate(self.original, wrap(self.original))

    def apply(self) -> None:
        """Put the replacement in place."""
        setattr(self.owner, self.name, self.replacement)

    def undo(self) -> None:
        """Restore the original, unless someone else has replaced the attribute since."""
        if vars(self.owner).get(self.name) is not self.replacement:
            return
        if self.is_own:
            setattr(self.owner, self.name, self.original)
        else:
            delattr(self.owner, self.name)


def _imitate(original: Any, replacement: Any) -> Any:
    """Return the replacement of a function or class method, with the name and documentation of the original."""
    like, function = (getattr(each, "__func__", each) for each in (original, replacement))
    # functools.update_wrapper() does the same in four times the time.
    function.__module__, function.__name__ = like.__module__, like.__name__
    function.__qualname__, function.__doc__ = like.__qualname__, like.__doc__
    function.__annotations__, function.__wrapped__ = like.__annotations__, like
    return replacement


def resolve(path: str) -> tuple[Any, str]:
    """Return the module or class that "module:attribute" or "module:Class.attribute" names, and the attribute."""
    module, _, name = path.partition(":")
    owner, _, attribute = name.rpartition(".")
    found = import_module(module)
    return getattr(found, owner) if owner else found, attribute
