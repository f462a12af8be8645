"""Runs first in the Python that runs a build backend, and does what CPython's cross-compiling hooks don't cover.

Build tools see the host that they run on. The project's own code (``setup.py``, the modules beside it, and what it runs
by ``python -c``) sees the target, because it chooses sources and flags by what it asks of the platform.
Standard library only, for any Python: this package is copied beside a ``sitecustomize.py`` that imports the copy.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import importlib.machinery
import json
import os
import sys
import sysconfig
from types import FrameType
from typing import Any

from . import declarations, prefixes, programs, tags
from .layout import refuse
from .replacing import replace_once
from .views import Uname, View, make_views

_UNAME = ("SYSNAME", "NODENAME", "RELEASE", "VERSION", "MACHINE")


def install(settings: dict[str, Any]) -> None:
    """Show the target to the project's code; show extension suffixes and sysconfig to all code."""
    importlib.machinery.EXTENSION_SUFFIXES[:] = settings["suffixes"]
    if os.name == "nt":  # CPython for Windows doesn't read the environment variables of the hooks
        sysconfig.get_config_vars().update(settings["variables"])
        sysconfig.get_platform = lambda: settings["platform"]
    # The pyconfig.h of CPython's headers is the compiler's business: its numbers are macros of the compiler.
    sysconfig.get_config_h_filename = lambda: refuse("for CPython's pyconfig.h (sysconfig.get_config_h_filename)")
    tags.answer_tags(settings["tags"])
    record = functools.partial(_record, settings["log"])
    programs.install(record, settings["target"])

    def watch() -> None:
        declarations.watch_setuptools(record)
        prefixes.show_to_setuptools(settings["include_dirs"], settings["library_dirs"])

    _replace_imports(os.path.join(os.path.realpath(settings["source"]), ""), settings["view"], watch)


def _replace_imports(source: str, target: dict[str, Any], watch: Any) -> None:
    views = make_views(target)
    real_import, real_import_module = builtins.__import__, importlib.import_module

    def target_import(  # called by position and by keyword, like builtins.__import__
        name: str,
        globals: Any = None,  # noqa: A002
        locals: Any = None,  # noqa: A002
        fromlist: Any = (),
        level: int = 0,
    ) -> Any:
        module = real_import(name, globals, locals, fromlist, level)
        if level == 0:
            bound = name if fromlist else name.partition(".")[0]  # `import os.path` binds os
            if bound in views and is_project_code(sys._getframe(1), source):
                return views[bound]()
            if name.partition(".")[0] == "setuptools":
                watch()
            elif bound == "Cython":
                describe_target_to_cython(views["platform"]().uname())
        return module

    def target_import_module(name: str, package: Any = None) -> Any:
        module = real_import_module(name, package)
        watch()
        return views[name]() if name in views and is_project_code(sys._getframe(1), source) else module

    builtins.__import__ = target_import
    importlib.import_module = target_import_module


def is_project_code(frame: FrameType | None, source: str) -> bool:
    """Return whether code belongs to the tree ``source``, or was given to Python as text by its code or on its own."""
    while frame is not None:
        file = frame.f_globals.get("__file__") or frame.f_code.co_filename
        if isinstance(file, str) and not file.startswith("<"):
            return os.path.realpath(file).startswith(source)
        if file == "<string>" and frame.f_back is None:  # python -c
            return os.path.join(os.path.realpath(os.getcwd()), "").startswith(source)
        frame = frame.f_back
    return False


def describe_target_to_cython(uname: Uname) -> None:
    """Let Cython's compile-time names (``IF UNAME_SYSNAME``, Cython/Compiler/Scanning.py) describe the target."""

    def make(original: Any) -> Any:
        def initial_compile_time_env() -> Any:
            made = original()
            for name, value in zip(_UNAME, uname[:5], strict=True):
                made.declare(f"UNAME_{name}", value)
            return made

        return initial_compile_time_env

    replace_once(sys.modules.get("Cython.Compiler.Scanning"), "initial_compile_time_env", make)


def _record(log: str, **event: object) -> None:
    with open(log, "a", encoding="utf-8") as file:  # one write for each event, as the compiler driver does
        file.write(json.dumps(event) + "\n")


__all__ = ["View", "install", "is_project_code", "make_views"]
