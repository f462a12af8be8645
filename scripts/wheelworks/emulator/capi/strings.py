"""bytes, bytearray and str."""

from __future__ import annotations

from operator import attrgetter

from wheelworks.emulator.capi.arguments import format_text
from wheelworks.emulator.exports import (
    Int,
    NewReference,
    Object,
    OptionalObject,
    OptionalValue,
    Pointer,
    Ssize,
    Text,
    UInt,
    Value,
    Variadic,
    export,
    export_operations,
)
from wheelworks.emulator.objects import GuestObject, Unfinished
from wheelworks.emulator.state import ProcessState

# -- bytes and bytearrays


def _check_bytes(state: ProcessState, made: GuestObject) -> GuestObject:
    if made.value is not Unfinished.BYTES and not isinstance(made.value, bytes):
        raise TypeError(f"expected bytes, {type(state.objects.unwrap(made)).__name__} found")
    return made


export_operations((Value,), NewReference, PyByteArray_FromObject=bytearray, PyBytes_FromObject=bytes)
export_operations((Value, Int), NewReference, PyBytes_Repr=lambda value, _smart: repr(value))
export_operations((Object,), Ssize, PyByteArray_Size=attrgetter("length"))


@export()
def PyBytes_FromStringAndSize(state: ProcessState, content: Pointer, size: Ssize) -> NewReference:
    if size < 0:
        raise SystemError("Negative size passed to PyBytes_FromStringAndSize")
    made = state.objects.create_bytes(size)
    if content and made.data is not None:
        state.memory.poke(made.data.start, state.memory.load(content, size) if size else b"")
    return made


@export()
def PyBytes_FromString(state: ProcessState, content: Pointer) -> NewReference:
    return state.memory.load_string(content)


@export("PyBytes_AS_STRING")
def PyBytes_AsString(state: ProcessState, value: Object) -> Pointer:
    return state.objects.get_data(_check_bytes(state, value)).start


@export()
def PyBytes_Size(state: ProcessState, value: Object) -> Ssize:
    return _check_bytes(state, value).length


@export()
def PyBytes_AsStringAndSize(state: ProcessState, value: Object, content: Pointer, size: Pointer) -> Int:
    made = _check_bytes(state, value)
    block = state.objects.get_data(made)
    if size == 0 and 0 in state.memory.peek(block.start, made.length):
        raise ValueError("embedded null byte")
    state.memory.store_pointer(content, block.start)
    if size:
        state.memory.store(size, state.abi.packer("n").pack(made.length))
    return 0


@export()
def _PyBytes_Resize(state: ProcessState, place: Pointer, size: Ssize) -> Int:
    old = _check_bytes(state, state.objects.find(state.memory.load_pointer(place)))
    if old.value is not Unfinished.BYTES or state.objects.get_refcount(old) != 1 or size < 0:
        state.objects.remove_reference(old)
        state.memory.store_pointer(place, 0)
        raise SystemError("bad argument to internal function: _PyBytes_Resize")
    made = state.objects.create_bytes(size)
    assert made.data is not None
    assert old.data is not None
    state.memory.poke(made.data.start, state.memory.peek(old.data.start, min(size, old.length)))
    state.objects.add_reference(made)
    state.objects.remove_reference(old)
    state.memory.store_pointer(place, made.address)
    return 0


@export()
def PyBytes_Concat(state: ProcessState, place: Pointer, more: OptionalObject) -> None:
    left = state.objects.find(state.memory.load_pointer(place))
    state.memory.store_pointer(place, 0)
    joined = None if more is None else bytes(state.objects.unwrap(left)) + bytes(state.objects.unwrap(more))  # type: ignore[call-overload]
    state.objects.remove_reference(left)
    if joined is not None:
        state.memory.store_pointer(place, state.objects.add_reference(state.objects.wrap(joined)))


@export()
def PyByteArray_FromStringAndSize(state: ProcessState, content: Pointer, size: Ssize) -> NewReference:
    state.memory.check_limit(size)
    return bytearray(state.memory.load(content, size) if content and size else size)


@export()
def PyByteArray_AsString(state: ProcessState, value: Object) -> Pointer:
    return state.objects.get_data(value).start


@export()
def PyByteArray_Resize(state: ProcessState, value: Object, size: Ssize) -> Int:
    state.memory.check_limit(size)
    content = state.objects.unwrap(value)
    assert isinstance(content, bytearray)
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))
    state.objects.resize_data(value)
    return 0


# -- str


def _get_text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("bad argument type for built-in operation")
    return str.__str__(value)  # the text itself, whatever a subclass overrides


