"""Import a wheel's extension modules, and check what can be checked of any.

``python -m wheelworks_workers.smoke RESULTS MODULE...``. Each module must import, from an extension's file, with a
module definition; each of its functions must return or raise TypeError when it is called without arguments. Functions
in `REFERENCES` are compared with their references.
"""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.machinery import ExtensionFileLoader
from types import BuiltinFunctionType, ModuleType

from . import JUnitWriter


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


def check_module(name: str) -> ModuleType:
    """Import an extension module and check its definition."""
    module = importlib.import_module(name)
    assert module.__name__ == name, f"its name is {module.__name__}"
    assert module.__spec__ and isinstance(module.__spec__.loader, ExtensionFileLoader), "not an extension module"
    assert str(module.__file__).endswith(".so"), f"loaded from {module.__file__}"
    return module


def check_call(function: Callable[..., object]) -> None:
    """Call a function without arguments: it may return anything or raise TypeError, and must not crash."""
    with suppress(TypeError):
        function()


def run_check(results: JUnitWriter, test: str, check: Callable[..., object], *arguments: object) -> object:
    """Run one check and write its result. Return what the check returned, or None if it failed."""
    results.start(test)
    try:
        returned = check(*arguments)
    except BaseException as error:  # a wheel's code may raise anything
        results.finish(test, "failed", f"{type(error).__name__}: {error}")
        return None
    results.finish(test, "passed")
    return returned


def main() -> None:
    """Check the modules that the arguments name."""
    results = JUnitWriter(sys.argv[1])
    for name in sys.argv[2:]:
        module = run_check(results, f"import {name}", check_module, name)
        if module is None:
            continue
        functions = {key: value for key, value in vars(module).items() if isinstance(value, BuiltinFunctionType)}
        for key, function in functions.items():
            run_check(results, f"{name}.{key} without arguments", check_call, function)
            if key in REFERENCES:
                run_check(results, f"{name}.{key} against its reference", REFERENCES[key], function)
    results.close(sys.argv[2:])


if __name__ == "__main__":
    main()
