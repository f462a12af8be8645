"""Record which extension modules a project declares, so that a wheel without one of them is noticed.

setuptools leaves out an optional extension that fails to compile, and projects catch the errors of their own. A project
declares its extensions to `setuptools.setup`, and sometimes only to its ``build_ext`` command.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

from .replacing import replace_once


def watch_setuptools(record: Any) -> None:
    """Wrap the methods of setuptools that have been imported, each once; ``record`` logs an event."""
    for module, name, method, report in (
        ("setuptools.dist", "Distribution", "run_commands", _list_distribution),
        ("setuptools.command.build_ext", "build_ext", "run", _list_command),
    ):
        owner = getattr(sys.modules.get(module), name, None)
        replace_once(owner, method, functools.partial(_wrap, report, record))


def _wrap(report: Any, record: Any, original: Any) -> Any:
    def wrapped(self: Any, *args: Any, **named: Any) -> Any:
        if modules := report(self):
            record(step="declare", file="", modules=modules)
        return original(self, *args, **named)

    return wrapped


def _list_distribution(distribution: Any) -> dict[str, list[str]]:
    package = getattr(distribution, "ext_package", None)
    return _list_modules(distribution.ext_modules, lambda name: f"{package}.{name}" if package else name)


def _list_command(command: Any) -> dict[str, list[str]]:
    return _list_modules(command.extensions, command.get_ext_fullname)


def _list_modules(extensions: Any, full_name: Any) -> dict[str, list[str]]:
    """Return the sources of each extension by its full name; a shared library (setuptools.Library) is no extension."""
    found = [one for one in extensions or () if hasattr(one, "sources") and type(one).__name__ != "Library"]
    return {full_name(one.name): [str(source) for source in one.sources] for one in found}
