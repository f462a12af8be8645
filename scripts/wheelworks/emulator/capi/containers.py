"""Tuples, lists, dicts and sets, and the sequence and mapping protocols."""

from __future__ import annotations

import operator
from typing import Any

from wheelworks.emulator import exports as c
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


c.export_operations(
    (c.Value, c.Ssize, c.Ssize),
    c.NewReference,
    PyTuple_GetSlice=lambda value, a, b: _get_tuple(value)[max(a, 0) : max(b, 0)],
)


@c.export()
def PyTuple_New(state: ProcessState, size: c.Ssize) -> c.NewReference:
    state.memory.check_limit(size * state.abi.pointer)
    return state.objects.create_tuple(size) if size else ()


@c.export()
def PyTuple_Pack(state: ProcessState, size: c.Ssize, rest: c.Variadic) -> c.NewReference:
    items = [state.objects.find(rest.unsigned(state.abi.pointer)) for _ in range(size)]
    return tuple(state.objects.unwrap(item) for item in items)


@c.export()
def PyTuple_Size(state: ProcessState, value: c.Object) -> c.Ssize:
    return value.length if value.value is Unfinished.TUPLE else len(_get_tuple(value.value))


@c.export()
def PyTuple_GetItem(state: ProcessState, value: c.Object, index: c.Ssize) -> c.Borrowed:
    if value.value is Unfinished.TUPLE:
        return value.items[index] if 0 <= index < value.length else _raise_index_error("tuple")
    items = _get_tuple(value.value)
    return state.objects.borrow(value, items[index]) if 0 <= index < len(items) else _raise_index_error("tuple")


@c.export()
def PyTuple_SetItem(state: ProcessState, value: c.Object, index: c.Ssize, item: c.OptionalObject) -> c.Int:
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


c.export_operations((c.Object,), c.Ssize, PyList_Size=lambda made: len(_get_list(made)))
c.export_operations((c.Object,), c.Int, PyList_Reverse=lambda made: _get_list(made).reverse())
c.export_operations((c.Object,), c.NewReference, PyList_AsTuple=lambda made: tuple(_get_list(made)))
c.export_operations(
    (c.Object, c.Ssize, c.Ssize),
    c.NewReference,
    PyList_GetSlice=lambda made, a, b: _get_list(made)[max(a, 0) : max(b, 0)],
)


@c.export()
def PyList_New(state: ProcessState, size: c.Ssize) -> c.NewReference:
    """Create a list whose items are NULL. It must not be used as a list before they are set."""
    state.memory.check_limit(size * state.abi.pointer)
    made = state.objects.wrap([None] * size)
    made.unset = set(range(size))
    return made


@c.export()
def PyList_GetItem(state: ProcessState, value: c.Object, index: c.Ssize) -> c.Borrowed:
    items = _get_list(value)
    return state.objects.borrow(value, items[index]) if 0 <= index < len(items) else _raise_index_error("list")


@c.export()
def PyList_GetItemRef(state: ProcessState, value: c.Object, index: c.Ssize) -> c.NewReference:
    items = _get_list(value)
    return items[index] if 0 <= index < len(items) else _raise_index_error("list")


@c.export()
def PyList_SetItem(state: ProcessState, value: c.Object, index: c.Ssize, item: c.Object) -> c.Int:
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


@c.export()
def PyList_SetSlice(state: ProcessState, value: c.Object, low: c.Ssize, high: c.Ssize, items: c.OptionalValue) -> c.Int:
    """Delete the slice if ``items`` is NULL."""
    content = _get_list(value)
    content[max(low, 0) : max(low, high, 0)] = () if items is None else items
    state.objects.set_size(value, len(content))
    state.objects.release_missing(value, iter(content))
    return 0


@c.export()
def PyList_Append(state: ProcessState, value: c.Object, item: c.Object) -> c.Int:
    _get_list(value).append(state.objects.unwrap(item))
    state.objects.set_size(value, len(_get_list(value)))
    _keep_item(state, value, item)
    return 0


@c.export()
def PyList_Insert(state: ProcessState, value: c.Object, index: c.Ssize, item: c.Object) -> c.Int:
    _get_list(value).insert(index, state.objects.unwrap(item))
    _keep_item(state, value, item)
    return 0


# -- dicts


def _get_dict(made: GuestObject) -> dict[object, object]:
    if not isinstance(made.value, dict):
        raise Fault("bad-api-use", f"a function for dicts is given {made}")
    return made.value


