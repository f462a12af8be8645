"""A binary cut into named regions, header fields and sections, so that a difference can be placed."""

from __future__ import annotations

import gzip
import io
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import lief

from wheelworks.core.binary import MACHO_MAGIC
from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheel import read_members

lief.logging.disable()

_MAX_REGIONS = 6  # differences told of one binary
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
class FileRegion:
    """A named part of a file: offset and size in bytes; a ``field`` is a number."""

    name: str
    offset: int
    size: int
    field: bool = False


def find_regions(data: bytes) -> list[FileRegion]:
    """The regions of an ELF, PE or Mach-O file; none where it is something else or can't be read."""
    try:
        return _of(data)
    except (SystemError, IndexError, struct.error):  # LIEF's way to say that a field has no meaning
        return []


def _of(data: bytes) -> list[FileRegion]:
    fat = lief.MachO.parse(data) if data.startswith(MACHO_MAGIC) else None
    if fat is not None:
        halves = [list(_macho(one, data)) for one in fat]
        return [region for half in halves for region in half]
    parsed = lief.parse(data) if data.startswith((b"\x7fELF", b"MZ")) else None
    if isinstance(parsed, lief.ELF.Binary):
        return list(_elf(parsed, data))
    return list(_pe(parsed, data)) if isinstance(parsed, lief.PE.Binary) else []


def _fields(table: str, offset: int, pointer: int = 8, prefix: str = "") -> Iterator[FileRegion]:
    words = table.split()
    for name, width in zip(words[::2], words[1::2], strict=True):
        size = pointer if width == "P" else int(width)
        yield FileRegion(f"{prefix}header field {name}", offset, size, field=True)
        offset += size


def _elf(binary: lief.ELF.Binary, data: bytes) -> Iterator[FileRegion]:
    yield from _fields(_ELF, 0, pointer=8 if data[4] == 2 else 4)
    head = binary.header
    yield FileRegion("program headers", head.program_header_offset, head.program_header_size * head.numberof_segments)
    yield FileRegion("section headers", head.section_header_offset, head.section_header_size * head.numberof_sections)
    for section in binary.sections:
        if section.type != lief.ELF.Section.TYPE.NOBITS and section.size:
            yield FileRegion(f"section {_text(section.name)}", section.file_offset, section.size)


def _pe(binary: lief.PE.Binary, data: bytes) -> Iterator[FileRegion]:
    (start,) = struct.unpack_from("<I", data, 0x3C)
    yield FileRegion("DOS header and stub", 0, start)
    yield from _fields(_COFF, start)
    wide = struct.unpack_from("<H", data, start + 24)[0] == 0x20B
    base = "ImageBase 8" if wide else "BaseOfData 4 ImageBase 4"
    yield from _fields(_OPTIONAL.format(base=base), start + 24)
    for section in binary.sections:
        yield FileRegion(f"section {_text(section.name)}", section.offset, section.size)


def _text(name: str | bytes) -> str:
    return name.decode("ascii", "replace") if isinstance(name, bytes) else name


def _macho(binary: lief.MachO.Binary, data: bytes) -> Iterator[FileRegion]:
    start = binary.fat_offset
    prefix = f"{binary.header.cpu_type.name}: " if start else ""
    yield from _fields(_MACHO, start, prefix=prefix)
    for command in binary.commands:
        yield FileRegion(
            f"{prefix}load command LC_{command.command.name}", start + command.command_offset, command.size
        )
    for section in binary.sections:
        if section.offset:
            name = f"{prefix}section {section.segment_name},{_text(section.name)}"
            yield FileRegion(name, start + section.offset, section.size)
    if signature := binary.code_signature:
        yield FileRegion(f"{prefix}code signature", start + signature.data_offset, signature.data_size)
    if symbols := binary.symbol_command:
        yield FileRegion(f"{prefix}string table", start + symbols.strings_offset, symbols.strings_size)


def compare_binaries(first: bytes, second: bytes) -> list[tuple[str, str, str]]:
    """Where two binaries differ, and both values: region by region, a few of them; then how many more there are."""
    ones, others = _numbered(find_regions(first)), _numbered(find_regions(second))
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
    more = len(found) - _MAX_REGIONS
    return found[:_MAX_REGIONS] + ([(f"and {more} more places", "", "")] if more > 0 else [])


def _presence(there: bool) -> str:
    return "there" if there else "(not there)"


def _numbered(regions: list[FileRegion]) -> dict[str, FileRegion]:
    """By name; those that share one are counted."""
    found: dict[str, FileRegion] = {}
    for region in regions:
        same = sum(name == region.name or name.startswith(f"{region.name} #") for name in found)
        found[f"{region.name} #{same + 1}" if same else region.name] = region
    return found


def _within(one: FileRegion, other: FileRegion, first: bytes, second: bytes) -> tuple[str, str, str] | None:
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


_ABSENT = "(not there)"
_MAX_UNPACKED = 1 << 28  # bytes of an sdist that are unpacked to be compared
_WIDTH = 120


@dataclass(frozen=True)
class ByteDifference:
    """One difference: the member ("": the archive itself), where in it, and what the first and the second have."""

    member: str
    where: str
    first: str
    second: str


def compare_files(first: Path, second: Path) -> list[ByteDifference]:
    """How two wheels or two sdists differ; nothing where they are equal to the byte.

    Raises WheelworksError for what is neither, is damaged, or unpacks to more than an archive may hold.
    """
    if first.read_bytes() == second.read_bytes():
        return []
    members = _wheel if first.suffix == ".whl" else _sdist
    (ones, others), heads = (members(first), members(second)), _heads(first, second)
    found = list(_members(ones, others)) + heads
    return found or [ByteDifference("", "compressed data", "one compressor's", "another's, or another level")]


