"""tuple and list."""

from __future__ import annotations

import operator
from typing import Any

from wheelworks.emulator.calling import ArgumentReader
from wheelworks.emulator.exports import (
    Borrowed,
    Int,
    NewReference,
    Object,
    OptionalObject,
    Pointer,
    Ssize,
    Text,
    Value,
    Variadic,
    export,
)
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.objects import GuestObject, Unfinished
from wheelworks.emulator.state import ProcessState


@export()
def PyTuple_New(state: ProcessState, size: Ssize) -> NewReference:
    state.memory.check_limit(size * state.abi.pointer)
    return state.objects.new_tuple(size) if size else ()


@export()
def PyTuple_Pack(state: ProcessState, size: Ssize, rest: Variadic) -> NewReference:
    return tuple(state.objects.unwrap(_next_object(state, rest)) for _ in range(size))


@export()
def PyTuple_Size(state: ProcessState, value: Object) -> Ssize:
    return value.length if value.value is Unfinished.TUPLE else len(_tuple(value.value))


@export()
def PyTuple_GetItem(state: ProcessState, value: Object, index: Ssize) -> Borrowed:
    if value.value is Unfinished.TUPLE:
        return value.items[index] if 0 <= index < value.length else _no_item("tuple")
    items = _tuple(value.value)
    return state.objects.borrow(value, items[index]) if 0 <= index < len(items) else _no_item("tuple")


@export()
def PyTuple_SetItem(state: ProcessState, value: Object, index: Ssize, item: OptionalObject) -> Int:
    """Steals the reference, also when it fails."""
    if value.value is not Unfinished.TUPLE or not 0 <= index < value.length:
        if item is not None:
            state.objects.remove_reference(item)
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
        state.objects.drop(old)
    return 0


@export()
def PyTuple_GetSlice(state: ProcessState, value: Value, start: Ssize, end: Ssize) -> NewReference:
    return _tuple(value)[max(start, 0) : max(end, 0)]


@export()
def PyList_New(state: ProcessState, size: Ssize) -> NewReference:
    """Its items are NULL until they are set; the list must not be used as one before."""
    state.memory.check_limit(size * state.abi.pointer)
    made = state.objects.wrap([None] * size)
    made.unset = set(range(size))
    return made


@export()
def PyList_Size(state: ProcessState, value: Object) -> Ssize:
    return len(_list(value))


@export()
def PyList_GetItem(state: ProcessState, value: Object, index: Ssize) -> Borrowed:
    items = _list(value)
    return state.objects.borrow(value, items[index]) if 0 <= index < len(items) else _no_item("list")


@export()
def PyList_GetItemRef(state: ProcessState, value: Object, index: Ssize) -> NewReference:
    items = _list(value)
    return items[index] if 0 <= index < len(items) else _no_item("list")


@export()
def PyList_SetItem(state: ProcessState, value: Object, index: Ssize, item: Object) -> Int:
    """Steals the reference."""
    items = _list(value)
    if not 0 <= index < len(items):
        state.objects.remove_reference(item)
        raise IndexError("list assignment index out of range")
    items[index] = state.objects.unwrap(item)
    value.unset.discard(index)
    _keep_item(state, value, item)
    state.objects.remove_reference(item)
    return 0


@export()
def PyList_Append(state: ProcessState, value: Object, item: Object) -> Int:
    _list(value).append(state.objects.unwrap(item))
    _keep_item(state, value, item)
    return 0


@export()
def PyList_Insert(state: ProcessState, value: Object, index: Ssize, item: Object) -> Int:
    _list(value).insert(index, state.objects.unwrap(item))
    _keep_item(state, value, item)
    return 0


@export()
def PyList_AsTuple(state: ProcessState, value: Object) -> NewReference:
    return tuple(_list(value))


@export()
def PyList_GetSlice(state: ProcessState, value: Object, start: Ssize, end: Ssize) -> NewReference:
    return _list(value)[max(start, 0) : max(end, 0)]


@export()
def PyList_Reverse(state: ProcessState, value: Object) -> Int:
    _list(value).reverse()
    return 0


def _next_object(state: ProcessState, rest: ArgumentReader) -> GuestObject:
    return state.objects.find(rest.unsigned(state.abi.pointer))


def _no_item(kind: str) -> Any:
    raise IndexError(f"{kind} index out of range")


def _tuple(value: object) -> tuple[object, ...]:
    if not isinstance(value, tuple):
        raise Fault("bad-api-use", f"a function for tuples is given {value!r}")
    return value


def _list(made: GuestObject) -> list[object]:
    if not isinstance(made.value, list):
        raise Fault("bad-api-use", f"a function for lists is given {made}")
    return made.value


def _keep_item(state: ProcessState, made: GuestObject, item: GuestObject) -> None:
    """A list got an item: it keeps it alive, and lets go of what it no longer has."""
    state.objects.borrow(made, state.objects.unwrap(item))
    state.objects.release_missing(made, iter(_list(made)))


@export()
def PyDict_New(state: ProcessState) -> NewReference:
    return {}


@export()
def PyDict_Size(state: ProcessState, value: Object) -> Ssize:
    return len(_dict(value))


@export()
def PyDict_GetItem(state: ProcessState, value: Object, key: Value) -> Borrowed:
    """Suppresses every error, as documented."""
    try:
        return _find_item(state, value, key)
    except Exception:
        return None


