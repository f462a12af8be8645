"""Calls from Python into guest code: the arguments of each, and the checks after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wheelworks.core.errors import Unsupported
from wheelworks.emulator.definition import Method
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.heap import Block
from wheelworks.emulator.objects import GuestObject
from wheelworks.emulator.state import ProcessState, pause_collector

VARARGS, KEYWORDS, NOARGS, ONE, OF_CLASS, STATIC, FASTCALL, METHOD = 0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x80, 0x200
CALLING_FLAGS = VARARGS | KEYWORDS | NOARGS | ONE | FASTCALL | METHOD


class GuestCall:
    """The arguments of one call, to which the caller holds references."""

    def __init__(self, state: ProcessState) -> None:
        self.state = state
        self.held: list[GuestObject] = []
        self.blocks: list[Block] = []

    def hold(self, value: object) -> int:
        """Hold a reference to a value during the call, and return its address."""
        return self.hold_object(self.state.objects.wrap(value))

    def hold_object(self, made: GuestObject) -> int:
        """Hold a reference to an object during the call, and return its address."""
        self.held.append(self.state.objects.hold(made))
        return made.address

    def hold_array(self, values: Sequence[object]) -> int:
        """Create a read-only array of references, and return its address."""
        addresses = [self.hold(value) for value in values]
        pack = self.state.abi.packer("P" * len(addresses))
        block = self.state.memory.allocate(pack.size, "the array of arguments")
        self.blocks.append(block)
        self.state.memory.poke(block.start, pack.pack(*addresses))
        self.state.memory.freeze(block)
        return block.start

    def release(self) -> None:
        """Release the arguments. Raises Fault if the function dropped a reference that it didn't own."""
        for made in reversed(self.held):
            self.state.objects.read_back(made)
            self.state.objects.drop(made)
        for block in self.blocks:
            self.state.memory.free(block)


def convert_arguments(
    call: GuestCall, method: Method, first: Sequence[int], args: Sequence[object], kwargs: Mapping[str, object]
) -> list[int]:
    """Return a C function's arguments. ``first`` are ``self`` and, with METH_METHOD, the defining class.

    Raises TypeError for arguments that its flags don't accept.
    """
    kind, name = method.flags & CALLING_FLAGS, method.name
    if kwargs and not kind & KEYWORDS:
        raise TypeError(f"{name}() takes no keyword arguments")
    if kind in (NOARGS, ONE):
        if len(args) != (kind == ONE):
            wanted = "exactly one argument" if kind == ONE else "no arguments"
            raise TypeError(f"{name}() takes {wanted} ({len(args)} given)")
        return [*first, call.hold(args[0]) if args else 0]
    keywords = bool(kind & KEYWORDS)
    if kind & ~KEYWORDS in (FASTCALL, FASTCALL | METHOD) and (keywords or not kind & METHOD):
        array = call.hold_array((*args, *kwargs.values()))
        return [*first, array, len(args), *([call.hold(tuple(kwargs)) if kwargs else 0] * keywords)]
    if kind & ~KEYWORDS == VARARGS:
        return [*first, call.hold(tuple(args)), *([call.hold(dict(kwargs)) if kwargs else 0] * keywords)]
    raise Unsupported(f"{name} has the calling flags {kind:#x}, which aren't emulated")


@pause_collector()
def run_guest(
    state: ProcessState,
    name: str,
    address: int,
    prepare: Callable[[GuestCall], Sequence[int]],
    take: Callable[[ProcessState, int], Any],
    describe: Callable[[], str] = str,
) -> Any:
    """Call a function of the guest as CPython would, and check what it leaves behind.

    ``prepare`` returns its arguments, ``take`` converts its result register, ``describe`` names the arguments. Raises
    the function's exception, Fault for wrong code, Unsupported for what isn't emulated.
    """
    state.check_running(name)
    outermost = state.depth == 0
    call = GuestCall(state)
    try:
        words = prepare(call)
        result = take(state, state.run_code(address, words))
        call.release()
        if outermost:
            state.check_leaks()
    except Fault as found:
        raise state.end(found.placed(function=name, arguments=describe())) from None
    except Unsupported as found:
        raise state.end(found) from None
    except BaseException:
        call.release()
        raise
    error = state.take_error()
    if error is not None:
        raise error
    return result


def call_method(
    state: ProcessState, method: Method, first: Sequence[object], args: Sequence[object], kwargs: Mapping[str, object]
) -> Any:
    """Call a function or method of the guest. ``first`` are ``self`` and, with METH_METHOD, the defining class."""
    return run_guest(
        state,
        method.name,
        method.address,
        lambda call: convert_arguments(call, method, [call.hold(value) for value in first], args, kwargs),
        take_object,
        lambda: describe_arguments(args, kwargs),
    )


def take_object(state: ProcessState, address: int) -> Any:
    """Return the value of a returned new reference, or None if NULL was returned with an exception."""
    error = state.error
    if address == 0:
        if error is None:
            raise Fault("null-without-error", "NULL was returned, but no exception was set")
        return None
    made = state.objects.find(address)
    if error is not None:
        raise Fault("error-with-result", f"{made} was returned while {error!r} was set")
    value = state.objects.unwrap(made)
    state.objects.remove_reference(made)
    return value


def describe_arguments(args: Sequence[object], kwargs: Mapping[str, object]) -> str:
    """Describe the arguments of a call in a fault's text."""
    shown = [_shorten(value) for value in args] + [f"{key}={_shorten(value)}" for key, value in kwargs.items()]
    return ", ".join(shown)


def _shorten(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # an instance of a type of the module, whose process has ended
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 60 else f"{text[:40]}… ({len(text)} characters)"
