"""Guest memory: the image, the stack, and the heap.

The address of a freed block isn't reused until the heap's address range is used up, so that use after free is found.
"""

from __future__ import annotations

import mmap

from unicorn.unicorn_const import UC_PROT_READ, UC_PROT_WRITE

from wheelworks.core.errors import Unsupported
from wheelworks.core.image import PAGE, round_up
from wheelworks.emulator.abi import Abi
from wheelworks.emulator.cpu import Cpu
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.heap import Arena, Block, MemoryRegion, check_heap_access

ARENA = 32 << 20
STACK_SIZE = 1 << 20


class Memory:
    """All memory of one emulated process."""

    def __init__(self, abi: Abi, limit: int) -> None:
        """``limit`` is the size in bytes of all live blocks together."""
        self.abi = abi
        self.limit = limit
        self.used = 0
        high = abi.pointer == 8
        self.image_base = 0x1_8000_0000 if high else 0x1000_0000
        self._heap_base = 0x7_0000_0000 if high else 0x4000_0000
        self._heap_end = 0x7F_0000_0000 if high else 0xC000_0000
        self.stack_top = (0x5_0000_0000 if high else 0x3000_0000) + STACK_SIZE
        self.stack_bottom = self.stack_top - STACK_SIZE
        self.regions: list[MemoryRegion] = []
        self.arenas: list[Arena] = []
        self._next_arena = self._heap_base
        self._pointer = abi.packer("P")

    def attach(self, cpu: Cpu) -> None:
        """Map the stack and the first arena of the heap into the CPU."""
        self.cpu = cpu
        self.add_region(MemoryRegion("stack", self.stack_bottom, mmap.mmap(-1, STACK_SIZE)))
        self._add_arena(ARENA)

    def add_region(self, region: MemoryRegion) -> None:
        """Map the whole memory of a region into the CPU, and let the host's functions access it, too."""
        self.cpu.map(region.start, region.memory, UC_PROT_READ | UC_PROT_WRITE * region.writable)
        self.regions.append(region)

    # -- the heap

    def allocate(self, size: int, what: str, *, offset: int = 0, joined: bool = False, watched: bool = False) -> Block:
        """Allocate a block; ``offset`` (under 16) is its distance from 16-byte alignment.

        A ``joined`` block follows the last one without a guard zone; of a ``watched`` one, each access is checked.
        Raises MemoryError over the limit.
        """
        self.reserve(size)
        self.used += size
        return self.arenas[-1].add(size, what, offset, joined, watched)

    def check_limit(self, size: int) -> None:
        """Raise MemoryError if ``size`` more bytes would exceed the limit."""
        if size < 0 or self.used + size > self.limit:
            raise MemoryError

    def reserve(self, size: int) -> None:
        """Ensure that the next ``size`` bytes of blocks fit in one arena. Raises MemoryError over the limit."""
        self.check_limit(size)
        if not self.arenas[-1].has_room(size):
            self._add_arena(max(ARENA, size + 16 * PAGE))

    def free(self, block: Block) -> None:
        """Make every later access to the block a fault."""
        block.live = False
        self.used -= block.size
        self._find_arena(block.start).close(block)

    def freeze(self, block: Block) -> None:
        """Make the block read-only."""
        block.writable, block.immutable = 0, True
        self._find_arena(block.start).freeze(block)

    def protect_terminator(self, block: Block) -> None:
        """Make the block's last byte, a terminator, read-only."""
        block.writable = block.size - 1

    def end_call(self) -> None:
        """Release, between two calls, what is stored about freed blocks. They stay inaccessible."""
        for arena in self.arenas:
            arena.forget_freed()
        current = self.arenas[-1]
        if current.next - current.region.start > len(current.region.memory) // 2 and not current.blocks:
            self.arenas.remove(current)
            self._add_arena(len(current.region.memory), current.retire())

    def _add_arena(self, size: int, memory: mmap.mmap | None = None) -> Arena:
        size = round_up(size)
        if self._next_arena + size > self._heap_end:
            self._next_arena = self._find_free_range(size)
        arena = Arena(self._next_arena, memory or mmap.mmap(-1, size), self.cpu)
        self._next_arena += size + PAGE
        self.arenas.append(arena)
        return arena

    def _find_free_range(self, size: int) -> int:
        """Return the lowest free addresses of the heap, once all addresses have been used."""
        start = self._heap_base
        for arena in sorted(self.arenas, key=lambda arena: arena.region.start):
            if start + size <= arena.region.start:
                return start
            start = arena.region.end + PAGE
        if start + size > self._heap_end:
            raise MemoryError
        return start

    def _find_arena(self, address: int) -> Arena:
        return next(arena for arena in self.arenas if arena.region.start <= address < arena.region.end)

    # -- checked accesses

    def check_access(self, address: int, size: int, write: bool) -> Fault | Unsupported | None:
        """Return what is wrong with an access, or None."""
        for arena in self.arenas:
            if arena.region.start <= address < arena.region.end:
                return check_heap_access(arena, address, size, write)
        return self._check_elsewhere(address, size, write)

    def _check_elsewhere(self, address: int, size: int, write: bool) -> Fault | Unsupported | None:
        verb = "writes" if write else "reads"
        for region in self.regions:
            if region.start <= address and address + size <= region.end:
                if write and not region.writable:
                    return Fault("write-to-code", f"{verb} {size} bytes of the {region.name}, which is read-only")
                return None
        if address < 16 * PAGE or address >= 2 ** (8 * self.abi.pointer) - PAGE:
            return Fault("null-pointer", f"{verb} {size} bytes at {address:#x}: a null pointer")
        stack = self.regions[0]
        if stack.start - STACK_SIZE <= address < stack.start:
            return Fault("stack-overflow", f"{verb} below the stack of {STACK_SIZE >> 10} KiB")
        if self._heap_base <= address < self._heap_end:
            return Fault("use-after-free", f"{verb} {size} bytes at {address:#x}, freed in an earlier call")
        return Fault("wild-pointer", f"{verb} {size} bytes at {address:#x}, which is not mapped")

    def check_variable(self, address: int) -> None:
        """Raise Unsupported for an object that is a variable of the module, in builds that may define some so."""
        inside = any(region.name == "module" and region.start <= address < region.end for region in self.regions)
        if inside and not self.abi.python.stable:
            raise Unsupported(f"it uses its variable at {address:#x} as an object, which isn't emulated")

    def load(self, address: int, size: int) -> bytes:
        """Read for the guest. Raises Fault where the guest itself may not read."""
        if not size:
            return b""
        if found := self.check_access(address, size, False):
            raise found
        return self.peek(address, size)

    def store(self, address: int, data: bytes) -> None:
        """Write for the guest. Raises Fault where the guest itself may not write."""
        if found := self.check_access(address, len(data), True) if data else None:
            raise found
        self.poke(address, data)

    def fill(self, address: int, byte: int, size: int) -> None:
        """Write one byte ``size`` times. Raises Fault as :meth:`store` does, before it allocates that much."""
        if size and (found := self.check_access(address, size, True)):
            raise found
        self.poke(address, bytes([byte]) * size)

    def poke(self, address: int, data: bytes) -> None:
        """Write without a check."""
        if data:
            self._find_region(address).write(address, data)

    def peek(self, address: int, size: int) -> bytes:
        """Read without a check."""
        return self._find_region(address).read(address, size)

    def _find_region(self, address: int) -> MemoryRegion:
        for arena in reversed(self.arenas):
            if arena.region.start <= address < arena.region.end:
                return arena.region
        for region in self.regions:
            if region.start <= address < region.end:
                return region
        raise Fault("wild-pointer", f"{address:#x}, which is not mapped")

    # -- values

    def load_pointer(self, address: int) -> int:
        """Read a pointer. Raises Fault as :meth:`load` does."""
        return int(self._pointer.unpack(self.load(address, self.abi.pointer))[0])

    def store_pointer(self, address: int, value: int) -> None:
        """Write a pointer. Raises Fault as :meth:`store` does."""
        self.store(address, self._pointer.pack(value))

    def load_string(self, address: int) -> bytes:
        """Read a NUL-terminated string. Raises Fault as :meth:`load` does."""
        found = bytearray()
        while True:
            size = min(64, self._count_readable(address + len(found)))
            part = self.load(address + len(found), max(size, 1))
            end = part.find(0)
            if end >= 0:
                return bytes(found + part[:end])
            found += part

    def _count_readable(self, address: int) -> int:
        """Return how many bytes from ``address`` on belong to the same block or region."""
        region = self._find_region(address)
        if region.name != "heap":
            return region.end - address
        block = self._find_arena(address).find_nearest(address)
        return block.start + block.readable - address if block is not None else 1
