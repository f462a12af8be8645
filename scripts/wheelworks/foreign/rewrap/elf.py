"""Write an ELF shared library from its parts: segments, relocations, exports, and the libraries that it needs.

Only what a loader reads is written: program headers and the dynamic section. There are no section headers. Equal
input gives equal bytes.

Sources: the System V gABI, chapters 4 and 5; the psABIs of AArch64 and x86-64 for the relocations; the Linux Standard
Base, "Symbol Versioning", for DT_VERNEED. glibc's elf/dl-load.c and dl-reloc.c say what its loader makes of them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from wheelworks.core.image import PAGE, round_up

HEADER = struct.Struct("<16sHHIQQQIHHHHHH")  # Elf64_Ehdr
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")  # Elf64_Phdr
SYMBOL = struct.Struct("<IBBHQQ")  # Elf64_Sym
RELOCATION = struct.Struct("<QQQ")  # Elf64_Rela
ENTRY = struct.Struct("<QQ")  # Elf64_Dyn
NEEDED_FILE = struct.Struct("<HHIII")  # Elf64_Verneed
NEEDED_VERSION = struct.Struct("<IHHII")  # Elf64_Vernaux
IDENT = b"\x7fELF\x02\x01\x01" + bytes(9)  # 64 bits, little-endian, version 1
SHARED_OBJECT = 3  # ET_DYN
GLOBAL_UNTYPED, GLOBAL_FUNCTION = 0x10, 0x12  # st_info: STB_GLOBAL with STT_NOTYPE or STT_FUNC
UNDEFINED, DEFINED = 0, 1  # st_shndx: SHN_UNDEF, or any section: there are no headers to check it against
UNVERSIONED = 1  # VER_NDX_GLOBAL
MASK = (1 << 64) - 1


class Rights(IntFlag):
    """What a program may do with a segment (p_flags)."""

    EXECUTE = 1
    WRITE = 2
    READ = 4


class SegmentType(IntEnum):
    """Kinds of program headers (p_type)."""

    LOAD = 1
    DYNAMIC = 2
    GNU_EH_FRAME = 0x6474E550
    GNU_STACK = 0x6474E551
    GNU_RELRO = 0x6474E552


class Tag(IntEnum):
    """Entries of the dynamic section (d_tag)."""

    NULL = 0
    NEEDED = 1
    HASH = 4
    STRTAB = 5
    SYMTAB = 6
    RELA = 7
    RELASZ = 8
    RELAENT = 9
    STRSZ = 10
    SYMENT = 11
    SONAME = 14
    TEXTREL = 22
    BIND_NOW = 24
    INIT_ARRAY = 25
    INIT_ARRAYSZ = 27
    RUNPATH = 29
    VERSYM = 0x6FFFFFF0
    RELACOUNT = 0x6FFFFFF9
    VERNEED = 0x6FFFFFFE
    VERNEEDNUM = 0x6FFFFFFF


@dataclass(frozen=True)
class Machine:
    """A CPU's e_machine, and its relocations: the image's start plus addend, and a symbol plus addend."""

    number: int
    relative: int
    absolute: int


MACHINES = {
    "aarch64": Machine(183, relative=1027, absolute=257),  # R_AARCH64_RELATIVE, R_AARCH64_ABS64
    "x86_64": Machine(62, relative=8, absolute=1),  # R_X86_64_RELATIVE, R_X86_64_64
}


@dataclass(frozen=True)
class Part:
    """A segment: ``size`` bytes in memory from ``address``, a page's start; ``data``, then zeros."""

    address: int
    data: bytearray
    size: int
    rights: Rights

    @property
    def end(self) -> int:
        """Return the address after its last page."""
        return round_up(self.address + self.size)


@dataclass(frozen=True)
class Import:
    """A symbol of another file: ``library`` is its soname, "" for the program's own; ``version`` "" if it has none."""

    name: str
    library: str = ""
    version: str = ""


@dataclass(frozen=True)
class SharedLibrary:
    """What `write_elf` writes.

    ``relative`` are words that get the image's start plus an addend, ``absolute`` words that get an import's address
    plus an addend. ``initializers`` is the array of functions to be called: its address, and how many.
    ``read_only`` is a range that the loader protects after relocation. ``text_relocations`` says that words in
    read-only segments are relocated too. ``unwinding`` is the address and size of .eh_frame_hdr.
    """

    cpu: str
    parts: Sequence[Part]
    relative: Mapping[int, int]
    absolute: Mapping[int, tuple[Import, int]]
    exports: Mapping[str, int]
    needed: Sequence[str]
    soname: str = ""
    runpath: str = ""
    initializers: tuple[int, int] = (0, 0)
    read_only: tuple[int, int] = (0, 0)
    text_relocations: bool = False
    unwinding: tuple[int, int] = (0, 0)


