"""Types that a module defines, and their instances.

A type of the guest has two sides, as every object has. For the CPython that runs this program, it is a class, from
which Python classes may derive. For the guest, it is an object with a reference count, and each of its instances is a
block of guest memory with the fields of the C structure.

An instance lives as long as either side refers to it. The guest's references are counted in the block. While there is
one, this program keeps the host's object (:attr:`Instance.value`); it is created when first needed. When the guest's
last reference goes, the host's object alone decides: if nothing else in Python refers to it, Python frees it at once,
and the type's ``tp_dealloc`` runs, nested in the call if there is one. So weak references and the order of
deallocations are those of CPython.

Sources: CPython's Objects/typeobject.c (PyType_FromMetaclass, subtype_dealloc) and Include/typeslots.h.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from wheelworks.core.errors import Unsupported
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.heap import Block
from wheelworks.emulator.objects import EMULATED, GuestObject
from wheelworks.emulator.state import ProcessState, pause_collector

HAVE_GC = 1 << 14
HEAP_TYPE = 1 << 9
TP_DEALLOC, TP_FREE, TP_TRAVERSE, TP_CLEAR = 52, 74, 71, 51
OBJECT, OBJECT_OR_ERROR = 6, 16  # kinds of members (CPython: Include/descrobject.h)
READ_ONLY = 1
BODY = "_guest"  # the slot of host objects that holds their Body
LARGEST_ALIGNMENT = 16  # of max_align_t


@dataclass(frozen=True)
class Member:
    """One PyMemberDef, with its offset from the start of the instance."""

    name: str
    kind: int
    offset: int
    flags: int
    doc: str | None


@dataclass(eq=False)
class GuestType:
    """What the guest knows about a type that it defined.

    ``size`` is the size of an instance in bytes, ``data`` the offset at which the type's own fields start. ``slots``
    are the type's own, by number.
    """

    state: ProcessState
    name: str
    size: int
    item_size: int
    flags: int
    slots: dict[int, int]
    base: GuestType | None
    module: GuestObject | None = None
    data: int = 0
    members: list[Member] = field(default_factory=list)
    name_address: int = 0
    cls: type = object

    def find_slot(self, number: int) -> int:
        """Return the address of a slot's function, of this type or the nearest base that has it, or 0."""
        return next((kind.slots[number] for kind in self.list_bases() if number in kind.slots), 0)

    def list_bases(self) -> Iterator[GuestType]:
        """Yield this type and its bases that the guest defined."""
        kind: GuestType | None = self
        while kind is not None:
            yield kind
            kind = kind.base

    @property
    def collected(self) -> bool:
        """Return whether the garbage collector knows the instances."""
        return bool(self.flags & HAVE_GC)


def get_guest_type(cls: type) -> GuestType | None:
    """Return the guest's type that a class is or derives from, or None."""
    return getattr(cls, EMULATED, None)


def is_counted(cls: type) -> bool:
    """Return whether instances own a reference to their type: not if it is a variable of the module."""
    found = get_guest_type(cls)
    return found is None or cls is not found.cls or bool(found.flags & HEAP_TYPE)


class Body:
    """Held by the host's object of an instance, and freed with it."""

    __slots__ = ("made",)

    def __init__(self, made: Instance) -> None:
        self.made = made

    def __del__(self) -> None:
        self.made.lose_value()


class Instance(GuestObject):
    """An instance of a type that the guest defined. ``kind`` is its class, which may be defined in Python."""

    def __init__(self, state: ProcessState, block: Block, kind: type, origin: str) -> None:
        self.state, self.kind = state, kind
        self.tracked = self.dying = self.freed = self.finalized = False
        self._strong: object = None
        self._weak: weakref.ref[object] | None = None
        self._identity = 0
        super().__init__(block.start, block, None, origin, plain=False)

    def __str__(self) -> str:
        return f"an instance of {self.kind.__name__}"

    @property
    def guest_type(self) -> GuestType:
        """Return the type, of the guest, that the instance's class is or derives from."""
        found = get_guest_type(self.kind)
        assert found is not None
        return found

    def keeps_value(self) -> bool:
        """Return whether this program keeps the host's object."""
        return self._strong is not None

    def has_value(self) -> bool:
        """Return whether the host's object exists."""
        return self._strong is not None or (self._weak is not None and self._weak() is not None)

    @property
    def value(self) -> object:
        """Return the host's object, which is created for its first use."""
        value = self._strong
        if value is None and self._weak is not None:
            value = self._weak()
        if value is None:
            value = self._create_value()
        if self._strong is None and self.state.objects.get_refcount(self) > 0:
            self._strong = value
        return value

    @value.setter
    def value(self, _value: object) -> None:
        """Ignore the value that the base class sets."""

    def _create_value(self) -> object:
        if self.dying:
            raise Unsupported(f"the deallocator of {self} gives it to Python, which isn't emulated")
        base: Any = next(cls for cls in self.kind.__mro__ if "__new__" in vars(cls) and get_guest_type(cls) is None)
        value: object = base.__new__(self.kind)
        object.__setattr__(value, BODY, Body(self))
        self._weak, self._identity = weakref.ref(value), id(value)
        self.state.objects.register_identity(self._identity, self)
        return value

    def find_type(self) -> type:
        """Return the class, without creating the host's object."""
        return self.kind

    def strengthen(self) -> None:
        """Keep the host's object, if there is one: the guest has got its first reference."""
        if self._strong is None and self._weak is not None:
            self._strong = self._weak()

    def outlive(self) -> bool:
        """Let go of the host's object after the guest's last reference. Frees the instance if nothing else has it."""
        if self._weak is None:
            if hasattr(self.kind, "__del__") and not self.finalized:
                self._create_value()  # and free it at once
            else:
                end_instance(self.state, self)
        self._strong = None
        self.state.raise_pending()
        return True

    def settle(self) -> None:
        """Keep the host's object between two calls if, and only if, the guest has references."""
        if self.state.objects.get_refcount(self) > 0:
            self.strengthen()
        else:
            self._strong = None

    def lose_value(self) -> None:
        """Free the instance, since its host's object is freed, unless the guest has references that it took itself."""
        self._weak = self._strong = None
        self.finalized = True
        self.state.objects.forget_identity(self._identity, self)
        if self.freed or self.dying or self.state.crashed or self.state.objects.get_refcount(self) > 0:
            return
        try:
            end_instance(self.state, self)
        except (Fault, Unsupported) as error:  # a finalizer can't raise
            self.state.pending = self.state.pending or error


