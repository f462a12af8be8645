"""The load commands of a Mach-O file: segments, sections, libraries, and where the other tables are.

Source: Apple's <mach-o/loader.h>, whose names are used below. Numbers are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from wheelworks.core.errors import Unsupported
from wheelworks.core.image import BadImage
from wheelworks.core.reader import BinaryReader

MAX_COMMANDS = 4096
MAX_ALIGNMENT = 15  # of a section, as a power of two
LC_REQ_DYLD = 0x80000000
COMMAND = struct.Struct("<II")
# segment_command_64: segname, vmaddr, vmsize, fileoff, filesize, initprot, nsects, flags.
SEGMENT = struct.Struct("<8x16sQQQQ4xIII")
# section_64: sectname, segname, addr, size, align, flags.
SECTION = struct.Struct("<16s16sQQ4xI8xI12x")
LINKEDIT_DATA = struct.Struct("<8xII")  # dataoff, datasize
SYMTAB = struct.Struct("<8xIIII")  # symoff, nsyms, stroff, strsize
DYLD_INFO = struct.Struct("<8x10I")  # offsets and sizes for rebase, bind, weak_bind, lazy_bind, export
STRING = struct.Struct("<8xI")  # the offset of a string in the command
ROUTINES = struct.Struct("<8xQ")  # init_address
ENCRYPTION = struct.Struct("<16xI")  # cryptid

Table = tuple[int, int]  # offset and size in the file


class LoadCommand(IntEnum):
    """Load commands, without LC_REQ_DYLD."""

    SYMTAB = 0x2
    LOAD_DYLIB = 0xC
    ID_DYLIB = 0xD
    LOAD_WEAK_DYLIB = 0x18
    SEGMENT_64 = 0x19
    ROUTINES_64 = 0x1A
    RPATH = 0x1C
    REEXPORT_DYLIB = 0x1F
    LAZY_LOAD_DYLIB = 0x20
    DYLD_INFO = 0x22
    LOAD_UPWARD_DYLIB = 0x23
    FUNCTION_STARTS = 0x26
    ENCRYPTION_INFO_64 = 0x2C
    DYLD_EXPORTS_TRIE = 0x33
    DYLD_CHAINED_FIXUPS = 0x34


class SectionType(IntEnum):
    """Types of sections: the low byte of ``flags``."""

    MOD_INIT_FUNC_POINTERS = 0x09
    THREAD_LOCAL_REGULAR = 0x11
    THREAD_LOCAL_ZEROFILL = 0x12
    THREAD_LOCAL_VARIABLES = 0x13
    INIT_FUNC_OFFSETS = 0x16


@dataclass(frozen=True)
class SegmentCommand:
    """An LC_SEGMENT_64: addresses and sizes in memory and in the file, initial protection and flags."""

    name: str
    address: int
    size: int
    offset: int
    stored: int
    protection: int
    flags: int


@dataclass(frozen=True)
class Section:
    """A section: address and size in memory, alignment in bytes."""

    name: str
    segment: str
    address: int
    size: int
    alignment: int
    type: int


@dataclass
class Commands:
    """What the load commands say. Addresses are absolute, offsets count from the start of the (thin) file.

    ``libraries`` are in the order of their ordinals, ``reexported`` ones are among them. The base is the address of the
    header, that of __TEXT.
    """

    segments: list[SegmentCommand] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    libraries: list[str] = field(default_factory=list)
    reexported: list[str] = field(default_factory=list)
    rpaths: list[str] = field(default_factory=list)
    install_name: str = ""
    constructor: int = 0
    symbols: tuple[int, int, int, int] = (0, 0, 0, 0)
    functions: Table = (0, 0)
    exports: Table = (0, 0)
    rebase: Table = (0, 0)
    bind: Table = (0, 0)
    weak_bind: Table = (0, 0)
    lazy_bind: Table = (0, 0)
    chained: Table = (0, 0)

    @property
    def base(self) -> int:
        """Return the address of the header."""
        return next((segment.address for segment in self.segments if segment.name == "__TEXT"), 0)

    def find_library(self, ordinal: int, what: str) -> str:
        """Return the library with an ordinal. Raises BadImage, which says ``what`` names it."""
        if not 0 < ordinal <= len(self.libraries):
            raise BadImage(f"{what} library {ordinal} of {len(self.libraries)}")
        return self.libraries[ordinal - 1]

    def find_sections(self, *kinds: SectionType) -> list[Section]:
        """Return the sections of some types, in the order of the file."""
        return [section for section in self.sections if section.type in kinds]


def read_commands(file: BinaryReader, start: int, count: int, size: int) -> Commands:
    """Read ``count`` load commands of ``size`` bytes together at ``start``. Raises BadImage or Unsupported."""
    found = Commands()
    if count > MAX_COMMANDS:
        raise BadImage(f"{file.name}: claims {count} load commands")
    table = BinaryReader(file.read(start, size), file.name, "the load commands")
    at = 0
    for _ in range(count):
        kind, length = table.unpack(COMMAND, at)
        if length < COMMAND.size:
            raise BadImage(f"{file.name}: a load command of {length} bytes")
        command = BinaryReader(table.read(at, length), file.name, "a load command")
        read = READERS.get(kind & ~LC_REQ_DYLD)
        if read is not None:
            read(command, found)
        at += length
    return found


def _read_string(command: BinaryReader) -> str:
    (offset,) = command.unpack(STRING, 0)
    return bytes(command.data[offset:]).split(b"\0", 1)[0].decode()


def _read_name(field_: bytes) -> str:
    return field_.split(b"\0", 1)[0].decode()


def _read_segment(command: BinaryReader, found: Commands) -> None:
    name, address, size, offset, stored, protection, count, flags = command.unpack(SEGMENT, 0)
    found.segments.append(SegmentCommand(_read_name(name), address, size, offset, stored, protection, flags))
    found.sections.extend(_read_sections(command, count))


def _read_sections(command: BinaryReader, count: int) -> Iterator[Section]:
    for name, segment, address, size, alignment, flags in command.unpack_all(SECTION, SEGMENT.size, count):
        if alignment > MAX_ALIGNMENT:
            raise BadImage(f"{command.name}: a section is aligned to 2**{alignment} bytes")
        yield Section(_read_name(name), _read_name(segment), address, size, 1 << alignment, flags & 0xFF)


def _read_dyld_info(command: BinaryReader, found: Commands) -> None:
    numbers = command.unpack(DYLD_INFO, 0)
    tables = [(numbers[index], numbers[index + 1]) for index in range(0, len(numbers), 2)]
    found.rebase, found.bind, found.weak_bind, found.lazy_bind, found.exports = tables


def _read_install_name(command: BinaryReader, found: Commands) -> None:
    found.install_name = _read_string(command)


def _read_symbols(command: BinaryReader, found: Commands) -> None:
    offset, count, strings, size = command.unpack(SYMTAB, 0)
    found.symbols = (offset, count, strings, size)


def _read_constructor(command: BinaryReader, found: Commands) -> None:
    (found.constructor,) = command.unpack(ROUTINES, 0)


def _check_encryption(command: BinaryReader, _found: Commands) -> None:
    if command.unpack(ENCRYPTION, 0) != (0,):
        raise Unsupported(f"{command.name}: its code is encrypted")


def _read_library(command: BinaryReader, found: Commands) -> None:
    found.libraries.append(_read_string(command))


def _read_reexported_library(command: BinaryReader, found: Commands) -> None:
    _read_library(command, found)
    found.reexported.append(found.libraries[-1])


def _read_table(name: str) -> Callable[[BinaryReader, Commands], None]:
    """Return a reader of a linkedit_data_command to the field ``name``."""

    def read(command: BinaryReader, found: Commands) -> None:
        setattr(found, name, command.unpack(LINKEDIT_DATA, 0))

    return read


READERS: dict[int, Callable[[BinaryReader, Commands], None]] = {
    LoadCommand.SEGMENT_64: _read_segment,
    LoadCommand.DYLD_INFO: _read_dyld_info,
    LoadCommand.DYLD_CHAINED_FIXUPS: _read_table("chained"),
    LoadCommand.DYLD_EXPORTS_TRIE: _read_table("exports"),
    LoadCommand.FUNCTION_STARTS: _read_table("functions"),
    LoadCommand.SYMTAB: _read_symbols,
    LoadCommand.ROUTINES_64: _read_constructor,
    LoadCommand.ENCRYPTION_INFO_64: _check_encryption,
    LoadCommand.ID_DYLIB: _read_install_name,
    LoadCommand.RPATH: lambda command, found: found.rpaths.append(_read_string(command)),
    LoadCommand.LOAD_DYLIB: _read_library,
    LoadCommand.LOAD_WEAK_DYLIB: _read_library,
    LoadCommand.REEXPORT_DYLIB: _read_reexported_library,
    LoadCommand.LAZY_LOAD_DYLIB: _read_library,
    LoadCommand.LOAD_UPWARD_DYLIB: _read_library,
}
