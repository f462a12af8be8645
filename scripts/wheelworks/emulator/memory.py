"""Guest memory: the image, the stack, and a heap whose every block lies between zones that may not be touched.

Blocks are never given out twice at one address while anyone may remember it, so that use after free is seen.
"""

from __future__ import annotations

import mmap

from unicorn.unicorn_const import UC_PROT_READ, UC_PROT_WRITE

from wheelworks.emulator.abi import Abi
from wheelworks.emulator.cpu import PAGE, Cpu
from wheelworks.emulator.faults import Fault, Unsupported
from wheelworks.emulator.heap import Arena, Block, MemoryRegion, check_heap_access

ARENA = 32 << 20
STACK_SIZE = 1 << 20


class Memory:
    """All that the guest can see."""

    def __init__(self, abi: Abi, limit: int) -> None:
        """``limit`` is how many bytes all live blocks may have together."""
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
        """Give the CPU its stack and the first arena of the heap."""
        self.cpu = cpu
        stack = MemoryRegion("stack", self.stack_bottom, mmap.mmap(-1, STACK_SIZE))
        cpu.map(stack.start, stack.memory, UC_PROT_READ | UC_PROT_WRITE)
        self.regions.append(stack)
        self._add_arena(ARENA)

    def add_region(self, region: MemoryRegion) -> None:
        """Tell of memory that the guest has been given."""
        self.regions.append(region)

    # -- the heap

    def allocate(self, size: int, what: str, *, offset: int = 0, joined: bool = False) -> Block:
        """A new block; ``offset`` (under 16) takes it off 16-byte alignment.

        A ``joined`` block follows the last one with nothing between. Raises MemoryError over the limit.
        """
        self.reserve(size)
        self.used += size
        return self.arenas[-1].add(size, what, offset, joined)

    def check_limit(self, size: int) -> None:
        """Raises MemoryError where so many bytes more are over the limit."""
        if size < 0 or self.used + size > self.limit:
            raise MemoryError

    def reserve(self, size: int) -> None:
        """Have blocks of this size in all fit in one arena. Raises MemoryError over the limit."""
        self.check_limit(size)
        if not self.arenas[-1].room_for(size):
            self._add_arena(max(ARENA, size + 16 * PAGE))

    def free(self, block: Block) -> None:
        """The guest may not touch the block any more."""
        block.live = False
        self.used -= block.size
        self._arena(block.start).close(block)

    def freeze(self, block: Block) -> None:
        """The guest may read the block only, from now on."""
        block.writable, block.immutable = 0, True
        self._arena(block.start).freeze(block)

    def protect_terminator(self, block: Block) -> None:
        """The block's last byte (a terminator) may be read only."""
        block.writable = block.size - 1

    def end_call(self) -> None:
        """Between two calls: what was freed stays unusable, but costs nothing any more."""
        for arena in self.arenas:
            arena.forget_freed()
        current = self.arenas[-1]
        if current.next - current.region.start > len(current.region.memory) // 2 and not current.blocks:
            self.arenas.remove(current)
            self._add_arena(len(current.region.memory), current.retire())

    def _add_arena(self, size: int, memory: mmap.mmap | None = None) -> Arena:
        size = -(-size // PAGE) * PAGE
        if self._next_arena + size > self._heap_end:
            self._next_arena = self._free_range(size)
        arena = Arena(self._next_arena, memory or mmap.mmap(-1, size), self.cpu)
        self._next_arena += size + PAGE
        self.arenas.append(arena)
        return arena

    def _free_range(self, size: int) -> int:
        """The lowest addresses of the heap that no arena has: used again once all have been used."""
        start = self._heap_base
        for arena in sorted(self.arenas, key=lambda arena: arena.region.start):
            if start + size <= arena.region.start:
                return start
            start = arena.region.end + PAGE
        if start + size > self._heap_end:
            raise MemoryError
        return start

    def _arena(self, address: int) -> Arena:
        return next(arena for arena in self.arenas if arena.region.start <= address < arena.region.end)

    def block_at(self, address: int) -> Block | None:
        """The live block that starts exactly at ``address``."""
        for arena in self.arenas:
            if arena.region.start <= address < arena.region.end:
                block = arena.nearest(address)
                return block if block is not None and block.start == address and block.live else None
        return None

    # -- what may be touched

    def check_access(self, address: int, size: int, write: bool) -> Fault | Unsupported | None:
        """What is wrong with this access, if anything is."""
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
        return Fault("wild-pointer", f"{verb} {size} bytes at {address:#x}, where nothing is")

    def load(self, address: int, size: int) -> bytes:
        """Bytes that a function was told to read. Raises Fault where the guest itself could not read them."""
        if found := self.check_access(address, size, False):
            raise found
        region = self._region(address)
        return region.read(address, size)

    def store(self, address: int, data: bytes) -> None:
        """Bytes that a function was told to write. Raises Fault where the guest itself could not write them."""
        if found := self.check_access(address, len(data), True) if data else None:
            raise found
        self.poke(address, data)

    def fill(self, address: int, byte: int, size: int) -> None:
        """Store one byte ``size`` times. Raises Fault as :meth:`store` does, before anything that large is made."""
        if size and (found := self.check_access(address, size, True)):
            raise found
        self.poke(address, bytes([byte]) * size)

    def poke(self, address: int, data: bytes) -> None:
        """Write as the interpreter itself: unchecked."""
        if data:
            region = self._region(address)
            region.write(address, data)

    def peek(self, address: int, size: int) -> bytes:
        """Read as the interpreter itself: unchecked."""
        region = self._region(address)
        return region.read(address, size)

    def _region(self, address: int) -> MemoryRegion:
        for arena in reversed(self.arenas):
            if arena.region.start <= address < arena.region.end:
                return arena.region
        for region in self.regions:
            if region.start <= address < region.end:
                return region
        raise Fault("wild-pointer", f"{address:#x}, where nothing is")

    # -- values

    def load_pointer(self, address: int) -> int:
        """The pointer that stands at an address. Raises Fault as :meth:`load` does."""
        return int(self._pointer.unpack(self.load(address, self.abi.pointer))[0])

    def store_pointer(self, address: int, value: int) -> None:
        """Put a pointer at an address. Raises Fault as :meth:`store` does."""
        self.store(address, self._pointer.pack(value))

    def load_string(self, address: int) -> bytes:
        """A NUL-terminated string."""
        found = bytearray()
        while True:
            size = min(64, self._readable(address + len(found)))
            part = self.load(address + len(found), max(size, 1))
            end = part.find(0)
            if end >= 0:
                return bytes(found + part[:end])
            found += part

    def _readable(self, address: int) -> int:
        """How many bytes from ``address`` on lie in one piece."""
        region = self._region(address)
        if region.name != "heap":
            return region.end - address
        block = self._arena(address).nearest(address)
        return block.start + block.readable - address if block is not None else 1