def create_instance(state: ProcessState, kind: type, items: int = 0) -> Instance:
    """Allocate an instance with zeroed fields and no references, as tp_alloc does. Raises MemoryError."""
    guest = get_guest_type(kind)
    if guest is None:
        raise Unsupported(f"it allocates an instance of {kind.__name__}, which it didn't define")
    type_object = state.objects.wrap(kind)
    size = guest.size + items * guest.item_size
    block = state.memory.allocate(size, f"an instance of {kind.__name__}")
    block.counted = state.abi.header - state.abi.pointer
    made = Instance(state, block, kind, state.objects.caller)
    state.objects.add_instance(made)
    if is_counted(kind):
        state.objects.add_reference(type_object)
    if guest.item_size:
        state.objects.set_size(made, items)
    state.instances[made] = None
    made.tracked = guest.collected
    return made


@pause_collector()
def end_instance(state: ProcessState, made: Instance) -> None:
    """Run the deallocator of an instance that nothing refers to, and check what it does. Raises Fault."""
    made.dying, error, guest = True, state.error, made.guest_type
    name = f"the deallocator of {guest.name}"
    try:
        type_object = state.objects.wrap(made.kind)
        dealloc = guest.find_slot(TP_DEALLOC)
        if dealloc:
            state.run_code(dealloc, [made.address])
        else:
            free_by_default(state, made)
        if not guest.flags & HEAP_TYPE and is_counted(made.kind):
            state.objects.remove_reference(type_object)  # the class is Python's, and a variable's deallocator not told
        if state.error is not error:
            raise Fault("error-with-result", f"it ended with {state.error!r}, and was called with {error!r}")
        if not made.freed:  # it may be in a free list
            retire_instance(state, made)
        if state.depth == 0:
            state.check_leaks()
    except Fault as found:
        raise state.end(found.placed(function=name)) from None
    except Unsupported as found:
        raise state.end(found) from None


def retire_instance(state: ProcessState, made: Instance) -> None:
    """Forget an instance whose memory the guest keeps. It may be used again by PyObject_Init."""
    made.dying = made.tracked = False
    state.instances.pop(made, None)
    state.objects.live.pop(made, None)
    state.allocated[made.address] = made.block
    state.retired[made.address] = made


def free_by_default(state: ProcessState, made: Instance) -> None:
    """Do what subtype_dealloc does: clear the object members, free the memory, and release the type."""
    objects = state.objects
    type_object = objects.wrap(made.kind)
    made.tracked = False
    counted = bool(made.guest_type.flags & HEAP_TYPE)
    for offset in list_object_members(made.guest_type) if counted else ():
        replace_field(state, made.address + offset, 0)
    free_instance(state, made)
    if counted:
        objects.remove_reference(type_object)


def replace_field(state: ProcessState, address: int, new: int) -> None:
    """Store an object, or 0 for NULL, in a field, then release the one that was there."""
    old = state.memory.load_pointer(address)
    state.memory.store_pointer(address, new)
    if old:
        state.objects.remove_reference(state.objects.find(old))


def list_object_members(guest: GuestType) -> list[int]:
    """Return the offsets of the members that CPython's own tp_dealloc and tp_traverse know."""
    return [
        member.offset
        for kind in guest.list_bases()
        for member in kind.members
        if member.kind == OBJECT_OR_ERROR and not member.flags & READ_ONLY
    ]


def free_instance(state: ProcessState, made: Instance, collected: bool | None = None) -> None:
    """Free the memory of an instance, as tp_free does. ``collected`` says which function the guest called."""
    if collected is not None and collected != made.guest_type.collected:
        right = "PyObject_GC_Del" if made.guest_type.collected else "PyObject_Free"
        raise Fault("invalid-free", f"{made} must be freed by {right}")
    if made.has_value() and not made.dying:
        raise Fault("invalid-free", f"{made} is freed while it is in use")
    made.freed, made.tracked = True, False
    state.instances.pop(made, None)
    state.allocated.pop(made.address, None)
    state.retired.pop(made.address, None)
    state.objects.forget(made)
    state.memory.free(made.block)
