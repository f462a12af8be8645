"""bytes, bytearray and str."""

from __future__ import annotations

from operator import attrgetter

from wheelworks.emulator import exports as c
from wheelworks.emulator.capi.arguments import format_text
from wheelworks.emulator.objects import GuestObject, Unfinished
from wheelworks.emulator.state import ProcessState

# -- bytes and bytearrays


def _check_bytes(state: ProcessState, made: GuestObject) -> GuestObject:
    if made.value is not Unfinished.BYTES and not isinstance(made.value, bytes):
        raise TypeError(f"expected bytes, {type(state.objects.unwrap(made)).__name__} found")
    return made


c.export_operations((c.Value,), c.NewReference, PyByteArray_FromObject=bytearray, PyBytes_FromObject=bytes)
c.export_operations((c.CString,), c.NewReference, PyBytes_FromString=bytes)
c.export_operations((c.Value, c.Int), c.NewReference, PyBytes_Repr=lambda value, _smart: repr(value))
c.export_operations((c.Object,), c.Ssize, PyByteArray_Size=attrgetter("length"))


@c.export()
def PyBytes_FromStringAndSize(state: ProcessState, content: c.Pointer, size: c.Ssize) -> c.NewReference:
    if size < 0:
        raise SystemError("Negative size passed to PyBytes_FromStringAndSize")
    made = state.objects.create_bytes(size)
    if content and made.data is not None:
        state.memory.poke(made.data.start, state.memory.load(content, size))
    return made


@c.export("PyBytes_AS_STRING")
def PyBytes_AsString(state: ProcessState, value: c.Object) -> c.Pointer:
    return state.objects.get_data(_check_bytes(state, value)).start


@c.export()
def PyBytes_Size(state: ProcessState, value: c.Object) -> c.Ssize:
    return _check_bytes(state, value).length


@c.export()
def PyBytes_AsStringAndSize(state: ProcessState, value: c.Object, content: c.Pointer, size: c.Pointer) -> c.Int:
    made = _check_bytes(state, value)
    block = state.objects.get_data(made)
    if size == 0 and 0 in state.memory.peek(block.start, made.length):
        raise ValueError("embedded null byte")
    state.memory.store_pointer(content, block.start)
    if size:
        state.memory.store(size, state.abi.packer("n").pack(made.length))
    return 0


@c.export()
def _PyBytes_Resize(state: ProcessState, place: c.Pointer, size: c.Ssize) -> c.Int:
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


@c.export()
def PyBytes_Concat(state: ProcessState, place: c.Pointer, more: c.OptionalObject) -> None:
    left = state.objects.find(state.memory.load_pointer(place))
    state.memory.store_pointer(place, 0)
    joined = None if more is None else bytes(state.objects.unwrap(left)) + bytes(state.objects.unwrap(more))  # type: ignore[call-overload]
    state.objects.remove_reference(left)
    if joined is not None:
        state.memory.store_pointer(place, state.objects.add_reference(state.objects.wrap(joined)))


@c.export()
def PyByteArray_FromStringAndSize(state: ProcessState, content: c.Pointer, size: c.Ssize) -> c.NewReference:
    state.memory.check_limit(size)
    return bytearray(state.memory.load(content, size) if content and size else size)


@c.export()
def PyByteArray_AsString(state: ProcessState, value: c.Object) -> c.Pointer:
    return state.objects.get_data(value).start


@c.export()
def PyByteArray_Resize(state: ProcessState, value: c.Object, size: c.Ssize) -> c.Int:
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


