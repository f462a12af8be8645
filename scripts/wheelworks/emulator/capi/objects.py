"""Reference counts, types, and what every object can do."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from wheelworks.emulator.calling import Arguments
from wheelworks.emulator.capi.table import (
    Int,
    NewReference,
    Object,
    OptionalObject,
    Pointer,
    Ssize,
    Text,
    UInt,
    ULong,
    Value,
    Variadic,
    answer,
)
from wheelworks.emulator.findings import CannotRun, fault
from wheelworks.emulator.objects import GuestObject

if TYPE_CHECKING:
    from wheelworks.emulator.interpreter import Interpreter

COMPARISONS = (operator.lt, operator.le, operator.eq, operator.ne, operator.gt, operator.ge)
CONSTANTS = (None, False, True, ..., NotImplemented, 0, 1, "", b"", ())


@answer("_Py_IncRef")
def Py_IncRef(guest: Interpreter, value: OptionalObject) -> None:
    if value is not None:
        guest.objects.add_reference(value)


@answer("_Py_DecRef")
def Py_DecRef(guest: Interpreter, value: OptionalObject) -> None:
    if value is not None:
        guest.objects.remove_reference(value)


@answer("Py_XNewRef")
def Py_NewRef(guest: Interpreter, value: OptionalObject) -> Pointer:
    return 0 if value is None else guest.objects.add_reference(value)


@answer("_Py_MergeZeroLocalRefcount")
def _Py_Dealloc(guest: Interpreter, value: Object) -> None:
    """Called by an inlined Py_DECREF that has counted down to zero."""
    if guest.objects.count(value) <= 0:
        guest.objects.deallocate(value)


@answer()
def _Py_DecRefShared(guest: Interpreter, value: Object) -> None:
    guest.objects.remove_reference(value)


@answer()
def Py_REFCNT(guest: Interpreter, value: Object) -> Ssize:
    return guest.objects.count(value)


@answer()
def Py_TYPE(guest: Interpreter, value: Object) -> Pointer:
    return guest.objects.type_object(guest.objects.type_of(value)).address


@answer()
def Py_SIZE(guest: Interpreter, value: Object) -> Ssize:
    return value.length


@answer()
def Py_IS_TYPE(guest: Interpreter, value: Object, kind: Value) -> Int:
    return int(guest.objects.type_of(value) is kind)


@answer()
def Py_Is(guest: Interpreter, left: Pointer, right: Pointer) -> Int:
    return int(left == right)


@answer()
def Py_GetConstant(guest: Interpreter, index: UInt) -> NewReference:
    return _constant(index)


@answer()
def Py_GetConstantBorrowed(guest: Interpreter, index: UInt) -> Pointer:
    made = guest.objects.of(_constant(index))
    if not made.held and not made.permanent:
        guest.objects.hold(made)
        made.permanent = True
        guest.objects.live.pop(made, None)
    return made.address


@answer()
def PyType_GetFlags(guest: Interpreter, kind: Value) -> ULong:
    return int(kind.__flags__) & 0xFFFFFFFF


@answer()
def PyType_IsSubtype(guest: Interpreter, kind: Value, base: Value) -> Int:
    return int(base in kind.__mro__)


@answer()
def PyType_GetName(guest: Interpreter, kind: Value) -> NewReference:
    return kind.__name__


@answer()
def PyType_GetQualName(guest: Interpreter, kind: Value) -> NewReference:
    return kind.__qualname__


@answer()
def PyType_GetModuleName(guest: Interpreter, kind: Value) -> NewReference:
    return kind.__module__


@answer()
def PyType_GetFullyQualifiedName(guest: Interpreter, kind: Value) -> NewReference:
    plain = kind.__module__ in ("builtins", "__main__")
    return kind.__qualname__ if plain else f"{kind.__module__}.{kind.__qualname__}"


@answer()
def PyObject_Type(guest: Interpreter, value: Object) -> NewReference:
    return guest.objects.type_of(value)


@answer()
def PyObject_IsTrue(guest: Interpreter, value: Value) -> Int:
    return int(bool(value))


@answer()
def PyObject_Not(guest: Interpreter, value: Value) -> Int:
    return int(not value)


@answer()
def PyObject_IsInstance(guest: Interpreter, value: Value, kind: Value) -> Int:
    return int(isinstance(value, kind))


@answer()
def PyObject_RichCompare(guest: Interpreter, left: Value, right: Value, operation: Int) -> NewReference:
    return COMPARISONS[operation](left, right)


@answer()
def PyObject_RichCompareBool(guest: Interpreter, left: Value, right: Value, operation: Int) -> Int:
    same = left is right and operation in (2, 3)
    return int(operation == 2 if same else bool(COMPARISONS[operation](left, right)))


@answer()
def PyObject_Str(guest: Interpreter, value: Value) -> NewReference:
    return str(value)


@answer()
def PyObject_Repr(guest: Interpreter, value: Value) -> NewReference:
    return repr(value)


@answer()
def PyObject_Bytes(guest: Interpreter, value: Value) -> NewReference:
    return bytes(value)


@answer()
def PyObject_Hash(guest: Interpreter, value: Value) -> Ssize:
    return hash(value)


@answer()
def PyObject_GetAttr(guest: Interpreter, value: Value, name: Value) -> NewReference:
    return getattr(value, name)


@answer()
def PyObject_GetAttrString(guest: Interpreter, value: Value, name: Text) -> NewReference:
    return getattr(value, name)


@answer()
def PyObject_SetAttr(guest: Interpreter, value: Value, name: Value, item: Value) -> Int:
    setattr(value, name, item)
    return 0


@answer()
def PyObject_SetAttrString(guest: Interpreter, value: Value, name: Text, item: Value) -> Int:
    setattr(value, name, item)
    return 0


@answer()
def PyObject_HasAttrString(guest: Interpreter, value: Value, name: Text) -> Int:
    return int(hasattr(value, name))


@answer()
def PyObject_GetItem(guest: Interpreter, value: Value, key: Value) -> NewReference:
    return value[key]


@answer()
def PyObject_SetItem(guest: Interpreter, value: Value, key: Value, item: Value) -> Int:
    value[key] = item
    return 0


@answer()
def PyObject_DelItem(guest: Interpreter, value: Value, key: Value) -> Int:
    del value[key]
    return 0


@answer()
def PyObject_GetIter(guest: Interpreter, value: Value) -> NewReference:
    return iter(value)


@answer()
def PyIter_Next(guest: Interpreter, value: Value) -> Pointer:
    """NULL without an exception is the end."""
    for item in value:
        return guest.objects.add_reference(guest.objects.of(item))
    return 0


@answer()
def PyCallable_Check(guest: Interpreter, value: Value) -> Int:
    return int(callable(value))


@answer()
def PyObject_CallNoArgs(guest: Interpreter, function: Value) -> NewReference:
    return function()


@answer()
def PyObject_CallOneArg(guest: Interpreter, function: Value, argument: Value) -> NewReference:
    return function(argument)


@answer()
def PyObject_Call(guest: Interpreter, function: Value, args: Value, kwargs: OptionalObject) -> NewReference:
    named: Any = {} if kwargs is None else guest.objects.value(kwargs)
    return function(*args, **named)


@answer()
def PyObject_CallObject(guest: Interpreter, function: Value, args: OptionalObject) -> NewReference:
    given: Any = () if args is None else guest.objects.value(args)
    return function(*given)


@answer()
def PyObject_CallFunctionObjArgs(guest: Interpreter, function: Value, rest: Variadic) -> NewReference:
    return function(*_until_null(guest, rest))


@answer()
def PyObject_CallMethodObjArgs(guest: Interpreter, value: Value, name: Value, rest: Variadic) -> NewReference:
    return getattr(value, name)(*_until_null(guest, rest))


@answer()
def PyObject_Vectorcall(
    guest: Interpreter, function: Value, arguments: Pointer, count: Pointer, names: OptionalObject
) -> NewReference:
    args, named = _vector(guest, arguments, count, names)
    return function(*args, **named)


@answer()
def PyObject_VectorcallMethod(
    guest: Interpreter, name: Value, arguments: Pointer, count: Pointer, names: OptionalObject
) -> NewReference:
    args, named = _vector(guest, arguments, count, names)
    return getattr(args[0], name)(*args[1:], **named)


@answer()
def PyVectorcall_NARGS(guest: Interpreter, count: Pointer) -> Ssize:
    return count & ~(1 << 8 * guest.abi.pointer - 1)


@answer()
def PyMemoryView_FromObject(guest: Interpreter, value: Value) -> NewReference:
    return memoryview(value)


@answer()
def PyImport_ImportModule(guest: Interpreter, name: Text) -> NewReference:
    raise CannotRun(f"it imports the module {name}: only the extension itself is here")


def _vector(
    guest: Interpreter, arguments: int, count: int, names: GuestObject | None
) -> tuple[list[Any], dict[str, Any]]:
    positional = count & ~(1 << 8 * guest.abi.pointer - 1)
    keywords: Any = () if names is None else guest.objects.value(names)
    word = guest.abi.pointer
    addresses = [guest.memory.pointer(arguments + i * word) for i in range(positional + len(keywords))]
    values = [guest.objects.value(guest.objects.at(address)) for address in addresses]
    return values[:positional], dict(zip(keywords, values[positional:], strict=True))


def _until_null(guest: Interpreter, rest: Arguments) -> list[object]:
    values = []
    while address := rest.unsigned(guest.abi.pointer):
        values.append(guest.objects.value(guest.objects.at(address)))
    return values


def _constant(index: int) -> object:
    if index >= len(CONSTANTS):
        raise fault("bad-api-use", f"Py_GetConstant has no constant {index}")
    return CONSTANTS[index]