class _Strings:
    """A string table: each text once, ended by a zero."""

    def __init__(self) -> None:
        self.data = bytearray(b"\0")
        self._offsets = {"": 0}

    def add(self, text: str) -> int:
        if text not in self._offsets:
            self._offsets[text] = len(self.data)
            self.data += text.encode() + b"\0"
        return self._offsets[text]


def hash_name(name: bytes) -> int:
    """Return the gABI's hash of a symbol's name."""
    value = 0
    for byte in name:
        value = (value << 4) + byte
        value ^= (value >> 24) & 0xF0
        value &= 0x0FFFFFFF
    return value


def make_hash_table(names: Sequence[str], first: int, count: int) -> bytes:
    """Return DT_HASH of ``count`` symbols. Those from ``first`` on, called ``names``, can be found."""
    buckets = [0] * max(1, len(names))
    chains = [0] * count
    for number, name in enumerate(names, first):
        bucket = hash_name(name.encode()) % len(buckets)
        chains[number], buckets[bucket] = buckets[bucket], number
    words = (len(buckets), count, *buckets, *chains)
    return struct.pack(f"<{len(words)}I", *words)


def _make_versions(imports: Sequence[Import], exports: int, strings: _Strings) -> tuple[bytes, bytes, int]:
    """Return DT_VERSYM (the version's number of each symbol), DT_VERNEED, and in how many files it needs versions."""
    files: dict[str, dict[str, int]] = {}
    numbers = [0]
    following = UNVERSIONED + 1
    for symbol in imports:
        versions = files.setdefault(symbol.library, {}) if symbol.version else {"": UNVERSIONED}
        if symbol.version not in versions:
            versions[symbol.version] = following
            following += 1
        numbers.append(versions[symbol.version])
    numbers += [UNVERSIONED] * exports
    return struct.pack(f"<{len(numbers)}H", *numbers), _pack_needed_versions(files, strings), len(files)


def _pack_needed_versions(files: Mapping[str, Mapping[str, int]], strings: _Strings) -> bytes:
    packed = b""
    for place, (library, versions) in enumerate(files.items()):
        size = NEEDED_FILE.size + NEEDED_VERSION.size * len(versions)
        last = place == len(files) - 1
        packed += NEEDED_FILE.pack(1, len(versions), strings.add(library), NEEDED_FILE.size, 0 if last else size)
        for index, (version, number) in enumerate(versions.items()):
            following = 0 if index == len(versions) - 1 else NEEDED_VERSION.size
            name = strings.add(version)
            packed += NEEDED_VERSION.pack(hash_name(version.encode()), 0, number, name, following)
    return packed


