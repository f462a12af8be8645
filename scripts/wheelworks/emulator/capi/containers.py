"""tuple and list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wheelworks.emulator.calling import Arguments
from wheelworks.emulator.capi.table import (
    Borrowed,
    Int,
    NewReference,
    Object,
    OptionalObject,
    Ssize,
    Value,
    Variadic,
    answer,
)
from wheelworks.emulator.findings import fault
from wheelworks.emulator.objects import GuestObject, Unfinished

if TYPE_CHECKING:
    from wheelworks.emulator.interpreter import Interpreter


@answer()
def PyTuple_New(guest: Interpreter, size: Ssize) -> NewReference:
    guest.memory.afford(size * guest.abi.pointer)
    return guest.objects.new_tuple(size) if size else ()


@answer()
def PyTuple_Pack(guest: Interpreter, size: Ssize, rest: Variadic) -> NewReference:
    return tuple(guest.objects.value(_next(guest, rest)) for _ in range(size))


@answer()
def PyTuple_Size(guest: Interpreter, value: Object) -> Ssize:
    return value.length if value.value is Unfinished.TUPLE else len(_tuple(value.value))


@answer()
def PyTuple_GetItem(guest: Interpreter, value: Object, index: Ssize) -> Borrowed:
    if value.value is Unfinished.TUPLE:
        return value.items[index] if 0 <= index < value.length else _no_item("tuple")
    items = _tuple(value.value)
    return guest.objects.child(value, items[index]) if 0 <= index < len(items) else _no_item("tuple")


@answer()
def PyTuple_SetItem(guest: Interpreter, value: Object, index: Ssize, item: OptionalObject) -> Int:
    """Steals the reference, also when it fails."""
    if value.value is not Unfinished.TUPLE or not 0 <= index < value.length:
        if item is not None:
            guest.objects.remove_reference(item)
        raise (
            IndexError("tuple assignment index out of range")
            if value.length <= index
            else SystemError("bad argument to internal function: PyTuple_SetItem")
        )
    old = value.items[index]
    value.items[index] = item
    if item is not None:
        item.held += 1
    if old is not None:
        guest.objects.drop(old)
    return 0


@answer()
def PyTuple_GetSlice(guest: Interpreter, value: Value, start: Ssize, end: Ssize) -> NewReference:
    return _tuple(value)[max(start, 0) : max(end, 0)]


@answer()
def PyList_New(guest: Interpreter, size: Ssize) -> NewReference:
    """Its items are NULL until they are set; the list must not be used as one before."""
    guest.memory.afford(size * guest.abi.pointer)
    made = guest.objects.of([None] * size)
    made.unset = set(range(size))
    return made


@answer()
def PyList_Size(guest: Interpreter, value: Object) -> Ssize:
    return len(_list(value))


@answer()
def PyList_GetItem(guest: Interpreter, value: Object, index: Ssize) -> Borrowed:
    items = _list(value)
    return guest.objects.child(value, items[index]) if 0 <= index < len(items) else _no_item("list")


@answer()
def PyList_GetItemRef(guest: Interpreter, value: Object, index: Ssize) -> NewReference:
    items = _list(value)
    return items[index] if 0 <= index < len(items) else _no_item("list")


@answer()
def PyList_SetItem(guest: Interpreter, value: Object, index: Ssize, item: Object) -> Int:
    """Steals the reference."""
    items = _list(value)
    if not 0 <= index < len(items):
        guest.objects.remove_reference(item)
        raise IndexError("list assignment index out of range")
    items[index] = guest.objects.value(item)
    value.unset.discard(index)
    _changed(guest, value, item)
    guest.objects.remove_reference(item)
    return 0


@answer()
def PyList_Append(guest: Interpreter, value: Object, item: Object) -> Int:
    _list(value).append(guest.objects.value(item))
    _changed(guest, value, item)
    return 0


@answer()
def PyList_Insert(guest: Interpreter, value: Object, index: Ssize, item: Object) -> Int:
    _list(value).insert(index, guest.objects.value(item))
    _changed(guest, value, item)
    return 0


@answer()
def PyList_AsTuple(guest: Interpreter, value: Object) -> NewReference:
    return tuple(_list(value))


@answer()
def PyList_GetSlice(guest: Interpreter, value: Object, start: Ssize, end: Ssize) -> NewReference:
    return _list(value)[max(start, 0) : max(end, 0)]


@answer()
def PyList_Reverse(guest: Interpreter, value: Object) -> Int:
    _list(value).reverse()
    return 0


def _next(guest: Interpreter, rest: Arguments) -> GuestObject:
    return guest.objects.at(rest.unsigned(guest.abi.pointer))


def _no_item(kind: str) -> Any:
    raise IndexError(f"{kind} index out of range")


def _tuple(value: object) -> tuple[object, ...]:
    if not isinstance(value, tuple):
        raise fault("bad-api-use", f"a function for tuples is given {value!r}")
    return value


def _list(made: GuestObject) -> list[object]:
    if not isinstance(made.value, list):
        raise fault("bad-api-use", f"a function for lists is given {made}")
    return made.value


def _changed(guest: Interpreter, made: GuestObject, item: GuestObject) -> None:
    """A list got an item: it keeps it alive, and lets go of what it no longer has."""
    guest.objects.child(made, guest.objects.value(item))
    guest.objects.prune(made, iter(_list(made)))
