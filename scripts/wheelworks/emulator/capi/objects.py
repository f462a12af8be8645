"""Reference counts, types, numbers, and the object and number protocols."""

from __future__ import annotations

import operator
from operator import attrgetter
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
    OptionalValue,
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
    export_operations,
)
from wheelworks.emulator.faults import Fault, Unsupported
from wheelworks.emulator.state import ProcessState

COMPARISONS = (operator.lt, operator.le, operator.eq, operator.ne, operator.gt, operator.ge)
CONSTANTS = (None, False, True, ..., NotImplemented, 0, 1, "", b"", ())

# -- references and types


@export("_Py_IncRef")
def Py_IncRef(state: ProcessState, value: OptionalObject) -> None:
    state.objects.add_reference(value)


@export("_Py_DecRef")
def Py_DecRef(state: ProcessState, value: OptionalObject) -> None:
    state.objects.remove_reference(value)


@export("Py_XNewRef")
def Py_NewRef(state: ProcessState, value: OptionalObject) -> Pointer:
    return state.objects.add_reference(value)


@export("_Py_MergeZeroLocalRefcount")
def _Py_Dealloc(state: ProcessState, value: Object) -> None:
    """Free an object. An inlined Py_DECREF that has counted down to zero calls this."""
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
def Py_GetConstant(state: ProcessState, index: UInt) -> NewReference:
    return _get_constant(index)


@export()
def Py_GetConstantBorrowed(state: ProcessState, index: UInt) -> Pointer:
    made = state.objects.wrap(_get_constant(index))
    if not made.held and not made.permanent:
        state.objects.hold(made)
        made.permanent = True
        state.objects.live.pop(made, None)
    return made.address


@export()
def PyObject_Type(state: ProcessState, value: Object) -> NewReference:
    return state.objects.get_type(value)


@export()
def PyType_GetFlags(state: ProcessState, kind: Value) -> ULong:
    return int(kind.__flags__) & 0xFFFFFFFF


@export()
def PyType_GetFullyQualifiedName(state: ProcessState, kind: Value) -> NewReference:
    plain = kind.__module__ in ("builtins", "__main__")
    return kind.__qualname__ if plain else f"{kind.__module__}.{kind.__qualname__}"


# -- the object protocol, calls excepted

export_operations((Pointer, Pointer), Int, Py_Is=operator.eq)
export_operations(
    (Value,),
    NewReference,
    PyMemoryView_FromObject=memoryview,
    PyNumber_Float=float,
    PyNumber_Index=operator.index,
    PyNumber_Long=int,
    PyObject_Bytes=bytes,
    PyObject_GetIter=iter,
    PyObject_Repr=repr,
    PyObject_Str=str,
    PyType_GetModuleName=attrgetter("__module__"),
    PyType_GetName=attrgetter("__name__"),
    PyType_GetQualName=attrgetter("__qualname__"),
)
export_operations(
    (Value, Value),
    NewReference,
    PyNumber_Add=operator.add,
    PyNumber_And=operator.and_,
    PyNumber_Multiply=operator.mul,
    PyNumber_Or=operator.or_,
    PyNumber_Subtract=operator.sub,
    PyNumber_Xor=operator.xor,
    PyObject_GetAttr=getattr,
    PyObject_GetItem=operator.getitem,
)
export_operations((Value,), Ssize, PyObject_Hash=hash)
export_operations((Value,), Int, PyCallable_Check=callable, PyObject_IsTrue=bool, PyObject_Not=operator.not_)
export_operations((Value, Value), Int, PyObject_DelItem=operator.delitem, PyObject_IsInstance=isinstance)
export_operations((Value, Value), Int, PyType_IsSubtype=lambda kind, base: base in kind.__mro__)
export_operations((Value, Value, Value), Int, PyObject_SetAttr=setattr, PyObject_SetItem=operator.setitem)
export_operations((Value, Text), NewReference, PyObject_GetAttrString=getattr)
export_operations((Value, Text), Int, PyObject_HasAttrString=hasattr)
export_operations((Value, Text, Value), Int, PyObject_SetAttrString=setattr)


