"""Tuples, lists, dicts and sets, and the sequence and mapping protocols."""

from __future__ import annotations

import operator
from typing import Any

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
    export_operations,
)
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.objects import GuestObject, Unfinished
from wheelworks.emulator.state import ProcessState

# -- tuples


def _get_tuple(value: object) -> tuple[object, ...]:
    if not isinstance(value, tuple):
        raise Fault("bad-api-use", f"a function for tuples is given {value!r}")
    return value


def _raise_index_error(kind: str) -> Any:
    raise IndexError(f"{kind} index out of range")


export_operations(
    (Value, Ssize, Ssize), NewReference, PyTuple_GetSlice=lambda value, a, b: _get_tuple(value)[max(a, 0) : max(b, 0)]
)


@export()
def PyTuple_New(state: ProcessState, size: Ssize) -> NewReference:
    state.memory.check_limit(size * state.abi.pointer)
    return state.objects.create_tuple(size) if size else ()


@export()
def PyTuple_Pack(state: ProcessState, size: Ssize, rest: Variadic) -> NewReference:
    items = [state.objects.find(rest.unsigned(state.abi.pointer)) for _ in range(size)]
    return tuple(state.objects.unwrap(item) for item in items)


@export()
def PyTuple_Size(state: ProcessState, value: Object) -> Ssize:
    return value.length if value.value is Unfinished.TUPLE else len(_get_tuple(value.value))


@export()
def PyTuple_GetItem(state: ProcessState, value: Object, index: Ssize) -> Borrowed:
    if value.value is Unfinished.TUPLE:
        return value.items[index] if 0 <= index < value.length else _raise_index_error("tuple")
    items = _get_tuple(value.value)
    return state.objects.borrow(value, items[index]) if 0 <= index < len(items) else _raise_index_error("tuple")


@export()
def PyTuple_SetItem(state: ProcessState, value: Object, index: Ssize, item: OptionalObject) -> Int:
    """Steals the reference, also when it fails."""
    if value.value is not Unfinished.TUPLE or not 0 <= index < value.length:
        state.objects.remove_reference(item)
        if value.length <= index:
            raise IndexError("tuple assignment index out of range")
        raise SystemError("bad argument to internal function: PyTuple_SetItem")
    old = value.items[index]
    value.items[index] = item
    if item is not None:
        item.held += 1
    if old is not None:
        state.objects.drop(old)
    return 0


# -- lists


def _get_list(made: GuestObject) -> list[object]:
    if not isinstance(made.value, list):
        raise Fault("bad-api-use", f"a function for lists is given {made}")
    return made.value


def _keep_item(state: ProcessState, made: GuestObject, item: GuestObject) -> None:
    """Keep a new item of a list alive, and release the items that the list no longer has."""
    state.objects.borrow(made, state.objects.unwrap(item))
    state.objects.release_missing(made, iter(_get_list(made)))


export_operations((Object,), Ssize, PyList_Size=lambda made: len(_get_list(made)))
export_operations((Object,), Int, PyList_Reverse=lambda made: _get_list(made).reverse())
export_operations((Object,), NewReference, PyList_AsTuple=lambda made: tuple(_get_list(made)))
export_operations(
    (Object, Ssize, Ssize), NewReference, PyList_GetSlice=lambda made, a, b: _get_list(made)[max(a, 0) : max(b, 0)]
)


@export()
def PyList_New(state: ProcessState, size: Ssize) -> NewReference:
    """Create a list whose items are NULL. It must not be used as a list before they are set."""
    state.memory.check_limit(size * state.abi.pointer)
    made = state.objects.wrap([None] * size)
    made.unset = set(range(size))
    return made


@export()
def PyList_GetItem(state: ProcessState, value: Object, index: Ssize) -> Borrowed:
    items = _get_list(value)
    return state.objects.borrow(value, items[index]) if 0 <= index < len(items) else _raise_index_error("list")


@export()
def PyList_GetItemRef(state: ProcessState, value: Object, index: Ssize) -> NewReference:
    items = _get_list(value)
    return items[index] if 0 <= index < len(items) else _raise_index_error("list")


@export()
def PyList_SetItem(state: ProcessState, value: Object, index: Ssize, item: Object) -> Int:
    """Steals the reference."""
    items = _get_list(value)
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
    _get_list(value).append(state.objects.unwrap(item))
    _keep_item(state, value, item)
    return 0


