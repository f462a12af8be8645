"""What an extension says about its module: PyModuleDef, its slots and methods, or a PEP 793 slot array.

Sources: CPython's Include/moduleobject.h and methodobject.h; PEP 489, 793 and 820 (Python/slots.toml for numbers).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wheelworks.emulator.findings import CannotRun, fault

if TYPE_CHECKING:
    from wheelworks.emulator.interpreter import Interpreter

MAX_ENTRIES = 10_000
MAX_STATE = 64 << 20
NAMES = {
    1: "create", 2: "exec", 3: "multiple_interpreters", 4: "gil", 84: "create", 85: "exec",
    86: "multiple_interpreters", 87: "gil", 92: "subslots", 94: "slots", 100: "name", 101: "doc", 102: "state_size",
    103: "methods", 104: "traverse", 105: "clear", 106: "free", 109: "abi", 110: "token",
}  # fmt: skip
SINCE = {"multiple_interpreters": (3, 12), "gil": (3, 13)}


@dataclass(frozen=True)
class Method:
    """One PyMethodDef."""

    name: str
    address: int
    flags: int
    doc: str | None


@dataclass(frozen=True)
class ModuleDefinition:
    """What PyModuleDef or a slot array holds; ``slots`` are (name, value) in their order."""

    address: int
    name: str
    doc: str | None
    state_size: int
    methods: tuple[Method, ...]
    slots: tuple[tuple[str, int], ...]


def read_definition(guest: Interpreter, address: int) -> ModuleDefinition:
    """The PyModuleDef at ``address``. Raises Fault where its pointers lead nowhere."""
    word, memory = guest.abi.pointer, guest.memory
    start = address + guest.abi.header + 3 * word
    name, doc, size, methods, slots = guest.abi.packer("PPnPP").unpack(memory.load(start, 5 * word))
    return ModuleDefinition(
        address=address,
        name=_name(guest, name),
        doc=_doc(guest, doc),
        state_size=_state_size(size),
        methods=tuple(read_methods(guest, methods)) if methods else (),
        slots=tuple(_old_slots(guest, slots)) if slots else (),
    )


def read_slot_array(guest: Interpreter, address: int) -> ModuleDefinition:
    """The PySlot array that a PyModExport_ function returned."""
    slots = list(_new_slots(guest, address))
    values = dict(slots)
    methods = values.get("methods", 0)
    return ModuleDefinition(
        address=address,
        name=_name(guest, values["name"]) if values.get("name") else "",
        doc=_doc(guest, values.get("doc", 0)),
        state_size=_state_size(values.get("state_size", 0)),
        methods=tuple(read_methods(guest, methods)) if methods else (),
        slots=tuple(slots),
    )


def read_methods(guest: Interpreter, address: int) -> list[Method]:
    """A PyMethodDef array up to its empty entry."""
    layout = guest.abi.packer("PPiP" if guest.abi.pointer == 4 else "PPi4xP")
    found: list[Method] = []
    while len(found) < MAX_ENTRIES:
        name, function, flags, doc = layout.unpack(guest.memory.load(address + len(found) * layout.size, layout.size))
        if not name:
            return found
        found.append(Method(_name(guest, name), function, flags, _doc(guest, doc)))
    raise fault("bad-api-use", "the method table has no end")


def _old_slots(guest: Interpreter, address: int) -> list[tuple[str, int]]:
    layout = guest.abi.packer("iP" if guest.abi.pointer == 4 else "i4xP")
    found: list[tuple[str, int]] = []
    while len(found) < MAX_ENTRIES:
        number, value = layout.unpack(guest.memory.load(address + len(found) * layout.size, layout.size))
        if not number:
            return found
        found.append((_slot_name(guest, number), value))
    raise fault("bad-api-use", "the slot array has no end")


def _new_slots(guest: Interpreter, address: int, depth: int = 0) -> list[tuple[str, int]]:
    """PySlot entries: a 16-bit number, 16 bits of flags, 32 reserved, and 64 bits of value."""
    layout = guest.abi.packer("HHIQ")
    found: list[tuple[str, int]] = []
    for index in range(MAX_ENTRIES):
        number, flags, _, value = layout.unpack(guest.memory.load(address + index * layout.size, layout.size))
        if not number:
            return found
        name = _slot_name(guest, number, optional=bool(flags & 1))
        if guest.abi.pointer == 4 and name not in ("multiple_interpreters", "gil"):
            value = guest.abi.packer("P").unpack(guest.memory.load(address + index * layout.size + 8, 4))[0]
        if name not in ("subslots", "slots"):
            found.append((name, value))
        elif value and depth < 8:
            found += _new_slots(guest, value, depth + 1) if name == "subslots" else _old_slots(guest, value)
    raise fault("bad-api-use", "the slot array has no end")


def _slot_name(guest: Interpreter, number: int, optional: bool = False) -> str:
    """Raises CannotRun for a slot that the guest's CPython version would refuse."""
    name = NAMES.get(number, "")
    version = guest.abi.python.version
    if (not name and not optional) or SINCE.get(name, version) > version or (number > 4 and version < (3, 15)):
        raise fault("bad-api-use", f"module slot {number}, which CPython {version[0]}.{version[1]} refuses")
    if name == "create":
        raise CannotRun("it makes its module itself (Py_mod_create), which the emulated interpreter doesn't answer")
    return name


def _name(guest: Interpreter, address: int) -> str:
    text = guest.memory.text(address)
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise fault("bad-api-use", f"the name {text!r} isn't UTF-8") from None


def _state_size(size: int) -> int:
    """A negative size means that the module has no state and can't be in several interpreters."""
    if size > MAX_STATE:
        raise fault("bad-api-use", f"a module state of {size:,} bytes")
    return max(size, 0)


def _doc(guest: Interpreter, address: int) -> str | None:
    return guest.memory.text(address).decode(errors="replace") if address else None
