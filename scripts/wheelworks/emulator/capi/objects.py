"""int, float, bool and the number protocol."""

from __future__ import annotations

import operator
from typing import Any

from wheelworks.emulator.calling import ArgumentReader
from wheelworks.emulator.exports import (
    Double,
    Int,
    Long,
    LongLong,
    NewReference,
    Object,
    OptionalObject,
    Pointer,
    Size,
    Ssize,
    Text,
    UInt,
    ULong,
    ULongLong,
    Value,
    Variadic,
    export,
)
from wheelworks.emulator.faults import Fault, Unsupported
from wheelworks.emulator.objects import GuestObject
from wheelworks.emulator.state import ProcessState


@export()
def PyLong_FromLong(state: ProcessState, number: Long) -> NewReference:
    return number


@export()
def PyLong_FromUnsignedLong(state: ProcessState, number: ULong) -> NewReference:
    return number


@export("PyLong_FromInt64")
def PyLong_FromLongLong(state: ProcessState, number: LongLong) -> NewReference:
    return number


@export("PyLong_FromUInt64")
def PyLong_FromUnsignedLongLong(state: ProcessState, number: ULongLong) -> NewReference:
    return number


@export()
def PyLong_FromInt32(state: ProcessState, number: Int) -> NewReference:
    return number


@export()
def PyLong_FromSsize_t(state: ProcessState, number: Ssize) -> NewReference:
    return number


@export()
def PyLong_FromSize_t(state: ProcessState, number: Size) -> NewReference:
    return number


@export()
def PyLong_FromDouble(state: ProcessState, number: Double) -> NewReference:
    return int(number)


@export()
def PyLong_AsLong(state: ProcessState, value: Value) -> Long:
    return _fitting(operator.index(value), 8 * state.abi.long, "Python int too large to convert to C long")


@export()
def PyLong_AsInt(state: ProcessState, value: Value) -> Int:
    return _fitting(operator.index(value), 32, "Python int too large to convert to C int")


@export()
def PyLong_AsLongLong(state: ProcessState, value: Value) -> LongLong:
    return _fitting(operator.index(value), 64, "int too big to convert")


@export()
def PyLong_AsSsize_t(state: ProcessState, value: Value) -> Ssize:
    return _fitting(_int(value), 8 * state.abi.pointer, "Python int too large to convert to C ssize_t")


@export()
def PyLong_AsSize_t(state: ProcessState, value: Value) -> Size:
    return _unsigned(_int(value), 8 * state.abi.pointer, "Python int too large to convert to C size_t")


@export()
def PyLong_AsUnsignedLong(state: ProcessState, value: Value) -> ULong:
    return _unsigned(_int(value), 8 * state.abi.long, "Python int too large to convert to C unsigned long")


@export()
def PyLong_AsUnsignedLongLong(state: ProcessState, value: Value) -> ULongLong:
    return _unsigned(_int(value), 64, "int too big to convert")


@export()
def PyLong_AsUnsignedLongMask(state: ProcessState, value: Value) -> ULong:
    return operator.index(value) & ((1 << 8 * state.abi.long) - 1)


@export()
def PyLong_AsUnsignedLongLongMask(state: ProcessState, value: Value) -> ULongLong:
    return operator.index(value) & (2**64 - 1)


@export()
def PyLong_AsLongAndOverflow(state: ProcessState, value: Value, overflow: Pointer) -> Long:
    return _with_overflow(state, operator.index(value), 8 * state.abi.long, overflow)


@export()
def PyLong_AsLongLongAndOverflow(state: ProcessState, value: Value, overflow: Pointer) -> LongLong:
    return _with_overflow(state, operator.index(value), 64, overflow)


@export()
def PyLong_AsDouble(state: ProcessState, value: Value) -> Double:
    return float(_int(value))


@export()
def PyLong_FromString(state: ProcessState, text: Pointer, end: Pointer, base: Int) -> NewReference:
    content = state.memory.load_string(text)
    number = int(content, base)
    if end:
        state.memory.store_pointer(end, text + len(content))
    return number


