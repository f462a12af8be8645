"""One call from Python into the guest, and the books that must balance after it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from wheelworks.emulator.definition import Method
from wheelworks.emulator.findings import CannotRun, Fault, fault
from wheelworks.emulator.heap import Block
from wheelworks.emulator.objects import GuestObject

if TYPE_CHECKING:
    from wheelworks.emulator.interpreter import Interpreter

VARARGS, KEYWORDS, NOARGS, ONE, FASTCALL = 0x1, 0x2, 0x4, 0x8, 0x80
CALLING_FLAGS = VARARGS | KEYWORDS | NOARGS | ONE | FASTCALL | 0x200


class Call:
    """The arguments of one call, and the references to them that belong to the caller."""

    def __init__(self, guest: Interpreter, method: Method, module: GuestObject) -> None:
        self.guest, self.method, self.module = guest, method, module
        self.held: list[GuestObject] = []
        self.block: Block | None = None

    def words(self, args: Sequence[object], kwargs: Mapping[str, object]) -> list[int]:
        """What the C function is called with. Raises TypeError for arguments its flags don't take."""
        kind = self.method.flags & CALLING_FLAGS
        name = self.method.name
        if kwargs and not kind & KEYWORDS:
            raise TypeError(f"{name}() takes no keyword arguments")
        if kind in (NOARGS, ONE):
            if len(args) != (kind == ONE):
                wanted = "exactly one argument" if kind == ONE else "no arguments"
                raise TypeError(f"{name}() takes {wanted} ({len(args)} given)")
            return [self.module.address, self._hold(args[0]) if args else 0]
        if kind & FASTCALL and not kind & 0x200:
            return self._fast(args, kwargs, bool(kind & KEYWORDS))
        if kind & ~KEYWORDS == VARARGS:
            words = [self.module.address, self._hold(tuple(args))]
            return words + [self._hold(dict(kwargs)) if kwargs else 0] * bool(kind & KEYWORDS)
        raise CannotRun(f"{name} has the calling flags {kind:#x}, which the emulated interpreter doesn't answer")

    def _fast(self, args: Sequence[object], kwargs: Mapping[str, object], keywords: bool) -> list[int]:
        addresses = [self._hold(value) for value in (*args, *kwargs.values())]
        pack = self.guest.abi.packer("P" * len(addresses))
        self.block = self.guest.memory.allocate(pack.size, "the array of arguments")
        self.guest.memory.poke(self.block.start, pack.pack(*addresses))
        self.guest.memory.freeze(self.block)
        words = [self.module.address, self.block.start, len(args)]
        return words + [self._hold(tuple(kwargs)) if kwargs else 0] * keywords

    def _hold(self, value: object) -> int:
        made = self.guest.objects.hold(self.guest.objects.of(value))
        self.held.append(made)
        return made.address

    def release(self) -> None:
        """Give the arguments back. Raises Fault if the function dropped a reference that wasn't its own."""
        for made in reversed(self.held):
            self.guest.objects.pull(made)
            self.guest.objects.drop(made)
        if self.block is not None:
            self.guest.memory.free(self.block)


def call_method(
    guest: Interpreter, method: Method, module: GuestObject, args: Sequence[object], kwargs: Mapping[str, object]
) -> object:
    """Call a method of the guest as Python would.

    Returns what it returns and raises what it raises. Raises Fault for whatever is wrong with the code, CannotRun.
    """
    outermost = guest.depth == 0
    try:
        call = Call(guest, method, module)
        address = guest.enter(method.address, call.words(args, kwargs))
        result = take_result(guest, address)
        call.release()
        if outermost:
            balance(guest)
    except Fault as found:
        guest.broken = True
        function = method.name
        raise found.placed(function=function, arguments=describe(args, kwargs)) from None
    except CannotRun:
        guest.broken = True
        raise
    error = guest.errors.take()
    if error is not None:
        raise error
    return result


def take_result(guest: Interpreter, address: int) -> object:
    """The value of a returned new reference; None where NULL was returned with an exception."""
    error = guest.errors.current
    if address == 0:
        if error is None:
            raise fault("null-without-error", "NULL was returned, but no exception was set")
        return None
    made = guest.objects.at(address)
    if error is not None:
        raise fault("error-with-result", f"{made} was returned while {error!r} was set")
    value = guest.objects.value(made)
    guest.objects.remove_reference(made)
    return value


def balance(guest: Interpreter) -> None:
    """Between two calls: every reference, buffer and block is given back or kept where the module can find it.

    Raises Fault for what is lost.
    """
    for view in guest.views.values():
        raise fault("buffer-not-released", f"the buffer of {view.exporter} ({guest.told(view.origin)})")
    for made in list(guest.objects.live):
        surplus = guest.objects.count(made) - made.held
        if surplus != made.excused:
            _check_surplus(guest, made, surplus)
    for made, surplus in list(guest.objects.permanent_imbalance()):
        _check_surplus(guest, made, surplus)
    for block in list(guest.allocated.values()):
        if block.start not in guest.kept_blocks:
            if not _occurrences(guest, block.start):
                raise fault("lost-memory", f"{block.what} was neither freed nor kept")
            guest.kept_blocks.add(block.start)
    guest.memory.settle()


def _check_surplus(guest: Interpreter, made: GuestObject, surplus: int) -> None:
    """References that the guest still has must be where it can find them: in its variables, state or blocks."""
    if surplus < 0:
        raise fault("reference-dropped-twice", f"{-surplus} of the references to {made} were not the function's own")
    if surplus > _occurrences(guest, made.address):
        origin = f" ({guest.told(made.origin)})" if made.origin else ""
        raise fault("lost-reference", f"{surplus} to {made}{origin} never dropped")
    made.excused = surplus


def _occurrences(guest: Interpreter, address: int) -> int:
    """How often a pointer stands in memory that the module keeps."""
    pattern = address.to_bytes(guest.abi.pointer, guest.abi.order)
    return sum(content.count(pattern) for content in guest.kept_memory())


def describe(args: Sequence[object], kwargs: Mapping[str, object]) -> str:
    """Arguments as a finding shows them."""
    shown = [_short(value) for value in args] + [f"{key}={_short(value)}" for key, value in kwargs.items()]
    return ", ".join(shown)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:40]}… ({len(text)} characters)"


class Function:
    """A function of the guest, as an attribute of its module."""

    def __init__(self, guest: Interpreter, method: Method, module: GuestObject) -> None:
        self._guest, self._method, self._module = guest, method, module
        self.__name__ = self.__qualname__ = method.name
        self.__doc__, self.__text_signature__ = split_doc(method)

    def __call__(self, *args: object, **kwargs: object) -> object:
        """Run the machine code."""
        return call_method(self._guest, self._method, self._module, args, kwargs)

    def __repr__(self) -> str:
        return f"<emulated function {self.__name__}>"


def split_doc(method: Method) -> tuple[str | None, str | None]:
    """The docstring and the signature, as CPython splits ``name(…)\\n--\\n\\n`` off."""
    doc = method.doc
    mark = ")\n--\n\n"
    if doc is None or not doc.startswith(f"{method.name}(") or mark not in doc:
        return (inspect.cleandoc(doc) if doc else doc), None
    signature, _, rest = doc.partition(mark)
    return rest, signature[len(method.name) :] + ")"
