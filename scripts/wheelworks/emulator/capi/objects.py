"""Reference counts, types, numbers, and the object and number protocols."""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any

from wheelworks.core.errors import Unsupported
from wheelworks.emulator import exports as c
from wheelworks.emulator.calling import ArgumentReader
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.state import ProcessState

COMPARISONS = (operator.lt, operator.le, operator.eq, operator.ne, operator.gt, operator.ge)
CONSTANTS = (None, False, True, ..., NotImplemented, 0, 1, "", b"", ())

# -- references and types


@c.export("_Py_IncRef")
def Py_IncRef(state: ProcessState, value: c.OptionalObject) -> None:
    state.objects.add_reference(value)


@c.export("_Py_DecRef")
def Py_DecRef(state: ProcessState, value: c.OptionalObject) -> None:
    state.objects.remove_reference(value)


@c.export("Py_XNewRef")
def Py_NewRef(state: ProcessState, value: c.OptionalObject) -> c.Pointer:
    return state.objects.add_reference(value)


@c.export("_Py_MergeZeroLocalRefcount")
def _Py_Dealloc(state: ProcessState, value: c.Object) -> None:
    """Free an object. An inlined Py_DECREF that has counted down to zero calls this."""
    if state.objects.get_refcount(value) <= 0:
        state.objects.deallocate(value)


@c.export()
def _Py_DecRefShared(state: ProcessState, value: c.Object) -> None:
    state.objects.remove_reference(value)


@c.export()
def Py_REFCNT(state: ProcessState, value: c.Object) -> c.Ssize:
    return state.objects.get_refcount(value)


@c.export()
def Py_TYPE(state: ProcessState, value: c.Object) -> c.Pointer:
    return state.objects.wrap(value.find_type()).address


@c.export()
def Py_IS_TYPE(state: ProcessState, value: c.Object, kind: c.Value) -> c.Int:
    return int(value.find_type() is kind)


@c.export()
def Py_GetConstant(state: ProcessState, index: c.UInt) -> c.NewReference:
    return _get_constant(index)


@c.export()
def Py_GetConstantBorrowed(state: ProcessState, index: c.UInt) -> c.Pointer:
    made = state.objects.wrap(_get_constant(index))
    if not made.held and not made.permanent:
        state.objects.hold(made)
        made.permanent = True
        state.objects.live.pop(made, None)
    return made.address


@c.export()
def PyObject_Type(state: ProcessState, value: c.Object) -> c.NewReference:
    return value.find_type()


@c.export()
def PyType_GetFullyQualifiedName(state: ProcessState, kind: c.Value) -> c.NewReference:
    plain = kind.__module__ in ("builtins", "__main__")
    return kind.__qualname__ if plain else f"{kind.__module__}.{kind.__qualname__}"


# -- the object protocol, calls excepted

