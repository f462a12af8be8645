"""Where a binary's code is: the sections that may be executed, as bytes at an address."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import lief

from wheelworks.core.binary import Parsed

Instruction = tuple[int, int, str, str]  # address, bytes, mnemonic, operands

_INSTRUCTIONS = int(lief.MachO.Section.FLAGS.PURE_INSTRUCTIONS) | int(lief.MachO.Section.FLAGS.SOME_INSTRUCTIONS)


@dataclass(frozen=True)
class Region:
    """Executable bytes, and the address of the first."""

    start: int
    data: bytes
    name: str = ""

    @property
    def end(self) -> int:
        """The address behind the last byte."""
        return self.start + len(self.data)


def regions(parsed: Parsed) -> list[Region]:
    """The sections that hold instructions, by address."""
    found = (Region(start, bytes(one.content), str(one.name)) for start, one in sections(parsed) if one.size)
    return sorted(found, key=_start)


def region_of(found: Sequence[Region], address: int) -> Region | None:
    """The region that holds an address, of those that `regions` gave."""
    place = bisect_right(found, address, key=_start)
    return found[place - 1] if place and address < found[place - 1].end else None


def _start(region: Region) -> int:
    return region.start


def sections(parsed: Parsed) -> Iterator[tuple[int, lief.PE.Section | lief.ELF.Section | lief.MachO.Section]]:
    """The sections that may be executed, each with its address."""
    if isinstance(parsed, lief.PE.Binary):
        execute = int(lief.PE.Section.CHARACTERISTICS.MEM_EXECUTE)
        yield from (
            (parsed.imagebase + one.virtual_address, one) for one in parsed.sections if one.characteristics & execute
        )
    elif isinstance(parsed, lief.ELF.Binary):
        execute = int(lief.ELF.Section.FLAGS.EXECINSTR)
        yield from ((one.virtual_address, one) for one in parsed.sections if one.flags & execute)
    else:
        yield from ((one.virtual_address, one) for one in parsed.sections if int(one.flags) & _INSTRUCTIONS)
