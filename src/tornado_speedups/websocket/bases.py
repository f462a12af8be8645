"""The classes from which those of a connection derive: types in C, or their twins in plain.py.

The types in C have the methods. Where Python has a GIL they have the fields as well. Otherwise, the fields are slots of
a class between them and the classes of this package; fields.h tells why.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tornado_speedups._implementation import implementation
from tornado_speedups.websocket import plain

if TYPE_CHECKING:
    from tornado_speedups.websocket.plain import ConnectionBase, ReaderBase, TransportBase, WriterBase
else:

    def _choose_base(twin: type) -> Any:
        if implementation != "c":
            return twin
        base = getattr(import_module("tornado_speedups._speedups"), twin.__name__)
        missing = [name for name in twin.__slots__ if not hasattr(base, name)]
        return type(twin.__name__, (base,), {"__slots__": missing}) if missing else base

    ConnectionBase, ReaderBase, TransportBase, WriterBase = map(
        _choose_base, (plain.ConnectionBase, plain.ReaderBase, plain.TransportBase, plain.WriterBase)
    )

__all__ = ["ConnectionBase", "ReaderBase", "TransportBase", "WriterBase"]
