"""Python objects as the guest sees them.

The value of an object is an object of the CPython that runs this program. Its header with the reference count, and the
data of bytes-like objects, are guest memory: inlined reference counting and reading through pointers work as in a real
process. A reference belongs either to the guest or to this program (``held``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from wheelworks.core.image import PAGE
from wheelworks.emulator.abi import Abi
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.heap import Block
from wheelworks.emulator.memory import Memory

PERMANENT_COUNT = 1 << 28
HIDDEN = (160, 2048)  # bytes of an object, or of a type, after its header that only CPython knows
SIZED = (bytes, bytearray, tuple, list)
EMULATED = "_emulated_"  # the attribute of classes that the guest defined, and of those derived from them
SINGLETON_IDS = frozenset(map(id, (None, True, False, ..., NotImplemented)))


class Unfinished(Enum):
    """The value of an object that the guest hasn't filled yet."""

    BYTES = "bytes"
    TUPLE = "tuple"


@dataclass(eq=False)
class GuestObject:
    """One object that the guest knows.

    ``held`` references belong to this program, and ``allowed`` ones to the guest's own variables. ``children`` are
    items that a container keeps alive, by the ``id`` of their value; ``unset`` are indices of a list that are NULL.
    An object isn't ``plain`` if even ``isinstance`` may call the guest.
    """

    address: int
    block: Block
    value: object
    origin: str = ""
    held: int = 0
    permanent: bool = False
    allowed: int = 0
    data: Block | None = None
    length: int = 0
    items: list[GuestObject | None] = field(default_factory=list)
    children: dict[int, GuestObject] = field(default_factory=dict)
    unset: set[int] = field(default_factory=set)
    plain: bool = True

    def __str__(self) -> str:
        if isinstance(self.value, Unfinished):
            return f"a new {self.value.value} object of length {self.length}"
        text = repr(self.value)
        return text if len(text) <= 60 else f"{text[:40]}… ({type(self.value).__name__})"

    def find_type(self) -> type:
        """Return the type, also of an unfinished object."""
        return _find_type(self.value)

    def strengthen(self) -> None:
        """Do what the guest's first reference needs."""

    def settle(self) -> None:
        """Do what is to be done between two calls."""

    def outlive(self) -> bool:
        """Return whether the object has another end than that of the guest's last reference."""
        return False