c.export_operations((c.Pointer, c.Pointer), c.Int, Py_Is=operator.eq)
c.export_operations((c.Object,), c.Ssize, Py_SIZE=attrgetter("length"))
c.export_operations(
    (c.Value,),
    c.NewReference,
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
c.export_operations(
    (c.Value, c.Value),
    c.NewReference,
    PyNumber_Add=operator.add,
    PyNumber_And=operator.and_,
    PyNumber_Multiply=operator.mul,
    PyNumber_Or=operator.or_,
    PyNumber_Subtract=operator.sub,
    PyNumber_Xor=operator.xor,
    PyObject_GetAttr=getattr,
    PyObject_GetItem=operator.getitem,
)
c.export_operations((c.Value,), c.Ssize, PyObject_Hash=hash)
c.export_operations((c.Value,), c.Int, PyCallable_Check=callable, PyObject_IsTrue=bool, PyObject_Not=operator.not_)
c.export_operations((c.Value, c.Value), c.Int, PyObject_DelItem=operator.delitem, PyObject_IsInstance=isinstance)
c.export_operations((c.Value, c.Value), c.Int, PyType_IsSubtype=lambda kind, base: base in kind.__mro__)
c.export_operations((c.Value, c.Value, c.Value), c.Int, PyObject_SetItem=operator.setitem)
c.export_operations((c.Value, c.Text), c.NewReference, PyObject_GetAttrString=getattr)
c.export_operations((c.Value, c.Text), c.Int, PyObject_HasAttrString=hasattr)
c.export_operations((c.Value, c.Value), c.Int, PyObject_DelAttr=delattr)
c.export_operations((c.Value, c.Text), c.Int, PyObject_DelAttrString=delattr)
c.export_operations(
    (c.Value, c.Value, c.Int),
    c.NewReference,
    PyObject_RichCompare=lambda left, right, operation: COMPARISONS[operation](left, right),
)


@c.export()
def PyObject_SetAttr(state: ProcessState, value: c.Value, name: c.Value, new: c.OptionalObject) -> c.Int:
    """Delete the attribute if the new value is NULL."""
    if new is None:
        delattr(value, name)
    else:
        setattr(value, name, state.objects.unwrap(new))
    return 0


@c.export()
def PyObject_SetAttrString(state: ProcessState, value: c.Value, name: c.Text, new: c.OptionalObject) -> c.Int:
    return PyObject_SetAttr(state, value, name, new)


@c.export()
def PyObject_RichCompareBool(state: ProcessState, left: c.Value, right: c.Value, operation: c.Int) -> c.Int:
    same = left is right and operation in (2, 3)
    return int(operation == 2 if same else bool(COMPARISONS[operation](left, right)))


@c.export()
def PyIter_Next(state: ProcessState, value: c.Value) -> c.Pointer:
    """Return NULL without an exception at the end."""
    for item in value:
        return state.objects.add_reference(state.objects.wrap(item))
    return 0


# -- calls

c.export_operations((c.Value,), c.NewReference, PyObject_CallNoArgs=operator.call)
c.export_operations((c.Value, c.Value), c.NewReference, PyObject_CallOneArg=operator.call)
c.export_operations((c.Value, c.OptionalValue), c.NewReference, PyObject_CallObject=lambda f, args: f(*(args or ())))


@c.export()
def PyObject_Call(state: ProcessState, function: c.Value, args: c.Value, kwargs: c.OptionalValue) -> c.NewReference:
    return function(*args, **(kwargs or {}))


@c.export()
def PyObject_CallFunctionObjArgs(state: ProcessState, function: c.Value, rest: c.Variadic) -> c.NewReference:
    return function(*_read_until_null(state, rest))


@c.export()
def PyObject_CallMethodObjArgs(state: ProcessState, value: c.Value, name: c.Value, rest: c.Variadic) -> c.NewReference:
    return getattr(value, name)(*_read_until_null(state, rest))


@c.export()
def PyObject_Vectorcall(
    state: ProcessState, function: c.Value, arguments: c.Pointer, count: c.Pointer, names: c.OptionalValue
) -> c.NewReference:
    args, named = _read_vector(state, arguments, count, names)
    return function(*args, **named)


@c.export()
def PyObject_VectorcallMethod(
    state: ProcessState, name: c.Value, arguments: c.Pointer, count: c.Pointer, names: c.OptionalValue
) -> c.NewReference:
    args, named = _read_vector(state, arguments, count, names)
    return getattr(args[0], name)(*args[1:], **named)


@c.export()
def PyVectorcall_NARGS(state: ProcessState, count: c.Pointer) -> c.Ssize:
    return count & ~(1 << 8 * state.abi.pointer - 1)


@c.export()
def PyImport_ImportModule(state: ProcessState, name: c.Text) -> c.NewReference:
    raise Unsupported(f"it imports the module {name}: only the extension itself is emulated")


# -- numbers

c.export_operations((c.Int,), c.NewReference, PyLong_FromInt32=int)
c.export_operations((c.Long,), c.NewReference, PyBool_FromLong=bool, PyLong_FromLong=int)
c.export_operations((c.ULong,), c.NewReference, PyLong_FromUnsignedLong=int)
c.export_operations((c.LongLong,), c.NewReference, PyLong_FromInt64=int, PyLong_FromLongLong=int)
c.export_operations((c.ULongLong,), c.NewReference, PyLong_FromUInt64=int, PyLong_FromUnsignedLongLong=int)
c.export_operations((c.Ssize,), c.NewReference, PyLong_FromSsize_t=int)
c.export_operations((c.Size,), c.NewReference, PyLong_FromSize_t=int)
c.export_operations((c.Double,), c.NewReference, PyFloat_FromDouble=float, PyLong_FromDouble=int)


def _check_int(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("an integer is required")
    return value


# By function: its result, the code of that in Abi.packer, what converts the value, and the error if it doesn't fit.
CONVERSIONS: dict[str, tuple[Any, str, Callable[[Any], int], str]] = {
    "PyLong_AsInt": (c.Int, "i", operator.index, "Python int too large to convert to C int"),
    "PyLong_AsLong": (c.Long, "l", operator.index, "Python int too large to convert to C long"),
    "PyLong_AsLongLong": (c.LongLong, "q", operator.index, "int too big to convert"),
    "PyLong_AsSsize_t": (c.Ssize, "n", _check_int, "Python int too large to convert to C ssize_t"),
    "PyLong_AsSize_t": (c.Size, "P", _check_int, "Python int too large to convert to C size_t"),
    "PyLong_AsUnsignedLong": (c.ULong, "L", _check_int, "Python int too large to convert to C unsigned long"),
    "PyLong_AsUnsignedLongLong": (c.ULongLong, "Q", _check_int, "int too big to convert"),
}


def _convert_number(name: str, state: ProcessState, value: object) -> int:
    _, code, convert, message = CONVERSIONS[name]
    number = convert(value)
    if number < 0 and code.isupper():
        raise OverflowError("can't convert negative value to unsigned int")
    try:
        state.abi.packer(code).pack(number)
    except struct.error:
        raise OverflowError(message) from None
    return number


for name, conversion in CONVERSIONS.items():
    c.register_function(name, partial(_convert_number, name), (c.Value,), conversion[0])
c.export_operations((c.Value,), c.Double, PyLong_AsDouble=lambda value: float(_check_int(value)))
c.export_operations(
    (c.Value,), c.ULongLong, PyLong_AsUnsignedLongLongMask=lambda value: operator.index(value) & (2**64 - 1)
)


@c.export()
def PyLong_AsUnsignedLongMask(state: ProcessState, value: c.Value) -> c.ULong:
    return operator.index(value) & ((1 << 8 * state.abi.long) - 1)


@c.export()
def PyLong_AsLongAndOverflow(state: ProcessState, value: c.Value, overflow: c.Pointer) -> c.Long:
    return _store_overflow(state, operator.index(value), 8 * state.abi.long, overflow)


@c.export()
def PyLong_AsLongLongAndOverflow(state: ProcessState, value: c.Value, overflow: c.Pointer) -> c.LongLong:
    return _store_overflow(state, operator.index(value), 64, overflow)


@c.export()
def PyLong_FromString(state: ProcessState, text: c.Pointer, end: c.Pointer, base: c.Int) -> c.NewReference:
    content = state.memory.load_string(text)
    number = int(content, base)
    if end:
        state.memory.store_pointer(end, text + len(content))
    return number


@c.export()
def PyFloat_AsDouble(state: ProcessState, value: c.Value) -> c.Double:
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError(f"must be real number, not {type(value).__name__}")
    return float(value)


@c.export()
def PyNumber_AsSsize_t(state: ProcessState, value: c.Value, error: c.OptionalObject) -> c.Ssize:
    """Clip a number that doesn't fit if the caller gives no exception to raise."""
    number = operator.index(value)
    limit = 1 << 8 * state.abi.pointer - 1
    if error is None or -limit <= number < limit:
        return max(-limit, min(number, limit - 1))
    kind: Any = error.value
    raise kind(f"cannot fit '{type(value).__name__}' into an index-sized integer")


@c.export()
def PyNumber_Check(state: ProcessState, value: c.Value) -> c.Int:
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


def _store_overflow(state: ProcessState, number: int, bits: int, place: int) -> int:
    over = (number >= 1 << bits - 1) - (number < -(1 << bits - 1))
    state.memory.store(place, state.abi.packer("i").pack(over))
    return -1 if over else number
