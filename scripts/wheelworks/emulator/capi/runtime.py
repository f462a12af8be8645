"""Exceptions, memory allocation, and the C library."""

from __future__ import annotations

import warnings
from typing import Any

from wheelworks.emulator.capi.arguments import format_text
from wheelworks.emulator.exports import (
    Borrowed,
    Int,
    NewReference,
    Object,
    OptionalObject,
    OptionalValue,
    Pointer,
    Size,
    Ssize,
    Text,
    Value,
    Variadic,
    export,
)
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.heap import Block
from wheelworks.emulator.objects import GuestObject
from wheelworks.emulator.state import ProcessState


@export()
def PyErr_SetString(state: ProcessState, kind: Value, message: Pointer) -> None:
    state.error = _make_exception(kind, state.memory.load_string(message).decode(errors="replace"))


@export()
def PyErr_SetObject(state: ProcessState, kind: Value, value: OptionalValue) -> None:
    state.error = _make_exception(kind, value)


@export()
def PyErr_SetNone(state: ProcessState, kind: Value) -> None:
    state.error = _make_exception(kind, None)


@export()
def PyErr_Format(state: ProcessState, kind: Value, form: Text, rest: Variadic) -> Pointer:
    state.error = _make_exception(kind, format_text(state, form, rest))
    return 0


@export()
def PyErr_NoMemory(state: ProcessState) -> Pointer:
    raise MemoryError


@export()
def PyErr_BadArgument(state: ProcessState) -> Int:
    state.error = TypeError("bad argument type for built-in operation")
    return 0


@export()
def PyErr_BadInternalCall(state: ProcessState) -> None:
    state.error = SystemError("bad argument to internal function")


@export()
def PyErr_Occurred(state: ProcessState) -> Borrowed:
    return None if state.error is None else state.objects.wrap(type(state.error))


@export()
def PyErr_Clear(state: ProcessState) -> None:
    state.take_error()


@export()
def PyErr_ExceptionMatches(state: ProcessState, kind: Value) -> Int:
    if state.error is None:
        raise Fault("bad-api-use", "PyErr_ExceptionMatches is called while no exception is set")
    return int(isinstance(state.error, kind))


@export()
def PyErr_GivenExceptionMatches(state: ProcessState, given: Value, kind: Value) -> Int:
    cls = given if isinstance(given, type) else type(given)
    return int(issubclass(cls, kind))


@export()
def PyErr_GetRaisedException(state: ProcessState) -> Pointer:
    error = state.take_error()
    return 0 if error is None else state.objects.add_reference(state.objects.wrap(error))


@export()
def PyErr_SetRaisedException(state: ProcessState, error: OptionalObject) -> None:
    """Steals the reference."""
    state.take_error()
    if error is not None:
        state.error = _check_exception(error)
        state.objects.remove_reference(error)


@export()
def PyErr_Fetch(state: ProcessState, kind: Pointer, value: Pointer, traceback: Pointer) -> None:
    error = state.take_error()
    objects = state.objects
    state.memory.store_pointer(kind, 0 if error is None else objects.add_reference(objects.wrap(type(error))))
    state.memory.store_pointer(value, 0 if error is None else objects.add_reference(objects.wrap(error)))
    state.memory.store_pointer(traceback, 0)


@export()
def PyErr_NormalizeException(state: ProcessState, kind: Pointer, value: Pointer, traceback: Pointer) -> None:
    """Does nothing, since PyErr_Fetch returns normalized exceptions here."""


@export()
def PyErr_Restore(state: ProcessState, kind: OptionalObject, value: OptionalObject, traceback: OptionalObject) -> None:
    """Steals the references."""
    state.take_error()
    if kind is not None:
        state.error = _make_exception(kind.value, None if value is None else state.objects.unwrap(value))
    for given in (kind, value, traceback):
        state.objects.remove_reference(given)


@export()
def PyErr_WarnEx(state: ProcessState, category: OptionalObject, message: Text, level: Ssize) -> Int:
    kind: Any = RuntimeWarning if category is None else category.value
    warnings.warn(message, kind, stacklevel=2)
    return 0


@export()
def PyErr_NewException(state: ProcessState, name: Text, base: OptionalObject, content: OptionalObject) -> NewReference:
    module, _, short = name.rpartition(".")
    bases: Any = (Exception,) if base is None else base.value if isinstance(base.value, tuple) else (base.value,)
    members: Any = {} if content is None else dict(content.value)  # type: ignore[call-overload]
    return type(short, bases, {"__module__": module, **members})


@export()
def PyException_SetCause(state: ProcessState, error: Object, cause: OptionalObject) -> None:
    """Steals the reference to the cause."""
    _check_exception(error).__cause__ = None if cause is None else _check_exception(cause)
    state.objects.remove_reference(cause)


@export()
def Py_FatalError(state: ProcessState, message: Text) -> None:
    raise Fault("abort", f"Py_FatalError: {message}")


def _make_exception(kind: Any, value: object) -> BaseException:
    """Create the exception that CPython would create from a type and a value."""
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        return SystemError(f"exception {kind!r} not a BaseException subclass")
    if isinstance(value, kind):
        return value
    if value is None:
        return kind()
    return kind(*value) if isinstance(value, tuple) else kind(value)


def _check_exception(made: GuestObject) -> BaseException:
    if not isinstance(made.value, BaseException):
        raise Fault("bad-api-use", f"{made} is given as an exception")
    return made.value


