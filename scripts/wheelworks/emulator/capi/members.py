"""Methods, members and computed attributes of types: PyMethodDef, PyMemberDef and PyGetSetDef as Python descriptors.

Sources: CPython's Include/descrobject.h, Python/structmember.c and Objects/descrobject.c.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from wheelworks.core.errors import Unsupported
from wheelworks.emulator.capi.calls import (
    METHOD,
    OF_CLASS,
    STATIC,
    GuestCall,
    call_method,
    describe_arguments,
    run_guest,
    take_object,
)
from wheelworks.emulator.capi.slots import TAKE
from wheelworks.emulator.definition import Method, read_doc, read_entries
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.state import ProcessState, pause_collector
from wheelworks.emulator.types import (
    BODY,
    OBJECT,
    OBJECT_OR_ERROR,
    READ_ONLY,
    GuestType,
    Instance,
    Member,
    replace_field,
)

RELATIVE = 8  # Py_RELATIVE_OFFSET
# The code of each kind of number in Abi.packer; by CPython's numbers of the kinds.
NUMBERS = {
    0: "h", 1: "i", 2: "l", 3: "f", 4: "d", 8: "b", 9: "B", 10: "H", 11: "I", 12: "L", 14: "?", 17: "q", 18: "Q",
    19: "n",
}  # fmt: skip
STRING, CHAR, STRING_IN_PLACE, NONE = 5, 7, 13, 20
KINDS = {*NUMBERS, STRING, OBJECT, CHAR, STRING_IN_PLACE, OBJECT_OR_ERROR, NONE}


@dataclass(frozen=True)
class GetSet:
    """One PyGetSetDef."""

    name: str
    getter: int
    setter: int
    doc: str | None
    closure: int


def read_members(state: ProcessState, address: int, data: int) -> list[Member]:
    """Read a PyMemberDef array. ``data`` is the offset that relative offsets start from."""
    codes = "PinIP" if state.abi.pointer == 4 else "Pi4xni4xP"
    found = []
    for name, kind, offset, flags, doc in read_entries(state.memory, address, codes, "member table"):
        start = data if flags & RELATIVE else 0
        found.append(Member(_read_text(state, name), kind, start + offset, flags, read_doc(state.memory, doc)))
    return found


def read_get_sets(state: ProcessState, address: int) -> list[GetSet]:
    """Read a PyGetSetDef array."""
    return [
        GetSet(_read_text(state, name), getter, setter, read_doc(state.memory, doc), closure)
        for name, getter, setter, doc, closure in read_entries(state.memory, address, "PPPPP", "getset table")
    ]


def _read_text(state: ProcessState, address: int) -> str:
    return state.memory.load_string(address).decode(errors="replace")


def find_instance(guest: GuestType, owner: object, what: str) -> Instance:
    """Return the guest's instance of a host's object. Raises TypeError as descriptors do."""
    body: Any = None
    if isinstance(owner, guest.cls):
        with suppress(AttributeError):  # of an object that object.__new__ created
            body = object.__getattribute__(owner, BODY)
    if body is None or body.made.state is not guest.state:
        name = type(owner).__name__
        raise TypeError(f"descriptor '{what}' for '{guest.name}' objects doesn't apply to a '{name}' object")
    made: Instance = body.made
    if made.freed:
        raise Unsupported(f"{what} of {made} is used after its deallocation")
    return made


def create_method(guest: GuestType, method: Method) -> Any:
    """Return a method as an attribute of the class."""
    state = guest.state

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not method.flags & (OF_CLASS | STATIC):
            find_instance(guest, self, method.name)
        first = [self, guest.cls] if method.flags & METHOD else [self]
        return call_method(state, method, first, args, kwargs)

    def call_static(*args: Any, **kwargs: Any) -> Any:
        return call_method(state, method, [None], args, kwargs)

    function = call_static if method.flags & STATIC else call
    function.__name__, function.__doc__ = method.name, method.doc
    function.__qualname__ = f"{guest.name}.{method.name}"
    if method.flags & STATIC:
        return staticmethod(function)
    return classmethod(function) if method.flags & OF_CLASS else function


class EmulatedMember:
    """A field of the instances, as an attribute."""

    def __init__(self, guest: GuestType, member: Member) -> None:
        self._guest, self._member = guest, member
        self.__name__, self.__doc__ = member.name, member.doc

    @pause_collector()
    def __get__(self, owner: object, kind: type | None = None) -> Any:
        """Return the field's value."""
        if owner is None:
            return self
        address = find_instance(self._guest, owner, self._member.name).address + self._member.offset
        return read_member(self._guest.state, self._member, address, owner)

    @pause_collector()
    def __set__(self, owner: object, value: object) -> None:
        """Set the field."""
        made = find_instance(self._guest, owner, self._member.name)
        if self._member.flags & READ_ONLY or self._member.kind in (STRING, STRING_IN_PLACE):
            raise (
                AttributeError("readonly attribute")
                if self._member.flags & READ_ONLY
                else TypeError("readonly attribute")
            )
        write_member(self._guest.state, self._member, made.address + self._member.offset, value)

    @pause_collector()
    def __delete__(self, owner: object) -> None:
        """Set an object field to NULL."""
        made = find_instance(self._guest, owner, self._member.name)
        if self._member.flags & READ_ONLY:
            raise AttributeError("readonly attribute")
        if self._member.kind not in (OBJECT, OBJECT_OR_ERROR):
            raise TypeError("can't delete numeric/char attribute")
        if self._member.kind == OBJECT_OR_ERROR:
            self.__get__(owner)
        replace_field(self._guest.state, made.address + self._member.offset, 0)


