"""Types: their creation from a PyType_Spec, and questions about them. Instances are in the module ``instances``."""

from __future__ import annotations

from typing import Any

from wheelworks.core.errors import Unsupported
from wheelworks.emulator import exports as c
from wheelworks.emulator.capi.calls import GuestCall, run_guest
from wheelworks.emulator.capi.members import (
    EmulatedMember,
    check_members,
    create_get_set,
    create_method,
    read_get_sets,
    read_members,
)
from wheelworks.emulator.capi.slots import RENUMBERED, TAKE, create_slot_methods
from wheelworks.emulator.definition import read_entries, read_methods
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.objects import EMULATED, GuestObject
from wheelworks.emulator.state import ProcessState
from wheelworks.emulator.type_layout import DEFAULT_SLOTS, get_flags, get_slot
from wheelworks.emulator.types import (
    BODY,
    HAVE_GC,
    HEAP_TYPE,
    LARGEST_ALIGNMENT,
    TP_CLEAR,
    TP_TRAVERSE,
    GuestType,
    create_instance,
    get_guest_type,
)

DISALLOW_INSTANTIATION = 1 << 7
MANAGED_DICT = 1 << 4
TP_ALLOC, TP_BASE, TP_BASES, TP_CALL, TP_DOC, TP_INIT, TP_METHODS, TP_NEW = 47, 48, 49, 50, 56, 60, 64, 65
TP_MEMBERS, TP_GETSET, TP_TOKEN = 72, 73, 83
NOT_EMULATED = {57: "tp_getattr", 61: "tp_is_gc", 68: "tp_setattr"}
OFFSETS = ("__dictoffset__", "__weaklistoffset__", "__vectorcalloffset__")


def create_type(state: ProcessState, module: GuestObject | None, spec: int, bases: Any, meta: type = type) -> type:
    """Create the class of a type that the guest specifies. Raises Fault, Unsupported, and what CPython raises."""
    codes = "PiiIP" if state.abi.pointer == 4 else "PiiI4xP"
    layout = state.abi.packer(codes)
    name, size, item_size, flags, slots = layout.unpack(state.memory.load(spec, layout.size))
    full_name = state.memory.load_string(name).decode()
    found = read_slots(state, slots)
    parents = _read_bases(state, found, bases)
    guest = GuestType(state, full_name, size, item_size, flags, found, None, module, name_address=name)
    complete_type(full_name, parents, guest, HEAP_TYPE)
    return create_class(guest, full_name.rpartition(".")[0] or "builtins", parents, meta)


def read_slots(state: ProcessState, address: int) -> dict[int, int]:
    """Read a PyType_Slot array. Raises Unsupported for a slot that isn't emulated."""
    codes = "iP" if state.abi.pointer == 4 else "i4xP"
    found = {
        RENUMBERED.get(number, number): value
        for number, value in read_entries(state.memory, address, codes, "slot array")
    }
    check_slots(found)
    return found


def check_slots(slots: dict[int, int]) -> None:
    """Raise Unsupported for a slot that isn't emulated."""
    for number in slots:
        if number in NOT_EMULATED or not 0 < number <= 83:
            raise Unsupported(f"it defines a type with {NOT_EMULATED.get(number, f'the slot {number}')}")


def _read_bases(state: ProcessState, slots: dict[int, int], bases: Any) -> tuple[type, ...]:
    """Return the bases of a type: those given to the function, else those of its slots, else ``object``."""
    for number in (TP_BASES, TP_BASE):
        if bases is None and slots.get(number):
            bases = state.objects.unwrap(state.objects.find(slots[number]))
    if bases is None:
        return (object,)
    return bases if isinstance(bases, tuple) else (bases,)


