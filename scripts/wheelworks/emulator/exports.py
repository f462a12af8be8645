"""How the functions and variables that guest code imports are declared.

``@export`` registers a Python function under its own name. Its annotations are its C signature: they say how each
argument is read from the guest and how the result is returned. An exception that it raises becomes the pending
exception of the guest, and the result is then the one by which the C function reports failure (NULL or -1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from wheelworks.emulator.calling import ArgumentReader
from wheelworks.emulator.objects import GuestObject
from wheelworks.emulator.state import ProcessState

Int = Annotated[int, "int"]
UInt = Annotated[int, "unsigned int"]
Long = Annotated[int, "long"]
ULong = Annotated[int, "unsigned long"]
LongLong = Annotated[int, "long long"]
ULongLong = Annotated[int, "unsigned long long"]
Ssize = Annotated[int, "Py_ssize_t"]
Size = Annotated[int, "size_t"]
Double = Annotated[float, "double"]
Pointer = Annotated[int, "void *"]
Text = Annotated[str, "char *"]
CString = Annotated[bytes, "the bytes of a char *"]
Content = Annotated[bytes, "char *, Py_ssize_t"]
Encoding = Annotated[str, "the name of an encoding, or NULL for UTF-8"]
Errors = Annotated[str, "the name of an error handler, or NULL for strict"]
Object = Annotated[GuestObject, "PyObject *"]
OptionalObject = Annotated[GuestObject | None, "PyObject *, or NULL"]
Value = Annotated[Any, "the value of a PyObject *"]
OptionalValue = Annotated[Any, "the value of a PyObject *, or None for NULL"]
Variadic = Annotated[ArgumentReader, "..."]
NewReference = Annotated[object, "a new reference"]
Borrowed = Annotated[GuestObject | None, "a borrowed reference"]

Reader = Callable[[ProcessState, ArgumentReader], Any]
ExportFunction = Callable[..., Any]
Function = TypeVar("Function", bound=ExportFunction)
POINTERS = ("void *", "a new reference", "a borrowed reference")
FAILED = {"void": 0, "double": -1.0}


@dataclass(frozen=True)
class Export:
    """An imported function: ``readers`` read its arguments, ``failed`` is its result after an exception.

    On 32-bit Windows, a ``stdcall`` function removes its stack arguments: of one word each.
    """

    function: ExportFunction
    readers: tuple[Reader, ...]
    result: str
    failed: int | float
    stdcall: bool = False

    def call(self, state: ProcessState, arguments: ArgumentReader) -> Any:
        """Read the arguments and call the function."""
        return self.function(state, *[read(state, arguments) for read in self.readers])


@dataclass(frozen=True)
class Variable:
    """An imported variable: ``create`` puts it in guest memory and returns its address."""

    create: Callable[[ProcessState], int]


FUNCTIONS: dict[str, Export] = {}
# Functions whose addresses a module may get without importing them, as slots of types.
FUNCTION_POINTERS = (
    "PyObject_Free",
    "PyObject_GC_Del",
    "PyObject_GenericGetAttr",
    "PyObject_GenericSetAttr",
    "PyObject_HashNotImplemented",
    "PyObject_SelfIter",
    "PyType_GenericAlloc",
    "PyType_GenericNew",
    "subtype_clear",
    "subtype_dealloc",
    "subtype_traverse",
    "visit_reference",
)


def export(*aliases: str, failed: int | None = None, stdcall: bool = False) -> Callable[[Function], Function]:
    """Register a function under its own name and under ``aliases``.

    ``failed`` is its result after an exception, where that is neither NULL nor -1; ``stdcall`` is its calling
    convention on 32-bit Windows.
    """

    def register(function: Function) -> Function:
        hints = get_type_hints(function, include_extras=True)
        result = hints.pop("return")
        del hints["state"]
        for name in (function.__name__, *aliases):
            register_function(name, function, tuple(hints.values()), result, failed, stdcall)
        return function

    return register


def export_operations(arguments: tuple[Any, ...], result: Any, **operations: ExportFunction) -> None:
    """Register Python operations that need no state; all have the same C types of arguments and result."""
    for name, operation in operations.items():
        register_function(name, lambda _state, *values, run=operation: run(*values), arguments, result)


def register_function(
    name: str,
    function: ExportFunction,
    arguments: tuple[Any, ...],
    result: Any,
    failed: int | None = None,
    stdcall: bool = False,
) -> None:
    """Register a function that is called with the state and its arguments, whose C types are given."""
    kind = "void" if result is type(None) else str(get_args(result)[1])
    default = 0 if kind in POINTERS else FAILED.get(kind, -1)
    readers = tuple(READERS[get_args(argument)[1]] for argument in arguments)
    FUNCTIONS[name] = Export(function, readers, kind, default if failed is None else failed, stdcall)


def _read_string(state: ProcessState, arguments: ArgumentReader) -> bytes:
    return state.memory.load_string(arguments.unsigned(state.abi.pointer))


def _read_content(state: ProcessState, arguments: ArgumentReader) -> bytes:
    return state.memory.load(arguments.unsigned(state.abi.pointer), arguments.signed(state.abi.pointer))


def _read_name(state: ProcessState, arguments: ArgumentReader, default: str) -> str:
    address = arguments.unsigned(state.abi.pointer)
    return state.memory.load_string(address).decode() if address else default


def _read_optional(state: ProcessState, arguments: ArgumentReader) -> GuestObject | None:
    address = arguments.unsigned(state.abi.pointer)
    return state.objects.find(address) if address else None


def _read_optional_value(state: ProcessState, arguments: ArgumentReader) -> object:
    made = _read_optional(state, arguments)
    return None if made is None else state.objects.unwrap(made)


READERS: dict[str, Reader] = {
    "int": lambda state, arguments: arguments.signed(4),
    "unsigned int": lambda state, arguments: arguments.unsigned(4),
    "long": lambda state, arguments: arguments.signed(state.abi.long),
    "unsigned long": lambda state, arguments: arguments.unsigned(state.abi.long),
    "long long": lambda state, arguments: arguments.signed(8),
    "unsigned long long": lambda state, arguments: arguments.unsigned(8),
    "Py_ssize_t": lambda state, arguments: arguments.signed(state.abi.pointer),
    "size_t": lambda state, arguments: arguments.unsigned(state.abi.pointer),
    "double": lambda state, arguments: arguments.double(),
    "void *": lambda state, arguments: arguments.unsigned(state.abi.pointer),
    "char *": lambda state, arguments: _read_string(state, arguments).decode(),
    "the bytes of a char *": _read_string,
    "char *, Py_ssize_t": _read_content,
    "the name of an encoding, or NULL for UTF-8": lambda state, arguments: _read_name(state, arguments, "utf-8"),
    "the name of an error handler, or NULL for strict": lambda state, arguments: _read_name(state, arguments, "strict"),
    "PyObject *": lambda state, arguments: state.objects.find(arguments.unsigned(state.abi.pointer)),
    "PyObject *, or NULL": _read_optional,
    "the value of a PyObject *": lambda state, arguments: state.objects.unwrap(
        state.objects.find(arguments.unsigned(state.abi.pointer))
    ),
    "the value of a PyObject *, or None for NULL": _read_optional_value,
    "...": lambda state, arguments: arguments.start_variadic(),
}