c.export_operations((c.Int,), c.NewReference, PyUnicode_FromOrdinal=chr)
c.export_operations((c.Text,), c.NewReference, PyUnicode_FromString=str, PyUnicode_InternFromString=str)
c.export_operations((c.Value,), c.Ssize, PyUnicode_GetLength=lambda value: len(_get_text(value)))
c.export_operations((c.Value, c.Value), c.Int, PyUnicode_Contains=lambda value, part: part in _get_text(value))
c.export_operations((c.Value, c.CString), c.Int, PyUnicode_EqualToUTF8=lambda a, b: _get_text(a).encode() == b)
c.export_operations((c.Value, c.Content), c.Int, PyUnicode_EqualToUTF8AndSize=lambda a, b: _get_text(a).encode() == b)
c.export_operations((c.Content, c.Encoding, c.Errors), c.NewReference, PyUnicode_Decode=bytes.decode)
c.export_operations(
    (c.Content, c.Errors),
    c.NewReference,
    PyUnicode_DecodeASCII=lambda content, errors: content.decode("ascii", errors),
    PyUnicode_DecodeLatin1=lambda content, errors: content.decode("latin-1", errors),
    PyUnicode_DecodeUTF8=lambda content, errors: content.decode("utf-8", errors),
)
c.export_operations(
    (c.Value, c.Encoding, c.Errors),
    c.NewReference,
    PyUnicode_AsEncodedString=lambda value, encoding, errors: _get_text(value).encode(encoding, errors),
    PyUnicode_FromEncodedObject=str,
)
c.export_operations(
    (c.Value, c.OptionalValue, c.Ssize),
    c.NewReference,
    PyUnicode_Split=lambda value, separator, most: _get_text(value).split(separator, most),
)
c.export_operations(
    (c.Value,),
    c.NewReference,
    PyUnicode_AsASCIIString=lambda value: _get_text(value).encode("ascii"),
    PyUnicode_AsLatin1String=lambda value: _get_text(value).encode("latin-1"),
    PyUnicode_AsUTF8String=lambda value: _get_text(value).encode(),
    PyUnicode_FromObject=_get_text,
)
c.export_operations(
    (c.Value, c.Value),
    c.NewReference,
    PyUnicode_Concat=lambda left, right: _get_text(left) + _get_text(right),
    PyUnicode_Join=lambda separator, parts: _get_text(separator).join(parts),
)
c.export_operations(
    (c.Value, c.Value),
    c.Int,
    PyUnicode_Compare=lambda a, b: (_get_text(a) > _get_text(b)) - (_get_text(a) < _get_text(b)),
)


@c.export()
def PyUnicode_FromStringAndSize(state: ProcessState, content: c.Pointer, size: c.Ssize) -> c.NewReference:
    if size < 0:
        raise SystemError("Negative size passed to PyUnicode_FromStringAndSize")
    return state.memory.load(content, size).decode()


@c.export()
def PyUnicode_FromFormat(state: ProcessState, form: c.Text, rest: c.Variadic) -> c.NewReference:
    return format_text(state, form, rest)


@c.export()
def PyUnicode_AsUTF8AndSize(state: ProcessState, value: c.Object, size: c.Pointer) -> c.Pointer:
    _get_text(value.value)
    block = state.objects.get_data(value)
    if size:
        state.memory.store(size, state.abi.packer("n").pack(block.size - 1))
    return block.start


@c.export()
def PyUnicode_AsUTF8(state: ProcessState, value: c.Object) -> c.Pointer:
    return PyUnicode_AsUTF8AndSize(state, value, 0)


@c.export()
def PyUnicode_ReadChar(state: ProcessState, value: c.Value, index: c.Ssize) -> c.UInt:
    if index < 0:
        raise IndexError("string index out of range")
    return ord(_get_text(value)[index])


@c.export()
def PyUnicode_Substring(state: ProcessState, value: c.Value, start: c.Ssize, end: c.Ssize) -> c.NewReference:
    if start < 0 or end < 0:
        raise IndexError("string index out of range")
    return _get_text(value)[start:end]


@c.export()
def PyUnicode_CompareWithASCIIString(state: ProcessState, value: c.Value, text: c.CString) -> c.Int:
    left, right = _get_text(value), text.decode("latin-1")
    return (left > right) - (left < right)


@c.export()
def PyUnicode_InternInPlace(state: ProcessState, place: c.Pointer) -> None:
    state.objects.find(state.memory.load_pointer(place))
