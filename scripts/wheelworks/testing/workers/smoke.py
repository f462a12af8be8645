"""Import a wheel's extension modules and check what can be checked of any.

In the guest as ``python -m wheelworks_guest.smoke EVENTS MODULE...``. For each module: it imports, its file is an
extension's, its definition is a module's, and each function answers or raises TypeError when it is called without
arguments. Functions that `REFERENCES` knows are compared with their references.
"""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.machinery import ExtensionFileLoader
from types import BuiltinFunctionType, ModuleType

from .events import Events


def masked(mask: bytes, data: bytes) -> bytes:
    """WebSocket's masking (RFC 6455, 5.3)."""
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))


def check_mask(function: Callable[[bytes, bytes], bytes]) -> None:
    """Compare with `masked` for every length up to 300, and a long one."""
    source = random.Random(6455)
    for length in [*range(301), 65_537]:
        mask, data = source.randbytes(4), source.randbytes(length)
        if function(mask, data) != masked(mask, data):
            raise AssertionError(f"wrong for the length {length}")


REFERENCES: dict[str, Callable[[Callable[..., object]], None]] = {"websocket_mask": check_mask}  # type: ignore[dict-item]


def check_module(name: str) -> ModuleType:
    """Import an extension module and check its definition."""
    module = importlib.import_module(name)
    assert module.__name__ == name, f"it calls itself {module.__name__}"
    assert module.__spec__ and isinstance(module.__spec__.loader, ExtensionFileLoader), "not an extension module"
    assert str(module.__file__).endswith(".so"), f"loaded from {module.__file__}"
    return module


def check_call(function: Callable[..., object]) -> None:
    """Call without arguments: any answer and any TypeError will do, a crash or another exception will not."""
    with suppress(TypeError):
        function()


def run(events: Events, test: str, check: Callable[..., object], *arguments: object) -> object:
    """Run one check and report it; gives what the check gave, or None if it failed."""
    events.start(test)
    try:
        result = check(*arguments)
    except BaseException as error:  # a wheel's code may raise anything
        events.end(test, "failed", f"{type(error).__name__}: {error}")
        return None
    events.end(test, "passed")
    return result


def main() -> None:
    """Import each module that the arguments name, and check what can be checked of any."""
    events = Events(sys.argv[1])
    for name in sys.argv[2:]:
        module = run(events, f"import {name}", check_module, name)
        if module is None:
            continue
        functions = {key: value for key, value in vars(module).items() if isinstance(value, BuiltinFunctionType)}
        for key, function in functions.items():
            run(events, f"{name}.{key} without arguments", check_call, function)
            if key in REFERENCES:
                run(events, f"{name}.{key} against its reference", REFERENCES[key], function)
    events.modules(sys.argv[2:])


if __name__ == "__main__":
    main()