c.export_operations((), c.NewReference, PyDict_New=dict)
c.export_operations((c.Object,), c.Ssize, PyDict_Size=lambda made: len(_get_dict(made)))
c.export_operations((c.Object, c.Value), c.Int, PyDict_Contains=lambda made, key: key in _get_dict(made))
c.export_operations((c.Object, c.Value), c.Int, PyDict_Update=lambda made, other: _get_dict(made).update(other))
c.export_operations(
    (c.Object,),
    c.NewReference,
    PyDict_Copy=lambda made: dict(_get_dict(made)),
    PyDict_Items=lambda made: list(_get_dict(made).items()),
    PyDict_Keys=lambda made: list(_get_dict(made)),
    PyDict_Values=lambda made: list(_get_dict(made).values()),
)


@c.export()
def PyDict_GetItem(state: ProcessState, value: c.Object, key: c.Value) -> c.Borrowed:
    """Suppresses every error, as documented."""
    try:
        return PyDict_GetItemWithError(state, value, key)
    except Exception:
        return None


@c.export()
def PyDict_GetItemWithError(state: ProcessState, value: c.Object, key: c.Value) -> c.Borrowed:
    content = _get_dict(value)
    return state.objects.borrow(value, content[key]) if key in content else None


@c.export()
def PyDict_GetItemString(state: ProcessState, value: c.Object, key: c.Text) -> c.Borrowed:
    return PyDict_GetItemWithError(state, value, key)


@c.export()
def PyDict_GetItemRef(state: ProcessState, value: c.Object, key: c.Value, place: c.Pointer) -> c.Int:
    state.memory.store_pointer(place, 0)
    found = PyDict_GetItemWithError(state, value, key)
    if found is None:
        return 0
    state.memory.store_pointer(place, state.objects.add_reference(found))
    return 1


@c.export()
def PyDict_SetItem(state: ProcessState, value: c.Object, key: c.Value, item: c.Object) -> c.Int:
    content = _get_dict(value)
    content[key] = state.objects.unwrap(item)
    state.objects.borrow(value, content[key])
    state.objects.release_missing(value, iter([*content, *content.values()]))
    return 0


@c.export()
def PyDict_SetItemString(state: ProcessState, value: c.Object, key: c.Text, item: c.Object) -> c.Int:
    return PyDict_SetItem(state, value, key, item)


@c.export()
def PyDict_DelItem(state: ProcessState, value: c.Object, key: c.Value) -> c.Int:
    content = _get_dict(value)
    del content[key]
    state.objects.release_missing(value, iter([*content, *content.values()]))
    return 0


@c.export()
def PyDict_DelItemString(state: ProcessState, value: c.Object, key: c.Text) -> c.Int:
    return PyDict_DelItem(state, value, key)


@c.export()
def PyDict_Clear(state: ProcessState, value: c.Object) -> None:
    _get_dict(value).clear()
    state.objects.release_missing(value, iter(()))


@c.export()
def PyDict_Next(state: ProcessState, value: c.Object, position: c.Pointer, key: c.Pointer, item: c.Pointer) -> c.Int:
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

c.export_operations((c.Value,), c.Ssize, PyMapping_Size=len, PyObject_Length=len, PyObject_Size=len)
c.export_operations((c.Value,), c.Ssize, PySequence_Length=len, PySequence_Size=len, PySet_Size=len)
c.export_operations((c.Value,), c.NewReference, PySequence_List=list, PySequence_Tuple=tuple)
c.export_operations((c.Value, c.Ssize), c.NewReference, PySequence_GetItem=operator.getitem)
c.export_operations((c.Value, c.Text), c.NewReference, PyMapping_GetItemString=operator.getitem)
c.export_operations((c.Value, c.Value), c.NewReference, PySequence_Concat=operator.concat)
c.export_operations((c.Value, c.Value), c.Int, PySequence_Contains=operator.contains, PySet_Contains=operator.contains)
c.export_operations((c.Value, c.Value), c.Int, PySet_Add=lambda value, item: value.add(item))
c.export_operations(
    (c.Value,),
    c.Int,
    PyMapping_Check=lambda value: hasattr(type(value), "__getitem__"),
    PySequence_Check=lambda value: hasattr(type(value), "__getitem__") and not isinstance(value, dict),
)


@c.export()
def PySet_New(state: ProcessState, items: c.OptionalObject) -> c.NewReference:
    return set() if items is None else set(state.objects.unwrap(items))  # type: ignore[call-overload]


@c.export()
def PySequence_Fast(state: ProcessState, value: c.Object, message: c.Text) -> c.NewReference:
    content: Any = state.objects.unwrap(value)
    if isinstance(content, (list, tuple)):
        return value
    try:
        return list(content)
    except TypeError:
        raise TypeError(message) from None
