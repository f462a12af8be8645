"""Variables that an extension imports: exceptions, types, singletons."""

from __future__ import annotations

import builtins
import types
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wheelworks.emulator.interpreter import Interpreter

SINGLETONS = {
    "_Py_NoneStruct": None,
    "_Py_TrueStruct": True,
    "_Py_FalseStruct": False,
    "_Py_EllipsisObject": ...,
    "_Py_NotImplementedStruct": NotImplemented,
}
TYPES: dict[str, type] = {
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


def data_symbol(guest: Interpreter, name: str) -> int | None:
    """The address of an imported variable, or None if there is none of that name."""
    if name in SINGLETONS:
        return guest.objects.of(SINGLETONS[name]).address
    if name in TYPES:
        return guest.objects.type_object(TYPES[name]).address
    if name == "Py_Version":
        major, minor = guest.abi.python.version
        return _variable(guest, name, guest.abi.packer("L").pack(major << 24 | minor << 16))
    if name == "__stack_chk_guard":
        return _variable(guest, name, guest.canary[: guest.abi.pointer])
    error = getattr(builtins, name.removeprefix("PyExc_"), None) if name.startswith("PyExc_") else None
    if isinstance(error, type) and issubclass(error, BaseException):
        address = guest.objects.type_object(error).address
        return _variable(guest, name, guest.abi.packer("P").pack(address))
    return None


def _variable(guest: Interpreter, name: str, content: bytes) -> int:
    block = guest.memory.allocate(len(content), f"the variable {name}")
    guest.memory.poke(block.start, content)
    guest.memory.freeze(block)
    return block.start
