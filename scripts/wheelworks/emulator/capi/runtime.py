"""Exceptions, memory allocation, and the C library."""

from __future__ import annotations

import warnings
from typing import Any

from wheelworks.emulator import exports as c
from wheelworks.emulator.capi.arguments import format_text
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.heap import Block
from wheelworks.emulator.objects import GuestObject
from wheelworks.emulator.state import ProcessState


@c.export()
def PyErr_SetString(state: ProcessState, kind: c.Value, message: c.CString) -> None:
    state.error = _make_exception(kind, message.decode(errors="replace"))


@c.export()
def PyErr_SetObject(state: ProcessState, kind: c.Value, value: c.OptionalValue) -> None:
    state.error = _make_exception(kind, value)


@c.export()
def PyErr_SetNone(state: ProcessState, kind: c.Value) -> None:
    state.error = _make_exception(kind, None)


@c.export()
def PyErr_Format(state: ProcessState, kind: c.Value, form: c.Text, rest: c.Variadic) -> c.Pointer:
    state.error = _make_exception(kind, format_text(state, form, rest))
    return 0


@c.export()
def PyErr_NoMemory(state: ProcessState) -> c.Pointer:
    raise MemoryError


@c.export()
def PyErr_BadArgument(state: ProcessState) -> c.Int:
    state.error = TypeError("bad argument type for built-in operation")
    return 0


@c.export()
def PyErr_BadInternalCall(state: ProcessState) -> None:
    state.error = SystemError("bad argument to internal function")


@c.export()
def PyErr_Occurred(state: ProcessState) -> c.Borrowed:
    return None if state.error is None else state.objects.wrap(type(state.error))


@c.export()
def PyErr_Clear(state: ProcessState) -> None:
    state.take_error()


@c.export()
def PyErr_ExceptionMatches(state: ProcessState, kind: c.Value) -> c.Int:
    if state.error is None:
        raise Fault("bad-api-use", "PyErr_ExceptionMatches is called while no exception is set")
    return int(isinstance(state.error, kind))


@c.export()
def PyErr_GivenExceptionMatches(state: ProcessState, given: c.Value, kind: c.Value) -> c.Int:
    cls = given if isinstance(given, type) else type(given)
    return int(issubclass(cls, kind))


@c.export()
def PyErr_GetRaisedException(state: ProcessState) -> c.Pointer:
    error = state.take_error()
    return 0 if error is None else state.objects.add_reference(state.objects.wrap(error))


@c.export()
def PyErr_SetRaisedException(state: ProcessState, error: c.OptionalObject) -> None:
    """Steals the reference."""
    state.take_error()
    if error is not None:
        state.error = _check_exception(error)
        state.objects.remove_reference(error)


@c.export()
def PyErr_Fetch(state: ProcessState, kind: c.Pointer, value: c.Pointer, traceback: c.Pointer) -> None:
    error = state.take_error()
    objects = state.objects
    state.memory.store_pointer(kind, 0 if error is None else objects.add_reference(objects.wrap(type(error))))
    state.memory.store_pointer(value, 0 if error is None else objects.add_reference(objects.wrap(error)))
    state.memory.store_pointer(traceback, 0)


@c.export()
def PyErr_NormalizeException(state: ProcessState, kind: c.Pointer, value: c.Pointer, traceback: c.Pointer) -> None:
    """Does nothing, since PyErr_Fetch returns normalized exceptions here."""


@c.export()
def PyErr_Restore(
    state: ProcessState, kind: c.OptionalObject, value: c.OptionalObject, traceback: c.OptionalObject
) -> None:
    """Steals the references."""
    state.take_error()
    if kind is not None:
        state.error = _make_exception(kind.value, None if value is None else state.objects.unwrap(value))
    for given in (kind, value, traceback):
        state.objects.remove_reference(given)


@c.export()
def PyErr_WarnEx(state: ProcessState, category: c.OptionalObject, message: c.Text, level: c.Ssize) -> c.Int:
    kind: Any = RuntimeWarning if category is None else category.value
    warnings.warn(message, kind, stacklevel=2)
    return 0


@c.export()
def PyErr_NewException(
    state: ProcessState, name: c.Text, base: c.OptionalObject, content: c.OptionalObject
) -> c.NewReference:
    module, _, short = name.rpartition(".")
    bases: Any = (Exception,) if base is None else base.value if isinstance(base.value, tuple) else (base.value,)
    members: Any = {} if content is None else dict(content.value)  # type: ignore[call-overload]
    return type(short, bases, {"__module__": module, **members})


@c.export()
def PyException_SetCause(state: ProcessState, error: c.Object, cause: c.OptionalObject) -> None:
    """Steals the reference to the cause."""
    _check_exception(error).__cause__ = None if cause is None else _check_exception(cause)
    state.objects.remove_reference(cause)


@c.export()
def PyException_SetTraceback(state: ProcessState, error: c.Object, traceback: c.Value) -> c.Int:
    _check_exception(error).__traceback__ = traceback
    return 0