class Objects:
    """All objects that the guest knows, by address and by identity."""

    def __init__(self, abi: Abi, memory: Memory, thread: int) -> None:
        """``thread`` is the guest's thread pointer, which owns free-threaded objects."""
        self.abi = abi
        self.memory = memory
        self.thread = thread
        self._by_address: dict[int, GuestObject] = {}
        self._by_identity: dict[int, GuestObject] = {}
        self.live: dict[GuestObject, None] = {}
        self.caller = ""
        self.fill_type: Callable[[GuestObject], None]  # set by the process: complete the structure of a new type
        self._count_format = abi.packer("n" if not abi.python.free_threaded else "In")
        self._count_offset = 0 if not abi.python.free_threaded else (12 if abi.pointer == 8 else 8)
        self._permanent_count = abi.immortal_count if abi.immortal else PERMANENT_COUNT

    # -- finding and creating

    def find(self, address: int) -> GuestObject:
        """Return the object at a guest address. Raises Fault for NULL, a freed object or another address."""
        found = self._by_address.get(address)
        if found is not None:
            return found
        if address == 0:
            raise Fault("null-pointer", "NULL given where an object is needed")
        wrong = self.memory.check_access(address, self.abi.header, False)
        if isinstance(wrong, Fault) and "freed" in wrong.what:
            raise Fault("use-after-free", f"the object at {address:#x} was freed before")
        self.memory.check_variable(address)
        raise wrong or Fault("not-an-object", f"{address:#x} is not the address of an object")

    def wrap(self, value: object) -> GuestObject:
        """Return the guest's object for a value. A new one has the reference count 0."""
        found = self._by_identity.get(id(value))
        if found is not None and found.value is value:
            return found
        return self._create(value, permanent=_is_permanent(value))

    def _create(self, value: object, permanent: bool = False) -> GuestObject:
        kind = _find_type(value)
        if isinstance(value, bytes):
            self.memory.reserve(bytes.__len__(value) + PAGE)
        if value is not type:
            self.wrap(kind)  # before the header: no block may come between it and inline data
        block = self._allocate_header(value, kind)
        made = GuestObject(block.start, block, value, self.caller, permanent=permanent)
        self._by_address[made.address] = made
        if not isinstance(value, Unfinished):
            self._by_identity[id(value)] = made
        if not permanent:
            self.live[made] = None
        self._write_header(made, kind)
        if isinstance(value, type):
            self.fill_type(made)
        if self._has_inline_data(kind) and value is not Unfinished.BYTES:
            self.get_data(made)
        return made

    def knows(self, address: int) -> bool:
        """Return whether there is an object at an address."""
        return address in self._by_address

    def add_instance(self, made: GuestObject) -> None:
        """Add an object whose block a type of the guest lays out."""
        self._by_address[made.address] = made
        self.live[made] = None
        self._write_header(made, made.find_type())

    def adopt(self, value: type, address: int, size: int) -> GuestObject:
        """Add a type that is a variable of the module, and is never freed."""
        made = GuestObject(
            address, Block(address, size, size, size, f"the type {value.__name__}"), value, permanent=True
        )
        self._by_address[address] = self._by_identity[id(value)] = made
        self._set_refcount(made, self._permanent_count)
        return made

    def register_identity(self, identity: int, made: GuestObject) -> None:
        """Set the object that the value with this ``id`` belongs to."""
        self._by_identity[identity] = made

    def forget_identity(self, identity: int, made: GuestObject) -> None:
        """Forget a value that is freed."""
        if self._by_identity.get(identity) is made:
            del self._by_identity[identity]

    def forget(self, made: GuestObject) -> None:
        """Forget an object whose memory is freed."""
        del self._by_address[made.address]
        self.live.pop(made, None)

    def _allocate_header(self, value: object, kind: type) -> Block:
        """Allocate the part of an object before its data.

        In the stable ABI that is PyObject or PyVarObject, and data may be anywhere. Other builds use the structures:
        their bytes objects have a hash, then the data (CPython: Include/cpython/bytesobject.h).
        """
        sized, inline = issubclass(kind, SIZED), self._has_inline_data(kind)
        readable = self.abi.header + self.abi.pointer * sized
        hidden = 0 if self.abi.python.stable else self.abi.pointer if inline else HIDDEN[isinstance(value, type)]
        what, is_type = f"the object header of {_describe(value)}", isinstance(value, type)
        block = self.memory.allocate(readable + hidden, what, watched=is_type)
        block.readable = block.writable = readable
        block.private = bool(hidden) and not inline
        block.counted = self.abi.header - self.abi.pointer
        return block

    def _has_inline_data(self, kind: type) -> bool:
        """Return whether the data of such an object follows its header."""
        return not self.abi.python.stable and issubclass(kind, bytes)

    def _write_header(self, made: GuestObject, kind: type) -> None:
        memory, address, pointer = self.memory, made.address, self.abi.pointer
        memory.poke(address, bytes(made.block.size))
        if made.permanent:
            self._set_refcount(made, self._permanent_count)
        if self.abi.python.free_threaded and not made.permanent:
            memory.poke(address, self.abi.packer("P").pack(self.thread))
        cls = made if kind is type and made.value is type else self.wrap(kind)
        memory.poke(address + self.abi.header - pointer, self.abi.packer("P").pack(cls.address))
        if issubclass(kind, SIZED) and not isinstance(made.value, Unfinished):
            base = next(base for base in SIZED if issubclass(kind, base))
            self.set_size(made, base.__len__(made.value))  # type: ignore[arg-type]  # it is an instance of base

    def set_size(self, made: GuestObject, size: int) -> None:
        """Set ``ob_size``."""
        made.length = size
        self.memory.poke(made.address + self.abi.header, self.abi.packer("n").pack(size))

    def create_bytes(self, size: int) -> GuestObject:
        """Create a bytes object that the guest fills; one zero byte follows its content."""
        self.memory.reserve(size + PAGE)
        made = self._create(Unfinished.BYTES)
        self.set_size(made, size)
        made.data = self.memory.allocate(
            size + 1, f"a new bytes object of {size} bytes", joined=self._has_inline_data(bytes)
        )
        self.memory.poke(made.data.end - 1, b"\0")
        self.memory.protect_terminator(made.data)
        return made

    def create_tuple(self, size: int) -> GuestObject:
        """Create a tuple whose items the guest sets."""
        made = self._create(Unfinished.TUPLE)
        self.set_size(made, size)
        made.items = [None] * size
        return made

    # -- content

    def get_data(self, made: GuestObject) -> Block:
        """Return guest memory with the content of a bytes, bytearray or (in UTF-8) str object, and a zero byte.

        Methods that a subclass overrides are not called.
        """
        if made.data is None:
            value = made.value
            content = str.encode(value) if isinstance(value, str) else bytes(memoryview(value))  # type: ignore[arg-type]
            inline = self._has_inline_data(type(value))
            made.data = self.memory.allocate(len(content) + 1, f"the bytes of {_describe(value)}", joined=inline)
            self.memory.poke(made.data.start, content + b"\0")
            if isinstance(value, bytearray):
                self.memory.protect_terminator(made.data)
            else:
                self.memory.freeze(made.data)
        return made.data

    def unwrap(self, made: GuestObject) -> object:
        """Return the Python object. An unfinished one is finished by this: later writes are faults."""
        if not made.plain:
            return made.value
        if made.value is Unfinished.BYTES:
            self._finish_bytes(made)
        elif made.value is Unfinished.TUPLE:
            self._finish_tuple(made)
        elif isinstance(made.value, bytearray) and made.data is not None:
            self.read_back(made)
        elif made.unset:
            raise Fault("bad-api-use", f"a list is used while its item {min(made.unset)} is still NULL")
        return made.value

    def _finish_bytes(self, made: GuestObject) -> None:
        assert made.data is not None
        content = self.memory.peek(made.data.start, made.length)
        self._set_value(made, bytes(bytearray(content)))
        self.memory.freeze(made.data)

    def _finish_tuple(self, made: GuestObject) -> None:
        if None in made.items:
            raise Fault("bad-api-use", f"a tuple is used while its item {made.items.index(None)} is still NULL")
        self._set_value(made, tuple(self.unwrap(item) for item in made.items if item is not None))

    def _set_value(self, made: GuestObject, value: object) -> None:
        made.value = value
        self._by_identity.setdefault(id(value), made)

    def read_back(self, made: GuestObject) -> None:
        """Copy what the guest wrote into a bytearray to the real one."""
        if made.plain and isinstance(made.value, bytearray) and made.data is not None:
            content = self.memory.peek(made.data.start, made.length)
            if made.value != content:
                made.value[:] = content

    def resize_data(self, made: GuestObject) -> None:
        """Move the data of a bytearray that changed its size."""
        if made.data is not None:
            self.memory.free(made.data)
            made.data = None
        if isinstance(made.value, bytearray):
            self.set_size(made, len(made.value))

    def borrow(self, container: GuestObject, value: object) -> GuestObject:
        """Return the object for an item of a container, which keeps it alive: a borrowed reference to it is valid."""
        found = container.children.get(id(value))
        if found is None:
            found = self.hold(self.wrap(value))
            container.children[id(value)] = found
        return found

    def release_missing(self, container: GuestObject, values: Iterator[object]) -> None:
        """Release the borrowed items that a container no longer has."""
        present = {id(value) for value in values}
        for key in [key for key in container.children if key not in present]:
            self.drop(container.children.pop(key))

    # -- reference counts

    def get_refcount(self, made: GuestObject) -> int:
        """Return the reference count, local and shared references together."""
        local, *shared = self._load_counts(made)
        return local + (shared[0] >> 2) if shared else local

    def _set_refcount(self, made: GuestObject, count: int) -> None:
        parts = [count]
        if self.abi.python.free_threaded:
            shared = self._load_counts(made)[1]
            parts = [count - (shared >> 2), shared]
        self.memory.poke(made.address + self._count_offset, self._count_format.pack(*parts))

    def _load_counts(self, made: GuestObject) -> tuple[int, ...]:
        return self._count_format.unpack(self.memory.peek(made.address + self._count_offset, self._count_format.size))

    def add_reference(self, made: GuestObject | None) -> int:
        """Add a reference and return the object's address. None stands for NULL."""
        if made is None:
            return 0
        if not (made.permanent and self.abi.immortal):
            count = self.get_refcount(made) + 1
            self._set_refcount(made, count)
            if count == 1:
                made.strengthen()
        return made.address

    def remove_reference(self, made: GuestObject | None) -> None:
        """Remove a reference of the guest; the last one frees the object. Raises Fault if the guest had none.

        None stands for NULL.
        """
        if made is None or (made.permanent and self.abi.immortal):
            return
        count = self.get_refcount(made) - 1
        self._set_refcount(made, count)
        if count <= 0:
            self.deallocate(made)

    def hold(self, made: GuestObject) -> GuestObject:
        """Add a reference that belongs to this program."""
        made.held += 1
        self.add_reference(made)
        return made

    def drop(self, made: GuestObject) -> None:
        """Remove a reference that belonged to this program. Raises Fault if the guest had removed it."""
        made.held -= 1
        if not made.permanent and self.get_refcount(made) <= made.held:
            raise Fault("over-decref", f"a reference to {made} was dropped that wasn't the function's own")
        self.remove_reference(made)

    def deallocate(self, made: GuestObject) -> None:
        """Free an object whose count went to zero. Raises Fault if this program still has a reference."""
        if made.held or made.permanent:
            raise Fault("over-decref", f"the last reference to {made} was dropped while it is in use")
        if made.outlive():
            return
        self.read_back(made)
        self.forget_identity(id(made.value), made)
        self.forget(made)
        self.memory.free(made.block)
        if made.data is not None:
            self.memory.free(made.data)
        for item in (*made.items, *made.children.values()):
            if item is not None:
                self.drop(item)

    def find_imbalances(self) -> Iterator[tuple[GuestObject, int]]:
        """Yield permanent objects that have more or fewer references than at first, and the difference."""
        if self.abi.immortal:
            return
        for made in self._by_address.values():
            if made.permanent:
                extra = self.get_refcount(made) - self._permanent_count - made.held
                if extra != made.allowed:
                    yield made, extra


def _find_type(value: object) -> type:
    if isinstance(value, Unfinished):
        return bytes if value is Unfinished.BYTES else tuple
    return type(value)


def _is_permanent(value: object) -> bool:
    """Return whether CPython never frees an object: a singleton, or a type that the guest hasn't defined."""
    return (isinstance(value, type) and not hasattr(value, EMULATED)) or id(value) in SINGLETON_IDS


def _describe(value: object) -> str:
    if isinstance(value, Unfinished):
        return f"a new {value.value} object"
    name = f"the type {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__} object"
    return name if not isinstance(value, (bytes, bytearray, str)) else f"{name} of length {len(value)}"
