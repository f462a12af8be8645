"""Guest memory: the image, the stack, and a heap whose every block lies between zones that may not be touched.

Blocks are never given out twice at one address while anyone may remember it, so that use after free is seen.
Small blocks are watched access by access; large ones are free to run over, and watched at their edges.
"""

from __future__ import annotations

import mmap
from bisect import bisect_right
from dataclasses import dataclass

from unicorn.unicorn_const import UC_PROT_READ, UC_PROT_WRITE

from wheelworks.execute.abi import Abi
from wheelworks.execute.cpu import PAGE, Cpu
from wheelworks.execute.findings import CannotRun, Fault, fault

ARENA = 32 << 20
LARGE = 256
ZONE = 32  # the least that lies between two blocks
EDGE = 16  # no access of the emulated CPUs is wider
FRESH = 0xCD  # what memory that nobody wrote to holds
STACK_SIZE = 1 << 20


@dataclass(eq=False)
class Block:
    """``size`` bytes at ``start``; the guest may read the first ``readable`` and write the first ``writable``.

    Up to ``zone_end`` nothing may be touched. ``counted``: where an object's
    reference count ends. What lies beyond
    ``readable`` in a ``private`` block belongs to the interpreter and isn't modelled; ``window`` is a part of that
    which may be read nevertheless.
    """

    start: int
    size: int
    readable: int
    writable: int
    what: str
    live: bool = True
    private: bool = False
    counted: int = 0
    zone_end: int = 0
    window: tuple[int, int] = (0, 0)

    @property
    def large(self) -> bool:
        return self.size >= LARGE

    @property
    def end(self) -> int:
        return self.start + self.size


@dataclass(frozen=True)
class Region:
    """Memory that guest and host share."""

    name: str
    start: int
    memory: mmap.mmap
    writable: bool = True

    @property
    def end(self) -> int:
        return self.start + len(self.memory)


