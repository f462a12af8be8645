"""int, float, bool and the number protocol."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from wheelworks.emulator.capi.table import (
    Double,
    Int,
    Long,
    LongLong,
    NewReference,
    OptionalObject,
    Pointer,
    Size,
    Ssize,
    ULong,
    ULongLong,
    Value,
    answer,
)

if TYPE_CHECKING:
    from wheelworks.emulator.interpreter import Interpreter


@answer()
def PyLong_FromLong(guest: Interpreter, number: Long) -> NewReference:
    return number


@answer()
def PyLong_FromUnsignedLong(guest: Interpreter, number: ULong) -> NewReference:
    return number


@answer("PyLong_FromInt64")
def PyLong_FromLongLong(guest: Interpreter, number: LongLong) -> NewReference:
    return number


@answer("PyLong_FromUInt64")
def PyLong_FromUnsignedLongLong(guest: Interpreter, number: ULongLong) -> NewReference:
    return number


@answer()
def PyLong_FromInt32(guest: Interpreter, number: Int) -> NewReference:
    return number


@answer()
def PyLong_FromSsize_t(guest: Interpreter, number: Ssize) -> NewReference:
    return number


@answer()
def PyLong_FromSize_t(guest: Interpreter, number: Size) -> NewReference:
    return number


@answer()
def PyLong_FromDouble(guest: Interpreter, number: Double) -> NewReference:
    return int(number)


@answer()
def PyLong_AsLong(guest: Interpreter, value: Value) -> Long:
    return _fitting(operator.index(value), 8 * guest.abi.long, "Python int too large to convert to C long")


@answer()
def PyLong_AsInt(guest: Interpreter, value: Value) -> Int:
    return _fitting(operator.index(value), 32, "Python int too large to convert to C int")


@answer()
def PyLong_AsLongLong(guest: Interpreter, value: Value) -> LongLong:
    return _fitting(operator.index(value), 64, "int too big to convert")


@answer()
def PyLong_AsSsize_t(guest: Interpreter, value: Value) -> Ssize:
    return _fitting(_int(value), 8 * guest.abi.pointer, "Python int too large to convert to C ssize_t")


@answer()
def PyLong_AsSize_t(guest: Interpreter, value: Value) -> Size:
    return _unsigned(_int(value), 8 * guest.abi.pointer, "Python int too large to convert to C size_t")


@answer()
def PyLong_AsUnsignedLong(guest: Interpreter, value: Value) -> ULong:
    return _unsigned(_int(value), 8 * guest.abi.long, "Python int too large to convert to C unsigned long")


@answer()
def PyLong_AsUnsignedLongLong(guest: Interpreter, value: Value) -> ULongLong:
    return _unsigned(_int(value), 64, "int too big to convert")


@answer()
def PyLong_AsUnsignedLongMask(guest: Interpreter, value: Value) -> ULong:
    return operator.index(value) & ((1 << 8 * guest.abi.long) - 1)


@answer()
def PyLong_AsUnsignedLongLongMask(guest: Interpreter, value: Value) -> ULongLong:
    return operator.index(value) & (2**64 - 1)


@answer()
def PyLong_AsLongAndOverflow(guest: Interpreter, value: Value, overflow: Pointer) -> Long:
    return _with_overflow(guest, operator.index(value), 8 * guest.abi.long, overflow)


@answer()
def PyLong_AsLongLongAndOverflow(guest: Interpreter, value: Value, overflow: Pointer) -> LongLong:
    return _with_overflow(guest, operator.index(value), 64, overflow)


@answer()
def PyLong_AsDouble(guest: Interpreter, value: Value) -> Double:
    return float(_int(value))


@answer()
def PyLong_FromString(guest: Interpreter, text: Pointer, end: Pointer, base: Int) -> NewReference:
    content = guest.memory.text(text)
    number = int(content, base)
    if end:
        guest.memory.store_pointer(end, text + len(content))
    return number


@answer()
def PyFloat_FromDouble(guest: Interpreter, number: Double) -> NewReference:
    return number


@answer()
def PyFloat_AsDouble(guest: Interpreter, value: Value) -> Double:
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError(f"must be real number, not {type(value).__name__}")
    return float(value)


@answer()
def PyBool_FromLong(guest: Interpreter, number: Long) -> NewReference:
    return bool(number)


@answer()
def PyNumber_AsSsize_t(guest: Interpreter, value: Value, error: OptionalObject) -> Ssize:
    """Without an exception to raise, what doesn't fit becomes the nearest number that does."""
    number = operator.index(value)
    limit = 1 << 8 * guest.abi.pointer - 1
    if error is None or -limit <= number < limit:
        return max(-limit, min(number, limit - 1))
    kind: Any = error.value
    raise kind(f"cannot fit '{type(value).__name__}' into an index-sized integer")


@answer()
def PyNumber_Check(guest: Interpreter, value: Value) -> Int:
    return int(any(hasattr(value, name) for name in ("__index__", "__int__", "__float__")))


@answer()
def PyNumber_Index(guest: Interpreter, value: Value) -> NewReference:
    return operator.index(value)


@answer()
def PyNumber_Long(guest: Interpreter, value: Value) -> NewReference:
    return int(value)


@answer()
def PyNumber_Float(guest: Interpreter, value: Value) -> NewReference:
    return float(value)


@answer()
def PyNumber_Add(guest: Interpreter, left: Value, right: Value) -> NewReference:
    return left + right


@answer()
def PyNumber_Subtract(guest: Interpreter, left: Value, right: Value) -> NewReference:
    return left - right


@answer()
def PyNumber_Multiply(guest: Interpreter, left: Value, right: Value) -> NewReference:
    return left * right


@answer()
def PyNumber_Xor(guest: Interpreter, left: Value, right: Value) -> NewReference:
    return left ^ right


@answer()
def PyNumber_And(guest: Interpreter, left: Value, right: Value) -> NewReference:
    return left & right


@answer()
def PyNumber_Or(guest: Interpreter, left: Value, right: Value) -> NewReference:
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


def _with_overflow(guest: Interpreter, number: int, bits: int, place: int) -> int:
    over = (number >= 1 << bits - 1) - (number < -(1 << bits - 1))
    guest.memory.store(place, guest.abi.packer("i").pack(over))
    return -1 if over else number
