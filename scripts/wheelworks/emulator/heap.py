"""The heap of guest memory: arenas of blocks, with guard zones between the blocks.

Guard zones and small blocks are watched, so that each access to them is checked. The inside of a large block is not
watched, only its last bytes: programs spend most of their accesses there.
"""

from __future__ import annotations

import mmap
from bisect import bisect_right
from dataclasses import dataclass, field

from unicorn.unicorn_const import UC_PROT_READ, UC_PROT_WRITE

from wheelworks.core.errors import Unsupported
from wheelworks.core.image import PAGE
from wheelworks.emulator.cpu import Cpu
from wheelworks.emulator.faults import Fault


@dataclass(frozen=True)
class MemoryRegion:
    """A range of memory that guest and host share: ``memory[offset : offset + size]`` at ``start`` (size 0: all)."""

    name: str
    start: int
    memory: mmap.mmap
    writable: bool = True
    offset: int = 0
    size: int = 0
    end: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "end", self.start + (self.size or len(self.memory)))

    def read(self, address: int, size: int) -> bytes:
        """Return the bytes at a guest address."""
        at = self.offset + address - self.start
        return self.memory[at : min(at + size, self.offset + self.end - self.start)]

    def write(self, address: int, data: bytes) -> None:
        """Set the bytes at a guest address."""
        at = self.offset + address - self.start
        self.memory[at : at + len(data)] = data


LARGE = 256  # size from which the inside of a block isn't watched
ZONE = 32  # the smallest guard zone between two blocks
EDGE = 16  # the widest access of the emulated CPUs
FRESH = 0xCD  # the content of new memory


@dataclass(eq=False)
class Block:
    """``size`` bytes at ``start``; the guest may read the first ``readable`` and write the first ``writable``.

    A guard zone follows up to ``zone_end``. ``counted`` is the offset at which an object's reference count ends.
    The bytes after ``readable`` in a ``private`` block, and its ``holes`` before, are internals of CPython that aren't
    modelled, except ``window``, a range of them that may be read. Each access to a ``watched`` block is checked.
    """

    start: int
    size: int
    readable: int
    writable: int
    what: str
    live: bool = True
    immutable: bool = False
    private: bool = False
    counted: int = 0
    zone_end: int = 0
    window: tuple[int, int] = (0, 0)
    watched: bool = False
    holes: tuple[tuple[int, int], ...] = ()

    @property
    def large(self) -> bool:
        """Return whether the block's inside isn't watched."""
        return self.size >= LARGE and not self.watched

    @property
    def end(self) -> int:
        """Return the address after the last byte."""
        return self.start + self.size

    def is_accessible(self, offset: int, size: int, write: bool) -> bool:
        """Return whether the guest may access ``size`` bytes at ``offset``."""
        if any(start < offset + size and offset < end for start, end in self.holes):
            return False
        if offset >= 0 and offset + size <= (self.writable if write else self.readable):
            return True
        return not write and self.window[0] <= offset and offset + size <= self.window[1]


class Arena:
    """A range of the heap: blocks in order of addresses, and the watched ranges."""

    def __init__(self, start: int, memory: mmap.mmap, cpu: Cpu) -> None:
        self.region = MemoryRegion("heap", start, memory)
        self.cpu = cpu
        self.next = start + 64
        self.starts: list[int] = []
        self.blocks: list[Block] = []
        self._watches: list[int] = []
        self._frozen: dict[Block, int] = {}
        self._tail = 0
        cpu.map(start, memory, UC_PROT_READ | UC_PROT_WRITE)
        self._watch_tail(start)

    def has_room(self, size: int) -> bool:
        """Return whether a block of this size fits."""
        return self.next + size + 2 * PAGE < self.region.end

    def add(self, size: int, what: str, offset: int, joined: bool, watched: bool) -> Block:
        """Create a block after all others. A ``joined`` one follows the last one without a guard zone."""
        start = self.blocks[-1].end if joined else self.next + offset
        if joined:
            self.blocks[-1].zone_end = start
        block = Block(start, size, size, size, what, watched=watched)
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
        """Stop watching the inside of a large block."""
        self.cpu.unwatch(self._tail)
        self._watches.append(self.cpu.watch(self._tail_start, block.start - 1))
        self._watch_tail(block.end - EDGE)

    def freeze(self, block: Block) -> None:
        """Watch writes into the inside of a large block."""
        if block.large and block not in self._frozen:
            self._frozen[block] = self.cpu.watch(block.start, block.end - EDGE - 1, writes_only=True)

    def close(self, block: Block) -> None:
        """Watch every access to a freed block."""
        if block.large:
            self._watches.append(self.cpu.watch(block.start, block.end - EDGE - 1))

    def forget_freed(self) -> None:
        """Remove freed blocks and unneeded watches. An access there is still reported, without details."""
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
        """Unmap the arena and return its memory, to be used again."""
        for handle in (*self._watches, *self._frozen.values(), self._tail):
            self.cpu.unwatch(handle)
        self.cpu.unmap(self.region.start, len(self.region.memory))
        return self.region.memory

    def find_nearest(self, address: int) -> Block | None:
        """Return the block that contains ``address``, or the one whose guard zone does."""
        index = bisect_right(self.starts, address) - 1
        before = self.blocks[index] if index >= 0 and address < self.blocks[index].zone_end else None
        if before is not None and address < before.end:
            return before
        after = self.blocks[index + 1] if index + 1 < len(self.blocks) else None
        if after is None or after.start - address > (ZONE if before is None else address - before.end):
            return before
        return after


def check_heap_access(arena: Arena, address: int, size: int, write: bool) -> Fault | Unsupported | None:
    """Return what is wrong with an access to the heap, or None."""
    block = arena.find_nearest(address)
    verb = "writes" if write else "reads"
    if block is None:
        if address >= arena.next:
            return Fault("wild-pointer", f"{verb} {size} bytes at {address:#x}, where nothing was allocated yet")
        return Fault("use-after-free", f"{verb} {size} bytes at {address:#x}, freed in an earlier call")
    offset = address - block.start
    if not block.live and 0 <= offset < block.size:
        return _check_freed(block, offset, size, verb)
    if block.is_accessible(offset, size, write):
        return None
    if block.private and 0 <= offset < block.size:
        return Unsupported(f"it {verb} the inside of {block.what}, whose layout isn't emulated")
    return _describe_overrun(block, offset, size, write, verb)


def _check_freed(block: Block, offset: int, size: int, verb: str) -> Fault:
    if size <= 8 and offset < block.counted:
        return Fault("over-decref", f"{verb} the reference count in {block.what}, which was freed")
    return Fault("use-after-free", f"{verb} {size} bytes at offset {offset} of {block.what}, freed")


def _describe_overrun(block: Block, offset: int, size: int, write: bool, verb: str) -> Fault:
    if write and block.immutable and 0 <= offset <= block.readable - size:
        return Fault("write-to-immutable", f"{verb} {size} bytes at offset {offset} of {block.what}")
    if offset < 0:
        what = f"{verb} {size} bytes, {-offset} before the start of {block.what}"
    else:
        past = offset + size - (block.readable if block.immutable or not write else block.writable)
        what = f"{verb} {size} bytes at offset {offset}, {past} past the end of {block.what}"
    return Fault("heap-buffer-overflow-write" if write else "heap-buffer-overflow-read", what)
