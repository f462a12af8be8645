"""Modules: their definition, state and contents."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING

from wheelworks.emulator.capi.table import (
    Borrowed,
    Int,
    Long,
    NewReference,
    Object,
    OptionalObject,
    Pointer,
    Text,
    answer,
)
from wheelworks.emulator.definition import ModuleDefinition, read_definition, read_methods
from wheelworks.emulator.findings import fault
from wheelworks.emulator.objects import GuestObject

if TYPE_CHECKING:
    from wheelworks.emulator.interpreter import Interpreter


@answer()
def PyModuleDef_Init(guest: Interpreter, definition: Pointer) -> Pointer:
    read_definition(guest, definition)
    return definition


@answer("PyModule_Create2TraceRefs")
def PyModule_Create2(guest: Interpreter, definition: Pointer, version: Int) -> NewReference:
    """Single-phase initialisation: the module, with its functions and a zeroed state."""
    read = read_definition(guest, definition)
    if read.slots:
        raise SystemError(f"module {read.name}: PyModule_Create is incompatible with m_slots")
    return guest.new_module(read)


@answer()
def PyModule_FromDefAndSpec2(guest: Interpreter, definition: Pointer, spec: Object, version: Int) -> NewReference:
    return guest.new_module(read_definition(guest, definition))


@answer()
def PyModule_ExecDef(guest: Interpreter, module: Object, definition: Pointer) -> Int:
    guest.execute(module, read_definition(guest, definition).slots)
    return 0


@answer()
def PyModule_AddFunctions(guest: Interpreter, module: Object, methods: Pointer) -> Int:
    for method in read_methods(guest, methods):
        setattr(_module(module), method.name, guest.function(method, module))
    return 0


@answer()
def PyModule_AddObjectRef(guest: Interpreter, module: Object, name: Text, value: OptionalObject) -> Int:
    _add(guest, module, name, value)
    return 0


@answer()
def PyModule_AddObject(guest: Interpreter, module: Object, name: Text, value: OptionalObject) -> Int:
    """Steals the reference, unless it fails."""
    _add(guest, module, name, value)
    if value is not None:
        guest.objects.remove_reference(value)
    return 0


@answer()
def PyModule_Add(guest: Interpreter, module: Object, name: Text, value: OptionalObject) -> Int:
    """Steals the reference."""
    _add(guest, module, name, value)
    if value is not None:
        guest.objects.remove_reference(value)
    return 0


@answer()
def PyModule_AddIntConstant(guest: Interpreter, module: Object, name: Text, value: Long) -> Int:
    setattr(_module(module), name, value)
    return 0


@answer()
def PyModule_AddStringConstant(guest: Interpreter, module: Object, name: Text, value: Text) -> Int:
    setattr(_module(module), name, value)
    return 0


@answer()
def PyModule_AddType(guest: Interpreter, module: Object, kind: Object) -> Int:
    value = kind.value
    assert isinstance(value, type)
    setattr(_module(module), value.__name__, value)
    return 0


@answer()
def PyModule_GetState(guest: Interpreter, module: Object) -> Pointer:
    block = guest.states.get(module)
    return block.start if block is not None else 0


@answer()
def PyModule_GetDef(guest: Interpreter, module: Object) -> Pointer:
    return guest.definition.address if guest.definition is not None else 0


@answer()
def PyModule_GetDict(guest: Interpreter, module: Object) -> Borrowed:
    return guest.objects.child(module, _module(module).__dict__)


@answer()
def PyModule_GetNameObject(guest: Interpreter, module: Object) -> NewReference:
    return _module(module).__name__


@answer()
def PyModule_SetDocString(guest: Interpreter, module: Object, text: Text) -> Int:
    _module(module).__doc__ = text
    return 0


@answer()
def PyState_FindModule(guest: Interpreter, definition: Pointer) -> Borrowed:
    known = guest.definition
    return guest.module if isinstance(known, ModuleDefinition) and known.address == definition else None


@answer()
def PyUnstable_Module_SetGIL(guest: Interpreter, module: Object, gil: Pointer) -> Int:
    return 0


@answer()
def PyABIInfo_Check(guest: Interpreter, info: Pointer, name: Text) -> Int:
    return 0


def _module(made: GuestObject) -> types.ModuleType:
    if not isinstance(made.value, types.ModuleType):
        raise fault("bad-api-use", f"{made} is given as a module")
    return made.value


def _add(guest: Interpreter, module: GuestObject, name: str, value: GuestObject | None) -> None:
    if value is None:
        raise guest.errors.take() or SystemError("PyModule_AddObjectRef() must be called with an exception raised")
    setattr(_module(module), name, guest.objects.value(value))
    guest.objects.child(module, guest.objects.value(value))
