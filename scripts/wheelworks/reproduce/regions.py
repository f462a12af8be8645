"""A binary cut into named regions, header fields and sections, so that a difference can be placed."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import lief

from wheelworks.core.binary import MACHO_MAGIC

lief.logging.disable()

_MOST = 6  # differences told of one binary
_PRINTABLE = re.compile(rb"[\x20-\x7e]{4,}")

# Names and sizes in bytes, in their order in the file.
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
class Region:
    """A named part of a file: offset and size in bytes; a ``field`` is a number."""

    name: str
    offset: int
    size: int
    field: bool = False


def of(data: bytes) -> list[Region]:
    """The regions of an ELF, PE or Mach-O file; none where it is something else or can't be read."""
    try:
        return _of(data)
    except (SystemError, IndexError, struct.error):  # LIEF's way to say that a field has no meaning
        return []


def _of(data: bytes) -> list[Region]:
    fat = lief.MachO.parse(data) if data.startswith(MACHO_MAGIC) else None
    if fat is not None:
        halves = [list(_macho(one, data)) for one in fat]
        return [region for half in halves for region in half]
    parsed = lief.parse(data) if data.startswith((b"\x7fELF", b"MZ")) else None
    if isinstance(parsed, lief.ELF.Binary):
        return list(_elf(parsed, data))
    return list(_pe(parsed, data)) if isinstance(parsed, lief.PE.Binary) else []


def _fields(table: str, offset: int, pointer: int = 8, prefix: str = "") -> Iterator[Region]:
    words = table.split()
    for name, width in zip(words[::2], words[1::2], strict=True):
        size = pointer if width == "P" else int(width)
        yield Region(f"{prefix}header field {name}", offset, size, field=True)
        offset += size


def _elf(binary: lief.ELF.Binary, data: bytes) -> Iterator[Region]:
    yield from _fields(_ELF, 0, pointer=8 if data[4] == 2 else 4)
    head = binary.header
    yield Region("program headers", head.program_header_offset, head.program_header_size * head.numberof_segments)
    yield Region("section headers", head.section_header_offset, head.section_header_size * head.numberof_sections)
    for section in binary.sections:
        if section.type != lief.ELF.Section.TYPE.NOBITS and section.size:
            yield Region(f"section {_text(section.name)}", section.file_offset, section.size)


def _pe(binary: lief.PE.Binary, data: bytes) -> Iterator[Region]:
    (start,) = struct.unpack_from("<I", data, 0x3C)
    yield Region("DOS header and stub", 0, start)
    yield from _fields(_COFF, start)
    wide = struct.unpack_from("<H", data, start + 24)[0] == 0x20B
    base = "ImageBase 8" if wide else "BaseOfData 4 ImageBase 4"
    yield from _fields(_OPTIONAL.format(base=base), start + 24)
    for section in binary.sections:
        yield Region(f"section {_text(section.name)}", section.offset, section.size)


def _text(name: str | bytes) -> str:
    return name.decode("ascii", "replace") if isinstance(name, bytes) else name


def _macho(binary: lief.MachO.Binary, data: bytes) -> Iterator[Region]:
    start = binary.fat_offset
    prefix = f"{binary.header.cpu_type.name}: " if start else ""
    yield from _fields(_MACHO, start, prefix=prefix)
    for command in binary.commands:
        yield Region(f"{prefix}load command LC_{command.command.name}", start + command.command_offset, command.size)
    for section in binary.sections:
        if section.offset:
            name = f"{prefix}section {section.segment_name},{_text(section.name)}"
            yield Region(name, start + section.offset, section.size)
    if signature := binary.code_signature:
        yield Region(f"{prefix}code signature", start + signature.data_offset, signature.data_size)
    if symbols := binary.symbol_command:
        yield Region(f"{prefix}string table", start + symbols.strings_offset, symbols.strings_size)


def compare(first: bytes, second: bytes) -> list[tuple[str, str, str]]:
    """Where two binaries differ, and both values: region by region, a few of them; then how many more there are."""
    ones, others = _numbered(of(first)), _numbered(of(second))
    if ones.keys() != others.keys() and len(first) == len(second):  # a header field broke one: cut both alike
        ones = others = max(ones, others, key=len)
    found = [] if len(first) == len(second) else [("size of the file", f"{len(first)} bytes", f"{len(second)} bytes")]
    for name in dict.fromkeys([*ones, *others]):
        if name not in ones or name not in others:
            found.append((name, _presence(name in ones), _presence(name in others)))
        elif part := _within(ones[name], others[name], first, second):
            found.append(part)
    if not found:
        found = [_at(first, second, 0, 0, min(len(first), len(second)), "outside of all sections" if ones else "data")]
    more = len(found) - _MOST
    return found[:_MOST] + ([(f"and {more} more places", "", "")] if more > 0 else [])


def _presence(there: bool) -> str:
    return "there" if there else "(not there)"


def _numbered(regions: list[Region]) -> dict[str, Region]:
    """By name; those that share one are counted."""
    found: dict[str, Region] = {}
    for region in regions:
        same = sum(name == region.name or name.startswith(f"{region.name} #") for name in found)
        found[f"{region.name} #{same + 1}" if same else region.name] = region
    return found


def _within(one: Region, other: Region, first: bytes, second: bytes) -> tuple[str, str, str] | None:
    a, b = (data[part.offset : part.offset + part.size] for part, data in ((one, first), (other, second)))
    if a == b:
        return None
    if one.field:
        return f"{one.name}, offset {one.offset:#x}", *(f"{int.from_bytes(x, 'little'):#x}" for x in (a, b))  # type: ignore[return-value]  # two values, two names
    if len(a) != len(b) and (a.startswith(b) or b.startswith(a)):
        return f"{one.name}, size", f"{len(a)} bytes", f"{len(b)} bytes"
    return _at(first, second, one.offset, other.offset, min(len(a), len(b)), one.name)


def _at(first: bytes, second: bytes, one: int, other: int, size: int, name: str) -> tuple[str, str, str]:
    a, b = first[one : one + size], second[other : other + size]
    at = next((n for n, (x, y) in enumerate(zip(a, b, strict=True)) if x != y), size)
    return f"{name}, offset {one + at:#x}", _value(first, one + at), _value(second, other + at)


def _value(data: bytes, offset: int) -> str:
    """The text that an offset lies in, where it does, else eight bytes in hexadecimal."""
    start = max(0, offset - 80)
    for match in _PRINTABLE.finditer(data[start : offset + 80]):
        if match.start() <= offset - start < match.end():
            return repr(match.group().decode())
    return data[offset : offset + 8].hex(" ") or "(the end)"