@export()
def PyFloat_FromDouble(state: ProcessState, number: Double) -> NewReference:
    return number


@export()
def PyFloat_AsDouble(state: ProcessState, value: Value) -> Double:
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError(f"must be real number, not {type(value).__name__}")
    return float(value)


@export()
def PyBool_FromLong(state: ProcessState, number: Long) -> NewReference:
    return bool(number)


@export()
def PyNumber_AsSsize_t(state: ProcessState, value: Value, error: OptionalObject) -> Ssize:
    """Without an exception to raise, what doesn't fit becomes the nearest number that does."""
    number = operator.index(value)
    limit = 1 << 8 * state.abi.pointer - 1
    if error is None or -limit <= number < limit:
        return max(-limit, min(number, limit - 1))
    kind: Any = error.value
    raise kind(f"cannot fit '{type(value).__name__}' into an index-sized integer")


@export()
def PyNumber_Check(state: ProcessState, value: Value) -> Int:
    return int(any(hasattr(value, name) for name in ("__index__", "__int__", "__float__")))


@export()
def PyNumber_Index(state: ProcessState, value: Value) -> NewReference:
    return operator.index(value)


@export()
def PyNumber_Long(state: ProcessState, value: Value) -> NewReference:
    return int(value)


@export()
def PyNumber_Float(state: ProcessState, value: Value) -> NewReference:
    return float(value)


@export()
def PyNumber_Add(state: ProcessState, left: Value, right: Value) -> NewReference:
    return left + right


@export()
def PyNumber_Subtract(state: ProcessState, left: Value, right: Value) -> NewReference:
    return left - right


@export()
def PyNumber_Multiply(state: ProcessState, left: Value, right: Value) -> NewReference:
    return left * right


@export()
def PyNumber_Xor(state: ProcessState, left: Value, right: Value) -> NewReference:
    return left ^ right


@export()
def PyNumber_And(state: ProcessState, left: Value, right: Value) -> NewReference:
    return left & right


@export()
def PyNumber_Or(state: ProcessState, left: Value, right: Value) -> NewReference:
    return left | right


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("an integer is required")
    return value


def _fitting(number: int, bits: int, message: str) -> int:
    if -(1 << bits - 1) <= number < 1 << bits - 1:
        return number
    raise OverflowError(message)


def _unsigned(number: int, bits: int, message: str) -> int:
    if number < 0:
        raise OverflowError("can't convert negative value to unsigned int")
    if number >> bits:
        raise OverflowError(message)
    return number


def _with_overflow(state: ProcessState, number: int, bits: int, place: int) -> int:
    over = (number >= 1 << bits - 1) - (number < -(1 << bits - 1))
    state.memory.store(place, state.abi.packer("i").pack(over))
    return -1 if over else number


COMPARISONS = (operator.lt, operator.le, operator.eq, operator.ne, operator.gt, operator.ge)
CONSTANTS = (None, False, True, ..., NotImplemented, 0, 1, "", b"", ())


@export("_Py_IncRef")
def Py_IncRef(state: ProcessState, value: OptionalObject) -> None:
    if value is not None:
        state.objects.add_reference(value)


@export("_Py_DecRef")
def Py_DecRef(state: ProcessState, value: OptionalObject) -> None:
    if value is not None:
        state.objects.remove_reference(value)


@export("Py_XNewRef")
def Py_NewRef(state: ProcessState, value: OptionalObject) -> Pointer:
    return 0 if value is None else state.objects.add_reference(value)


@export("_Py_MergeZeroLocalRefcount")
def _Py_Dealloc(state: ProcessState, value: Object) -> None:
    """Called by an inlined Py_DECREF that has counted down to zero."""
    if state.objects.get_refcount(value) <= 0:
        state.objects.deallocate(value)


@export()
def _Py_DecRefShared(state: ProcessState, value: Object) -> None:
    state.objects.remove_reference(value)


