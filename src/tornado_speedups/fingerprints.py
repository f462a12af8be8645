"""Tell by checksums of its source text which code of Tornado is known, so that it may be replaced or relied upon.

The source is read because bytecode differs between versions of Python. A file that is as in a release of Tornado is
known as a whole; in another one, each definition is searched (definitions.py). A class or function that someone has
patched in memory isn't known either.

After a new version of Tornado: review what has changed in the definitions that definitions.py names, and add their new
fingerprints there. Then add the checksums of the files here. tests/speedups/test_fingerprints.py shows both.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any
from zlib import crc32

# The sizes in bytes and CRC-32 of Tornado's modules, for the releases that changed them, if all their definitions in
# definitions.py are known. Nothing is guarded against forgery here: who can write to Tornado's files needs none. An
# ordinary change that keeps the size goes unseen once in four thousand million times. Where the CPU has no
# instructions for SHA-256, that would take as long as everything else that install() does.
RELEASED = {
    # 6.5, 6.5.2, 6.5.6, 6.5.9, 6.6, 6.6.1
    "tornado.http1connection": (
        "37658:10fb7e71 37815:d6fe4f13 38240:348503d5 39912:c7840248 43736:0edb6822 43739:09dca6ce"
    ),
    # 6.5.1, 6.5.2, 6.5.3, 6.5.4, 6.5.5, 6.5.8, 6.5.9, 6.6, 6.6.1; not 6.5, whose parser has other parameters
    "tornado.httputil": (
        "43413:d600a0d1 43629:211855ee 45240:e8c3e119 45289:d3bd19da 48970:20f64d07 "
        "49753:b88d36cd 50380:f377ed7c 50980:68be0431 51161:27a49c2e"
    ),
    "tornado.iostream": "63873:e979d17d 64739:d802c0c6 67427:2bc6b1c6",  # 6.5, 6.5.9, 6.6
    "tornado.platform.asyncio": "28136:7b1c1577 29963:d6f3b77e",  # 6.5, 6.6
    "tornado.queues": "12513:43b82fc1 12966:db322c74",  # 6.5, 6.6
    "tornado.routing": "25139:e7fbea38 25140:b6791d93 24937:c0b94a1e",  # 6.5, 6.5.2, 6.6
    "tornado.util": "15780:651730fe 15853:efdb1844 20759:9f224dff",  # 6.5, 6.5.6, 6.6
    # 6.5, 6.5.3, 6.5.5, 6.5.8, 6.5.9, 6.5.10, 6.6, 6.6.1
    "tornado.web": (
        "145698:fa415475 146544:b98331b9 147792:a9fab642 148103:f8301beb "
        "153477:d53f4918 155425:364985dd 169902:aac6dff5 172526:8a76694c"
    ),
    "tornado.websocket": "63629:8d9edadc 64024:55f8948e 66744:405e1b70",  # 6.5, 6.5.2, 6.6
}

# Other versions are unknown even if these definitions are unchanged, because other code may have changed.
_VERSIONS = ((6, 5), (6, 6))


class TornadoCode:
    """The code of the Tornado that is imported, as it is now; each part is read and checked once."""

    def __init__(self) -> None:
        # The unknown definitions of each module that has been read.
        self._unknown: dict[str, Collection[str]] = {}
        self._reasons: dict[str, str | None] = {}

    def explain_unknown(self, names: list[str]) -> str | None:
        """Return why one of these definitions is unknown, None if all are known. Raises ImportError.

        A definition is "module:Class", "module:function" or "module:Class.function".
        """
        if import_module("tornado").version_info[:2] not in _VERSIONS:
            return "a version it doesn't know"
        for name in names:
            if name not in self._reasons:
                self._reasons[name] = self._explain(name)
            if self._reasons[name]:
                return self._reasons[name]
        return None

    def _explain(self, name: str) -> str | None:
        module_name, _, qualified_name = name.partition(":")
        if module_name not in self._unknown:
            if module_name in sys.modules:
                import_module(module_name)  # waits for another thread that is importing it
            self._unknown[module_name] = _find_unknown(get_source(module_name), module_name)
        if name in self._unknown[module_name]:
            return f"whose {module_name}.{qualified_name} it doesn't know"
        module = sys.modules.get(module_name)
        if module is not None and _is_patched(module, qualified_name):
            return f"whose {module_name}.{qualified_name} has been patched"
        return None


def get_source(module_name: str) -> bytes:
    """Return the source text of a module of Tornado in UTF-8; empty where there is only bytecode, or no file any more.

    It isn't decoded, which would take as long as everything else that install() does. A module that isn't imported yet
    is found beside the others: importing the event loop would take longer than install() does.
    """
    module = sys.modules.get(module_name)
    spec = getattr(module or import_module("tornado"), "__spec__", None)
    loader: Any = getattr(spec, "loader", None)
    path = getattr(spec, "origin", None) or ""
    if module is None:
        path = os.path.join(os.path.dirname(path), *module_name.split(".")[1:]) + ".py"
    try:
        source: bytes = loader.get_data(path)
    except (AttributeError, OSError):
        return b""
    # One byte is found in a tenth of the time that two take.
    return source.replace(b"\r\n", b"\n") if b"\r" in source else source


def _find_unknown(text: bytes, module_name: str) -> Collection[str]:
    """Return the definitions that aren't known in a module with this source text.

    The text isn't kept: the next one then finds its memory ready.
    """
    if is_released(text, module_name):
        return ()
    from tornado_speedups.definitions import find_unknown

    return find_unknown(text, module_name)


def is_released(text: bytes, module_name: str) -> bool:
    """Return whether the source text of a module is as in a release of Tornado in which it is known."""
    return compute_checksum(text) in RELEASED[module_name].split()


def compute_checksum(text: bytes) -> str:
    """Return the size and the CRC-32 of a text, as in RELEASED."""
    return f"{len(text)}:{crc32(text):08x}"


def _is_patched(module: ModuleType, qualified_name: str) -> bool:
    name, _, function_name = qualified_name.partition(".")
    namespace = vars(module)
    owner = namespace[name]
    if not isinstance(owner, type):
        members: Collection[Any] = (owner,)
    elif function_name:
        members = (vars(owner)[function_name],)
    else:
        members = vars(owner).values()
    for each in members:
        if type(each) is FunctionType and each.__globals__ is namespace:  # most of them
            continue
        if callable(each) and _is_foreign(each, namespace):
            return True
    return False


def _is_foreign(member: Any, namespace: dict[str, Any]) -> bool:
    function = getattr(member, "__func__", member)  # of a static method
    if not isinstance(function, FunctionType):
        function = getattr(function, "__wrapped__", None)  # of a cached function
    if not isinstance(function, FunctionType):
        return True
    is_ours = str(function.__globals__.get("__name__")).startswith("tornado_speedups.")  # from another hook
    return function.__globals__ is not namespace and not is_ours
