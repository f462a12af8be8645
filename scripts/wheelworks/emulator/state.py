"""The state of an emulated process, which the functions of the C API read and change.

It corresponds to CPython's interpreter and thread state together: objects, the pending exception, open buffers,
allocated blocks, and the module with its state. :mod:`wheelworks.emulator.process` creates it and runs code in it.
"""

from __future__ import annotations

import ctypes
import gc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from wheelworks.core.errors import Unsupported
from wheelworks.core.image import Image
from wheelworks.emulator.abi import Abi
from wheelworks.emulator.definition import ModuleDefinition
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.heap import Block
from wheelworks.emulator.memory import Memory
from wheelworks.emulator.objects import GuestObject, Objects

Ended = TypeVar("Ended", bound=Fault | Unsupported)


class HostBuffer(ctypes.Structure):
    """Py_buffer as the CPython that runs this program defines it (CPython: Include/pybuffer.h)."""

    _fields_ = [
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.POINTER(ctypes.c_ssize_t)),
        ("strides", ctypes.POINTER(ctypes.c_ssize_t)),
        ("suboffsets", ctypes.POINTER(ctypes.c_ssize_t)),
        ("internal", ctypes.c_void_p),
    ]


@contextmanager
def pause_collector() -> Iterator[None]:
    """Keep this program's collector from freeing instances, whose deallocators run guest code, amid a change."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@dataclass(eq=False)
class BufferView:
    """An open Py_buffer.

    The host's items lie at the host addresses ``low`` to ``low + size``; their copy begins at the guest address
    ``start`` in ``block``. ``own`` are the blocks with the view's format, shape and strides.
    """

    host: HostBuffer
    exporter: GuestObject
    block: Block
    start: int
    low: int
    size: int
    own: list[Block]
    origin: str


class ProcessState:
    """Everything that one emulated process knows, except its CPU."""

    def __init__(self, image: Image, memory: Memory, objects: Objects, stack_guard: bytes) -> None:
        """Start with no module. ``stack_guard`` is the value that stack protectors compare with."""
        self.image = image
        self.memory = memory
        self.objects = objects
        self.stack_guard = stack_guard
        self.abi: Abi = memory.abi
        self.run_code: Callable[[int, Sequence[int]], int]  # set by the process: call a guest function with words
        self.error: BaseException | None = None
        self.api_error: BaseException | None = None  # the last one that an emulated function raised by itself
        self.views: dict[int, BufferView] = {}
        self.allocated: dict[int, Block] = {}
        self.module_states: dict[GuestObject, Block] = {}
        self.definitions: set[int] = set()  # those that PyModuleDef_Init prepared, in variables or on the heap
        self.definition: ModuleDefinition | None = None
        self.module: GuestObject | None = None
        self.called = ""  # the exported function that is running, under the name that the guest used
        self.depth = 0
        self.crashed = False  # or closed: no guest code runs any more
        self.types: list[type] = []  # that the guest defined
        self.instances: dict[GuestObject, None] = {}  # of these types
        self.retired: dict[int, GuestObject] = {}  # instances in free lists: their blocks are in `allocated`
        self.owner: object = None  # what frees the process when it is freed
        self.ended_by: Fault | Unsupported | None = None
        self.pending: Exception | None = None  # what a deallocator that Python called couldn't raise
        self.visited: list[GuestObject] = []  # by a traverse function
        self.stubs: dict[str, int] = {}  # the addresses of functions of the C API
        self._kept_blocks: set[int] = set()
        self._borrowed: dict[GuestObject, int] = {}  # how many stored pointers to a type are no references
        self._words: Counter[int] | None = None

    def end(self, found: Ended) -> Ended:
        """End the process because of a fault, or of something that isn't emulated, and return that."""
        self.crashed, self.ended_by = True, self.ended_by or found
        return found

    def check_running(self, name: str) -> None:
        """Raise what ended the process, if it has ended: Python may have caught it the first time."""
        self.raise_pending()
        if self.crashed:
            why = f"{name} is called after the process of its module has ended"
            raise self.ended_by or Unsupported(why)

    def raise_pending(self) -> None:
        """Raise what a deallocator found that Python called."""
        found, self.pending = self.pending, None
        if found is not None:
            raise found

    def take_error(self) -> BaseException | None:
        """Clear and return the pending exception."""
        error, self.error = self.error, None
        return error

    def check_result(self, failed: bool, what: str) -> None:
        """Raise the pending exception of a function that has failed. Raises Fault if result and exception disagree."""
        error = self.take_error()
        if failed and error is None:
            raise Fault("null-without-error", f"{what} failed, but no exception was set")
        if not failed and error is not None:
            raise Fault("error-with-result", f"{what} succeeded while {error!r} was set")
        if error is not None:
            raise error

    def locate(self, address: int) -> str:
        """Return the symbol and offset of an address in the module, or "" for an address outside it."""
        offset = address - self.memory.image_base
        return self.image.symbol_at(offset) if 0 <= offset < self.image.size else ""

    def describe_origin(self, origin: str) -> str:
        """Describe where an object or buffer was created: ``origin`` is "" or FUNCTION@RETURN_ADDRESS."""
        name, _, address = origin.partition("@")
        return f"from {name}, called at {self.locate(int(address, 16))}" if address else "an argument"

    # -- leaks

    def check_leaks(self) -> None:
        """Check, between two calls, that the module has released or stored every reference, buffer and block.

        A reference or block is stored if its address stands in the module's variables, state, blocks or instances.
        Raises Fault.
        """
        self._words = None
        self.raise_pending()
        for view in self.views.values():
            origin = self.describe_origin(view.origin)
            raise Fault("buffer-not-released", f"the buffer of {view.exporter} ({origin})")
        self._check_objects()
        self._check_blocks()
        for instance in list(self.instances):
            instance.settle()
        self.raise_pending()
        self.memory.end_call()

    def _check_objects(self) -> None:
        """Check all references. In a module with types, those that were stored may have been overwritten or freed."""
        words = self._count_words() if self.types else {}
        for made in list(self.objects.live):
            extra = self.objects.get_refcount(made) - made.held
            if extra != made.allowed or (self.types and extra > words.get(made.address, 0)):
                self._check_references(made, extra)
        for made, extra in list(self.objects.find_imbalances()):
            self._check_references(made, extra)

    def _check_blocks(self) -> None:
        """Check that the blocks that are not freed are stored: each time if there are types, whose instances end."""
        for block in list(self.allocated.values()):
            if block.start not in self._kept_blocks or (self.types and not self.count_stored(block.start)):
                if not self._count_anywhere(block.start) and not self._points_into(block):
                    raise Fault("memory-leak", f"{block.what} was neither freed nor stored")
                self._kept_blocks.add(block.start)

    def _points_into(self, block: Block) -> bool:
        """Return whether a stored pointer leads into a block, as that to an aligned part of it does."""
        return any(block.start <= word < block.end for word in self._count_words())

    def _check_references(self, made: GuestObject, extra: int) -> None:
        """Check that the ``extra`` references that the guest owns are stored in memory that the module keeps."""
        if extra < 0:
            raise Fault("over-decref", f"{-extra} of the references to {made} were not the function's own")
        if issubclass(made.find_type(), type):
            self._check_type(made, extra)
        if extra > self.count_stored(made.address) and extra > self._count_anywhere(made.address):
            origin = f" ({self.describe_origin(made.origin)})" if made.origin else ""
            raise Fault("reference-leak", f"{extra} to {made}{origin} never dropped")
        made.allowed = extra

    def _check_type(self, made: GuestObject, extra: int) -> None:
        """Check that each instance has a reference to its type, and that what is stored elsewhere keeps its own."""
        owners = sum(instance.find_type() is made.value for instance in self.instances)
        if extra < owners:
            raise Fault("over-decref", f"{owners} instances have {extra} references to their type {made}")
        borrowed = max(self.count_stored(made.address) - extra, 0)
        if borrowed > self._borrowed.setdefault(made, borrowed):
            raise Fault("over-decref", f"a reference to the type {made} was dropped that is still stored")

    def count_stored(self, address: int) -> int:
        """Count how often an address stands in memory that the module keeps between two calls."""
        return self._count_words()[address] if self.types else self._count_anywhere(address)

    def _count_anywhere(self, address: int) -> int:
        """Count an address at any offset in that memory, as structures without alignment may have it."""
        pattern = address.to_bytes(self.abi.pointer, self.abi.order)
        return sum(content.count(pattern) for content in self._kept_memory())

    def _count_words(self) -> Counter[int]:
        """Count the words of that memory by value, once for all objects: a module with types has many."""
        if self._words is None:
            size, self._words = self.abi.pointer, Counter()
            for content in self._kept_memory():
                whole = len(content) // size
                self._words.update(self.abi.packer(f"{whole}P").unpack(content[: whole * size]))
        return self._words

    def _kept_memory(self) -> Iterator[bytes]:
        for region in self.memory.regions:
            if region.name == "module" and region.writable:
                yield region.read(region.start, region.end - region.start)
        instances = (made.block for made in self.instances)
        for block in (*self.module_states.values(), *self.allocated.values(), *instances):
            content = self.memory.peek(block.start, block.size)
            if block.start in self.retired:  # its type has no reference any more
                content = content[: block.counted] + bytes(self.abi.pointer) + content[self.abi.header :]
            yield content