class Arena:
    """A range of the heap: blocks from low to high addresses, and the watches over all that lies between them."""

    def __init__(self, start: int, memory: mmap.mmap, cpu: Cpu) -> None:
        self.region = Region("heap", start, memory)
        self.cpu = cpu
        self.next = start + 64
        self.starts: list[int] = []
        self.blocks: list[Block] = []
        self._watches: list[int] = []
        self._frozen: dict[Block, int] = {}
        self._tail = 0
        cpu.map(start, memory, UC_PROT_READ | UC_PROT_WRITE)
        self._watch_tail(start)

    def room_for(self, size: int) -> bool:
        return self.next + size + 2 * PAGE < self.region.end

    def add(self, size: int, what: str, offset: int) -> Block:
        start = self.next + offset
        block = Block(start, size, size, size, what)
        self.next = block.zone_end = -(-(block.end + min(max(ZONE, size // 4), PAGE)) // 16) * 16
        self.starts.append(start)
        self.blocks.append(block)
        self.region.memory[start - self.region.start : block.end - self.region.start] = bytes([FRESH]) * size
        if block.large:
            self._open(block)
        return block

    def _watch_tail(self, start: int) -> None:
        self._tail_start = start
        self._tail = self.cpu.watch(start, self.region.end - 1)

    def _open(self, block: Block) -> None:
        """Let the inside of a large block be used unwatched."""
        self.cpu.unwatch(self._tail)
        self._watches.append(self.cpu.watch(self._tail_start, block.start - 1))
        self._watch_tail(block.end - EDGE)

    def freeze(self, block: Block) -> None:
        """Have writes into the inside of a large block judged from now on."""
        if block.large and block not in self._frozen:
            self._frozen[block] = self.cpu.watch(block.start, block.end - EDGE - 1, writes_only=True)

    def close(self, block: Block) -> None:
        """A freed block: every access is judged from now on."""
        if block.large:
            self._watches.append(self.cpu.watch(block.start, block.end - EDGE - 1))

    def forget_freed(self) -> None:
        """Drop what is known of freed blocks but that they were freed, and the watches that this makes needless."""
        if self._watches or self._frozen:
            self._rewatch()
        self.blocks = [block for block in self.blocks if block.live]
        self.starts = [block.start for block in self.blocks]

    def _rewatch(self) -> None:
        for handle in (*self._watches, *self._frozen.values(), self._tail):
            self.cpu.unwatch(handle)
        frozen = [block for block in self._frozen if block.live]
        self._watches, self._frozen = [], {}
        self._watch_tail(self.region.start)
        for block in self.blocks:
            if block.live and block.large:
                self._open(block)
        for block in frozen:
            self.freeze(block)

    def retire(self) -> mmap.mmap:
        for handle in (*self._watches, *self._frozen.values(), self._tail):
            self.cpu.unwatch(handle)
        self.cpu.unmap(self.region.start, len(self.region.memory))
        return self.region.memory

    def nearest(self, address: int) -> Block | None:
        """The block that holds ``address``, else one of whose zones it lies in."""
        index = bisect_right(self.starts, address) - 1
        before = self.blocks[index] if index >= 0 and address < self.blocks[index].zone_end else None
        if before is not None and address < before.end:
            return before
        after = self.blocks[index + 1] if index + 1 < len(self.blocks) else None
        if after is None or after.start - address > (ZONE if before is None else address - before.end):
            return before
        return after


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
        self.regions: list[Region] = []
        self.arenas: list[Arena] = []
        self._next_arena = self._heap_base
        self._pointer = abi.packer("P")

    def attach(self, cpu: Cpu) -> None:
        """Give the CPU its stack and the first arena of the heap."""
        self.cpu = cpu
        stack = Region("stack", self.stack_top - STACK_SIZE, mmap.mmap(-1, STACK_SIZE))
        cpu.map(stack.start, stack.memory, UC_PROT_READ | UC_PROT_WRITE)
        self.regions.append(stack)
        self._add_arena(ARENA)

    def add_region(self, region: Region) -> None:
        self.regions.append(region)

    # -- the heap

    def allocate(self, size: int, what: str, *, offset: int = 0) -> Block:
        """A new block; ``offset`` (under 16) takes it off 16-byte alignment. Raises MemoryError over the limit."""
        if size < 0 or self.used + size > self.limit:
            raise MemoryError
        arena = self.arenas[-1]
        if not arena.room_for(size):
            arena = self._add_arena(max(ARENA, size + 16 * PAGE))
        self.used += size
        return arena.add(size, what, offset)

    def free(self, block: Block) -> None:
        block.live = False
        self.used -= block.size
        self._arena(block.start).close(block)

    def freeze(self, block: Block) -> None:
        """The guest may read the block only, from now on."""
        block.writable = 0
        self._arena(block.start).freeze(block)

    def seal_end(self, block: Block) -> None:
        """The block's last byte (a terminator) may be read only."""
        block.writable = block.size - 1

    def settle(self) -> None:
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
            self._next_arena = max([self._heap_base, *(arena.region.end + PAGE for arena in self.arenas)])
        if self._next_arena + size > self._heap_end:
            raise MemoryError
        arena = Arena(self._next_arena, memory or mmap.mmap(-1, size), self.cpu)
        self._next_arena += size + PAGE
        self.arenas.append(arena)
        return arena

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

    def judge(self, address: int, size: int, write: bool) -> Fault | CannotRun | None:
        """What is wrong with this access, if anything is."""
        for arena in self.arenas:
            if arena.region.start <= address < arena.region.end:
                return _judge_heap(arena, address, size, write)
        return self._judge_elsewhere(address, size, write)

    def _judge_elsewhere(self, address: int, size: int, write: bool) -> Fault | CannotRun | None:
        verb = "writes" if write else "reads"
        for region in self.regions:
            if region.start <= address and address + size <= region.end:
                if write and not region.writable:
                    return fault("write-to-code", f"{verb} {size} bytes of the {region.name}, which is read-only")
                return None
        if address < 16 * PAGE or address >= 2 ** (8 * self.abi.pointer) - PAGE:
            return fault("null-pointer", f"{verb} {size} bytes at {address:#x}: a null pointer")
        stack = self.regions[0]
        if stack.start - STACK_SIZE <= address < stack.start:
            return fault("stack-overflow", f"{verb} below the stack of {STACK_SIZE >> 10} KiB")
        if self._heap_base <= address < self._next_arena:
            return fault("use-after-free", f"{verb} {size} bytes at {address:#x}, freed in an earlier call")
        return fault("wild-pointer", f"{verb} {size} bytes at {address:#x}, where nothing is")

    def load(self, address: int, size: int) -> bytes:
        """Bytes that a function was told to read. Raises Fault where the guest itself could not read them."""
        if found := self.judge(address, size, False):
            raise found
        region = self._region(address)
        return region.memory[address - region.start : address - region.start + size]

    def store(self, address: int, data: bytes) -> None:
        """Bytes that a function was told to write. Raises Fault where the guest itself could not write them."""
        if found := self.judge(address, len(data), True) if data else None:
            raise found
        self.poke(address, data)

    def poke(self, address: int, data: bytes) -> None:
        """Write as the interpreter itself: unchecked."""
        if data:
            region = self._region(address)
            region.memory[address - region.start : address - region.start + len(data)] = data

    def peek(self, address: int, size: int) -> bytes:
        """Read as the interpreter itself: unchecked."""
        region = self._region(address)
        return region.memory[address - region.start : address - region.start + size]

    def _region(self, address: int) -> Region:
        for arena in reversed(self.arenas):
            if arena.region.start <= address < arena.region.end:
                return arena.region
        for region in self.regions:
            if region.start <= address < region.end:
                return region
        raise fault("wild-pointer", f"{address:#x}, where nothing is")

    # -- values

    def pointer(self, address: int) -> int:
        return int(self._pointer.unpack(self.load(address, self.abi.pointer))[0])

    def store_pointer(self, address: int, value: int) -> None:
        self.store(address, self._pointer.pack(value))

    def text(self, address: int) -> bytes:
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


def _judge_heap(arena: Arena, address: int, size: int, write: bool) -> Fault | CannotRun | None:
    block = arena.nearest(address)
    verb = "writes" if write else "reads"
    if block is None:
        if address >= arena.next:
            return fault("wild-pointer", f"{verb} {size} bytes at {address:#x}, where nothing was allocated yet")
        return fault("use-after-free", f"{verb} {size} bytes at {address:#x}, freed in an earlier call")
    allowed = block.writable if write else block.readable
    offset = address - block.start
    if not block.live and 0 <= offset < block.size:
        if block.counted and size <= 8 and offset < block.counted:
            return fault("reference-dropped-twice", f"{verb} the reference count in {block.what}, which was freed")
        return fault("use-after-free", f"{verb} {size} bytes at offset {offset} of {block.what}, freed")
    if offset >= 0 and (offset + size <= allowed or block.window[0] <= offset < block.window[1] and not write):
        return None
    if block.private and 0 <= offset < block.size:
        return CannotRun(f"it {verb} the inside of {block.what}, whose layout the emulated interpreter doesn't model")
    if address < block.start:
        what = f"{verb} {size} bytes, {block.start - address} before the start of {block.what}"
    elif write and offset + size <= block.readable and not block.writable:
        return fault("write-to-immutable", f"writes {size} bytes at offset {offset} of {block.what}")
    else:
        past = offset + size - allowed
        what = f"{verb} {size} bytes at offset {offset}, {past} past the end of {block.what}"
    return fault("write-out-of-bounds" if write else "read-out-of-bounds", what)