@export()
def Py_REFCNT(state: ProcessState, value: Object) -> Ssize:
    return state.objects.get_refcount(value)


@export()
def Py_TYPE(state: ProcessState, value: Object) -> Pointer:
    return state.objects.wrap(state.objects.get_type(value)).address


@export()
def Py_SIZE(state: ProcessState, value: Object) -> Ssize:
    return value.length


@export()
def Py_IS_TYPE(state: ProcessState, value: Object, kind: Value) -> Int:
    return int(state.objects.get_type(value) is kind)


@export()
def Py_Is(state: ProcessState, left: Pointer, right: Pointer) -> Int:
    return int(left == right)


@export()
def Py_GetConstant(state: ProcessState, index: UInt) -> NewReference:
    return _constant(index)


@export()
def Py_GetConstantBorrowed(state: ProcessState, index: UInt) -> Pointer:
    made = state.objects.wrap(_constant(index))
    if not made.held and not made.permanent:
        state.objects.hold(made)
        made.permanent = True
        state.objects.live.pop(made, None)
    return made.address


@export()
def PyType_GetFlags(state: ProcessState, kind: Value) -> ULong:
    return int(kind.__flags__) & 0xFFFFFFFF


@export()
def PyType_IsSubtype(state: ProcessState, kind: Value, base: Value) -> Int:
    return int(base in kind.__mro__)


@export()
def PyType_GetName(state: ProcessState, kind: Value) -> NewReference:
    return kind.__name__


@export()
def PyType_GetQualName(state: ProcessState, kind: Value) -> NewReference:
    return kind.__qualname__


@export()
def PyType_GetModuleName(state: ProcessState, kind: Value) -> NewReference:
    return kind.__module__


@export()
def PyType_GetFullyQualifiedName(state: ProcessState, kind: Value) -> NewReference:
    plain = kind.__module__ in ("builtins", "__main__")
    return kind.__qualname__ if plain else f"{kind.__module__}.{kind.__qualname__}"


@export()
def PyObject_Type(state: ProcessState, value: Object) -> NewReference:
    return state.objects.get_type(value)


@export()
def PyObject_IsTrue(state: ProcessState, value: Value) -> Int:
    return int(bool(value))


@export()
def PyObject_Not(state: ProcessState, value: Value) -> Int:
    return int(not value)


@export()
def PyObject_IsInstance(state: ProcessState, value: Value, kind: Value) -> Int:
    return int(isinstance(value, kind))


@export()
def PyObject_RichCompare(state: ProcessState, left: Value, right: Value, operation: Int) -> NewReference:
    return COMPARISONS[operation](left, right)


@export()
def PyObject_RichCompareBool(state: ProcessState, left: Value, right: Value, operation: Int) -> Int:
    same = left is right and operation in (2, 3)
    return int(operation == 2 if same else bool(COMPARISONS[operation](left, right)))


@export()
def PyObject_Str(state: ProcessState, value: Value) -> NewReference:
    return str(value)


@export()
def PyObject_Repr(state: ProcessState, value: Value) -> NewReference:
    return repr(value)


@export()
def PyObject_Bytes(state: ProcessState, value: Value) -> NewReference:
    return bytes(value)


@export()
def PyObject_Hash(state: ProcessState, value: Value) -> Ssize:
    return hash(value)


@export()
def PyObject_GetAttr(state: ProcessState, value: Value, name: Value) -> NewReference:
    return getattr(value, name)


@export()
def PyObject_GetAttrString(state: ProcessState, value: Value, name: Text) -> NewReference:
    return getattr(value, name)


@export()
def PyObject_SetAttr(state: ProcessState, value: Value, name: Value, item: Value) -> Int:
    setattr(value, name, item)
    return 0


@export()
def PyObject_SetAttrString(state: ProcessState, value: Value, name: Text, item: Value) -> Int:
    setattr(value, name, item)
    return 0