@export()
def PyList_Insert(state: ProcessState, value: Object, index: Ssize, item: Object) -> Int:
    _get_list(value).insert(index, state.objects.unwrap(item))
    _keep_item(state, value, item)
    return 0


# -- dicts


def _get_dict(made: GuestObject) -> dict[object, object]:
    if not isinstance(made.value, dict):
        raise Fault("bad-api-use", f"a function for dicts is given {made}")
    return made.value


def _find_item(state: ProcessState, made: GuestObject, key: object) -> GuestObject | None:
    content = _get_dict(made)
    return state.objects.borrow(made, content[key]) if key in content else None


def _set_item(state: ProcessState, made: GuestObject, key: object, item: GuestObject) -> None:
    content = _get_dict(made)
    content[key] = state.objects.unwrap(item)
    state.objects.borrow(made, content[key])
    state.objects.release_missing(made, iter([*content, *content.values()]))


def _delete_item(state: ProcessState, made: GuestObject, key: object) -> None:
    content = _get_dict(made)
    del content[key]
    state.objects.release_missing(made, iter([*content, *content.values()]))


export_operations((), NewReference, PyDict_New=dict)
export_operations((Object,), Ssize, PyDict_Size=lambda made: len(_get_dict(made)))
export_operations((Object, Value), Int, PyDict_Contains=lambda made, key: key in _get_dict(made))
export_operations((Object, Value), Int, PyDict_Update=lambda made, other: _get_dict(made).update(other))
export_operations(
    (Object,),
    NewReference,
    PyDict_Copy=lambda made: dict(_get_dict(made)),
    PyDict_Items=lambda made: list(_get_dict(made).items()),
    PyDict_Keys=lambda made: list(_get_dict(made)),
    PyDict_Values=lambda made: list(_get_dict(made).values()),
)


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
    _delete_item(state, value, key)
    return 0


@export()
def PyDict_DelItemString(state: ProcessState, value: Object, key: Text) -> Int:
    _delete_item(state, value, key)
    return 0


@export()
def PyDict_Clear(state: ProcessState, value: Object) -> None:
    _get_dict(value).clear()
    state.objects.release_missing(value, iter(()))


@export()
def PyDict_Next(state: ProcessState, value: Object, position: Pointer, key: Pointer, item: Pointer) -> Int:
    pack = state.abi.packer("n")
    index = pack.unpack(state.memory.load(position, pack.size))[0]
    pairs = list(_get_dict(value).items())
    if index >= len(pairs):
        return 0
    state.memory.store(position, pack.pack(index + 1))
    for place, found in zip((key, item), pairs[index], strict=True):
        if place:
            state.memory.store_pointer(place, state.objects.borrow(value, found).address)
    return 1


# -- sets, and the sequence and mapping protocols

SIZE_NAMES = (
    "PyMapping_Size",
    "PyObject_Length",
    "PyObject_Size",
    "PySequence_Length",
    "PySequence_Size",
    "PySet_Size",
)

export_operations((Value,), Ssize, **dict.fromkeys(SIZE_NAMES, len))
export_operations((Value,), NewReference, PySequence_List=list, PySequence_Tuple=tuple)
export_operations((Value, Ssize), NewReference, PySequence_GetItem=operator.getitem)
export_operations((Value, Text), NewReference, PyMapping_GetItemString=operator.getitem)
export_operations((Value, Value), NewReference, PySequence_Concat=operator.concat)
export_operations((Value, Value), Int, PySequence_Contains=operator.contains, PySet_Contains=operator.contains)
export_operations((Value, Value), Int, PySet_Add=lambda value, item: value.add(item))
export_operations(
    (Value,),
    Int,
    PyMapping_Check=lambda value: hasattr(type(value), "__getitem__"),
    PySequence_Check=lambda value: hasattr(type(value), "__getitem__") and not isinstance(value, dict),
)


@export()
def PySet_New(state: ProcessState, items: OptionalObject) -> NewReference:
    return set() if items is None else set(state.objects.unwrap(items))  # type: ignore[call-overload]


@export()
def PySequence_Fast(state: ProcessState, value: Object, message: Text) -> NewReference:
    content: Any = state.objects.unwrap(value)
    if isinstance(content, (list, tuple)):
        return value
    try:
        return list(content)
    except TypeError:
        raise TypeError(message) from None
