"""How the functions that guest code calls are written down: as Python functions with C types for annotations.

``@answer`` registers a function under its own name. The annotations say how each argument is read from the guest and
how the result is given back. A Python exception raised inside becomes the guest's current exception, and the result
is then what CPython returns for failure (NULL or -1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

from wheelworks.emulator.calling import Arguments
from wheelworks.emulator.objects import GuestObject

if TYPE_CHECKING:
    from wheelworks.emulator.interpreter import Interpreter

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
Object = Annotated[GuestObject, "PyObject *"]
OptionalObject = Annotated[GuestObject | None, "PyObject *, or NULL"]
Value = Annotated[Any, "the value of a PyObject *"]
Variadic = Annotated[Arguments, "..."]
NewReference = Annotated[object, "a new reference"]
Borrowed = Annotated[GuestObject | None, "a borrowed reference"]

Function = Callable[..., Any]


@dataclass(frozen=True)
class Answer:
    """One function of the outside world: how to read its arguments, what it does, how its result goes back.

    ``failed`` is what it returns when it has raised.
    """

    name: str
    function: Function
    arguments: tuple[str, ...]
    result: str
    failed: int | float

    def call(self, guest: Interpreter, arguments: Arguments) -> Any:
        """Read the arguments and do it."""
        return self.function(guest, *(READERS[kind](guest, arguments) for kind in self.arguments))


ANSWERS: dict[str, Answer] = {}


def answer(*aliases: str, failed: int | None = None) -> Callable[[Function], Function]:
    """Register a function as the answer to its own name, and to ``aliases``.

    ``failed`` is its result when it has raised, where that isn't NULL or -1.
    """

    def register(function: Function) -> Function:
        hints = get_type_hints(function, localns={"Interpreter": object}, include_extras=True)
        result = _kind(hints.pop("return"))
        hints.pop("guest")
        kinds = tuple(_kind(hint) for hint in hints.values())
        for name in (function.__name__, *aliases):
            ANSWERS[name] = Answer(name, function, kinds, result, _failure(result) if failed is None else failed)
        return function

    return register


def _kind(hint: object) -> str:
    return "void" if hint is type(None) else str(get_args(hint)[1])


def _optional(guest: Interpreter, arguments: Arguments) -> GuestObject | None:
    address = arguments.unsigned(guest.abi.pointer)
    return guest.objects.at(address) if address else None


READERS: dict[str, Callable[[Interpreter, Arguments], Any]] = {
    "int": lambda guest, arguments: arguments.signed(4),
    "unsigned int": lambda guest, arguments: arguments.unsigned(4),
    "long": lambda guest, arguments: arguments.signed(guest.abi.long),
    "unsigned long": lambda guest, arguments: arguments.unsigned(guest.abi.long),
    "long long": lambda guest, arguments: arguments.signed(8),
    "unsigned long long": lambda guest, arguments: arguments.unsigned(8),
    "Py_ssize_t": lambda guest, arguments: arguments.signed(guest.abi.pointer),
    "size_t": lambda guest, arguments: arguments.unsigned(guest.abi.pointer),
    "double": lambda guest, arguments: arguments.double(),
    "void *": lambda guest, arguments: arguments.unsigned(guest.abi.pointer),
    "char *": lambda guest, arguments: guest.memory.text(arguments.unsigned(guest.abi.pointer)).decode(),
    "PyObject *": lambda guest, arguments: guest.objects.at(arguments.unsigned(guest.abi.pointer)),
    "PyObject *, or NULL": _optional,
    "the value of a PyObject *": lambda guest, arguments: guest.objects.value(
        guest.objects.at(arguments.unsigned(guest.abi.pointer))
    ),
    "...": lambda guest, arguments: arguments.variadic(),
}
POINTERS = ("void *", "a new reference", "a borrowed reference")
FAILED = {"void": 0, "size_t": -1, "double": -1.0}


def _failure(result: str) -> int | float:
    """What a function with this kind of result returns when it has raised."""
    return 0 if result in POINTERS else FAILED.get(result, -1)