def compare_members(first: Path, second: Path) -> dict[str, bool]:
    """For each member of either wheel, whether both have it and it is the same. Raises WheelworksError."""
    ones, others = _wheel(first), _wheel(second)
    return {name: ones.get(name) == others.get(name) for name in sorted({*ones, *others})}


def _wheel(path: Path) -> dict[str, bytes]:
    return {name: member.data for name, member in read_members(path).items()}


def _sdist(path: Path) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(_unpacked(path))) as tar:
        return {one.name: _data(tar, one) for one in tar.getmembers()}


def _unpacked(path: Path) -> bytes:
    try:
        with gzip.open(path) as stream:
            data = stream.read(_MAX_UNPACKED + 1)
        if len(data) > _MAX_UNPACKED:
            raise WheelworksError(f"{path.name}: unpacks to more than {_MAX_UNPACKED >> 20} MiB: refused")
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            tar.getmembers()
        return data
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError) as error:
        raise WheelworksError(f"{path.name}: damaged, or no sdist: {error}", "download it again") from error


def _data(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member) if member.isreg() else None
    return file.read() if file else b""


def _members(ones: Mapping[str, bytes], others: Mapping[str, bytes]) -> Iterator[ByteDifference]:
    """RECORD, which lists the hashes of the others, is told of only where it alone differs."""
    changed = [name for name in sorted({*ones, *others}) if ones.get(name) != others.get(name)]
    for name in [one for one in changed if not one.endswith(".dist-info/RECORD")] or changed:
        if name not in ones or name not in others:
            yield ByteDifference(
                name, "the file itself", _describe_presence(name in ones), _describe_presence(name in others)
            )
        else:
            yield from compare_contents(name, ones[name], others[name])


def _describe_presence(there: bool) -> str:
    return "there" if there else _ABSENT


def compare_contents(name: str, first: bytes, second: bytes) -> list[ByteDifference]:
    """How one member's two contents differ: a line of text, or regions of a binary."""
    if first.replace(b"\r\n", b"\n") == second.replace(b"\r\n", b"\n") and b"\0" not in first:
        return [ByteDifference(name, "line ends alone", _ends(first), _ends(second))]
    if lines := _first_line(first, second):
        number, one, other = lines
        return [ByteDifference(name, f"line {number}", one, other)]
    return [ByteDifference(name, *found) for found in compare_binaries(first, second)]


def _ends(text: bytes) -> str:
    crlf, all_ = text.count(b"\r\n"), text.count(b"\n")
    return "LF" if not crlf else "CRLF" if crlf == all_ else f"{crlf} CRLF of {all_}"


def _first_line(first: bytes, second: bytes) -> tuple[int, str, str] | None:
    if b"\0" in first or b"\0" in second:
        return None
    try:
        texts = first.decode().splitlines(keepends=True), second.decode().splitlines(keepends=True)
    except UnicodeDecodeError:
        return None
    for number, (one, other) in enumerate(zip_longest(*texts, fillvalue=""), 1):
        if one != other:
            return number, _shown(one), _shown(other)
    return None


def _shown(line: str) -> str:
    return repr(line[:_WIDTH]) + ("..." if len(line) > _WIDTH else "") if line else _ABSENT


# --- what an archive says beside its members' contents --------------------------------------------------------------


def _heads(first: Path, second: Path) -> list[ByteDifference]:
    read: Callable[[Path], dict[str, dict[str, object]]] = _zip_heads if first.suffix == ".whl" else _tar_heads
    ones, others = read(first), read(second)
    found = []
    if list(ones) != list(others) and ones.keys() == others.keys():
        at = next(number for number, (a, b) in enumerate(zip(ones, others, strict=True)) if a != b)
        found.append(ByteDifference("", f"order of members, from the {at + 1}th on", list(ones)[at], list(others)[at]))
    for name in ones.keys() & others.keys():
        for field, value in ones[name].items():
            if value != others[name].get(field):
                found.append(ByteDifference(name, f"archive's {field}", str(value), str(others[name].get(field))))
    return sorted(found, key=lambda one: (one.member, one.where))


def _zip_heads(path: Path) -> dict[str, dict[str, object]]:
    """The fields of a zip archive's central directory (APPNOTE 4.3.12) that don't follow from the contents."""
    with zipfile.ZipFile(path) as archive:  # read_members has found it whole
        return {
            one.filename: {
                "date": "{}-{:02}-{:02} {:02}:{:02}:{:02}".format(*one.date_time),
                "mode": f"{one.external_attr >> 16:o}",
                "compression method": one.compress_type,
                "flags": one.flag_bits,
                "system": one.create_system,
                "extra field": one.extra.hex(),
            }
            for one in archive.infolist()
        }


def _tar_heads(path: Path) -> dict[str, dict[str, object]]:
    """The gzip header (RFC 1952), under "", and the fields of each tar member (POSIX.1-2001)."""
    head = path.read_bytes()[:10]
    zipped = {"gzip time": int.from_bytes(head[4:8], "little"), "gzip level": head[8], "gzip system": head[9]}
    found: dict[str, dict[str, object]] = {"": dict(zipped)}
    with tarfile.open(fileobj=io.BytesIO(_unpacked(path))) as tar:
        for one in tar.getmembers():
            names = {"user": f"{one.uname} ({one.uid})", "group": f"{one.gname} ({one.gid})", "link": one.linkname}
            found[one.name] = {"mtime": one.mtime, "mode": f"{one.mode:o}", "type": one.type, **names}
    return found
