"""The words of a Mach-O image that dyld rebases and binds, from either of the two formats.

* Opcodes (LC_DYLD_INFO): small programs, one each for rebases, binds, lazy and weak binds. Source: <mach-o/loader.h>.
* Chained fixups (LC_DYLD_CHAINED_FIXUPS, from macOS 11 on): every word holds what it becomes and the distance to the
  next one in its page. Source: <mach-o/fixup-chains.h>.

Hostile tables can't take long: positions must advance within segments or pages, and the number of words is limited.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Self

from wheelworks.core.errors import Unsupported
from wheelworks.core.image import BadImage, Bind, Rebase, check_count
from wheelworks.core.macho_commands import Commands
from wheelworks.core.reader import BinaryReader, read_sleb, read_uleb

WIDTH = 8
POINTER = struct.Struct("<Q")
HALF = struct.Struct("<H")
TARGET = (1 << 36) - 1
HIGH_BYTE = 1 << 56  # the bits 36 to 43 are the highest byte of the target
PAGE_SIZES = (0x1000, 0x4000)

# dyld_chained_fixups_header: the offsets of starts, imports and symbols, imports_count, imports_format, symbols_format.
CHAINED_HEADER = struct.Struct("<4x6I")
COUNT = struct.Struct("<I")
# dyld_chained_starts_in_segment: page_size, pointer_format, segment_offset, page_count.
STARTS = struct.Struct("<4xHHQ4xH")
NO_FIXUPS = 0xFFFF  # of a page
# dyld_chained_import, _addend and _addend64.
IMPORTS = {1: struct.Struct("<I"), 2: struct.Struct("<Ii"), 3: struct.Struct("<QQ")}
ADDEND_64 = 3


class Ordinal(IntEnum):
    """Library ordinals that name no library."""

    SELF = 0
    MAIN_EXECUTABLE = -1
    FLAT_LOOKUP = -2
    WEAK_LOOKUP = -3


class PointerFormat(IntEnum):
    """Formats of chained words without pointer authentication."""

    PTR_64 = 2  # targets are addresses
    PTR_64_OFFSET = 6  # targets are offsets from the header


class RebaseOpcode(IntEnum):
    """REBASE_OPCODE_*: the high four bits of a byte; the low four are its operand."""

    DONE = 0x00
    SET_TYPE_IMM = 0x10
    SET_SEGMENT_AND_OFFSET_ULEB = 0x20
    ADD_ADDR_ULEB = 0x30
    ADD_ADDR_IMM_SCALED = 0x40
    DO_REBASE_IMM_TIMES = 0x50
    DO_REBASE_ULEB_TIMES = 0x60
    DO_REBASE_ADD_ADDR_ULEB = 0x70
    DO_REBASE_ULEB_TIMES_SKIPPING_ULEB = 0x80


class BindOpcode(IntEnum):
    """BIND_OPCODE_*: the high four bits of a byte; the low four are its operand."""

    DONE = 0x00
    SET_DYLIB_ORDINAL_IMM = 0x10
    SET_DYLIB_ORDINAL_ULEB = 0x20
    SET_DYLIB_SPECIAL_IMM = 0x30
    SET_SYMBOL_TRAILING_FLAGS_IMM = 0x40
    SET_TYPE_IMM = 0x50
    SET_ADDEND_SLEB = 0x60
    SET_SEGMENT_AND_OFFSET_ULEB = 0x70
    ADD_ADDR_ULEB = 0x80
    DO_BIND = 0x90
    DO_BIND_ADD_ADDR_ULEB = 0xA0
    DO_BIND_ADD_ADDR_IMM_SCALED = 0xB0
    DO_BIND_ULEB_TIMES_SKIPPING_ULEB = 0xC0


FoundBind = tuple[str, int, int, bool]  # name, library ordinal, addend, whether the import is weak
POINTER_TYPE = 1  # REBASE_TYPE_POINTER and BIND_TYPE_POINTER
WEAK_IMPORT = 0x1  # of BIND_SYMBOL_FLAGS


@dataclass
class Fixups:
    """The targets of rebases, and binds, by address."""

    rebases: dict[int, int] = field(default_factory=dict)
    binds: dict[int, FoundBind] = field(default_factory=dict)


def read_fixups(
    file: BinaryReader, memory: BinaryReader, commands: Commands, exports: Mapping[str, int], limit: int
) -> tuple[tuple[Rebase, ...], tuple[Bind, ...]]:
    """Return the rebases and binds of a Mach-O image. No word has both.

    ``memory`` is the image as in the file. Raises BadImage or Unsupported.
    """
    found = Fixups()
    if commands.chained[1]:
        _read_chains(file, memory, commands, found, limit)
    else:
        _run_opcodes(file, memory, commands, found, limit)
    binds = []
    for address, (symbol, ordinal, addend, weak) in found.binds.items():
        name = symbol.removeprefix("_")
        if ordinal == Ordinal.SELF and name in exports:
            found.rebases[address] = exports[name] + addend
        elif ordinal == Ordinal.WEAK_LOOKUP and address in found.rebases:
            continue  # the image has a definition of its own, which dyld keeps unless another library has one too
        else:
            found.rebases.pop(address, None)
            binds.append(Bind(address, name, _find_library(ordinal, commands, file.name), addend, weak))
    return tuple(map(Rebase._make, found.rebases.items())), tuple(binds)


def _find_library(ordinal: int, commands: Commands, name: str) -> str:
    if ordinal in (Ordinal.MAIN_EXECUTABLE, Ordinal.FLAT_LOOKUP, Ordinal.WEAK_LOOKUP):
        return ""
    if ordinal == Ordinal.SELF:
        return commands.install_name
    return commands.find_library(ordinal, f"{name}: binds to")


# -- opcodes


def _run_opcodes(file: BinaryReader, memory: BinaryReader, commands: Commands, found: Fixups, limit: int) -> None:
    try:
        rebases = _RebaseProgram(file.read(*commands.rebase), commands, file.name, limit)
        rebases.run(REBASES)
        found.rebases = dict(memory.read_rebases(POINTER, rebases.addresses, commands.base))
        for table in (commands.bind, commands.lazy_bind, commands.weak_bind):
            binds = _BindProgram(file.read(*table), commands, file.name, limit)
            binds.ordinal = Ordinal.WEAK_LOOKUP if table is commands.weak_bind else Ordinal.SELF
            binds.run(BINDS, lazy=table is commands.lazy_bind)
            # Weak binds repeat others: dyld looks for a definition that all images share.
            found.binds = {**binds.found, **found.binds}
    except IndexError:
        raise BadImage(f"{file.name}: its opcodes for dyld end in an operand") from None


class _Program:
    """An interpreter of opcodes: its position in them, and the place in the image that they have reached."""

    def __init__(self, program: bytes, commands: Commands, name: str, limit: int) -> None:
        self.program, self.commands, self.name, self.limit = program, commands, name, limit
        self.at = self.address = self.done = 0

    def run(self, operations: Mapping[int, Callable[[Self, int], None]], lazy: bool = False) -> None:
        """Run to the end. DONE separates the lazy binds and ends other programs."""
        while self.at < len(self.program):
            byte = self.program[self.at]
            self.at += 1
            if byte & 0xF0:
                operations.get(byte & 0xF0, _Program.refuse)(self, byte & 0x0F)
            elif not lazy:
                break

    def refuse(self, _operand: int) -> None:
        opcode = self.program[self.at - 1]
        raise Unsupported(f"{self.name}: the opcode {opcode:#x} for dyld, which isn't known here")

    def read_number(self) -> int:
        value, self.at = read_uleb(self.program, self.at)
        return value

    def check_type(self, operand: int) -> None:
        if operand != POINTER_TYPE:
            raise Unsupported(f"{self.name}: a relocation of type {operand}, not of a pointer")

    def select_segment(self, operand: int) -> None:
        if operand >= len(self.commands.segments):
            raise BadImage(f"{self.name}: a relocation in segment {operand} of {len(self.commands.segments)}")
        self.address = self.commands.segments[operand].address - self.commands.base + self.read_number()

    def advance(self, distance: int) -> None:
        """Go further. Distances of the upper half of 64 bits go back."""
        self.address += distance - (distance >> 63 << 64)

    def take(self, count: int, skip: int = 0) -> list[int]:
        """Return the addresses of ``count`` words, and go past them; ``skip`` bytes follow each word."""
        self.done += count
        check_count(self.done, "relocations", self.name, self.limit)
        start, stride = self.address, WIDTH + skip - (skip >> 63 << 64)
        self.address += count * stride
        return [start + index * stride for index in range(count)]


class _RebaseProgram(_Program):
    def __init__(self, program: bytes, commands: Commands, name: str, limit: int) -> None:
        super().__init__(program, commands, name, limit)
        self.addresses: list[int] = []

    def rebase(self, count: int, skip: int = 0) -> None:
        self.addresses += self.take(count, skip)


REBASES: dict[int, Callable[[_RebaseProgram, int], None]] = {
    RebaseOpcode.SET_TYPE_IMM: _RebaseProgram.check_type,
    RebaseOpcode.SET_SEGMENT_AND_OFFSET_ULEB: _RebaseProgram.select_segment,
    RebaseOpcode.ADD_ADDR_ULEB: lambda run, _: run.advance(run.read_number()),
    RebaseOpcode.ADD_ADDR_IMM_SCALED: lambda run, operand: run.advance(operand * WIDTH),
    RebaseOpcode.DO_REBASE_IMM_TIMES: _RebaseProgram.rebase,
    RebaseOpcode.DO_REBASE_ULEB_TIMES: lambda run, _: run.rebase(run.read_number()),
    RebaseOpcode.DO_REBASE_ADD_ADDR_ULEB: lambda run, _: run.rebase(1, run.read_number()),
    RebaseOpcode.DO_REBASE_ULEB_TIMES_SKIPPING_ULEB: lambda run, _: run.rebase(run.read_number(), run.read_number()),
}


class _BindProgram(_Program):
    def __init__(self, program: bytes, commands: Commands, name: str, limit: int) -> None:
        super().__init__(program, commands, name, limit)
        self.found: dict[int, FoundBind] = {}
        self.ordinal: int = Ordinal.SELF
        self.symbol, self.addend, self.weak = "", 0, False

    def set_ordinal(self, ordinal: int) -> None:
        self.ordinal = ordinal

    def set_special_ordinal(self, operand: int) -> None:
        self.ordinal = operand - 16 if operand else 0

    def set_symbol(self, operand: int) -> None:
        end = self.program.index(0, self.at)
        self.symbol, self.weak = self.program[self.at : end].decode(), bool(operand & WEAK_IMPORT)
        self.at = end + 1

    def set_addend(self, _operand: int) -> None:
        self.addend, self.at = read_sleb(self.program, self.at)

    def bind(self, count: int, skip: int = 0) -> None:
        for address in self.take(count, skip):
            self.found[address] = (self.symbol, self.ordinal, self.addend, self.weak)


BINDS: dict[int, Callable[[_BindProgram, int], None]] = {
    BindOpcode.SET_DYLIB_ORDINAL_IMM: _BindProgram.set_ordinal,
    BindOpcode.SET_DYLIB_ORDINAL_ULEB: lambda run, _: run.set_ordinal(run.read_number()),
    BindOpcode.SET_DYLIB_SPECIAL_IMM: _BindProgram.set_special_ordinal,
    BindOpcode.SET_SYMBOL_TRAILING_FLAGS_IMM: _BindProgram.set_symbol,
    BindOpcode.SET_TYPE_IMM: _BindProgram.check_type,
    BindOpcode.SET_ADDEND_SLEB: _BindProgram.set_addend,
    BindOpcode.SET_SEGMENT_AND_OFFSET_ULEB: _BindProgram.select_segment,
    BindOpcode.ADD_ADDR_ULEB: lambda run, _: run.advance(run.read_number()),
    BindOpcode.DO_BIND: lambda run, _: run.bind(1),
    BindOpcode.DO_BIND_ADD_ADDR_ULEB: lambda run, _: run.bind(1, run.read_number()),
    BindOpcode.DO_BIND_ADD_ADDR_IMM_SCALED: lambda run, operand: run.bind(1, operand * WIDTH),
    BindOpcode.DO_BIND_ULEB_TIMES_SKIPPING_ULEB: lambda run, _: run.bind(run.read_number(), run.read_number()),
}


# -- chained fixups


def _read_chains(file: BinaryReader, memory: BinaryReader, commands: Commands, found: Fixups, limit: int) -> None:
    table = BinaryReader(file.read(*commands.chained), file.name, "the chained fixups")
    starts, imports_offset, symbols, import_count, imports_format, symbols_format = table.unpack(CHAINED_HEADER, 0)
    if symbols_format or imports_format not in IMPORTS:
        raise Unsupported(f"{file.name}: chained fixups with imports of format {imports_format}, {symbols_format}")
    check_count(import_count, "imports", file.name, limit)
    imports = list(_read_imports(table, imports_offset, symbols, import_count, imports_format))
    (segment_count,) = table.unpack(COUNT, starts)
    offsets = table.unpack_all(COUNT, starts + COUNT.size, min(segment_count, len(commands.segments)))
    for segment, (offset,) in zip(commands.segments, offsets, strict=False):
        if offset:
            chains = _Chains(memory, segment.address - commands.base, segment.size, imports, found)
            chains.read(table, starts + offset, commands.base, limit)


def _read_imports(table: BinaryReader, offset: int, symbols: int, count: int, kind: int) -> Iterator[FoundBind]:
    """Yield the name, library ordinal, addend and weakness of each import."""
    for fields in table.unpack_all(IMPORTS[kind], offset, count):
        word, addend = fields[0], fields[1] if len(fields) > 1 else 0
        bits = 16 if kind == ADDEND_64 else 8
        # The ordinals from -15 on name no library.
        ordinal = word & (1 << bits) - 1
        ordinal -= (1 << bits) if ordinal > (1 << bits) - 16 else 0
        weak, name = word >> bits & 1, word >> (32 if kind == ADDEND_64 else 9)
        if kind == ADDEND_64 and addend >> 63:
            addend -= 1 << 64
        yield table.read_text(symbols + name), ordinal, addend, bool(weak)


@dataclass
class _Chains:
    """The chains of one segment, whose words become rebases and binds."""

    memory: BinaryReader
    address: int
    size: int
    imports: list[FoundBind]
    found: Fixups

    def read(self, table: BinaryReader, at: int, base: int, limit: int) -> None:
        """Follow the chain of each page. ``at`` is the position of the segment's dyld_chained_starts_in_segment."""
        page_size, kind, address, count = table.unpack(STARTS, at)
        if kind not in list(PointerFormat):
            raise Unsupported(f"{table.name}: chained fixups of format {kind}, which isn't known here")
        if address != self.address or page_size not in PAGE_SIZES or count > -(-self.size // page_size):
            raise BadImage(f"{table.name}: chained fixups of {count} pages at {address:#x}, not those of a segment")
        offset = base if kind == PointerFormat.PTR_64 else 0
        for page, (start,) in enumerate(table.unpack_all(HALF, at + STARTS.size, count)):
            if start == NO_FIXUPS:
                continue
            first = self.address + page * page_size
            if start > page_size - WIDTH:
                raise BadImage(f"{table.name}: chained fixups of the page {first:#x} start beyond it")
            self.follow(first + start, min(first + page_size, len(self.memory.data)) - WIDTH, offset)
            check_count(len(self.found.rebases) + len(self.found.binds), "relocations", table.name, limit)

    def follow(self, at: int, last: int, offset: int) -> None:
        """Follow the chain from ``at``. Its words are at ``last`` at most."""
        read, data, rebases, binds = POINTER.unpack_from, self.memory.data, self.found.rebases, self.found.binds
        while at <= last:
            (word,) = read(data, at)
            if word >> 63:
                binds[at] = self.find_import(word)
            else:
                rebases[at] = (word & TARGET) - offset + (word >> 36 & 0xFF) * HIGH_BYTE
            step = word >> 51 & 0xFFF
            if not step:
                return
            at += 4 * step
        raise BadImage(f"{self.memory.name}: chained fixups reach {at:#x}, beyond their page")

    def find_import(self, word: int) -> FoundBind:
        """Return the import that a bound word names, with the word's own addend."""
        index = word & 0xFFFFFF
        if index >= len(self.imports):
            raise BadImage(f"{self.memory.name}: binds import {index} of {len(self.imports)}")
        name, ordinal, addend, weak = self.imports[index]
        return name, ordinal, addend + (word >> 24 & 0xFF), weak