@export()
def PyObject_RichCompare(state: ProcessState, left: Value, right: Value, operation: Int) -> NewReference:
    return COMPARISONS[operation](left, right)


@export()
def PyObject_RichCompareBool(state: ProcessState, left: Value, right: Value, operation: Int) -> Int:
    same = left is right and operation in (2, 3)
    return int(operation == 2 if same else bool(COMPARISONS[operation](left, right)))


@export()
def PyIter_Next(state: ProcessState, value: Value) -> Pointer:
    """Return NULL without an exception at the end."""
    for item in value:
        return state.objects.add_reference(state.objects.wrap(item))
    return 0


# -- calls

export_operations((Value,), NewReference, PyObject_CallNoArgs=operator.call)
export_operations((Value, Value), NewReference, PyObject_CallOneArg=operator.call)


@export()
def PyObject_Call(state: ProcessState, function: Value, args: Value, kwargs: OptionalValue) -> NewReference:
    return function(*args, **(kwargs or {}))


@export()
def PyObject_CallObject(state: ProcessState, function: Value, args: OptionalValue) -> NewReference:
    return function(*(args or ()))


@export()
def PyObject_CallFunctionObjArgs(state: ProcessState, function: Value, rest: Variadic) -> NewReference:
    return function(*_read_until_null(state, rest))


@export()
def PyObject_CallMethodObjArgs(state: ProcessState, value: Value, name: Value, rest: Variadic) -> NewReference:
    return getattr(value, name)(*_read_until_null(state, rest))


@export()
def PyObject_Vectorcall(
    state: ProcessState, function: Value, arguments: Pointer, count: Pointer, names: OptionalValue
) -> NewReference:
    args, named = _read_vector(state, arguments, count, names)
    return function(*args, **named)


@export()
def PyObject_VectorcallMethod(
    state: ProcessState, name: Value, arguments: Pointer, count: Pointer, names: OptionalValue
) -> NewReference:
    args, named = _read_vector(state, arguments, count, names)
    return getattr(args[0], name)(*args[1:], **named)


@export()
def PyVectorcall_NARGS(state: ProcessState, count: Pointer) -> Ssize:
    return count & ~(1 << 8 * state.abi.pointer - 1)


@export()
def PyImport_ImportModule(state: ProcessState, name: Text) -> NewReference:
    raise Unsupported(f"it imports the module {name}: only the extension itself is emulated")


# -- numbers

export_operations((Int,), NewReference, PyLong_FromInt32=int)
export_operations((Long,), NewReference, PyBool_FromLong=bool, PyLong_FromLong=int)
export_operations((ULong,), NewReference, PyLong_FromUnsignedLong=int)
export_operations((LongLong,), NewReference, PyLong_FromInt64=int, PyLong_FromLongLong=int)
export_operations((ULongLong,), NewReference, PyLong_FromUInt64=int, PyLong_FromUnsignedLongLong=int)
export_operations((Ssize,), NewReference, PyLong_FromSsize_t=int)
export_operations((Size,), NewReference, PyLong_FromSize_t=int)
export_operations((Double,), NewReference, PyFloat_FromDouble=float, PyLong_FromDouble=int)


@export()
def PyLong_AsLong(state: ProcessState, value: Value) -> Long:
    return _check_signed(operator.index(value), 8 * state.abi.long, "Python int too large to convert to C long")


@export()
def PyLong_AsInt(state: ProcessState, value: Value) -> Int:
    return _check_signed(operator.index(value), 32, "Python int too large to convert to C int")


@export()
def PyLong_AsLongLong(state: ProcessState, value: Value) -> LongLong:
    return _check_signed(operator.index(value), 64, "int too big to convert")


@export()
def PyLong_AsSsize_t(state: ProcessState, value: Value) -> Ssize:
    return _check_signed(_check_int(value), 8 * state.abi.pointer, "Python int too large to convert to C ssize_t")


@export()
def PyLong_AsSize_t(state: ProcessState, value: Value) -> Size:
    return _check_unsigned(_check_int(value), 8 * state.abi.pointer, "Python int too large to convert to C size_t")


