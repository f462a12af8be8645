"""Replace functions of modules that the build has imported, each once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def replace_once(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replace a function of a module or class by what ``make`` makes of it, unless it is missing or was replaced."""
    original = getattr(owner, name, None)
    if original is not None and not hasattr(original, "_wheelworks"):
        made: Any = functools.wraps(original)(make(original))
        made._wheelworks = True
        setattr(owner, name, made)