class _Tables:
    """The read-only tables of the dynamic section, laid out from an address on."""

    def __init__(self, library: SharedLibrary, address: int) -> None:
        self.address = address
        self.data = bytearray()
        self.strings = _Strings()
        self.entries: list[tuple[int, int]] = []
        self._add_names(library)
        imports = list(dict.fromkeys(symbol for symbol, _ in library.absolute.values()))
        self._add_symbols(imports, library.exports)
        self._add_relocations(library, {symbol: number for number, symbol in enumerate(imports, 1)})
        self._add_flags(library)
        self._place(Tag.STRTAB, bytes(self.strings.data))
        self.entries += [(Tag.STRSZ, len(self.strings.data)), (Tag.NULL, 0)]

    def _place(self, tag: Tag, table: bytes) -> None:
        self.data += bytes(-len(self.data) % 8)
        self.entries.append((tag, self.address + len(self.data)))
        self.data += table

    def _add_names(self, library: SharedLibrary) -> None:
        named = [(Tag.NEEDED, name) for name in library.needed]
        named += [(Tag.SONAME, library.soname), (Tag.RUNPATH, library.runpath)]
        self.entries += [(tag, self.strings.add(name)) for tag, name in named if name]

    def _add_symbols(self, imports: Sequence[Import], exports: Mapping[str, int]) -> None:
        symbols = [bytes(SYMBOL.size)]
        add = self.strings.add
        symbols += [SYMBOL.pack(add(symbol.name), GLOBAL_UNTYPED, 0, UNDEFINED, 0, 0) for symbol in imports]
        names = sorted(exports)
        symbols += [SYMBOL.pack(add(name), GLOBAL_FUNCTION, 0, DEFINED, exports[name], 0) for name in names]
        self._place(Tag.SYMTAB, b"".join(symbols))
        self.entries.append((Tag.SYMENT, SYMBOL.size))
        self._place(Tag.HASH, make_hash_table(names, 1 + len(imports), len(symbols)))
        versions, needed, files = _make_versions(imports, len(names), self.strings)
        if files:
            self._place(Tag.VERSYM, versions)
            self._place(Tag.VERNEED, needed)
            self.entries.append((Tag.VERNEEDNUM, files))

    def _add_relocations(self, library: SharedLibrary, numbers: Mapping[Import, int]) -> None:
        """Write the relative ones first, as DT_RELACOUNT wants it, each kind by address."""
        machine, pack = MACHINES[library.cpu], RELOCATION.pack
        packed = [pack(place, machine.relative, target & MASK) for place, target in sorted(library.relative.items())]
        for place in sorted(library.absolute):
            symbol, addend = library.absolute[place]
            packed.append(pack(place, numbers[symbol] << 32 | machine.absolute, addend & MASK))
        self._place(Tag.RELA, b"".join(packed))
        sizes = [(Tag.RELASZ, RELOCATION.size * len(packed)), (Tag.RELAENT, RELOCATION.size)]
        self.entries += [*sizes, (Tag.RELACOUNT, len(library.relative))]

    def _add_flags(self, library: SharedLibrary) -> None:
        address, count = library.initializers
        if count:
            self.entries += [(Tag.INIT_ARRAY, address), (Tag.INIT_ARRAYSZ, 8 * count)]
        if library.text_relocations:
            self.entries.append((Tag.TEXTREL, 0))
        self.entries.append((Tag.BIND_NOW, 0))


def write_elf(library: SharedLibrary) -> bytes:
    """Return the ELF file. The parts are sorted by address and share no pages; the tables come after the last one.

    glibc's loader writes to the dynamic section, so it has a writable page of its own.
    """
    end = library.parts[-1].end
    tables = _Tables(library, end)
    dynamic = bytearray().join(ENTRY.pack(*entry) for entry in tables.entries)
    own = [Part(end, tables.data, len(tables.data), Rights.READ)]
    own.append(Part(own[0].end, dynamic, len(dynamic), Rights.READ | Rights.WRITE))
    out = bytearray(PAGE)
    headers: list[bytes] = []
    offsets = {}
    for part in (*library.parts, *own):
        offsets[part.address] = len(out)
        sizes = (len(part.data), max(part.size, len(part.data)))
        headers.append(_pack_header(SegmentType.LOAD, part.rights, len(out), part.address, sizes))
        out += part.data
        out += bytes(-len(out) % PAGE)
    for kind, rights, address, size in (
        (SegmentType.DYNAMIC, Rights.READ | Rights.WRITE, own[1].address, len(dynamic)),
        (SegmentType.GNU_RELRO, Rights.READ, *library.read_only),
        (SegmentType.GNU_EH_FRAME, Rights.READ, *library.unwinding),
    ):
        if size:
            start = max(part for part in offsets if part <= address)
            headers.append(_pack_header(kind, rights, offsets[start] + address - start, address, (size, size)))
    headers.append(_pack_header(SegmentType.GNU_STACK, Rights.READ | Rights.WRITE, 0, 0, (0, 0)))
    return _put_headers(out, headers, MACHINES[library.cpu].number)


def _pack_header(kind: SegmentType, rights: Rights, offset: int, address: int, sizes: tuple[int, int]) -> bytes:
    alignment = PAGE if kind == SegmentType.LOAD else 8
    return PROGRAM_HEADER.pack(kind, rights, offset, address, address, *sizes, alignment)


def _put_headers(out: bytearray, headers: Sequence[bytes], machine: int) -> bytes:
    """Write the file's header and the program headers into the first page, which isn't loaded."""
    sizes = (HEADER.size, PROGRAM_HEADER.size, len(headers), 0, 0, 0)
    head = HEADER.pack(IDENT, SHARED_OBJECT, machine, 1, 0, HEADER.size, 0, 0, *sizes)
    head += b"".join(headers)
    if len(head) > PAGE:
        raise ValueError(f"{len(headers)} program headers don't fit into a page")
    out[: len(head)] = head
    return bytes(out)
