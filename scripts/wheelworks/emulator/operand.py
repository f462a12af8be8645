"""A memory operand of an instruction, and the alignment that it needs."""

from __future__ import annotations

from dataclasses import dataclass

from wheelworks.emulator.cpu import Cpu


@dataclass(frozen=True)
class Operand:
    """A memory operand, base + index * scale + offset, and the alignment that it needs, in bytes."""

    base: int | None
    index: int | None
    scale: int
    offset: int
    alignment: int

    def address(self, cpu: Cpu) -> int:
        """Where it is now."""
        base = cpu.get(self.base) if self.base is not None else 0
        index = cpu.get(self.index) if self.index is not None else 0
        return base + index * self.scale + self.offset
