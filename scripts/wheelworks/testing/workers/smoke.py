"""Import a wheel's extension modules with their packages, and check what can be checked of any.

``python -m wheelworks_workers.smoke RESULTS SETTINGS MODULE...``. SETTINGS is JSON: ``libraries`` are the paths, in
site-packages, of binaries that aren't modules, ``system`` is the system that the wheel is for ("linux", "windows",
"macos"). Each module must import, from an extension's file. Functions in `REFERENCES` are compared with their
references; no other function is called, since it may do anything.

The code of a wheel for another system runs under a CPython of Linux. Its Python code may expect that other system, so
what it raises says nothing about the wheel: then its modules are imported without it.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from types import BuiltinFunctionType, ModuleType

from . import JUnitWriter, extensions, watch

NEEDS = "it needs the module "
SITE = Path(__file__).parents[1]


class Excused(Exception):
    """A check could not be made; the text says why."""


def mask_payload(mask: bytes, data: bytes) -> bytes:
    """Return masked data (RFC 6455, 5.3)."""
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))


def check_mask(function: Callable[[bytes, bytes], bytes]) -> None:
    """Compare a function with `mask_payload` for every length up to 300, and a long one."""
    source = random.Random(6455)
    for length in [*range(301), 65_537]:
        mask, data = source.randbytes(4), source.randbytes(length)
        if function(mask, data) != mask_payload(mask, data):
            raise AssertionError(f"wrong for the length {length}")


REFERENCES: dict[str, Callable[[Callable[..., object]], None]] = {"websocket_mask": check_mask}  # type: ignore[dict-item]


def check_package(name: str, foreign: bool) -> None:
    """Import a package, whose Python code may not be for this system."""
    try:
        importlib.import_module(name)
    except Exception as error:
        excuse_missing(error)
        if foreign and not isinstance(error, SystemError):
            raise Excused(f"its Python code doesn't run on Linux: {describe(error)}") from error
        raise


def check_module(name: str, foreign: bool) -> ModuleType:
    """Import an extension module and check its definition."""
    try:
        module = importlib.import_module(name)
    except Exception as error:
        excuse_missing(error)
        if not foreign or isinstance(error, SystemError):
            raise
        module = import_alone(name)
    assert module.__spec__ and isinstance(module.__spec__.loader, ExtensionFileLoader), "not an extension module"
    assert str(module.__file__).endswith(".so"), f"loaded from {module.__file__}"
    return module


def import_alone(name: str) -> ModuleType:
    """Import an extension module of another system without the Python code of its packages."""
    *parents, _ = name.split(".")
    for depth in range(1, len(parents) + 1):
        stand_in = ModuleType(".".join(parents[:depth]))
        stand_in.__path__ = [str(SITE.joinpath(*parents[:depth]))]
        sys.modules.setdefault(stand_in.__name__, stand_in)
    try:
        return importlib.import_module(name)
    except SystemError:  # which CPython raises for a call against the rules of the C API
        raise
    except Exception as error:
        excuse_missing(error)
        raise Excused(f"it doesn't import on Linux: {describe(error)}") from error


def excuse_missing(error: BaseException) -> None:
    """Raise Excused if a module of another distribution is missing."""
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, ModuleNotFoundError) and chain.name and not is_own(chain.name.partition(".")[0]):
            raise Excused(NEEDS + chain.name.partition(".")[0]) from error
        chain = chain.__cause__ or chain.__context__


def is_own(name: str) -> bool:
    """Return whether a top-level module is in site-packages, so that a part of it must be missing."""
    return any(SITE.glob(f"{name}.*")) or (SITE / name).is_dir()


def describe(error: BaseException) -> str:
    """Return an exception's type and message, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def check_library(path: str) -> None:
    """Load a binary that isn't a module. It may need what only its program loads before."""
    try:
        ctypes.CDLL(str(SITE / path))
    except OSError as error:
        raise Excused(f"it doesn't load alone: {describe(error)}") from error


def check_call(function: Callable[..., object]) -> None:
    """Call a function without arguments: it may return anything or raise TypeError, and must not crash."""
    with suppress(TypeError):
        function()


def run_check(results: JUnitWriter, test: str, check: Callable[..., object], *arguments: object) -> object:
    """Run one check and write its result. Return what the check returned, or None if it failed."""
    results.start(test)
    try:
        returned = check(*arguments)
    except Excused as error:
        results.finish(test, "skipped", str(error))
        return None
    except BaseException as error:  # a wheel's code may raise anything
        results.finish(test, "failed", f"{type(error).__name__}: {error}")
        return None
    results.finish(test, "passed")
    return returned


def list_packages(modules: list[str]) -> Iterator[str]:
    """Yield the top-level package of each module, once."""
    yield from dict.fromkeys(name.partition(".")[0] for name in modules if "." in name)


def main() -> None:
    """Check the modules that the arguments name."""
    watch()
    results, settings, modules = JUnitWriter(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:]
    foreign = settings["system"] != "linux"
    extensions.record_extensions(sys.argv[1])
    for name in list_packages(modules):
        run_check(results, f"import {name}", check_package, name, foreign)
    for name in modules:
        module = run_check(results, f"import {name}", check_module, name, foreign)
        found = {key: getattr(module, key, None) for key in sorted(REFERENCES)}
        functions = {key: value for key, value in found.items() if isinstance(value, BuiltinFunctionType)}
        for key in functions:
            run_check(results, f"{name}.{key} without arguments", check_call, functions[key])
            run_check(results, f"{name}.{key} against its reference", REFERENCES[key], functions[key])
    for path in settings["libraries"]:
        run_check(results, f"load {path}", check_library, path)
    results.close(modules)


if __name__ == "__main__":
    main()
