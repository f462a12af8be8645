"""The reader of Mach-O files (macOS), thin and universal.

Sources: Apple's <mach-o/fat.h>, <mach-o/loader.h> and <mach-o/nlist.h>, whose names are used below; dyld's
``ExportsTrie`` and ``ThreadLocalVariables``. :mod:`wheelworks.core.macho_commands` reads the load commands,
:mod:`wheelworks.core.macho_fixups` the rebases and binds.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator
from enum import IntEnum, IntFlag
from itertools import pairwise

from wheelworks.core.errors import Unsupported
from wheelworks.core.image import (
    BadImage,
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
from wheelworks.core.macho_commands import Commands, Section, SectionType, SegmentCommand, read_commands
from wheelworks.core.macho_fixups import read_fixups
from wheelworks.core.reader import BinaryReader, read_uleb

MAGIC = b"\xcf\xfa\xed\xfe"
CPUS = {(0x100000C, 0): "aarch64", (0x100000C, 1): "aarch64", (0x1000007, 3): "x86_64", (0x1000007, 8): "x86_64"}
OTHER_CPUS = {(0x100000C, 2): "ARM64E"}
OTHER_CPU_TYPES = {7: "X86", 12: "ARM", 18: "POWERPC", 0x1000012: "POWERPC64", 0x200000C: "ARM64_32"}
SUBTYPE = 0xFFFFFF  # the highest byte holds capabilities
MAX_ARCHITECTURES = 16
DESCRIPTOR = 24  # bytes of a TLV descriptor: function, key, offset
SKIPPED = ("__LINKEDIT", "__PAGEZERO")
SG_READ_ONLY = 0x10  # of a segment's flags

FAT_HEADER = struct.Struct(">4sI")
# fat_arch and fat_arch_64: cputype, cpusubtype, offset, size.
FAT_ARCHITECTURES = {b"\xca\xfe\xba\xbe": struct.Struct(">IIII4x"), b"\xca\xfe\xba\xbf": struct.Struct(">IIQQ8x")}
# mach_header_64: magic, cputype, cpusubtype, filetype, ncmds, sizeofcmds.
HEADER = struct.Struct("<4sIIIII8x")
NLIST = struct.Struct("<IBBHQ")  # n_strx, n_type, n_sect, n_desc, n_value
OFFSET = struct.Struct("<I")


class FileType(IntEnum):
    """Values of ``filetype`` that dlopen accepts."""

    DYLIB = 6
    BUNDLE = 8


class Protection(IntFlag):
    """Values of ``initprot``."""

    WRITE = 2
    EXECUTE = 4


class SymbolType(IntFlag):
    """Bits of ``n_type``. Symbols for debuggers repeat others."""

    EXTERNAL = 0x01
    SECTION = 0x0E
    TYPE = 0x0E
    PRIVATE_EXTERNAL = 0x10
    DEBUGGING = 0xE0


class ExportFlag(IntFlag):
    """Flags of an export."""

    KIND = 0x03
    ABSOLUTE = 0x02
    REEXPORT = 0x08


def list_cpus(data: bytes, name: str) -> tuple[str, ...]:
    """Return the CPUs of a thin or universal file, sorted. Raises BadImage."""
    return tuple(sorted(_list_parts(BinaryReader(data, name))))


def read_macho(data: bytes, name: str, cpu: str | None, limit: int) -> Image:
    """Read the part for ``cpu``; the default is ARM64 where the file has it. Raises BadImage or Unsupported."""
    file = BinaryReader(data, name)
    parts = _list_parts(file)
    if not parts:
        raise BadImage(f"{name}: a universal file without code")
    chosen = cpu or ("aarch64" if "aarch64" in parts else next(iter(parts)))
    if chosen not in parts:
        raise BadImage(f"{name}: no code for {chosen}, only for {', '.join(sorted(parts))}")
    if chosen not in CPUS.values():
        raise Unsupported(f"{name}: Mach-O for {chosen}, which no emulated CPU runs")
    start, size = parts[chosen]
    thin = file if (start, size) == (0, len(data)) else BinaryReader(file.read(start, size), name)
    return _read_thin(thin, chosen, limit)


def _list_parts(file: BinaryReader) -> dict[str, tuple[int, int]]:
    """Return the offset and size of the code for each CPU."""
    if file.data[:4] == MAGIC:
        _, cpu_type, subtype, *_ = file.unpack(HEADER, 0)
        return {_name_cpu(cpu_type, subtype): (0, len(file.data))}
    magic, count = file.unpack(FAT_HEADER, 0)
    if count > MAX_ARCHITECTURES:
        raise BadImage(f"{file.name}: claims code for {count} CPUs")
    table = file.unpack_all(FAT_ARCHITECTURES[magic], FAT_HEADER.size, count)
    return {_name_cpu(cpu_type, subtype): (offset, size) for cpu_type, subtype, offset, size in table}


def _name_cpu(cpu_type: int, subtype: int) -> str:
    kind = (cpu_type, subtype & SUBTYPE)
    other = OTHER_CPUS.get(kind) or OTHER_CPU_TYPES.get(cpu_type) or f"CPU {cpu_type:#x}, {kind[1]:#x}"
    return CPUS.get(kind, other)


def _read_thin(file: BinaryReader, cpu: str, limit: int) -> Image:
    magic, cpu_type, subtype, kind, count, size = file.unpack(HEADER, 0)
    if magic != MAGIC or _name_cpu(cpu_type, subtype) != cpu:
        raise BadImage(f"{file.name}: not a readable Mach-O file for {cpu}")
    if kind not in list(FileType):
        raise BadImage(f"{file.name}: neither a dylib nor a bundle: a Mach-O file of type {kind}")
    commands = read_commands(file, HEADER.size, count, size)
    loaded = [segment for segment in commands.segments if segment.name not in SKIPPED and segment.size]
    segments = tuple(_read_segment(file, segment, commands.base) for segment in loaded)
    check_segments(segments, file.name, limit)
    memory = BinaryReader(map_segments(segments), file.name, "the image")
    exports, forwarded, symbols = _read_names(file, commands, limit)
    rebases, binds = read_fixups(file, memory, commands, exports, limit)
    return Image(
        os="macos",
        cpu=cpu,
        segments=segments,
        rebases=rebases,
        binds=binds,
        exports=exports,
        symbols=symbols,
        constructors=tuple(_list_constructors(memory, commands, rebases)),
        libraries=tuple(commands.libraries),
        read_only_after_binding=tuple(
            (segment.address - commands.base, segment.size)
            for segment in loaded
            if segment.name == "__DATA_CONST" or segment.flags & SG_READ_ONLY
        ),
        thread_local=_read_thread_local(commands, file.name),
        functions=tuple(_list_functions(file, commands, limit)),
        unwind_info=_find_section(commands, "__unwind_info"),
        eh_frame=_find_section(commands, "__eh_frame"),
        install_name=commands.install_name,
        rpaths=tuple(commands.rpaths),
        forwarded=forwarded,
        reexported=tuple(commands.reexported),
    )


def _read_segment(file: BinaryReader, segment: SegmentCommand, base: int) -> Segment:
    return Segment(
        address=segment.address - base,
        size=round_up(segment.size),
        data=file.read_content(segment.offset, min(segment.stored, segment.size)),
        writable=bool(segment.protection & Protection.WRITE),
        executable=bool(segment.protection & Protection.EXECUTE),
    )


def _find_section(commands: Commands, name: str) -> tuple[int, int]:
    """Return the address and size of a section of __TEXT, or (0, 0)."""
    found = [section for section in commands.sections if (section.segment, section.name) == ("__TEXT", name)]
    return (found[0].address - commands.base, found[0].size) if found else (0, 0)


# -- names


def _read_names(
    file: BinaryReader, commands: Commands, limit: int
) -> tuple[dict[str, int], dict[str, tuple[str, str]], tuple[tuple[int, str], ...]]:
    """Return the exports, the re-exports and the symbols. Names lose their leading underscore."""
    external, symbols = _read_symbols(file, commands, limit)
    exports, forwarded = _read_trie(file, commands) if commands.exports[1] else (external, {})
    return exports, forwarded, symbols


def _read_symbols(
    file: BinaryReader, commands: Commands, limit: int
) -> tuple[dict[str, int], tuple[tuple[int, str], ...]]:
    """Return the addresses of the external symbols, and all symbols that are defined in sections."""
    offset, count, strings_offset, strings_size = commands.symbols
    check_count(count, "symbols", file.name, limit)
    strings = BinaryReader(file.read(strings_offset, strings_size) + b"\0", file.name, "the string table")
    skip, wanted = SymbolType.DEBUGGING.value, SymbolType.SECTION.value
    found = [
        (value - commands.base, strings.read_text(name).removeprefix("_"), kind)
        for name, kind, _, _, value in file.unpack_all(NLIST, offset, count)
        if value and not kind & skip and kind & SymbolType.TYPE == wanted
    ]
    visible = SymbolType.EXTERNAL | SymbolType.PRIVATE_EXTERNAL
    external = {name: address for address, name, kind in found if kind & visible == SymbolType.EXTERNAL}
    return external, sort_symbols((address, name) for address, name, _ in found if name)


def _read_trie(file: BinaryReader, commands: Commands) -> tuple[dict[str, int], dict[str, tuple[str, str]]]:
    exports: dict[str, int] = {}
    forwarded: dict[str, tuple[str, str]] = {}
    try:
        trie = file.read(*commands.exports)
        for symbol, flags, start in _walk_trie(file, trie):
            name = symbol.removeprefix("_")
            value, at = read_uleb(trie, start)
            if flags & ExportFlag.REEXPORT:
                other = trie[at : trie.index(0, at)].decode().removeprefix("_")
                library = commands.find_library(value, f"{file.name}: re-exports a symbol of")
                forwarded[name] = (library, other or name)
            elif flags & ExportFlag.KIND != ExportFlag.ABSOLUTE:
                exports[name] = value
    except IndexError:
        raise BadImage(f"{file.name}: its export trie ends in a node") from None
    return exports, forwarded


def _walk_trie(file: BinaryReader, trie: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield each symbol, its flags, and the position of what follows them.

    A node is the size of its symbol's data, these data, and its edges: the next letters of the name and the position
    of a node. Every node is visited once, so that loops end.
    """
    left, visited = [(b"", 0)], {0}
    while left:
        prefix, at = left.pop()
        size, at = read_uleb(trie, at)
        if size:
            flags, after = read_uleb(trie, at)
            yield prefix.decode(), flags, after
        at += size
        edges, at = trie[at], at + 1
        for _ in range(edges):
            end = trie.index(0, at)
            letters, (node, at) = trie[at:end], read_uleb(trie, end + 1)
            if node in visited:
                raise BadImage(f"{file.name}: its export trie has two edges to the node {node:#x}")
            visited.add(node)
            file.charge_names(len(prefix) + len(letters))
            left.append((prefix + letters, node))