@export()
def PyLong_AsUnsignedLong(state: ProcessState, value: Value) -> ULong:
    return _check_unsigned(_check_int(value), 8 * state.abi.long, "Python int too large to convert to C unsigned long")


@export()
def PyLong_AsUnsignedLongLong(state: ProcessState, value: Value) -> ULongLong:
    return _check_unsigned(_check_int(value), 64, "int too big to convert")


@export()
def PyLong_AsUnsignedLongMask(state: ProcessState, value: Value) -> ULong:
    return operator.index(value) & ((1 << 8 * state.abi.long) - 1)


@export()
def PyLong_AsUnsignedLongLongMask(state: ProcessState, value: Value) -> ULongLong:
    return operator.index(value) & (2**64 - 1)


@export()
def PyLong_AsLongAndOverflow(state: ProcessState, value: Value, overflow: Pointer) -> Long:
    return _store_overflow(state, operator.index(value), 8 * state.abi.long, overflow)


@export()
def PyLong_AsLongLongAndOverflow(state: ProcessState, value: Value, overflow: Pointer) -> LongLong:
    return _store_overflow(state, operator.index(value), 64, overflow)


@export()
def PyLong_AsDouble(state: ProcessState, value: Value) -> Double:
    return float(_check_int(value))


@export()
def PyLong_FromString(state: ProcessState, text: Pointer, end: Pointer, base: Int) -> NewReference:
    content = state.memory.load_string(text)
    number = int(content, base)
    if end:
        state.memory.store_pointer(end, text + len(content))
    return number


@export()
def PyFloat_AsDouble(state: ProcessState, value: Value) -> Double:
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError(f"must be real number, not {type(value).__name__}")
    return float(value)


@export()
def PyNumber_AsSsize_t(state: ProcessState, value: Value, error: OptionalObject) -> Ssize:
    """Clip a number that doesn't fit if the caller gives no exception to raise."""
    number = operator.index(value)
    limit = 1 << 8 * state.abi.pointer - 1
    if error is None or -limit <= number < limit:
        return max(-limit, min(number, limit - 1))
    kind: Any = error.value
    raise kind(f"cannot fit '{type(value).__name__}' into an index-sized integer")


@export()
def PyNumber_Check(state: ProcessState, value: Value) -> Int:
    return int(any(hasattr(value, name) for name in ("__index__", "__int__", "__float__")))


def _get_constant(index: int) -> object:
    if index >= len(CONSTANTS):
        raise Fault("bad-api-use", f"Py_GetConstant has no constant {index}")
    return CONSTANTS[index]


def _read_vector(
    state: ProcessState, arguments: int, count: int, names: tuple[str, ...] | None
) -> tuple[list[Any], dict[str, Any]]:
    positional = count & ~(1 << 8 * state.abi.pointer - 1)
    keywords = names or ()
    word = state.abi.pointer
    addresses = [state.memory.load_pointer(arguments + i * word) for i in range(positional + len(keywords))]
    values = [state.objects.unwrap(state.objects.find(address)) for address in addresses]
    return values[:positional], dict(zip(keywords, values[positional:], strict=True))


def _read_until_null(state: ProcessState, rest: ArgumentReader) -> list[object]:
    values = []
    while address := rest.unsigned(state.abi.pointer):
        values.append(state.objects.unwrap(state.objects.find(address)))
    return values


def _check_int(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("an integer is required")
    return value


def _check_signed(number: int, bits: int, message: str) -> int:
    if -(1 << bits - 1) <= number < 1 << bits - 1:
        return number
    raise OverflowError(message)


def _check_unsigned(number: int, bits: int, message: str) -> int:
    if number < 0:
        raise OverflowError("can't convert negative value to unsigned int")
    if number >> bits:
        raise OverflowError(message)
    return number


def _store_overflow(state: ProcessState, number: int, bits: int, place: int) -> int:
    over = (number >= 1 << bits - 1) - (number < -(1 << bits - 1))
    state.memory.store(place, state.abi.packer("i").pack(over))
    return -1 if over else number
