"""Let ``packaging.tags`` answer for the target: setuptools before 84 asserts that a wheel's tag is one of them."""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
import types
from typing import Any


class TagFinder(importlib.abc.MetaPathFinder):
    """Import ``packaging.tags``, setuptools' and wheel's copies included, with the target's tags added.

    setuptools before 84 asserts that a wheel's tag is one that the running Python accepts.
    """

    def __init__(self, target: dict[str, Any]) -> None:
        self.target = target
        self.active = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the spec of a module of that name, with a loader that changes it afterwards."""
        if self.active or not name.endswith("packaging.tags"):
            return None
        self.active = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.active = False
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: types.ModuleType) -> None:
            execute(module)
            add_tags(module, self.target)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def add_tags(module: Any, target: dict[str, Any]) -> None:
    """Let a module's ``sys_tags`` begin with the target's tags."""
    own = module.sys_tags

    def sys_tags(**options: Any) -> Any:
        yield from module.cpython_tags(tuple(target["python"]), [target["abi"]], [target["platform"]])
        yield from own(**options)

    module.sys_tags = sys_tags


def answer_tags(target: dict[str, Any]) -> None:
    """Add the target's tags to what ``packaging.tags`` answers in this process."""
    sys.meta_path.insert(0, TagFinder(target))