@export("PyMem_RawMalloc", "PyObject_Malloc", "malloc")
def PyMem_Malloc(state: ProcessState, size: Size) -> Pointer:
    """Returns NULL without an exception over the memory limit."""
    return _allocate(state, size)


@export("PyMem_RawCalloc", "PyObject_Calloc", "calloc")
def PyMem_Calloc(state: ProcessState, count: Size, size: Size) -> Pointer:
    address = _allocate(state, count * size)
    if address:
        state.memory.poke(address, bytes(count * size))
    return address


@export("PyMem_RawRealloc", "PyObject_Realloc", "realloc")
def PyMem_Realloc(state: ProcessState, address: Pointer, size: Size) -> Pointer:
    """Always moves the block, so that a use of the old address is found."""
    if not address:
        return _allocate(state, size)
    old = _find_block(state, address)
    new = _allocate(state, size)
    if new:
        state.memory.poke(new, state.memory.peek(address, min(size, old.size)))
        _release(state, old)
    return new


@export("PyMem_RawFree", "PyObject_Free", "free")
def PyMem_Free(state: ProcessState, address: Pointer) -> None:
    if address:
        _release(state, _find_block(state, address))


def _allocate(state: ProcessState, size: int) -> int:
    try:
        block = state.memory.allocate(size, f"a block of {size} bytes")
    except MemoryError:
        return 0
    state.allocated[block.start] = block
    return block.start


def _find_block(state: ProcessState, address: int) -> Block:
    found = state.allocated.get(address)
    if found is not None:
        return found
    wrong = state.memory.check_access(address, 1, False)
    if wrong is not None and "freed" in str(wrong):
        raise Fault("invalid-free", f"the block at {address:#x} was freed before")
    raise Fault("invalid-free", f"{address:#x} is not the address of an allocated block")


def _release(state: ProcessState, block: Block) -> None:
    del state.allocated[block.start]
    state.memory.free(block)


@export("__memmove_chk")
def memmove(state: ProcessState, to: Pointer, origin: Pointer, size: Size) -> Pointer:
    if size:
        state.memory.store(to, state.memory.load(origin, size))
    return to


@export("__memcpy_chk", "__aeabi_memcpy", "__aeabi_memcpy4", "__aeabi_memcpy8")
def memcpy(state: ProcessState, to: Pointer, origin: Pointer, size: Size) -> Pointer:
    if size and to < origin + size and origin < to + size and to != origin:
        raise Fault("bad-api-use", f"memcpy of {size} bytes from {origin:#x} to {to:#x}, which overlap")
    return memmove(state, to, origin, size)


@export("__memset_chk")
def memset(state: ProcessState, to: Pointer, byte: Int, size: Size) -> Pointer:
    state.memory.fill(to, byte & 0xFF, size)
    return to


@export()
def bzero(state: ProcessState, to: Pointer, size: Size) -> None:
    state.memory.fill(to, 0, size)


@export("bcmp")
def memcmp(state: ProcessState, left: Pointer, right: Pointer, size: Size) -> Int:
    if not size:
        return 0
    return _compare(state.memory.load(left, size), state.memory.load(right, size))


@export()
def memchr(state: ProcessState, text: Pointer, byte: Int, size: Size) -> Pointer:
    """Reads no byte after the one that it finds."""
    for address in range(text, text + size):
        if state.memory.load(address, 1)[0] == byte & 0xFF:
            return address
    return 0


@export()
def strlen(state: ProcessState, text: Pointer) -> Size:
    return len(state.memory.load_string(text))


@export()
def strcmp(state: ProcessState, left: Pointer, right: Pointer) -> Int:
    return _compare(state.memory.load_string(left), state.memory.load_string(right))


@export()
def strncmp(state: ProcessState, left: Pointer, right: Pointer, size: Size) -> Int:
    return _compare(_load_prefix(state, left, size), _load_prefix(state, right, size))


@export()
def strchr(state: ProcessState, text: Pointer, byte: Int) -> Pointer:
    found = (state.memory.load_string(text) + b"\0").find(byte & 0xFF)
    return text + found if found >= 0 else 0


@export("__fortify_fail", "_invalid_parameter_noinfo_noreturn")
def abort(state: ProcessState) -> None:
    raise Fault("abort", "the code called abort")


@export("__stack_smash_handler", "__report_rangecheckfailure", "__report_gsfailure")
def __stack_chk_fail(state: ProcessState) -> None:
    raise Fault("stack-buffer-overflow", "the stack protector found its value overwritten")


@export("__register_frame_info", "__deregister_frame_info", "__gmon_start__")
def __cxa_finalize(state: ProcessState) -> Pointer:
    """Ignores what start-up code registers."""
    return 0


@export()
def __cxa_atexit(state: ProcessState, function: Pointer, argument: Pointer, library: Pointer) -> Int:
    """Ignores functions to call at exit: the process doesn't exit."""
    return 0


def _compare(left: bytes, right: bytes) -> int:
    return (left > right) - (left < right)


def _load_prefix(state: ProcessState, text: int, size: int) -> bytes:
    """Read a string of at most ``size`` bytes, and nothing after them."""
    found = bytearray()
    while len(found) < size and (byte := state.memory.load(text + len(found), 1)) != b"\0":
        found += byte
    return bytes(found)
