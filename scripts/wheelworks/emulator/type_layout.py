"""The structure of types, PyTypeObject, in builds for one version of CPython.

The stable ABI hides it. Other builds read its fields, and define types as variables of this structure, which
PyType_Ready completes. Source: CPython's Include/cpython/object.h, the same since 3.8 for all that is used here.
"""

from __future__ import annotations

from wheelworks.emulator.abi import Abi
from wheelworks.emulator.objects import GuestObject
from wheelworks.emulator.state import ProcessState
from wheelworks.emulator.types import HAVE_GC, HEAP_TYPE, TP_DEALLOC, TP_FREE, GuestType, get_guest_type

FIELDS = (
    "name", "basicsize", "itemsize", "dealloc", "vectorcall_offset", "getattr", "setattr", "as_async", "repr",
    "as_number", "as_sequence", "as_mapping", "hash", "call", "str", "getattro", "setattro", "as_buffer", "flags",
    "doc", "traverse", "clear", "richcompare", "weaklistoffset", "iter", "iternext", "methods", "members", "getset",
    "base", "dict", "descr_get", "descr_set", "dictoffset", "init", "alloc", "new", "free", "is_gc", "bases", "mro",
    "cache", "subclasses", "weaklist", "del", "version_tag", "finalize", "vectorcall",
)  # fmt: skip
# The slot of each field that holds a function or a table (CPython: Include/typeslots.h).
SLOTS = {
    "dealloc": 52, "getattr": 57, "setattr": 68, "repr": 66, "hash": 59, "call": 50, "str": 70, "getattro": 58,
    "setattro": 69, "doc": 56, "traverse": 71, "clear": 51, "richcompare": 67, "iter": 62, "iternext": 63,
    "methods": 64, "members": 72, "getset": 73, "descr_get": 54, "descr_set": 55, "init": 60, "alloc": 47, "new": 65,
    "free": 74, "is_gc": 61, "finalize": 80,
}  # fmt: skip
# The slots of the structures that fields point to, in order; 0 is a reserved entry.
SUITES = {
    "as_number": (
        7, 36, 29, 34, 10, 33, 30, 32, 6, 9, 27, 28, 35, 8, 38, 31, 26, 0, 11, 14, 23, 18, 21, 20, 17, 22, 15, 25, 19,
        12, 37, 16, 24, 13, 75, 76,
    ),
    "as_sequence": (45, 40, 46, 44, 0, 39, 0, 41, 42, 43),
    "as_mapping": (4, 5, 3),
    "as_async": (77, 78, 79, 81),
    "as_buffer": (1, 2),
}  # fmt: skip
NOT_WRITTEN = {*SUITES, "dict", "bases", "mro", "cache", "subclasses", "weaklist"}
NUMBERS = {"basicsize", "itemsize", "flags"}
READY = 1 << 12
MODELLED_FLAGS = 0xFF << 24 | 1 << 10 | 1 << 9  # the fast subclass bits, BASETYPE, HEAPTYPE
# What a type without such a slot gets.
DEFAULT_SLOTS = {
    47: "PyType_GenericAlloc", TP_DEALLOC: "subtype_dealloc", 71: "subtype_traverse", 51: "subtype_clear",
    65: "PyType_GenericNew", 58: "PyObject_GenericGetAttr", 69: "PyObject_GenericSetAttr",
}  # fmt: skip


def get_offset(abi: Abi, field: str) -> int:
    """Return the offset of a field, named without ``tp_``."""
    return abi.header + abi.pointer * (1 + FIELDS.index(field))


def get_size(abi: Abi) -> int:
    """Return the size of the structure in bytes."""
    return abi.header + abi.pointer * (1 + len(FIELDS))


def get_flags(kind: type) -> int:
    """Return tp_flags: for a class that derives from a type of the guest, also that type's."""
    found = get_guest_type(kind)
    if found is None:
        return kind.__flags__ & 0xFFFFFFFF
    own = found.flags if found.cls is kind else found.flags & HAVE_GC | HEAP_TYPE | 1 << 10
    return own | READY | kind.__flags__ & 0xFF << 24


def get_slot(state: ProcessState, guest: GuestType, number: int) -> int:
    """Return the function that a type has or inherits, from ``object`` in the end."""
    if number == TP_FREE and not guest.find_slot(TP_FREE):
        return state.stubs["PyObject_GC_Del" if guest.collected else "PyObject_Free"]
    default = DEFAULT_SLOTS.get(number, "")
    return guest.find_slot(number) or (state.stubs[default] if default else 0)


def fill_type(state: ProcessState, made: GuestObject) -> None:
    """Make the modelled fields of a new type accessible, and set them."""
    abi, kind = state.abi, made.value
    assert isinstance(kind, type)
    if abi.python.stable:
        return
    guest, start = get_guest_type(kind), get_offset(abi, "flags")
    made.block.window = (start, start + abi.long)
    flags = get_flags(kind) if guest else kind.__flags__ & MODELLED_FLAGS
    state.memory.poke(made.address + start, abi.packer("L").pack(flags))
    if guest is not None:
        made.block.readable = made.block.writable = get_size(abi)
        offsets = [get_offset(abi, field) for field in NOT_WRITTEN]
        made.block.holes = tuple((offset, offset + abi.pointer) for offset in offsets)
        write_fields(state, guest, kind, made.address)


def write_fields(state: ProcessState, guest: GuestType, kind: type, address: int) -> None:
    """Set the fields of a type that are NULL to what it has or inherits, as PyType_Ready does."""
    pack = state.abi.packer("P")
    values = {field: get_slot(state, guest, number) for field, number in SLOTS.items()}
    values |= {"basicsize": guest.size, "itemsize": guest.item_size, "name": guest.name_address}
    values["base"] = state.objects.wrap(kind.__base__ or object).address
    if kind is not guest.cls:
        values["name"] = _create_name(state, kind)
    for field, value in values.items():
        place = address + get_offset(state.abi, field)
        if value and not any(state.memory.peek(place, pack.size)):
            state.memory.poke(place, pack.pack(value))


def _create_name(state: ProcessState, kind: type) -> int:
    content = kind.__name__.encode() + b"\0"
    block = state.memory.allocate(len(content), f"the name of {kind.__name__}")
    state.memory.poke(block.start, content)
    state.memory.freeze(block)
    return block.start


def read_fields(state: ProcessState, address: int) -> dict[str, int]:
    """Read the structure of a type that the module defines as a variable."""
    start, abi = get_offset(state.abi, "name"), state.abi
    layout = abi.packer("P" * len(FIELDS))
    values = dict(zip(FIELDS, layout.unpack(state.memory.load(address + start, layout.size)), strict=True))
    flags = abi.packer("L")
    values["flags"] = flags.unpack(state.memory.load(address + get_offset(abi, "flags"), flags.size))[0]
    return values


def list_slots(state: ProcessState, values: dict[str, int]) -> dict[int, int]:
    """Return the slots that the fields, and the structures that they point to, define."""
    found = {number: values[field] for field, number in SLOTS.items() if values[field]}
    for field, numbers in SUITES.items():
        if values[field]:
            layout = state.abi.packer("P" * len(numbers))
            content = layout.unpack(state.memory.load(values[field], layout.size))
            found |= {number: value for number, value in zip(numbers, content, strict=True) if number and value}
    return found
