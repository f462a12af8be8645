"""bytes and bytearray."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelworks.emulator.capi.table import Int, NewReference, Object, OptionalObject, Pointer, Ssize, answer
from wheelworks.emulator.objects import GuestObject, Unfinished

if TYPE_CHECKING:
    from wheelworks.emulator.interpreter import Interpreter


@answer()
def PyBytes_FromStringAndSize(guest: Interpreter, content: Pointer, size: Ssize) -> NewReference:
    if size < 0:
        raise SystemError("Negative size passed to PyBytes_FromStringAndSize")
    made = guest.objects.new_bytes(size)
    if content and made.data is not None:
        guest.memory.poke(made.data.start, guest.memory.load(content, size) if size else b"")
    return made


@answer()
def PyBytes_FromString(guest: Interpreter, content: Pointer) -> NewReference:
    return guest.memory.text(content)


@answer()
def PyBytes_FromObject(guest: Interpreter, value: Object) -> NewReference:
    return bytes(guest.objects.value(value))  # type: ignore[call-overload]


@answer("PyBytes_AS_STRING")
def PyBytes_AsString(guest: Interpreter, value: Object) -> Pointer:
    return guest.objects.data(_bytes(guest, value)).start


@answer()
def PyBytes_Size(guest: Interpreter, value: Object) -> Ssize:
    return _bytes(guest, value).length


@answer()
def PyBytes_AsStringAndSize(guest: Interpreter, value: Object, content: Pointer, size: Pointer) -> Int:
    made = _bytes(guest, value)
    block = guest.objects.data(made)
    if size == 0 and 0 in guest.memory.peek(block.start, made.length):
        raise ValueError("embedded null byte")
    guest.memory.store_pointer(content, block.start)
    if size:
        guest.memory.store(size, guest.abi.packer("n").pack(made.length))
    return 0


@answer()
def _PyBytes_Resize(guest: Interpreter, place: Pointer, size: Ssize) -> Int:
    old = _bytes(guest, guest.objects.at(guest.memory.pointer(place)))
    if old.value is not Unfinished.BYTES or guest.objects.count(old) != 1 or size < 0:
        guest.objects.remove_reference(old)
        guest.memory.store_pointer(place, 0)
        raise SystemError("bad argument to internal function: _PyBytes_Resize")
    made = guest.objects.new_bytes(size)
    assert made.data is not None
    assert old.data is not None
    guest.memory.poke(made.data.start, guest.memory.peek(old.data.start, min(size, old.length)))
    guest.objects.add_reference(made)
    guest.objects.remove_reference(old)
    guest.memory.store_pointer(place, made.address)
    return 0


@answer()
def PyBytes_Concat(guest: Interpreter, place: Pointer, more: OptionalObject) -> None:
    left = guest.objects.at(guest.memory.pointer(place))
    guest.memory.store_pointer(place, 0)
    joined = None if more is None else bytes(guest.objects.value(left)) + bytes(guest.objects.value(more))  # type: ignore[call-overload]
    guest.objects.remove_reference(left)
    if joined is not None:
        guest.memory.store_pointer(place, guest.objects.add_reference(guest.objects.of(joined)))


@answer()
def PyBytes_Repr(guest: Interpreter, value: Object, smart: Int) -> NewReference:
    return repr(guest.objects.value(value))


@answer()
def PyByteArray_FromStringAndSize(guest: Interpreter, content: Pointer, size: Ssize) -> NewReference:
    guest.memory.afford(size)
    return bytearray(guest.memory.load(content, size) if content and size else size)


@answer()
def PyByteArray_FromObject(guest: Interpreter, value: Object) -> NewReference:
    return bytearray(guest.objects.value(value))  # type: ignore[call-overload]


@answer()
def PyByteArray_AsString(guest: Interpreter, value: Object) -> Pointer:
    return guest.objects.data(value).start


@answer()
def PyByteArray_Size(guest: Interpreter, value: Object) -> Ssize:
    return value.length


@answer()
def PyByteArray_Resize(guest: Interpreter, value: Object, size: Ssize) -> Int:
    guest.memory.afford(size)
    content = guest.objects.value(value)
    assert isinstance(content, bytearray)
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))
    guest.objects.moved(value)
    return 0


def _bytes(guest: Interpreter, made: GuestObject) -> GuestObject:
    if made.value is not Unfinished.BYTES and not isinstance(made.value, bytes):
        raise TypeError(f"expected bytes, {type(guest.objects.value(made)).__name__} found")
    return made
