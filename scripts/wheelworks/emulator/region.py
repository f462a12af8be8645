"""A range of memory that guest and host share."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Region:
    """``size`` bytes (0: all) of ``memory`` from ``offset`` on, which lie from ``start`` up to ``end`` in the guest."""

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
        """The bytes at a guest address."""
        at = self.offset + address - self.start
        return self.memory[at : min(at + size, self.offset + self.end - self.start)]

    def write(self, address: int, data: bytes) -> None:
        """Change the bytes at a guest address."""
        at = self.offset + address - self.start
        self.memory[at : at + len(data)] = data
