"""The state of an emulated process, which the functions of the C API read and change.

It corresponds to CPython's interpreter and thread state together: objects, the pending exception, open buffers,
allocated blocks, and the module with its state. :mod:`wheelworks.emulator.process` creates it and runs code in it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from wheelworks.core.image import Image
from wheelworks.emulator.abi import Abi
from wheelworks.emulator.definition import ModuleDefinition
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.heap import Block
from wheelworks.emulator.memory import Memory
from wheelworks.emulator.objects import GuestObject, Objects


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
        self.crashed = False
        self._kept_blocks: set[int] = set()

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

        A reference or block is stored if its address stands in the module's variables, state or blocks. Raises Fault.
        """
        for view in self.views.values():
            origin = self.describe_origin(view.origin)
            raise Fault("buffer-not-released", f"the buffer of {view.exporter} ({origin})")
        for made in list(self.objects.live):
            extra = self.objects.get_refcount(made) - made.held
            if extra != made.allowed:
                self._check_references(made, extra)
        for made, extra in list(self.objects.find_imbalances()):
            self._check_references(made, extra)
        for block in list(self.allocated.values()):
            if block.start not in self._kept_blocks:
                if not self._count_pointers(block.start):
                    raise Fault("memory-leak", f"{block.what} was neither freed nor stored")
                self._kept_blocks.add(block.start)
        self.memory.end_call()

    def _check_references(self, made: GuestObject, extra: int) -> None:
        """Check that the ``extra`` references that the guest owns are stored in memory that the module keeps."""
        if extra < 0:
            raise Fault("over-decref", f"{-extra} of the references to {made} were not the function's own")
        if extra > self._count_pointers(made.address):
            origin = f" ({self.describe_origin(made.origin)})" if made.origin else ""
            raise Fault("reference-leak", f"{extra} to {made}{origin} never dropped")
        made.allowed = extra

    def _count_pointers(self, address: int) -> int:
        """Count how often an address stands in memory that the module keeps between two calls."""
        pattern = address.to_bytes(self.abi.pointer, self.abi.order)
        return sum(content.count(pattern) for content in self._kept_memory())

    def _kept_memory(self) -> Iterator[bytes]:
        for region in self.memory.regions:
            if region.name == "module" and region.writable:
                yield region.read(region.start, region.end - region.start)
        for block in (*self.module_states.values(), *self.allocated.values()):
            yield self.memory.peek(block.start, block.size)