export_operations((Int,), NewReference, PyUnicode_FromOrdinal=chr)
export_operations((Text,), NewReference, PyUnicode_FromString=str, PyUnicode_InternFromString=str)
export_operations((Value,), Ssize, PyUnicode_GetLength=lambda value: len(_get_text(value)))
export_operations((Value, Value), Int, PyUnicode_Contains=lambda value, part: part in _get_text(value))
export_operations(
    (Value,),
    NewReference,
    PyUnicode_AsASCIIString=lambda value: _get_text(value).encode("ascii"),
    PyUnicode_AsLatin1String=lambda value: _get_text(value).encode("latin-1"),
    PyUnicode_AsUTF8String=lambda value: _get_text(value).encode(),
    PyUnicode_FromObject=_get_text,
)
export_operations(
    (Value, Value),
    NewReference,
    PyUnicode_Concat=lambda left, right: _get_text(left) + _get_text(right),
    PyUnicode_Join=lambda separator, parts: _get_text(separator).join(parts),
)
export_operations(
    (Value, Value), Int, PyUnicode_Compare=lambda a, b: (_get_text(a) > _get_text(b)) - (_get_text(a) < _get_text(b))
)


@export()
def PyUnicode_FromStringAndSize(state: ProcessState, content: Pointer, size: Ssize) -> NewReference:
    if size < 0:
        raise SystemError("Negative size passed to PyUnicode_FromStringAndSize")
    return state.memory.load(content, size).decode() if size else ""


@export()
def PyUnicode_FromFormat(state: ProcessState, form: Text, rest: Variadic) -> NewReference:
    return format_text(state, form, rest)


@export()
def PyUnicode_AsUTF8AndSize(state: ProcessState, value: Object, size: Pointer) -> Pointer:
    block = state.objects.get_data(_check_str(value))
    if size:
        state.memory.store(size, state.abi.packer("n").pack(block.size - 1))
    return block.start


@export()
def PyUnicode_AsUTF8(state: ProcessState, value: Object) -> Pointer:
    return state.objects.get_data(_check_str(value)).start


@export()
def PyUnicode_AsEncodedString(state: ProcessState, value: Value, encoding: Pointer, errors: Pointer) -> NewReference:
    return _get_text(value).encode(_load_text(state, encoding, "utf-8"), _load_text(state, errors, "strict"))


@export()
def PyUnicode_DecodeUTF8(state: ProcessState, content: Pointer, size: Ssize, errors: Pointer) -> NewReference:
    return _decode(state, content, size, "utf-8", errors)


@export()
def PyUnicode_DecodeLatin1(state: ProcessState, content: Pointer, size: Ssize, errors: Pointer) -> NewReference:
    return _decode(state, content, size, "latin-1", errors)


@export()
def PyUnicode_DecodeASCII(state: ProcessState, content: Pointer, size: Ssize, errors: Pointer) -> NewReference:
    return _decode(state, content, size, "ascii", errors)


@export()
def PyUnicode_Decode(
    state: ProcessState, content: Pointer, size: Ssize, encoding: Pointer, errors: Pointer
) -> NewReference:
    return _decode(state, content, size, _load_text(state, encoding, "utf-8"), errors)


@export()
def PyUnicode_FromEncodedObject(state: ProcessState, value: Value, encoding: Pointer, errors: Pointer) -> NewReference:
    return str(value, _load_text(state, encoding, "utf-8"), _load_text(state, errors, "strict"))


@export()
def PyUnicode_ReadChar(state: ProcessState, value: Value, index: Ssize) -> UInt:
    if index < 0:
        raise IndexError("string index out of range")
    return ord(_get_text(value)[index])


@export()
def PyUnicode_Substring(state: ProcessState, value: Value, start: Ssize, end: Ssize) -> NewReference:
    if start < 0 or end < 0:
        raise IndexError("string index out of range")
    return _get_text(value)[start:end]


@export()
def PyUnicode_Split(state: ProcessState, value: Value, separator: OptionalValue, most: Ssize) -> NewReference:
    return _get_text(value).split(separator, most)


@export()
def PyUnicode_CompareWithASCIIString(state: ProcessState, value: Value, text: Pointer) -> Int:
    other = state.memory.load_string(text).decode("latin-1")
    return (_get_text(value) > other) - (_get_text(value) < other)


@export()
def PyUnicode_EqualToUTF8(state: ProcessState, value: Value, text: Pointer) -> Int:
    return int(_get_text(value).encode() == state.memory.load_string(text))


@export()
def PyUnicode_EqualToUTF8AndSize(state: ProcessState, value: Value, text: Pointer, size: Ssize) -> Int:
    return int(_get_text(value).encode() == (state.memory.load(text, size) if size else b""))


@export()
def PyUnicode_InternInPlace(state: ProcessState, place: Pointer) -> None:
    state.objects.find(state.memory.load_pointer(place))


def _decode(state: ProcessState, content: int, size: int, encoding: str, errors: int) -> str:
    return (state.memory.load(content, size) if size else b"").decode(encoding, _load_text(state, errors, "strict"))


def _load_text(state: ProcessState, text: int, default: str) -> str:
    return state.memory.load_string(text).decode() if text else default


def _check_str(made: GuestObject) -> GuestObject:
    _get_text(made.value)
    return made
