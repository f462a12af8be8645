"""The named parts of a binary: header fields, load commands and sections, each with its place in the file."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import lief

from wheelworks.core.binary import MACHO_MAGIC

lief.logging.disable()

# Header fields and their sizes in bytes, in file order.
# ELF: System V gABI, "ELF Header"; "P" is a word of the file's class.
_ELF = "e_ident 16 e_type 2 e_machine 2 e_version 4 e_entry P e_phoff P e_shoff P e_flags 4 e_ehsize 2 \
e_phentsize 2 e_phnum 2 e_shentsize 2 e_shnum 2 e_shstrndx 2"
# PE: Microsoft, "PE Format", COFF File Header and Optional Header.
_COFF = "Signature 4 Machine 2 NumberOfSections 2 TimeDateStamp 4 PointerToSymbolTable 4 NumberOfSymbols 4 \
SizeOfOptionalHeader 2 Characteristics 2"
_OPTIONAL = "Magic 2 LinkerVersion 2 SizeOfCode 4 SizeOfInitializedData 4 SizeOfUninitializedData 4 \
AddressOfEntryPoint 4 BaseOfCode 4 {base} SectionAlignment 4 FileAlignment 4 OperatingSystemVersion 4 \
ImageVersion 4 SubsystemVersion 4 Win32VersionValue 4 SizeOfImage 4 SizeOfHeaders 4 CheckSum 4 Subsystem 2 \
DllCharacteristics 2"
# Mach-O: Apple's <mach-o/loader.h>, struct mach_header_64.
_MACHO = "magic 4 cputype 4 cpusubtype 4 filetype 4 ncmds 4 sizeofcmds 4 flags 4 reserved 4"


@dataclass(frozen=True)
class FileRegion:
    """A named part of a binary, with offset and size in bytes; a ``field`` is a number of the header."""

    name: str
    offset: int
    size: int
    field: bool = False


def find_regions(data: bytes) -> list[FileRegion]:
    """Return the regions of an ELF, PE or Mach-O file; none for another or unreadable file."""
    try:
        if data.startswith(MACHO_MAGIC):
            fat = lief.MachO.parse(data)  # a name, as its iterator doesn't keep it alive: LIEF would crash
            return [region for one in fat or () for region in _find_macho_regions(one)]
        parsed = lief.parse(data) if data.startswith((b"\x7fELF", b"MZ")) else None
        if isinstance(parsed, lief.ELF.Binary):
            return list(_find_elf_regions(parsed, data))
        return list(_find_pe_regions(parsed, data)) if isinstance(parsed, lief.PE.Binary) else []
    except (SystemError, IndexError, struct.error):  # LIEF raises SystemError for a field with an unknown value
        return []


def _lay_out_fields(table: str, offset: int, pointer: int = 8, prefix: str = "") -> Iterator[FileRegion]:
    words = table.split()
    for name, width in zip(words[::2], words[1::2], strict=True):
        size = pointer if width == "P" else int(width)
        yield FileRegion(f"{prefix}header field {name}", offset, size, field=True)
        offset += size


def _find_elf_regions(binary: lief.ELF.Binary, data: bytes) -> Iterator[FileRegion]:
    yield from _lay_out_fields(_ELF, 0, pointer=8 if data[4] == 2 else 4)
    head = binary.header
    yield FileRegion("program headers", head.program_header_offset, head.program_header_size * head.numberof_segments)
    yield FileRegion("section headers", head.section_header_offset, head.section_header_size * head.numberof_sections)
    for section in binary.sections:
        if section.type != lief.ELF.Section.TYPE.NOBITS and section.size:
            yield FileRegion(f"section {_decode_name(section.name)}", section.file_offset, section.size)


def _find_pe_regions(binary: lief.PE.Binary, data: bytes) -> Iterator[FileRegion]:
    (start,) = struct.unpack_from("<I", data, 0x3C)
    yield FileRegion("DOS header and stub", 0, start)
    yield from _lay_out_fields(_COFF, start)
    is_64_bit = struct.unpack_from("<H", data, start + 24)[0] == 0x20B
    base = "ImageBase 8" if is_64_bit else "BaseOfData 4 ImageBase 4"
    yield from _lay_out_fields(_OPTIONAL.format(base=base), start + 24)
    for section in binary.sections:
        yield FileRegion(f"section {_decode_name(section.name)}", section.offset, section.size)


def _find_macho_regions(binary: lief.MachO.Binary) -> Iterator[FileRegion]:
    start = binary.fat_offset
    prefix = f"{binary.header.cpu_type.name}: " if start else ""
    yield from _lay_out_fields(_MACHO, start, prefix=prefix)
    for command in binary.commands:
        name = f"{prefix}load command LC_{command.command.name}"
        yield FileRegion(name, start + command.command_offset, command.size)
    for section in binary.sections:
        if section.offset:
            name = f"{prefix}section {section.segment_name},{_decode_name(section.name)}"
            yield FileRegion(name, start + section.offset, section.size)
    if signature := binary.code_signature:
        yield FileRegion(f"{prefix}code signature", start + signature.data_offset, signature.data_size)
    if symbols := binary.symbol_command:
        yield FileRegion(f"{prefix}string table", start + symbols.strings_offset, symbols.strings_size)


def _decode_name(name: str | bytes) -> str:
    return name.decode("ascii", "replace") if isinstance(name, bytes) else name
