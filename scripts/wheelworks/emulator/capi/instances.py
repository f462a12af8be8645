"""Instances of the guest's types: allocation, the garbage collector's list, and generic attribute access."""

from __future__ import annotations

from typing import Any

from wheelworks.core.errors import Unsupported
from wheelworks.emulator import exports as c
from wheelworks.emulator.capi.heap_types import find_type
from wheelworks.emulator.capi.runtime import PyMem_Free
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.objects import GuestObject
from wheelworks.emulator.state import ProcessState
from wheelworks.emulator.type_layout import get_flags
from wheelworks.emulator.types import HAVE_GC, Instance, create_instance, free_by_default, free_instance


def check_instance(made: GuestObject) -> Instance:
    """Return an object that must be an instance of one of the guest's types."""
    if not isinstance(made, Instance):
        raise Unsupported(f"it handles the memory of {made}, whose type it didn't define")
    return made


@c.export("_PyObject_NewVar")
def PyType_GenericAlloc(state: ProcessState, kind: c.Value, items: c.Ssize) -> c.NewReference:
    return create_instance(state, kind, items)


@c.export("_PyObject_GC_NewVar")
def _PyObject_GC_New(state: ProcessState, kind: c.Value) -> c.NewReference:
    made = create_instance(state, kind)
    made.tracked = False
    return made


@c.export()
def _PyObject_New(state: ProcessState, kind: c.Value) -> c.NewReference:
    return create_instance(state, kind)


@c.export()
def PyObject_GC_Del(state: ProcessState, address: c.Pointer) -> None:
    free_instance(state, check_instance(state.objects.find(address)), True)


@c.export()
def PyObject_Free(state: ProcessState, address: c.Pointer) -> None:
    if address in state.allocated and not state.objects.knows(address):
        PyMem_Free(state, address)
    elif address:
        free_instance(state, check_instance(state.objects.find(address)), False)


@c.export()
def PyObject_GC_Track(state: ProcessState, made: c.Object) -> None:
    instance = check_instance(made)
    if instance.tracked:
        raise Fault("abort", f"PyObject_GC_Track: {made} is already tracked by the garbage collector")
    instance.tracked = True


@c.export()
def PyObject_GC_UnTrack(state: ProcessState, made: c.Object) -> None:
    check_instance(made).tracked = False


@c.export()
def PyObject_GC_IsTracked(state: ProcessState, made: c.Object) -> c.Int:
    return int(check_instance(made).tracked)


@c.export()
def PyObject_GC_IsFinalized(state: ProcessState, made: c.Object) -> c.Int:
    return int(check_instance(made).finalized)


@c.export()
def PyObject_IS_GC(state: ProcessState, made: c.Object) -> c.Int:
    return int(bool(get_flags(made.find_type()) & HAVE_GC))


@c.export()
def PyObject_ClearWeakRefs(state: ProcessState, made: c.Object) -> None:
    """Does nothing: this program's CPython clears weak references when it frees the host's object."""


@c.export("PyObject_CallFinalizer")
def PyObject_CallFinalizerFromDealloc(state: ProcessState, made: c.Object) -> c.Int:
    """Does nothing: the finalizer ran when this program's CPython freed the host's object, before the deallocator."""
    return 0


@c.export()
def subtype_dealloc(state: ProcessState, made: c.Object) -> None:
    free_by_default(state, check_instance(made))


@c.export()
def PyObject_SelfIter(state: ProcessState, made: c.Object) -> c.NewReference:
    return made


@c.export()
def PyObject_HashNotImplemented(state: ProcessState, value: c.Value) -> c.Ssize:
    raise TypeError(f"unhashable type: '{type(value).__name__}'")


@c.export()
def PyObject_GenericGetAttr(state: ProcessState, value: c.Value, name: c.Value) -> c.NewReference:
    return object.__getattribute__(value, name)


@c.export()
def PyObject_GenericSetAttr(state: ProcessState, value: c.Value, name: c.Value, new: c.OptionalObject) -> c.Int:
    if new is None:
        object.__delattr__(value, name)
    else:
        object.__setattr__(value, name, state.objects.unwrap(new))
    return 0


@c.export()
def PyObject_GenericGetDict(state: ProcessState, value: c.Value, context: c.Pointer) -> c.NewReference:
    return value.__dict__


@c.export()
def PyObject_GetTypeData(state: ProcessState, made: c.Object, kind: c.Object) -> c.Pointer:
    return made.address + find_type(kind).data


@c.export()
def PyType_GetTypeDataSize(state: ProcessState, kind: c.Object) -> c.Ssize:
    found = find_type(kind)
    return max(found.size - found.data, 0)


@c.export()
def PyObject_VisitManagedDict(state: ProcessState, made: c.Object, visit: c.Pointer, argument: c.Pointer) -> c.Int:
    """Does nothing: the collector sees an instance's dict, which is the host's."""
    return 0


@c.export()
def PyObject_ClearManagedDict(state: ProcessState, value: c.Value) -> None:
    content: Any = getattr(value, "__dict__", {})
    content.clear()
