"""CPython's C API, and the functions of the C library that small extensions call, implemented in Python.

Each function carries the name and the C signature of the function that it replaces. ``EXPORTS`` maps every name that
an extension may import to a function or a variable. A function that isn't in it makes a run end as unsupported, never
as failed.
"""

from __future__ import annotations

import builtins
import types
from collections.abc import Callable

from wheelworks.emulator.capi import (
    arguments,
    buffers,
    collector,
    containers,
    heap_types,
    instances,
    modules,
    objects,
    runtime,
    static_types,
    strings,
    windows,
)
from wheelworks.emulator.exports import FUNCTIONS, Export, Variable
from wheelworks.emulator.state import ProcessState

__all__ = [
    "EXPORTS",
    "arguments",
    "buffers",
    "collector",
    "containers",
    "heap_types",
    "instances",
    "modules",
    "objects",
    "runtime",
    "static_types",
    "strings",
    "windows",
]

OBJECTS: dict[str, object] = {
    "_Py_NoneStruct": None,
    "_Py_TrueStruct": True,
    "_Py_FalseStruct": False,
    "_Py_EllipsisObject": ...,
    "_Py_NotImplementedStruct": NotImplemented,
    "PyBaseObject_Type": object,
    "PyBool_Type": bool,
    "PyByteArray_Type": bytearray,
    "PyBytes_Type": bytes,
    "PyComplex_Type": complex,
    "PyDict_Type": dict,
    "PyFloat_Type": float,
    "PyFrozenSet_Type": frozenset,
    "PyList_Type": list,
    "PyLong_Type": int,
    "PyMemoryView_Type": memoryview,
    "PyModule_Type": types.ModuleType,
    "PySet_Type": set,
    "PySlice_Type": slice,
    "PyTuple_Type": tuple,
    "PyType_Type": type,
    "PyUnicode_Type": str,
}
EXCEPTIONS = {
    name: value
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}


def _export_object(value: object) -> Variable:
    return Variable(lambda state: state.objects.wrap(value).address)


def _export_constant(name: str, pack: Callable[[ProcessState], bytes]) -> Variable:
    def create(state: ProcessState) -> int:
        content = pack(state)
        block = state.memory.allocate(len(content), f"the variable {name}")
        state.memory.poke(block.start, content)
        state.memory.freeze(block)
        return block.start

    return Variable(create)


def _export_exception(name: str, kind: type) -> Variable:
    return _export_constant(name, lambda state: state.abi.packer("P").pack(state.objects.wrap(kind).address))


def _pack_version(state: ProcessState) -> bytes:
    major, minor = state.abi.python.version
    return state.abi.packer("L").pack(major << 24 | minor << 16)


EXPORTS: dict[str, Export | Variable] = {
    **FUNCTIONS,
    **{name: _export_object(value) for name, value in OBJECTS.items()},
    **{f"PyExc_{name}": _export_exception(f"PyExc_{name}", kind) for name, kind in EXCEPTIONS.items()},
    "Py_Version": _export_constant("Py_Version", _pack_version),
    "__stack_chk_guard": _export_constant("__stack_chk_guard", lambda state: state.stack_guard),
}