@c.export()
def PyException_GetTraceback(state: ProcessState, error: c.Object) -> c.Pointer:
    traceback = _check_exception(error).__traceback__
    return 0 if traceback is None else state.objects.add_reference(state.objects.wrap(traceback))


@c.export()
def Py_FatalError(state: ProcessState, message: c.Text) -> None:
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


@c.export("PyMem_RawMalloc", "PyObject_Malloc", "malloc")
def PyMem_Malloc(state: ProcessState, size: c.Size) -> c.Pointer:
    """Returns NULL without an exception over the memory limit."""
    return _allocate(state, size)


@c.export("PyMem_RawCalloc", "PyObject_Calloc", "calloc")
def PyMem_Calloc(state: ProcessState, count: c.Size, size: c.Size) -> c.Pointer:
    address = _allocate(state, count * size)
    if address:
        state.memory.poke(address, bytes(count * size))
    return address


@c.export("PyMem_RawRealloc", "PyObject_Realloc", "realloc")
def PyMem_Realloc(state: ProcessState, address: c.Pointer, size: c.Size) -> c.Pointer:
    """Always moves the block, so that a use of the old address is found."""
    if not address:
        return _allocate(state, size)
    old = _find_block(state, address)
    new = _allocate(state, size)
    if new:
        state.memory.poke(new, state.memory.peek(address, min(size, old.size)))
        _release(state, old)
    return new


@c.export("PyMem_RawFree", "free")
def PyMem_Free(state: ProcessState, address: c.Pointer) -> None:
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


@c.export("__memmove_chk")
def memmove(state: ProcessState, to: c.Pointer, origin: c.Pointer, size: c.Size) -> c.Pointer:
    state.memory.store(to, state.memory.load(origin, size))
    return to


@c.export("__memcpy_chk", "__aeabi_memcpy", "__aeabi_memcpy4", "__aeabi_memcpy8")
def memcpy(state: ProcessState, to: c.Pointer, origin: c.Pointer, size: c.Size) -> c.Pointer:
    if size and to < origin + size and origin < to + size and to != origin:
        raise Fault("bad-api-use", f"memcpy of {size} bytes from {origin:#x} to {to:#x}, which overlap")
    return memmove(state, to, origin, size)


@c.export("__memset_chk")
def memset(state: ProcessState, to: c.Pointer, byte: c.Int, size: c.Size) -> c.Pointer:
    state.memory.fill(to, byte & 0xFF, size)
    return to


@c.export()
def bzero(state: ProcessState, to: c.Pointer, size: c.Size) -> None:
    state.memory.fill(to, 0, size)


@c.export("bcmp")
def memcmp(state: ProcessState, left: c.Pointer, right: c.Pointer, size: c.Size) -> c.Int:
    return _compare(state.memory.load(left, size), state.memory.load(right, size))


@c.export()
def memchr(state: ProcessState, text: c.Pointer, byte: c.Int, size: c.Size) -> c.Pointer:
    """Reads no byte after the one that it finds."""
    for address in range(text, text + size):
        if state.memory.load(address, 1)[0] == byte & 0xFF:
            return address
    return 0


@c.export()
def strncmp(state: ProcessState, left: c.Pointer, right: c.Pointer, size: c.Size) -> c.Int:
    return _compare(_load_prefix(state, left, size), _load_prefix(state, right, size))


@c.export()
def strchr(state: ProcessState, text: c.Pointer, byte: c.Int) -> c.Pointer:
    found = (state.memory.load_string(text) + b"\0").find(byte & 0xFF)
    return text + found if found >= 0 else 0


@c.export("__fortify_fail", "_invalid_parameter_noinfo_noreturn")
def abort(state: ProcessState) -> None:
    raise Fault("abort", "the code called abort")


@c.export("__stack_smash_handler", "__report_rangecheckfailure", "__report_gsfailure")
def __stack_chk_fail(state: ProcessState) -> None:
    raise Fault("stack-buffer-overflow", "the stack protector found its value overwritten")


@c.export("__register_frame_info", "__deregister_frame_info", "__gmon_start__")
def __cxa_finalize(state: ProcessState) -> c.Pointer:
    """Ignores what start-up code registers."""
    return 0


@c.export()
def __cxa_atexit(state: ProcessState, function: c.Pointer, argument: c.Pointer, library: c.Pointer) -> c.Int:
    """Ignores functions to call at exit: the process doesn't exit."""
    return 0


def _compare(left: bytes, right: bytes) -> int:
    return (left > right) - (left < right)


c.export_operations((c.CString,), c.Size, strlen=len)
c.export_operations((c.CString, c.CString), c.Int, strcmp=_compare)


def _load_prefix(state: ProcessState, text: int, size: int) -> bytes:
    """Read a string of at most ``size`` bytes, and nothing after them."""
    found = bytearray()
    while len(found) < size and (byte := state.memory.load(text + len(found), 1)) != b"\0":
        found += byte
    return bytes(found)
