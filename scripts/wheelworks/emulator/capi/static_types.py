"""Types that a module defines as variables of the structure PyTypeObject: PyType_Ready makes classes of them."""

from __future__ import annotations

from wheelworks.emulator import exports as c
from wheelworks.emulator.capi.heap_types import (
    DISALLOW_INSTANTIATION,
    MANAGED_DICT,
    TP_NEW,
    check_slots,
    complete_type,
    create_class,
)
from wheelworks.emulator.objects import GuestObject
from wheelworks.emulator.state import ProcessState
from wheelworks.emulator.type_layout import READY, get_offset, get_size, list_slots, read_fields, write_fields
from wheelworks.emulator.types import HEAP_TYPE, GuestType


class TypeDict(dict[str, object]):
    """The ``tp_dict`` of a type: what the guest puts into it becomes an attribute of the class."""

    def __init__(self, cls: type) -> None:
        super().__init__(vars(cls))
        self._cls = cls

    def __setitem__(self, name: str, value: object) -> None:
        super().__setitem__(name, value)
        setattr(self._cls, name, value)


@c.export()
def PyType_Ready(state: ProcessState, address: c.Pointer) -> c.Int:
    if not state.objects.knows(address):
        ready_type(state, address)
    return 0


def ready_type(state: ProcessState, address: int) -> None:
    """Create the class of a type, after that of its base, and complete its structure. Raises as ``create_type``."""
    values = read_fields(state, address)
    if values["base"] and not state.objects.knows(values["base"]):
        ready_type(state, values["base"])
    base = state.objects.unwrap(state.objects.find(values["base"])) if values["base"] else object
    assert isinstance(base, type)
    name = state.memory.load_string(values["name"]).decode()
    slots = list_slots(state, values)
    check_slots(slots)
    flags = values["flags"] & ~HEAP_TYPE | MANAGED_DICT * (values["dictoffset"] > 0)
    guest = GuestType(state, name, values["basicsize"], values["itemsize"], flags, slots, None)
    guest.name_address = values["name"]
    complete_type(name, (base,), guest, 0)
    if base is object and TP_NEW not in slots:
        guest.flags |= DISALLOW_INSTANTIATION
    cls = create_class(guest, name.rpartition(".")[0] or "builtins", (base,))
    _complete_structure(state, guest, state.objects.adopt(cls, address, get_size(state.abi)))


def _complete_structure(state: ProcessState, guest: GuestType, made: GuestObject) -> None:
    abi = state.abi
    write_fields(state, guest, guest.cls, made.address)
    flags = abi.packer("L")
    state.memory.poke(made.address + get_offset(abi, "flags"), flags.pack(guest.flags & 0xFFFFFFFF | READY))
    state.memory.poke(made.address + abi.header - abi.pointer, abi.packer("P").pack(state.objects.wrap(type).address))
    content = state.objects.hold(state.objects.wrap(TypeDict(guest.cls)))
    state.memory.poke(made.address + get_offset(abi, "dict"), abi.packer("P").pack(content.address))
