"""str."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelworks.emulator.capi.format_ import formatted
from wheelworks.emulator.capi.table import (
    Int,
    NewReference,
    Object,
    OptionalObject,
    Pointer,
    Ssize,
    Text,
    UInt,
    Value,
    Variadic,
    answer,
)
from wheelworks.emulator.objects import GuestObject

if TYPE_CHECKING:
    from wheelworks.emulator.interpreter import Interpreter


@answer()
def PyUnicode_FromString(guest: Interpreter, content: Pointer) -> NewReference:
    return guest.memory.text(content).decode()


@answer()
def PyUnicode_InternFromString(guest: Interpreter, content: Pointer) -> NewReference:
    return guest.memory.text(content).decode()


@answer()
def PyUnicode_FromStringAndSize(guest: Interpreter, content: Pointer, size: Ssize) -> NewReference:
    if size < 0:
        raise SystemError("Negative size passed to PyUnicode_FromStringAndSize")
    return guest.memory.load(content, size).decode() if size else ""


@answer()
def PyUnicode_FromFormat(guest: Interpreter, form: Text, rest: Variadic) -> NewReference:
    return formatted(guest, form, rest)


@answer()
def PyUnicode_AsUTF8AndSize(guest: Interpreter, value: Object, size: Pointer) -> Pointer:
    block = guest.objects.data(_str(value))
    if size:
        guest.memory.store(size, guest.abi.packer("n").pack(block.size - 1))
    return block.start


@answer()
def PyUnicode_AsUTF8(guest: Interpreter, value: Object) -> Pointer:
    return guest.objects.data(_str(value)).start


@answer()
def PyUnicode_AsUTF8String(guest: Interpreter, value: Value) -> NewReference:
    return _text(value).encode()


@answer()
def PyUnicode_AsASCIIString(guest: Interpreter, value: Value) -> NewReference:
    return _text(value).encode("ascii")


@answer()
def PyUnicode_AsLatin1String(guest: Interpreter, value: Value) -> NewReference:
    return _text(value).encode("latin-1")


@answer()
def PyUnicode_AsEncodedString(guest: Interpreter, value: Value, encoding: Pointer, errors: Pointer) -> NewReference:
    return _text(value).encode(_or(guest, encoding, "utf-8"), _or(guest, errors, "strict"))


@answer()
def PyUnicode_DecodeUTF8(guest: Interpreter, content: Pointer, size: Ssize, errors: Pointer) -> NewReference:
    return _decode(guest, content, size, "utf-8", errors)


@answer()
def PyUnicode_DecodeLatin1(guest: Interpreter, content: Pointer, size: Ssize, errors: Pointer) -> NewReference:
    return _decode(guest, content, size, "latin-1", errors)


@answer()
def PyUnicode_DecodeASCII(guest: Interpreter, content: Pointer, size: Ssize, errors: Pointer) -> NewReference:
    return _decode(guest, content, size, "ascii", errors)


@answer()
def PyUnicode_Decode(
    guest: Interpreter, content: Pointer, size: Ssize, encoding: Pointer, errors: Pointer
) -> NewReference:
    return _decode(guest, content, size, _or(guest, encoding, "utf-8"), errors)


@answer()
def PyUnicode_FromEncodedObject(guest: Interpreter, value: Value, encoding: Pointer, errors: Pointer) -> NewReference:
    return str(value, _or(guest, encoding, "utf-8"), _or(guest, errors, "strict"))


@answer()
def PyUnicode_FromObject(guest: Interpreter, value: Value) -> NewReference:
    return _text(value)


@answer()
def PyUnicode_FromOrdinal(guest: Interpreter, ordinal: Int) -> NewReference:
    return chr(ordinal)


@answer()
def PyUnicode_GetLength(guest: Interpreter, value: Value) -> Ssize:
    return len(_text(value))


@answer()
def PyUnicode_ReadChar(guest: Interpreter, value: Value, index: Ssize) -> UInt:
    if index < 0:
        raise IndexError("string index out of range")
    return ord(_text(value)[index])


@answer()
def PyUnicode_Substring(guest: Interpreter, value: Value, start: Ssize, end: Ssize) -> NewReference:
    if start < 0 or end < 0:
        raise IndexError("string index out of range")
    return _text(value)[start:end]


@answer()
def PyUnicode_Concat(guest: Interpreter, left: Value, right: Value) -> NewReference:
    return _text(left) + _text(right)


@answer()
def PyUnicode_Join(guest: Interpreter, separator: Value, parts: Value) -> NewReference:
    return _text(separator).join(parts)


@answer()
def PyUnicode_Split(guest: Interpreter, value: Value, separator: OptionalObject, most: Ssize) -> NewReference:
    mark = None if separator is None else guest.objects.value(separator)
    return _text(value).split(mark, most)  # type: ignore[arg-type]


@answer()
def PyUnicode_Contains(guest: Interpreter, value: Value, part: Value) -> Int:
    return int(part in _text(value))


@answer()
def PyUnicode_Compare(guest: Interpreter, left: Value, right: Value) -> Int:
    return (_text(left) > _text(right)) - (_text(left) < _text(right))


@answer()
def PyUnicode_CompareWithASCIIString(guest: Interpreter, value: Value, text: Pointer) -> Int:
    other = guest.memory.text(text).decode("latin-1")
    return (_text(value) > other) - (_text(value) < other)


@answer()
def PyUnicode_EqualToUTF8(guest: Interpreter, value: Value, text: Pointer) -> Int:
    return int(_text(value).encode() == guest.memory.text(text))


@answer()
def PyUnicode_EqualToUTF8AndSize(guest: Interpreter, value: Value, text: Pointer, size: Ssize) -> Int:
    return int(_text(value).encode() == (guest.memory.load(text, size) if size else b""))


@answer()
def PyUnicode_InternInPlace(guest: Interpreter, place: Pointer) -> None:
    guest.objects.at(guest.memory.pointer(place))


def _decode(guest: Interpreter, content: int, size: int, encoding: str, errors: int) -> str:
    return (guest.memory.load(content, size) if size else b"").decode(encoding, _or(guest, errors, "strict"))


def _or(guest: Interpreter, text: int, default: str) -> str:
    return guest.memory.text(text).decode() if text else default


def _str(made: GuestObject) -> GuestObject:
    _text(made.value)
    return made


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("bad argument type for built-in operation")
    return str.__str__(value)  # the text itself, whatever a subclass overrides
