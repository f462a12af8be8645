"""Run a program with the speedups installed, otherwise as Python itself does.

Unlike runpy's functions, ``sys.modules["__main__"]`` stays the program's, for its threads, exit handlers and pickles.
"""

from __future__ import annotations

import builtins
import os
import runpy
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, SourceFileLoader, SourcelessFileLoader
from importlib.util import find_spec, module_from_spec
from pkgutil import get_importer
from types import CodeType, ModuleType, TracebackType
from typing import Any

from tornado_speedups import install

_OWN_FILES = (
    __file__,
    os.path.join(os.path.dirname(os.path.dirname(__file__)), "__main__.py"),
    "<frozen runpy>",
    "<frozen importlib._bootstrap>",
    "<frozen importlib._bootstrap_external>",
)


class CannotRunError(Exception):
    """The program can't be found or isn't one. It has the message and Python's exit status for that."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def run_program(arguments: Sequence[str], *, speedups: bool = True) -> int:
    """Run a file, or a module after "-m", with the arguments after it. Return the exit status if it just ends."""
    try:
        if speedups:
            _install(arguments)
        run = _find_module(arguments[1:]) if arguments[0] == "-m" else _find_file(arguments)
        run()
    except CannotRunError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.status
    except SystemExit:
        raise
    except BaseException:
        sys.excepthook = _hide_own_frames(sys.excepthook)
        raise
    return 0


def _install(arguments: Sequence[str]) -> None:
    try:
        install()
    except ImportError as error:
        raise CannotRunError(f"tornado_speedups needs Tornado, which cannot be imported: {error}", 2) from error
    _keep_after_reload(arguments)


def _find_file(arguments: Sequence[str]) -> Callable[[], object]:
    path = os.path.abspath(arguments[0])
    sys.argv[:] = arguments
    if get_importer(path) is not None:  # a folder or an archive, with its own __main__.py
        return lambda: runpy.run_path(arguments[0], run_name="__main__")
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise CannotRunError(f"can't open {arguments[0]!r}: {error.strerror}", 2) from error
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    return lambda: _run_file(path)


def _run_file(path: str) -> None:
    module = ModuleType("__main__")
    if path.endswith(".pyc"):
        loader: Any = SourcelessFileLoader("__main__", path)
        code = loader.get_code("__main__")
    else:
        loader = SourceFileLoader("__main__", path)
        code = loader.source_to_code(loader.get_data(path), path)  # get_code() would keep the bytecode, unlike Python
    vars(module).update(__file__=path, __loader__=loader, __builtins__=builtins, __cached__=None)
    _execute(module, code)


def _find_module(arguments: Sequence[str]) -> Callable[[], object]:
    spec = _find_spec(arguments[0])
    loader: Any = spec.loader
    code = loader.get_code(spec.name) if hasattr(loader, "get_code") else None
    if code is None:  # an extension module
        raise CannotRunError(f"the module {spec.name} has no Python code to run", 1)
    module = module_from_spec(spec)
    module.__name__ = "__main__"
    sys.argv[:] = [spec.origin or arguments[0], *arguments[1:]]
    return lambda: _execute(module, code)


def _find_spec(name: str) -> ModuleSpec:
    """Return what to run for ``-m name``: the module, or the module ``__main__`` of the package."""
    try:
        spec = find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            name += ".__main__"
            spec = find_spec(name)
    except ModuleNotFoundError as error:  # of a parent
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        spec = None
    if spec is None:
        raise CannotRunError(f"no module named {name}", 1)
    return spec


def _execute(module: ModuleType, code: CodeType) -> None:
    sys.modules["__main__"] = module
    exec(code, vars(module))


def _keep_after_reload(arguments: Sequence[str]) -> None:
    """Let Tornado's autoreload start this command again; it would start the program without the speedups."""
    autoreload: Any = import_module("tornado.autoreload")
    if all(hasattr(autoreload, name) for name in ("_autoreload_is_main", "_original_argv", "_original_spec")):
        autoreload._original_argv = ["", *arguments]
        autoreload._original_spec = ModuleSpec("tornado_speedups", None)
        autoreload._autoreload_is_main = True


_Hook = Callable[[type[BaseException], BaseException, TracebackType | None], Any]


def _hide_own_frames(hook: _Hook) -> _Hook:
    """Wrap a hook for uncaught exceptions, so that their traceback begins in the program."""

    def show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        while traceback is not None and traceback.tb_frame.f_code.co_filename in _OWN_FILES:
            traceback = traceback.tb_next
        hook(kind, error.with_traceback(traceback), traceback)

    return show
