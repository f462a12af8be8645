"""Read the definition of a module from guest memory: PyModuleDef with slots and methods, or a PEP 793 slot array.

Sources: CPython's Include/moduleobject.h and methodobject.h; PEP 489, 793 and 820 (Python/slots.toml for numbers).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from wheelworks.core.errors import Unsupported
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.memory import Memory

MAX_ENTRIES = 10_000
MAX_STATE = 64 << 20
SLOT_NAMES = {
    1: "create", 2: "exec", 3: "multiple_interpreters", 4: "gil", 84: "create", 85: "exec",
    86: "multiple_interpreters", 87: "gil", 92: "subslots", 94: "slots", 100: "name", 101: "doc", 102: "state_size",
    103: "methods", 104: "traverse", 105: "clear", 106: "free", 109: "abi", 110: "token",
}  # fmt: skip
SLOT_SINCE = {"multiple_interpreters": (3, 12), "gil": (3, 13)}


@dataclass(frozen=True)
class Method:
    """One PyMethodDef."""

    name: str
    address: int
    flags: int
    doc: str | None


@dataclass(frozen=True)
class ModuleDefinition:
    """The content of a PyModuleDef or slot array; ``slots`` are (name, value) in order."""

    address: int
    name: str
    doc: str | None
    state_size: int
    methods: tuple[Method, ...]
    slots: tuple[tuple[str, int], ...]


def read_definition(memory: Memory, address: int) -> ModuleDefinition:
    """Read the PyModuleDef at ``address``. Raises Fault for an invalid pointer or slot."""
    word = memory.abi.pointer
    start = address + memory.abi.header + 3 * word
    name, doc, size, methods, slots = memory.abi.packer("PPnPP").unpack(memory.load(start, 5 * word))
    return ModuleDefinition(
        address=address,
        name=_read_name(memory, name),
        doc=read_doc(memory, doc),
        state_size=_check_state_size(size),
        methods=tuple(read_methods(memory, methods)) if methods else (),
        slots=tuple(_read_old_slots(memory, slots)) if slots else (),
    )


def read_slot_array(memory: Memory, address: int) -> ModuleDefinition:
    """Read the PySlot array that a PyModExport_ function returned. Raises Fault as :func:`read_definition` does."""
    slots = list(_read_new_slots(memory, address))
    values = dict(slots)
    methods = values.get("methods", 0)
    return ModuleDefinition(
        address=address,
        name=_read_name(memory, values["name"]) if values.get("name") else "",
        doc=read_doc(memory, values.get("doc", 0)),
        state_size=_check_state_size(values.get("state_size", 0)),
        methods=tuple(read_methods(memory, methods)) if methods else (),
        slots=tuple(slots),
    )


def read_methods(memory: Memory, address: int) -> list[Method]:
    """Read a PyMethodDef array up to its empty entry."""
    entries = read_entries(memory, address, "PPiP" if memory.abi.pointer == 4 else "PPi4xP", "method table")
    return [
        Method(_read_name(memory, name), function, flags, read_doc(memory, doc))
        for name, function, flags, doc in entries
    ]


def _read_old_slots(memory: Memory, address: int) -> list[tuple[str, int]]:
    entries = read_entries(memory, address, "iP" if memory.abi.pointer == 4 else "i4xP", "slot array")
    return [(_check_slot(memory, number), value) for number, value in entries]


def _read_new_slots(memory: Memory, address: int, depth: int = 0) -> list[tuple[str, int]]:
    """Read PySlot entries: a 16-bit number, 16 bits of flags, 32 reserved bits, and a value of 64 bits."""
    found: list[tuple[str, int]] = []
    for number, flags, _, content in read_entries(memory, address, "HHIQ", "slot array"):
        name = _check_slot(memory, number, optional=bool(flags & 1))
        short = memory.abi.pointer == 4 and name not in ("multiple_interpreters", "gil")
        value = content & 0xFFFFFFFF if short else content  # the emulated 32-bit CPUs are little-endian
        if name not in ("subslots", "slots"):
            found.append((name, value))
        elif value and depth < 8:
            found += _read_new_slots(memory, value, depth + 1) if name == "subslots" else _read_old_slots(memory, value)
    return found


def read_entries(memory: Memory, address: int, codes: str, what: str) -> Iterator[tuple[Any, ...]]:
    """Yield the entries of an array up to one whose first field is 0. Raises Fault if it has no end."""
    layout = memory.abi.packer(codes)
    for index in range(MAX_ENTRIES):
        entry = layout.unpack(memory.load(address + index * layout.size, layout.size))
        if not entry[0]:
            return
        yield entry
    raise Fault("bad-api-use", f"the {what} has no end")


def _check_slot(memory: Memory, number: int, optional: bool = False) -> str:
    """Return the name of a slot. Raises Fault for one that the guest's version of CPython rejects."""
    name = SLOT_NAMES.get(number, "")
    version = memory.abi.python.version
    if (not name and not optional) or SLOT_SINCE.get(name, version) > version or (number > 4 and version < (3, 15)):
        raise Fault("bad-api-use", f"module slot {number}, which CPython {version[0]}.{version[1]} rejects")
    if name == "create":
        raise Unsupported("it creates its module itself (Py_mod_create), which isn't emulated")
    return name


def _read_name(memory: Memory, address: int) -> str:
    text = memory.load_string(address)
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise Fault("bad-api-use", f"the name {text!r} isn't UTF-8") from None


def _check_state_size(size: int) -> int:
    """Check the size of the module state. A negative one means no state, and no support for subinterpreters."""
    if size > MAX_STATE:
        raise Fault("bad-api-use", f"a module state of {size:,} bytes")
    return max(size, 0)


def read_doc(memory: Memory, address: int) -> str | None:
    """Return a docstring; None for NULL."""
    return memory.load_string(address).decode(errors="replace") if address else None
