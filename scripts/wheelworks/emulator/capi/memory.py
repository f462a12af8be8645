"""Memory allocators. Every block lies between guard zones, and is never given out again while it could be confused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelworks.emulator.capi.table import Pointer, Size, answer
from wheelworks.emulator.findings import fault
from wheelworks.emulator.heap import Block

if TYPE_CHECKING:
    from wheelworks.emulator.interpreter import Interpreter


@answer("PyMem_RawMalloc", "PyObject_Malloc", "malloc")
def PyMem_Malloc(guest: Interpreter, size: Size) -> Pointer:
    """NULL, with no exception, where there is no memory."""
    return _allocate(guest, size)


@answer("PyMem_RawCalloc", "PyObject_Calloc", "calloc")
def PyMem_Calloc(guest: Interpreter, count: Size, size: Size) -> Pointer:
    address = _allocate(guest, count * size)
    if address:
        guest.memory.poke(address, bytes(count * size))
    return address


@answer("PyMem_RawRealloc", "PyObject_Realloc", "realloc")
def PyMem_Realloc(guest: Interpreter, address: Pointer, size: Size) -> Pointer:
    """The block always moves: who keeps the old address is found out."""
    if not address:
        return _allocate(guest, size)
    old = _block(guest, address)
    new = _allocate(guest, size)
    if new:
        guest.memory.poke(new, guest.memory.peek(address, min(size, old.size)))
        _release(guest, old)
    return new


@answer("PyMem_RawFree", "PyObject_Free", "free")
def PyMem_Free(guest: Interpreter, address: Pointer) -> None:
    if address:
        _release(guest, _block(guest, address))


def _allocate(guest: Interpreter, size: int) -> int:
    try:
        block = guest.memory.allocate(size, f"a block of {size} bytes")
    except MemoryError:
        return 0
    guest.allocated[block.start] = block
    return block.start


def _block(guest: Interpreter, address: int) -> Block:
    found = guest.allocated.get(address)
    if found is not None:
        return found
    wrong = guest.memory.judge(address, 1, False)
    if wrong is not None and "freed" in str(wrong):
        raise fault("invalid-free", f"the block at {address:#x} was freed before")
    raise fault("invalid-free", f"{address:#x} is not a block that an allocator gave out")


def _release(guest: Interpreter, block: Block) -> None:
    del guest.allocated[block.start]
    guest.memory.free(block)