@export()
def PyDict_GetItemWithError(state: ProcessState, value: Object, key: Value) -> Borrowed:
    return _find_item(state, value, key)


@export()
def PyDict_GetItemString(state: ProcessState, value: Object, key: Text) -> Borrowed:
    return _find_item(state, value, key)


@export()
def PyDict_GetItemRef(state: ProcessState, value: Object, key: Value, place: Pointer) -> Int:
    state.memory.store_pointer(place, 0)
    found = _find_item(state, value, key)
    if found is None:
        return 0
    state.memory.store_pointer(place, state.objects.add_reference(found))
    return 1


@export()
def PyDict_SetItem(state: ProcessState, value: Object, key: Object, item: Object) -> Int:
    _set_item(state, value, state.objects.unwrap(key), item)
    return 0


@export()
def PyDict_SetItemString(state: ProcessState, value: Object, key: Text, item: Object) -> Int:
    _set_item(state, value, key, item)
    return 0


@export()
def PyDict_DelItem(state: ProcessState, value: Object, key: Value) -> Int:
    del _dict(value)[key]
    state.objects.release_missing(value, iter([*_dict(value), *_dict(value).values()]))
    return 0


@export()
def PyDict_DelItemString(state: ProcessState, value: Object, key: Text) -> Int:
    del _dict(value)[key]
    state.objects.release_missing(value, iter([*_dict(value), *_dict(value).values()]))
    return 0


@export()
def PyDict_Contains(state: ProcessState, value: Object, key: Value) -> Int:
    return int(key in _dict(value))


@export()
def PyDict_Keys(state: ProcessState, value: Object) -> NewReference:
    return list(_dict(value))


@export()
def PyDict_Values(state: ProcessState, value: Object) -> NewReference:
    return list(_dict(value).values())


@export()
def PyDict_Items(state: ProcessState, value: Object) -> NewReference:
    return list(_dict(value).items())


@export()
def PyDict_Copy(state: ProcessState, value: Object) -> NewReference:
    return dict(_dict(value))


@export()
def PyDict_Clear(state: ProcessState, value: Object) -> None:
    _dict(value).clear()
    state.objects.release_missing(value, iter(()))


@export()
def PyDict_Update(state: ProcessState, value: Object, other: Value) -> Int:
    _dict(value).update(other)
    return 0


@export()
def PyDict_Next(state: ProcessState, value: Object, position: Pointer, key: Pointer, item: Pointer) -> Int:
    pack = state.abi.packer("n")
    index = pack.unpack(state.memory.load(position, pack.size))[0]
    pairs = list(_dict(value).items())
    if index >= len(pairs):
        return 0
    state.memory.store(position, pack.pack(index + 1))
    for place, found in zip((key, item), pairs[index], strict=True):
        if place:
            state.memory.store_pointer(place, state.objects.borrow(value, found).address)
    return 1


@export()
def PySet_New(state: ProcessState, items: OptionalObject) -> NewReference:
    return set() if items is None else set(state.objects.unwrap(items))  # type: ignore[call-overload]


@export()
def PySet_Add(state: ProcessState, value: Object, item: Value) -> Int:
    state.objects.unwrap(value).add(item)  # type: ignore[attr-defined]
    return 0


@export()
def PySet_Contains(state: ProcessState, value: Value, item: Value) -> Int:
    return int(item in value)


@export("PyMapping_Size", "PyObject_Length", "PyObject_Size", "PySequence_Length", "PySet_Size")
def PySequence_Size(state: ProcessState, value: Value) -> Ssize:
    return len(value)


@export()
def PySequence_Check(state: ProcessState, value: Value) -> Int:
    return int(hasattr(type(value), "__getitem__") and not isinstance(value, dict))


@export()
def PyMapping_Check(state: ProcessState, value: Value) -> Int:
    return int(hasattr(type(value), "__getitem__"))


@export()
def PySequence_GetItem(state: ProcessState, value: Value, index: Ssize) -> NewReference:
    return value[index]


@export()
def PySequence_Contains(state: ProcessState, value: Value, item: Value) -> Int:
    return int(operator.contains(value, item))


@export()
def PySequence_Concat(state: ProcessState, left: Value, right: Value) -> NewReference:
    return operator.concat(left, right)


@export()
def PySequence_Tuple(state: ProcessState, value: Value) -> NewReference:
    return tuple(value)


@export()
def PySequence_List(state: ProcessState, value: Value) -> NewReference:
    return list(value)


@export()
def PySequence_Fast(state: ProcessState, value: Object, message: Text) -> NewReference:
    content: Any = state.objects.unwrap(value)
    if isinstance(content, (list, tuple)):
        return value
    try:
        return list(content)
    except TypeError:
        raise TypeError(message) from None


@export()
def PyMapping_GetItemString(state: ProcessState, value: Value, key: Text) -> NewReference:
    return value[key]


def _dict(made: GuestObject) -> dict[object, object]:
    if not isinstance(made.value, dict):
        raise Fault("bad-api-use", f"a function for dicts is given {made}")
    return made.value


def _find_item(state: ProcessState, made: GuestObject, key: object) -> GuestObject | None:
    content = _dict(made)
    return state.objects.borrow(made, content[key]) if key in content else None


def _set_item(state: ProcessState, made: GuestObject, key: object, item: GuestObject) -> None:
    content = _dict(made)
    content[key] = state.objects.unwrap(item)
    state.objects.borrow(made, content[key])
    state.objects.release_missing(made, iter([*content, *content.values()]))