def read_member(state: ProcessState, member: Member, address: int, owner: object) -> Any:
    """Return the value of a field. Raises AttributeError for a NULL object, Fault for a field out of bounds."""
    if member.kind in NUMBERS:
        layout = state.abi.packer(NUMBERS[member.kind])
        return layout.unpack(state.memory.load(address, layout.size))[0]
    if member.kind in (OBJECT, OBJECT_OR_ERROR):
        return _read_object(state, member, address, owner)
    return None if member.kind == NONE else _read_string(state, member, address)


def _read_string(state: ProcessState, member: Member, address: int) -> str | None:
    if member.kind == CHAR:
        return state.memory.load(address, 1).decode("latin-1")
    if member.kind == STRING:
        address = state.memory.load_pointer(address)
    return state.memory.load_string(address).decode() if address else None


def _read_object(state: ProcessState, member: Member, address: int, owner: object) -> Any:
    pointer = state.memory.load_pointer(address)
    if pointer:
        return state.objects.unwrap(state.objects.find(pointer))
    if member.kind == OBJECT:
        return None
    if state.abi.python.version >= (3, 12):
        raise AttributeError(f"'{type(owner).__name__}' object has no attribute '{member.name}'")
    raise AttributeError(member.name)


def write_member(state: ProcessState, member: Member, address: int, value: Any) -> None:
    """Set a field as PyMember_SetOne does."""
    if member.kind in (OBJECT, OBJECT_OR_ERROR):
        replace_field(state, address, state.objects.add_reference(state.objects.wrap(value)))
    elif member.kind == CHAR:
        if not isinstance(value, str) or len(value) != 1:
            raise TypeError(f"bad argument type for built-in operation: {value!r}")
        state.memory.store(address, value.encode("latin-1"))
    elif member.kind in NUMBERS:
        state.memory.store(address, _pack_number(state, NUMBERS[member.kind], value))
    else:
        raise SystemError(f"bad memberdescr type for {member.name}")


def _pack_number(state: ProcessState, code: str, value: Any) -> bytes:
    """Return a number in its C type. As in CPython, the small types keep the low bits, with a warning there."""
    layout = state.abi.packer(code)
    if code == "?" and not isinstance(value, bool):
        raise TypeError("attribute value type must be bool")
    if code in "fd?":
        packed: bytes = layout.pack(value)
        return packed
    number = int(value.__index__())
    if code in "lLqQn" and not -(1 << 8 * layout.size - 1) <= number < 1 << 8 * layout.size - code.islower():
        raise OverflowError("Python int too large to convert to C integer")
    return (number & (1 << 8 * layout.size) - 1).to_bytes(layout.size, state.abi.order)


def create_get_set(guest: GuestType, entry: GetSet) -> property:
    """Return a computed attribute."""
    state, name = guest.state, f"{guest.name}.{entry.name}"

    def get(self: Any) -> Any:
        find_instance(guest, self, entry.name)
        return run_guest(state, name, entry.getter, lambda call: [call.hold(self), entry.closure], take_object)

    def set_value(self: Any, *value: Any) -> None:
        find_instance(guest, self, entry.name)

        def prepare(call: GuestCall) -> list[int]:
            return [call.hold(self), call.hold(value[0]) if value else 0, entry.closure]

        run_guest(state, name, entry.setter, prepare, TAKE["i"], lambda: describe_arguments(value, {}))

    setter: Callable[..., None] | None = set_value if entry.setter else None
    return property(get if entry.getter else None, setter, setter, entry.doc)


def check_members(guest: GuestType) -> None:
    """Raise Fault for a member that lies outside the instance, Unsupported for an unknown kind."""
    for member in guest.members:
        if member.kind not in KINDS:
            raise Unsupported(f"the member {member.name} of {guest.name} is of the kind {member.kind}")
        code = NUMBERS.get(member.kind, "P" if member.kind in (STRING, OBJECT, OBJECT_OR_ERROR) else "b")
        end = member.offset + guest.state.abi.packer(code).size
        if member.kind != NONE and not guest.state.abi.header <= member.offset <= end <= guest.size:
            what = f"the member {member.name} of {guest.name} is at {member.offset}, outside its {guest.size} bytes"
            raise Fault("bad-api-use", what)
