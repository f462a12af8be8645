"""The reader of PE files (Windows).

Sources: Microsoft's "PE Format" (structures below by its names), "ARM64 exception handling" and "x64 exception
handling" for the function table. An RVA is an address relative to the start of the image.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from wheelworks.core.errors import Unsupported
from wheelworks.core.image import (
    CPUS_32,
    BadImage,
    Bind,
    Image,
    Rebase,
    Segment,
    ThreadLocal,
    check_count,
    check_segments,
    map_segments,
    round_up,
    sort_symbols,
)
from wheelworks.core.reader import BinaryReader

PE_CPUS = {0xAA64: "aarch64", 0x8664: "x86_64", 0x14C: "x86"}
MACHINES = {0x1C4: "THUMB", 0xA641: "ARM64EC", 0xA64E: "ARM64X"}
NEW_HEADER_OFFSET = 0x3C  # of the offset of the PE header, in the MS-DOS header
SECTOR = 0x200  # raw data starts at a multiple of it
DIRECTORIES = 16
MAX_EXPORTS = 1 << 16  # since ordinals have 16 bits
MAX_LIBRARIES = 1000
CALLBACKS = 64  # of thread-local storage

# COFF header after the signature: Machine, NumberOfSections, SizeOfOptionalHeader.
COFF_HEADER = struct.Struct("<4sHH12xH2x")
# Optional header: AddressOfEntryPoint, ImageBase, SizeOfHeaders; then, after other fields, NumberOfRvaAndSizes.
OPTIONAL_HEADERS = {0x10B: struct.Struct("<16xI8xI28xI28xI"), 0x20B: struct.Struct("<16xI4xQ28xI44xI")}
# Section: VirtualSize, VirtualAddress, SizeOfRawData, PointerToRawData, Characteristics.
SECTION = struct.Struct("<8xIIII12xI")
DIRECTORY = struct.Struct("<II")
# Import directory entry: import lookup table, Name, import address table. Delay-load: Attributes, Name, IAT, INT.
IMPORT = struct.Struct("<I8xII")
DELAYED_IMPORT = struct.Struct("<II4xII12x")
# Export directory: Ordinal Base, sizes of the address and name tables, their addresses, that of the ordinals.
EXPORT = struct.Struct("<16xIIIIII")
RELOCATION_BLOCK = struct.Struct("<II")
# TLS directory: start and end of the raw data, AddressOfIndex, AddressOfCallBacks, SizeOfZeroFill, Characteristics.
TLS = {4: struct.Struct("<IIIIII"), 8: struct.Struct("<QQQQII")}
WORDS = {4: struct.Struct("<I"), 8: struct.Struct("<Q")}
HALF = struct.Struct("<H")
FUNCTIONS = {"aarch64": struct.Struct("<II"), "x86_64": struct.Struct("<III")}


class Directory(IntEnum):
    """Indices of the data directories."""

    EXPORT = 0
    IMPORT = 1
    EXCEPTION = 3
    RELOCATION = 5
    TLS = 9
    DELAYED_IMPORT = 13


class SectionFlag(IntFlag):
    """Characteristics of a section."""

    EXECUTE = 0x20000000
    WRITE = 0x80000000


class Relocation(IntEnum):
    """Types of base relocations."""

    ABSOLUTE = 0
    HIGHLOW = 3
    DIR64 = 10


@dataclass(frozen=True)
class _Headers:
    cpu: str
    entry: int
    base: int  # the preferred address of the image
    sections: int  # the offset of the section table
    section_count: int
    header: bytes
    directories: tuple[tuple[int, int], ...]

    @property
    def width(self) -> int:
        """Return the size of a pointer."""
        return 4 if self.cpu in CPUS_32 else 8

    def locate(self, directory: Directory) -> tuple[int, int]:
        """Return the RVA and size of a data directory, (0, 0) if the file has none."""
        rva, size = self.directories[directory] if directory < len(self.directories) else (0, 0)
        return (rva, size) if rva else (0, 0)


def read_pe(data: bytes, name: str, limit: int) -> Image:
    """Read a PE file with at most as many relocations as ``limit`` allows. Raises BadImage or Unsupported."""
    file = BinaryReader(data, name)
    headers = _read_headers(file)
    segments = tuple(_read_sections(file, headers))
    check_segments(segments, name, limit)
    if min(segment.address for segment in segments) < len(headers.header):
        raise BadImage(f"{name}: a section overlaps the headers")
    memory = BinaryReader(map_segments(segments, headers.header), name, "the image")
    imports, delayed = list(_list_imports(memory, headers)), list(_list_delayed_imports(memory, headers))
    binds = _read_binds(memory, [*imports, *delayed], headers.width, limit)
    bound = {bind.address for bind in binds}  # the loader binds after it relocates
    exports, forwarded = _read_exports(memory, headers)
    return Image(
        os="windows",
        cpu=headers.cpu,
        segments=segments,
        rebases=tuple(rebase for rebase in _read_rebases(memory, headers, limit) if rebase.address not in bound),
        binds=binds,
        exports=exports,
        symbols=sort_symbols((address, export) for export, address in exports.items()),
        libraries=tuple(dict.fromkeys(library for library, _, _ in imports)),
        header=headers.header,
        entry=headers.entry,
        thread_local=_read_thread_local(memory, headers),
        functions=_read_functions(memory, headers, limit),
        exception_table=headers.locate(Directory.EXCEPTION),
        delayed=tuple(dict.fromkeys(library for library, _, _ in delayed)),
        forwarded=forwarded,
    )


def _read_headers(file: BinaryReader) -> _Headers:
    (start,) = file.unpack(WORDS[4], NEW_HEADER_OFFSET)
    signature, machine, section_count, optional_size = file.unpack(COFF_HEADER, start)
    if signature != b"PE\0\0":
        raise BadImage(f"{file.name}: not a readable PE file: no PE header at {start:#x}")
    cpu = PE_CPUS.get(machine)
    if cpu is None:
        kind = MACHINES.get(machine, f"machine {machine:#x}")
        raise Unsupported(f"{file.name}: PE for {kind}, which no emulated CPU runs")
    optional = start + COFF_HEADER.size
    (magic,) = file.unpack(HALF, optional)
    layout = OPTIONAL_HEADERS.get(magic)
    if layout is None or (magic == 0x10B) != (cpu in CPUS_32):
        raise BadImage(f"{file.name}: an optional header of kind {magic:#x}, not used for {cpu}")
    entry, base, header_size, count = file.unpack(layout, optional)
    directories = file.unpack_all(DIRECTORY, optional + layout.size, min(count, DIRECTORIES))
    header = file.read(0, min(header_size, len(file.data)))
    return _Headers(cpu, entry, base, optional + optional_size, section_count, header, tuple(directories))


def _read_sections(file: BinaryReader, headers: _Headers) -> Iterator[Segment]:
    for virtual, address, raw, offset, flags in file.unpack_all(SECTION, headers.sections, headers.section_count):
        size = virtual or raw
        stored = min(raw, size)
        file.check_range(offset, raw)  # Windows refuses a file that is shorter than its sections
        yield Segment(
            address=address,
            size=round_up(size),
            data=file.read_content(offset // SECTOR * SECTOR, stored) if stored else b"",
            writable=bool(flags & SectionFlag.WRITE),
            executable=bool(flags & SectionFlag.EXECUTE),
        )


# -- relocations and imports


def _read_rebases(memory: BinaryReader, headers: _Headers, limit: int) -> list[Rebase]:
    kind = Relocation.HIGHLOW if headers.width == 4 else Relocation.DIR64
    start, size = headers.locate(Directory.RELOCATION)
    addresses: list[int] = []
    at, end = start, start + size
    while at + RELOCATION_BLOCK.size <= end:
        page, length = memory.unpack(RELOCATION_BLOCK, at)
        if not length:  # padding
            break
        if length < RELOCATION_BLOCK.size or at + length > end:
            raise BadImage(f"{memory.name}: a block of {length:#x} bytes in its base relocations")
        entries = memory.unpack(struct.Struct(f"<{(length - RELOCATION_BLOCK.size) // 2}H"), at + RELOCATION_BLOCK.size)
        addresses += [page + (entry & 0xFFF) for entry in entries if entry >> 12 == kind]
        if others := {entry >> 12 for entry in entries} - {kind, Relocation.ABSOLUTE}:
            raise BadImage(f"{memory.name}: a base relocation of type {min(others)}, not used on {headers.cpu}")
        at += length
        check_count(len(addresses), "relocations", memory.name, limit)
    return memory.read_rebases(WORDS[headers.width], addresses, headers.base)


def _list_imports(memory: BinaryReader, headers: _Headers) -> Iterator[tuple[str, int, int]]:
    """Yield the name, the address of the names and that of the bound words of each library."""
    for names, library, bound in _list_descriptors(memory, headers, Directory.IMPORT, IMPORT):
        if not library or not bound:
            return
        yield memory.read_text(library), names or bound, bound


def _list_delayed_imports(memory: BinaryReader, headers: _Headers) -> Iterator[tuple[str, int, int]]:
    for attributes, library, bound, names in _list_descriptors(
        memory, headers, Directory.DELAYED_IMPORT, DELAYED_IMPORT
    ):
        if not library:
            return
        if not attributes & 1:
            raise Unsupported(f"{memory.name}: delayed imports with absolute addresses, as Visual C++ 6 made")
        yield memory.read_text(library), names, bound


def _list_descriptors(
    memory: BinaryReader, headers: _Headers, directory: Directory, layout: struct.Struct
) -> Iterator[tuple[int, ...]]:
    """Yield the entries of a table that ends with an entry of zeros, whatever its size is said to be."""
    start, _ = headers.locate(directory)
    for index in range(MAX_LIBRARIES if start else 0):
        yield memory.unpack(layout, start + index * layout.size)
    if start:
        raise Unsupported(f"{memory.name}: imports from more than {MAX_LIBRARIES} libraries")


def _read_binds(memory: BinaryReader, tables: list[tuple[str, int, int]], width: int, limit: int) -> tuple[Bind, ...]:
    found: list[Bind] = []
    by_ordinal = 1 << 8 * width - 1
    for library, names, bound in tables:
        for at in itertools.count(0, width):
            (entry,) = memory.unpack(WORDS[width], names + at)
            if not entry:
                break
            # A name follows a hint of two bytes.
            symbol = f"#{entry & 0xFFFF}" if entry & by_ordinal else memory.read_text(entry + 2)
            found.append(Bind(bound + at, symbol, library))
            check_count(len(found), "imports", memory.name, limit)
    return tuple(found)


def _read_exports(memory: BinaryReader, headers: _Headers) -> tuple[dict[str, int], dict[str, tuple[str, str]]]:
    """Return the addresses of the exports and the targets of the forwarded ones; nameless ones are "#ORDINAL"."""
    start, size = headers.locate(Directory.EXPORT)
    if not size:
        return {}, {}
    base, count, name_count, table, names, ordinals = memory.unpack(EXPORT, start)
    if max(count, name_count) > MAX_EXPORTS:
        raise BadImage(f"{memory.name}: claims {max(count, name_count)} exports")
    addresses = [rva for (rva,) in memory.unpack_all(WORDS[4], table, count)]
    indices = [index for (index,) in memory.unpack_all(HALF, ordinals, name_count)]
    texts = [memory.read_text(rva) for (rva,) in memory.unpack_all(WORDS[4], names, name_count)]
    if indices and max(indices) >= count:
        raise BadImage(f"{memory.name}: exports a name for entry {max(indices)} of {count}")
    nameless = set(range(count)).difference(indices)
    named = [*zip(texts, indices, strict=True), *((f"#{base + index}", index) for index in sorted(nameless))]
    found = {text: addresses[index] for text, index in named if addresses[index]}
    targets = {text: memory.read_text(rva) for text, rva in found.items() if start <= rva < start + size}
    forwarded = {text: (target.rpartition(".")[0], target.rpartition(".")[2]) for text, target in targets.items()}
    return {text: rva for text, rva in found.items() if text not in forwarded}, forwarded


# -- thread-local storage and functions


def _read_thread_local(memory: BinaryReader, headers: _Headers) -> ThreadLocal | None:
    at, size = headers.locate(Directory.TLS)
    if not size:
        return None
    start, end, index, callbacks, zeros, flags = memory.unpack(TLS[headers.width], at)
    if end < start:
        raise BadImage(f"{memory.name}: thread-local data from {start:#x} to {end:#x}")
    if zeros > len(memory.data):
        raise BadImage(f"{memory.name}: claims {zeros:#x} bytes of thread-local variables")
    return ThreadLocal(
        address=start - headers.base if start else 0,
        filled=end - start,
        size=end - start + zeros,
        alignment=_read_alignment(flags),
        index=index - headers.base if index else 0,
        callbacks=tuple(_list_callbacks(memory, callbacks - headers.base, headers)) if callbacks else (),
    )


def _read_alignment(flags: int) -> int:
    """Return the alignment that bits 20 to 23 of Characteristics name, as IMAGE_SCN_ALIGN_1BYTES does; 16 if none."""
    power = flags >> 20 & 15
    return 1 << power - 1 if power else 16


def _list_callbacks(memory: BinaryReader, at: int, headers: _Headers) -> Iterator[int]:
    for _ in range(CALLBACKS):
        (function,) = memory.unpack(WORDS[headers.width], at)
        if not function:
            return
        yield function - headers.base
        at += headers.width
    raise Unsupported(f"{memory.name}: more than {CALLBACKS} callbacks for its threads")


def _read_functions(memory: BinaryReader, headers: _Headers, limit: int) -> tuple[tuple[int, int], ...]:
    """Return the starts and ends in the function table, without the padding at its end."""
    start, size = headers.locate(Directory.EXCEPTION)
    layout = FUNCTIONS.get(headers.cpu)
    if not size or layout is None:
        return ()
    check_count(size // layout.size, "functions", memory.name, limit)
    entries = memory.unpack_all(layout, start, size // layout.size)
    if headers.cpu == "x86_64":
        return tuple(sorted({(begin, end) for begin, end, _ in entries if begin}))
    rows = sorted({(begin, unwind) for begin, unwind in entries if begin})
    ends = [*(begin for begin, _ in rows[1:]), 0]
    return tuple(
        (begin, begin + _read_length(memory, unwind, end - begin))
        for (begin, unwind), end in zip(rows, ends, strict=True)
    )


def _read_length(memory: BinaryReader, unwind: int, distance: int) -> int:
    """Return the length of an ARM64 function in bytes, from its packed unwind data or the record that it points to.

    Microsoft calls the flag 3 reserved, but Visual C++ writes it for thunks, with the address of another entry. These
    end where the next function begins, at a ``distance`` of some bytes (the last one: after an instruction).
    """
    if unwind & 3 == 3:
        return max(distance, 4)
    if unwind & 3:
        return (unwind >> 2 & 0x7FF) * 4
    header: int = memory.unpack(WORDS[4], unwind)[0]
    return (header & 0x3FFFF) * 4