def complete_type(full_name: str, parents: tuple[type, ...], guest: GuestType, flags: int) -> None:
    """Set what a type inherits, its size and flags, and those ``flags`` that it doesn't set itself."""
    header = guest.state.abi.header
    guest.name = full_name.rpartition(".")[2]
    guest.base = next(filter(None, map(get_guest_type, parents)), None)
    inherited = guest.base.size if guest.base else header
    guest.data = -(-inherited // LARGEST_ALIGNMENT) * LARGEST_ALIGNMENT
    if guest.size < 0:
        guest.size = guest.data - guest.size
    guest.size = guest.size or inherited
    if guest.size < inherited:
        raise TypeError(f"tp_basicsize for type '{full_name}' ({guest.size}) is too small for base ({inherited})")
    if guest.base and not guest.flags & HAVE_GC and TP_TRAVERSE not in guest.slots and TP_CLEAR not in guest.slots:
        guest.flags |= guest.base.flags & HAVE_GC
    guest.item_size = guest.item_size or (guest.base.item_size if guest.base else 0)
    guest.flags |= flags
    if guest.flags & HAVE_GC and not guest.find_slot(TP_TRAVERSE):
        raise SystemError(f"type {full_name} has the Py_TPFLAGS_HAVE_GC flag but has no traverse function")


def create_class(guest: GuestType, module_name: str, parents: tuple[type, ...], meta: type = type) -> type:
    """Create the class of a type. Raises Unsupported for a base whose structure isn't known."""
    state = guest.state
    if any(
        parent is not object
        and get_guest_type(parent) is None
        and parent.__basicsize__ > object.__basicsize__
        and not issubclass(parent, BaseException)
        for parent in parents
    ):
        raise Unsupported(f"{guest.name} derives from {', '.join(parent.__name__ for parent in parents)}")
    namespace = _create_namespace(guest)
    namespace |= {"__slots__": _choose_slots(guest, parents), "__module__": module_name}
    cls: type = meta(guest.name, parents, namespace)
    guest.cls = cls
    state.types.append(cls)
    if guest.module is not None:
        state.objects.borrow(state.objects.wrap(cls), guest.module.value)
    return cls


def _choose_slots(guest: GuestType, parents: tuple[type, ...]) -> tuple[str, ...]:
    """Return the slots of the class: those with which this program finds the instance, and what the flags say."""
    slots = [] if guest.base else [BODY]
    if not any(parent.__weakrefoffset__ for parent in parents):
        slots.append("__weakref__")
    if guest.flags & MANAGED_DICT and not any(parent.__dictoffset__ for parent in parents):
        slots.append("__dict__")
    return tuple(slots)


def _create_namespace(guest: GuestType) -> dict[str, Any]:
    state, slots = guest.state, guest.slots
    namespace: dict[str, Any] = {"__doc__": _read_doc(guest), EMULATED: guest}
    namespace |= create_slot_methods(state, guest.name, slots)
    members = read_members(state, slots[TP_MEMBERS], guest.data) if slots.get(TP_MEMBERS) else []
    for member in members:
        if member.name in OFFSETS:
            guest.flags |= MANAGED_DICT * (member.name == "__dictoffset__")
        else:
            guest.members.append(member)
            namespace[member.name] = EmulatedMember(guest, member)
    check_members(guest)
    for entry in read_get_sets(state, slots[TP_GETSET]) if slots.get(TP_GETSET) else []:
        namespace[entry.name] = create_get_set(guest, entry)
    for method in read_methods(state.memory, slots[TP_METHODS]) if slots.get(TP_METHODS) else []:
        namespace[method.name] = create_method(guest, method)
    return namespace | _create_constructors(guest)


def _read_doc(guest: GuestType) -> str | None:
    address = guest.slots.get(TP_DOC, 0)
    if not address:
        return None
    text = guest.state.memory.load_string(address).decode(errors="replace")
    return text.partition(")\n--\n\n")[2] or text if text.startswith(f"{guest.name}(") else text


def _create_constructors(guest: GuestType) -> dict[str, Any]:
    """Return ``__new__``, ``__init__`` and ``__call__``, and ``__module__``."""
    found: dict[str, Any] = {}
    for number, name in ((TP_INIT, "__init__"), (TP_CALL, "__call__")):
        if guest.slots.get(number):
            found[name] = _create_variadic(guest, name, guest.slots[number], TAKE["i" if number == TP_INIT else "O"])
    if guest.slots.get(TP_NEW) or not guest.base:
        found["__new__"] = _create_new(guest)
    return found


def _create_variadic(guest: GuestType, name: str, address: int, take: Any) -> Any:
    """Return a method whose function takes ``self``, a tuple and a dict or NULL."""
    state = guest.state

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        def prepare(call: GuestCall) -> list[int]:
            return [call.hold(self), call.hold(args), call.hold(kwargs) if kwargs else 0]

        return run_guest(state, f"{guest.name}.{name}", address, prepare, take)

    method.__name__, method.__qualname__ = name, f"{guest.name}.{name}"
    return method


def _create_new(guest: GuestType) -> Any:
    address, state = guest.slots.get(TP_NEW, 0), guest.state
    run = _create_variadic(guest, "__new__", address or state.stubs["PyType_GenericNew"], TAKE["O"])

    def create(cls: type, *args: Any, **kwargs: Any) -> Any:
        if guest.flags & DISALLOW_INSTANTIATION and cls is guest.cls:
            raise TypeError(f"cannot create '{guest.name}' instances")
        if not address and (args or kwargs) and cls.__init__ is object.__init__:  # type: ignore[misc]
            raise TypeError(f"{cls.__name__}() takes no arguments")
        return run(cls, *args, **kwargs)

    return staticmethod(create)


def find_type(made: GuestObject) -> GuestType:
    """Return what is known of the type, of the guest, that an object is. Raises Fault for another object."""
    if not isinstance(made.value, type):
        raise Fault("bad-api-use", f"{made} is given as a type")
    found = get_guest_type(made.value)
    if found is None:
        raise Unsupported(f"it asks for the slots or the module of {made}, which it didn't define")
    return found


@c.export()
def PyType_FromSpec(state: ProcessState, spec: c.Pointer) -> c.NewReference:
    return create_type(state, None, spec, None)


@c.export()
def PyType_FromSpecWithBases(state: ProcessState, spec: c.Pointer, bases: c.OptionalValue) -> c.NewReference:
    return create_type(state, None, spec, bases)


@c.export()
def PyType_FromModuleAndSpec(
    state: ProcessState, module: c.OptionalObject, spec: c.Pointer, bases: c.OptionalValue
) -> c.NewReference:
    return create_type(state, module, spec, bases)


@c.export()
def PyType_FromMetaclass(
    state: ProcessState, meta: c.OptionalValue, module: c.OptionalObject, spec: c.Pointer, bases: c.OptionalValue
) -> c.NewReference:
    return create_type(state, module, spec, bases, meta or type)


@c.export()
def PyType_GetModule(state: ProcessState, kind: c.Object) -> c.Borrowed:
    module = _find_own_module(kind)
    if module is None:
        raise TypeError(f"PyType_GetModule: Type '{kind.value.__name__}' has no associated module")  # type: ignore[attr-defined]
    return module


@c.export()
def PyType_GetModuleState(state: ProcessState, kind: c.Object) -> c.Pointer:
    module = PyType_GetModule(state, kind)
    block = state.module_states.get(module) if module is not None else None
    return block.start if block is not None else 0


def _find_own_module(kind: GuestObject) -> GuestObject | None:
    """Return the module of a type itself: a class that derives from it in Python has none."""
    found = find_type(kind)
    return found.module if found.cls is kind.value else None


@c.export()
def PyType_GetModuleByDef(state: ProcessState, kind: c.Object, definition: c.Pointer) -> c.Borrowed:
    known = state.definition is not None and state.definition.address == definition
    for cls in kind.value.__mro__ if known else ():  # type: ignore[attr-defined]
        found = get_guest_type(cls)
        if found is not None and found.cls is cls and found.module is not None:
            return found.module
    raise TypeError(f"PyType_GetModuleByDef: No superclass of '{kind}' has the given module")


@c.export()
def PyType_GetSlot(state: ProcessState, kind: c.Object, number: c.Int) -> c.Pointer:
    if kind.value is object and number in (TP_ALLOC, TP_NEW):
        return state.stubs[DEFAULT_SLOTS[number]]
    return get_slot(state, find_type(kind), number)


@c.export()
def PyType_GetFlags(state: ProcessState, kind: c.Value) -> c.ULong:
    return get_flags(kind)


@c.export()
def PyType_Modified(state: ProcessState, kind: c.Object) -> None:
    """Does nothing: this program's CPython notices changes of its classes itself."""


@c.export()
def PyType_Freeze(state: ProcessState, kind: c.Object) -> c.Int:
    return 0


@c.export()
def PyType_GenericNew(
    state: ProcessState, kind: c.Value, args: c.OptionalObject, kwargs: c.OptionalObject
) -> c.NewReference:
    return create_instance(state, kind)
