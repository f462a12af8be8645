"""dict and set, and the sequence and mapping protocols."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from wheelworks.emulator.capi.table import (
    Borrowed,
    Int,
    NewReference,
    Object,
    OptionalObject,
    Pointer,
    Ssize,
    Text,
    Value,
    answer,
)
from wheelworks.emulator.findings import fault
from wheelworks.emulator.objects import GuestObject

if TYPE_CHECKING:
    from wheelworks.emulator.interpreter import Interpreter


@answer()
def PyDict_New(guest: Interpreter) -> NewReference:
    return {}


@answer()
def PyDict_Size(guest: Interpreter, value: Object) -> Ssize:
    return len(_dict(value))


@answer()
def PyDict_GetItem(guest: Interpreter, value: Object, key: Value) -> Borrowed:
    """Suppresses every error, as documented."""
    try:
        return _found(guest, value, key)
    except Exception:
        return None


@answer()
def PyDict_GetItemWithError(guest: Interpreter, value: Object, key: Value) -> Borrowed:
    return _found(guest, value, key)


@answer()
def PyDict_GetItemString(guest: Interpreter, value: Object, key: Text) -> Borrowed:
    return _found(guest, value, key)


@answer()
def PyDict_GetItemRef(guest: Interpreter, value: Object, key: Value, place: Pointer) -> Int:
    guest.memory.store_pointer(place, 0)
    found = _found(guest, value, key)
    if found is None:
        return 0
    guest.memory.store_pointer(place, guest.objects.add_reference(found))
    return 1


@answer()
def PyDict_SetItem(guest: Interpreter, value: Object, key: Object, item: Object) -> Int:
    _set_item(guest, value, guest.objects.value(key), item)
    return 0


@answer()
def PyDict_SetItemString(guest: Interpreter, value: Object, key: Text, item: Object) -> Int:
    _set_item(guest, value, key, item)
    return 0


@answer()
def PyDict_DelItem(guest: Interpreter, value: Object, key: Value) -> Int:
    del _dict(value)[key]
    guest.objects.prune(value, iter([*_dict(value), *_dict(value).values()]))
    return 0


@answer()
def PyDict_DelItemString(guest: Interpreter, value: Object, key: Text) -> Int:
    del _dict(value)[key]
    guest.objects.prune(value, iter([*_dict(value), *_dict(value).values()]))
    return 0


@answer()
def PyDict_Contains(guest: Interpreter, value: Object, key: Value) -> Int:
    return int(key in _dict(value))


@answer()
def PyDict_Keys(guest: Interpreter, value: Object) -> NewReference:
    return list(_dict(value))


@answer()
def PyDict_Values(guest: Interpreter, value: Object) -> NewReference:
    return list(_dict(value).values())


@answer()
def PyDict_Items(guest: Interpreter, value: Object) -> NewReference:
    return list(_dict(value).items())


@answer()
def PyDict_Copy(guest: Interpreter, value: Object) -> NewReference:
    return dict(_dict(value))


@answer()
def PyDict_Clear(guest: Interpreter, value: Object) -> None:
    _dict(value).clear()
    guest.objects.prune(value, iter(()))


@answer()
def PyDict_Update(guest: Interpreter, value: Object, other: Value) -> Int:
    _dict(value).update(other)
    return 0


@answer()
def PyDict_Next(guest: Interpreter, value: Object, position: Pointer, key: Pointer, item: Pointer) -> Int:
    pack = guest.abi.packer("n")
    index = pack.unpack(guest.memory.load(position, pack.size))[0]
    pairs = list(_dict(value).items())
    if index >= len(pairs):
        return 0
    guest.memory.store(position, pack.pack(index + 1))
    for place, found in zip((key, item), pairs[index], strict=True):
        if place:
            guest.memory.store_pointer(place, guest.objects.child(value, found).address)
    return 1


@answer()
def PySet_New(guest: Interpreter, items: OptionalObject) -> NewReference:
    return set() if items is None else set(guest.objects.value(items))  # type: ignore[call-overload]


@answer()
def PySet_Add(guest: Interpreter, value: Object, item: Value) -> Int:
    guest.objects.value(value).add(item)  # type: ignore[attr-defined]
    return 0


@answer()
def PySet_Contains(guest: Interpreter, value: Value, item: Value) -> Int:
    return int(item in value)


@answer("PyMapping_Size", "PyObject_Length", "PyObject_Size", "PySequence_Length", "PySet_Size")
def PySequence_Size(guest: Interpreter, value: Value) -> Ssize:
    return len(value)


@answer()
def PySequence_Check(guest: Interpreter, value: Value) -> Int:
    return int(hasattr(type(value), "__getitem__") and not isinstance(value, dict))


@answer()
def PyMapping_Check(guest: Interpreter, value: Value) -> Int:
    return int(hasattr(type(value), "__getitem__"))


@answer()
def PySequence_GetItem(guest: Interpreter, value: Value, index: Ssize) -> NewReference:
    return value[index]


@answer()
def PySequence_Contains(guest: Interpreter, value: Value, item: Value) -> Int:
    return int(operator.contains(value, item))


@answer()
def PySequence_Concat(guest: Interpreter, left: Value, right: Value) -> NewReference:
    return operator.concat(left, right)


@answer()
def PySequence_Tuple(guest: Interpreter, value: Value) -> NewReference:
    return tuple(value)


@answer()
def PySequence_List(guest: Interpreter, value: Value) -> NewReference:
    return list(value)


@answer()
def PySequence_Fast(guest: Interpreter, value: Object, message: Text) -> NewReference:
    content: Any = guest.objects.value(value)
    if isinstance(content, (list, tuple)):
        return value
    try:
        return list(content)
    except TypeError:
        raise TypeError(message) from None


@answer()
def PyMapping_GetItemString(guest: Interpreter, value: Value, key: Text) -> NewReference:
    return value[key]


def _dict(made: GuestObject) -> dict[object, object]:
    if not isinstance(made.value, dict):
        raise fault("bad-api-use", f"a function for dicts is given {made}")
    return made.value


def _found(guest: Interpreter, made: GuestObject, key: object) -> GuestObject | None:
    content = _dict(made)
    return guest.objects.child(made, content[key]) if key in content else None


def _set_item(guest: Interpreter, made: GuestObject, key: object, item: GuestObject) -> None:
    content = _dict(made)
    content[key] = guest.objects.value(item)
    guest.objects.child(made, content[key])
    guest.objects.prune(made, iter([*content, *content.values()]))