@export()
def PyObject_HasAttrString(state: ProcessState, value: Value, name: Text) -> Int:
    return int(hasattr(value, name))


@export()
def PyObject_GetItem(state: ProcessState, value: Value, key: Value) -> NewReference:
    return value[key]


@export()
def PyObject_SetItem(state: ProcessState, value: Value, key: Value, item: Value) -> Int:
    value[key] = item
    return 0


@export()
def PyObject_DelItem(state: ProcessState, value: Value, key: Value) -> Int:
    del value[key]
    return 0


@export()
def PyObject_GetIter(state: ProcessState, value: Value) -> NewReference:
    return iter(value)


@export()
def PyIter_Next(state: ProcessState, value: Value) -> Pointer:
    """NULL without an exception is the end."""
    for item in value:
        return state.objects.add_reference(state.objects.wrap(item))
    return 0


@export()
def PyCallable_Check(state: ProcessState, value: Value) -> Int:
    return int(callable(value))


@export()
def PyObject_CallNoArgs(state: ProcessState, function: Value) -> NewReference:
    return function()


@export()
def PyObject_CallOneArg(state: ProcessState, function: Value, argument: Value) -> NewReference:
    return function(argument)


@export()
def PyObject_Call(state: ProcessState, function: Value, args: Value, kwargs: OptionalObject) -> NewReference:
    named: Any = {} if kwargs is None else state.objects.unwrap(kwargs)
    return function(*args, **named)


@export()
def PyObject_CallObject(state: ProcessState, function: Value, args: OptionalObject) -> NewReference:
    given: Any = () if args is None else state.objects.unwrap(args)
    return function(*given)


@export()
def PyObject_CallFunctionObjArgs(state: ProcessState, function: Value, rest: Variadic) -> NewReference:
    return function(*_until_null(state, rest))


@export()
def PyObject_CallMethodObjArgs(state: ProcessState, value: Value, name: Value, rest: Variadic) -> NewReference:
    return getattr(value, name)(*_until_null(state, rest))


@export()
def PyObject_Vectorcall(
    state: ProcessState, function: Value, arguments: Pointer, count: Pointer, names: OptionalObject
) -> NewReference:
    args, named = _vector(state, arguments, count, names)
    return function(*args, **named)


@export()
def PyObject_VectorcallMethod(
    state: ProcessState, name: Value, arguments: Pointer, count: Pointer, names: OptionalObject
) -> NewReference:
    args, named = _vector(state, arguments, count, names)
    return getattr(args[0], name)(*args[1:], **named)


@export()
def PyVectorcall_NARGS(state: ProcessState, count: Pointer) -> Ssize:
    return count & ~(1 << 8 * state.abi.pointer - 1)


@export()
def PyMemoryView_FromObject(state: ProcessState, value: Value) -> NewReference:
    return memoryview(value)


@export()
def PyImport_ImportModule(state: ProcessState, name: Text) -> NewReference:
    raise Unsupported(f"it imports the module {name}: only the extension itself is here")


def _vector(
    state: ProcessState, arguments: int, count: int, names: GuestObject | None
) -> tuple[list[Any], dict[str, Any]]:
    positional = count & ~(1 << 8 * state.abi.pointer - 1)
    keywords: Any = () if names is None else state.objects.unwrap(names)
    word = state.abi.pointer
    addresses = [state.memory.load_pointer(arguments + i * word) for i in range(positional + len(keywords))]
    values = [state.objects.unwrap(state.objects.find(address)) for address in addresses]
    return values[:positional], dict(zip(keywords, values[positional:], strict=True))


def _until_null(state: ProcessState, rest: ArgumentReader) -> list[object]:
    values = []
    while address := rest.unsigned(state.abi.pointer):
        values.append(state.objects.unwrap(state.objects.find(address)))
    return values


def _constant(index: int) -> object:
    if index >= len(CONSTANTS):
        raise Fault("bad-api-use", f"Py_GetConstant has no constant {index}")
    return CONSTANTS[index]
