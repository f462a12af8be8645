"""Exceptions."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from wheelworks.emulator.capi.format_ import formatted
from wheelworks.emulator.capi.table import (
    Borrowed,
    Int,
    NewReference,
    Object,
    OptionalObject,
    Pointer,
    Ssize,
    Text,
    Value,
    Variadic,
    answer,
)
from wheelworks.emulator.findings import fault
from wheelworks.emulator.objects import GuestObject

if TYPE_CHECKING:
    from wheelworks.emulator.interpreter import Interpreter


@answer()
def PyErr_SetString(guest: Interpreter, kind: Value, message: Pointer) -> None:
    guest.errors.set(_instance(kind, guest.memory.text(message).decode(errors="replace")))


@answer()
def PyErr_SetObject(guest: Interpreter, kind: Value, value: OptionalObject) -> None:
    guest.errors.set(_instance(kind, None if value is None else guest.objects.value(value)))


@answer()
def PyErr_SetNone(guest: Interpreter, kind: Value) -> None:
    guest.errors.set(_instance(kind, None))


@answer()
def PyErr_Format(guest: Interpreter, kind: Value, form: Text, rest: Variadic) -> Pointer:
    guest.errors.set(_instance(kind, formatted(guest, form, rest)))
    return 0


@answer()
def PyErr_NoMemory(guest: Interpreter) -> Pointer:
    raise MemoryError


@answer()
def PyErr_BadArgument(guest: Interpreter) -> Int:
    guest.errors.set(TypeError("bad argument type for built-in operation"))
    return 0


@answer()
def PyErr_BadInternalCall(guest: Interpreter) -> None:
    guest.errors.set(SystemError("bad argument to internal function"))


@answer()
def PyErr_Occurred(guest: Interpreter) -> Borrowed:
    return guest.errors.kind()


@answer()
def PyErr_Clear(guest: Interpreter) -> None:
    guest.errors.take()


@answer()
def PyErr_ExceptionMatches(guest: Interpreter, kind: Value) -> Int:
    if guest.errors.current is None:
        raise fault("bad-api-use", "PyErr_ExceptionMatches is called while no exception is set")
    return int(isinstance(guest.errors.current, kind))


@answer()
def PyErr_GivenExceptionMatches(guest: Interpreter, given: Value, kind: Value) -> Int:
    cls = given if isinstance(given, type) else type(given)
    return int(issubclass(cls, kind))


@answer()
def PyErr_GetRaisedException(guest: Interpreter) -> Pointer:
    error = guest.errors.take()
    return 0 if error is None else guest.objects.add_reference(guest.objects.of(error))


@answer()
def PyErr_SetRaisedException(guest: Interpreter, error: OptionalObject) -> None:
    """Steals the reference."""
    guest.errors.take()
    if error is not None:
        guest.errors.set(_error(error))
        guest.objects.remove_reference(error)


@answer()
def PyErr_Fetch(guest: Interpreter, kind: Pointer, value: Pointer, traceback: Pointer) -> None:
    error = guest.errors.take()
    objects = guest.objects
    guest.memory.store_pointer(kind, 0 if error is None else objects.add_reference(objects.of(type(error))))
    guest.memory.store_pointer(value, 0 if error is None else objects.add_reference(objects.of(error)))
    guest.memory.store_pointer(traceback, 0)


@answer()
def PyErr_NormalizeException(guest: Interpreter, kind: Pointer, value: Pointer, traceback: Pointer) -> None:
    """PyErr_Fetch gives normal exceptions here: nothing is left to do."""


@answer()
def PyErr_Restore(guest: Interpreter, kind: OptionalObject, value: OptionalObject, traceback: OptionalObject) -> None:
    """Steals the references."""
    guest.errors.take()
    if kind is not None:
        guest.errors.set(_instance(kind.value, None if value is None else guest.objects.value(value)))
    for given in (kind, value, traceback):
        if given is not None:
            guest.objects.remove_reference(given)


@answer()
def PyErr_WarnEx(guest: Interpreter, category: OptionalObject, message: Text, level: Ssize) -> Int:
    kind: Any = RuntimeWarning if category is None else category.value
    warnings.warn(message, kind, stacklevel=2)
    return 0


@answer()
def PyErr_NewException(guest: Interpreter, name: Text, base: OptionalObject, content: OptionalObject) -> NewReference:
    module, _, short = name.rpartition(".")
    bases: Any = (Exception,) if base is None else base.value if isinstance(base.value, tuple) else (base.value,)
    members: Any = {} if content is None else dict(content.value)  # type: ignore[call-overload]
    return type(short, bases, {"__module__": module, **members})


@answer()
def PyException_SetCause(guest: Interpreter, error: Object, cause: OptionalObject) -> None:
    """Steals the reference to the cause."""
    _error(error).__cause__ = None if cause is None else _error(cause)
    if cause is not None:
        guest.objects.remove_reference(cause)


@answer()
def Py_FatalError(guest: Interpreter, message: Text) -> None:
    raise fault("abort", f"Py_FatalError: {message}")


def _instance(kind: Any, value: object) -> BaseException:
    """The exception that CPython would make of a type and a value."""
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        return SystemError(f"exception {kind!r} not a BaseException subclass")
    if isinstance(value, kind):
        return value
    if value is None:
        return kind()
    return kind(*value) if isinstance(value, tuple) else kind(value)


def _error(made: GuestObject) -> BaseException:
    if not isinstance(made.value, BaseException):
        raise fault("bad-api-use", f"{made} is given as an exception")
    return made.value