# -- code and thread-local variables


def _list_constructors(memory: BinaryReader, commands: Commands, rebases: tuple[Rebase, ...]) -> Iterator[int]:
    """Yield the functions that dyld calls first: LC_ROUTINES_64, then the sections of pointers and offsets."""
    if commands.constructor:
        yield commands.constructor - commands.base
    for section in commands.find_sections(SectionType.MOD_INIT_FUNC_POINTERS, SectionType.INIT_FUNC_OFFSETS):
        start = section.address - commands.base
        memory.read(start, section.size)
        if section.type == SectionType.INIT_FUNC_OFFSETS:
            yield from (offset for (offset,) in memory.unpack_all(OFFSET, start, section.size // OFFSET.size))
            continue
        targets = {r.address: r.target for r in rebases if start <= r.address < start + section.size}
        if len(targets) != section.size // 8:
            raise BadImage(f"{memory.name}: its {section.name} has words that aren't rebased")
        yield from (target for _, target in sorted(targets.items()))


def _list_functions(file: BinaryReader, commands: Commands, limit: int) -> Iterator[tuple[int, int]]:
    """Yield the functions of LC_FUNCTION_STARTS: the distances of their starts, each from the one before.

    A function ends at the next one or at the end of its section. dyld doesn't read the table, so that entries outside
    the code are left out.
    """
    starts = _read_starts(file.read(*commands.functions), file.name)
    check_count(len(starts), "functions", file.name, limit)
    code = {segment.name for segment in commands.segments if segment.protection & Protection.EXECUTE}
    for section in commands.sections:
        if section.segment in code:
            first, end = section.address - commands.base, section.address - commands.base + section.size
            inside = starts[bisect_left(starts, first) : bisect_left(starts, end)]
            yield from pairwise([*inside, end])


def _read_starts(data: bytes, name: str) -> list[int]:
    starts, address, at = [], 0, 0
    try:
        while at < len(data):
            distance, at = read_uleb(data, at)
            if not distance:
                break
            address += distance
            starts.append(address)
    except IndexError:
        raise BadImage(f"{name}: its LC_FUNCTION_STARTS ends in a number") from None
    return starts


def _read_thread_local(commands: Commands, name: str) -> ThreadLocal | None:
    """Return the template of thread-local variables: the initialised section, then the zeroed one."""
    tables = commands.find_sections(SectionType.THREAD_LOCAL_VARIABLES)
    if not tables:
        return None
    filled = commands.find_sections(SectionType.THREAD_LOCAL_REGULAR)
    parts = [*filled, *commands.find_sections(SectionType.THREAD_LOCAL_ZEROFILL)]
    start = min((part.address for part in parts), default=0)
    end = max((part.address + part.size for part in parts), default=0)
    stored = max((part.address + part.size for part in filled), default=start) - start
    return ThreadLocal(
        address=start - commands.base if parts else 0,
        filled=stored,
        size=end - start,
        alignment=max((part.alignment for part in parts), default=1),
        descriptors=tuple(_list_descriptors(commands, tables, name)),
    )


def _list_descriptors(commands: Commands, tables: list[Section], name: str) -> Iterator[int]:
    for table in tables:
        start = table.address - commands.base
        if table.size % DESCRIPTOR or not any(
            segment.address <= table.address and table.address + table.size <= segment.address + segment.size
            for segment in commands.segments
        ):
            raise BadImage(f"{name}: {table.size:#x} bytes of thread-local variables at {start:#x}")
        yield from range(start, start + table.size, DESCRIPTOR)
