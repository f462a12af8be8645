"""The reader of Mach-O files (macOS). Sources: Apple's <mach-o/loader.h> and <mach-o/fixup-chains.h>."""

from __future__ import annotations

import lief

from wheelworks.core.errors import Unsupported
from wheelworks.core.image import PAGE, BadImage, Bind, Image, Rebase, Segment, read_range, read_relocated, sort_symbols

MACHO_CPUS = {"ARM64": "aarch64", "X86_64": "x86_64"}
MACHO_SKIPPED = ("__LINKEDIT", "__PAGEZERO")


def parse_macho(data: bytes, name: str) -> lief.MachO.FatBinary:
    """Parse a thin or universal file. Its binaries live only as long as the returned object.

    Raises BadImage.
    """
    fat = lief.MachO.parse(data, lief.MachO.ParserConfig.deep)
    if fat is None or not fat.size:
        raise BadImage(f"{name}: not a readable Mach-O file")
    return fat


def list_binaries(fat: lief.MachO.FatBinary) -> dict[str, lief.MachO.Binary]:
    """Return the binaries of a file by the names of their CPUs."""
    binaries = [fat.at(index) for index in range(fat.size)]
    return {MACHO_CPUS.get(b.header.cpu_type.name, b.header.cpu_type.name): b for b in binaries if b is not None}


def read_macho(data: bytes, name: str, cpu: str | None) -> Image:
    """Read the part for ``cpu``; the default is ARM64 where the file has it. Raises BadImage or Unsupported."""
    fat = parse_macho(data, name)
    found = list_binaries(fat)
    if not found:
        raise BadImage(f"{name}: a universal file without code")
    chosen = cpu or ("aarch64" if "aarch64" in found else next(iter(found)))
    if chosen not in found:
        raise BadImage(f"{name}: no code for {chosen}, only for {', '.join(sorted(found))}")
    if chosen not in MACHO_CPUS.values():
        raise Unsupported(f"{name}: Mach-O for {chosen}, which no emulated CPU runs")
    return _read_macho_image(found[chosen], chosen, data, name)


def _read_macho_image(binary: lief.MachO.Binary, cpu: str, data: bytes, name: str) -> Image:
    base = next((s.virtual_address for s in binary.segments if s.name == "__TEXT"), 0)
    segments = tuple(
        _read_macho_segment(s, binary, base, data, name) for s in binary.segments if s.name not in MACHO_SKIPPED
    )
    # Named symbols of sections (N_SECT). Debugging entries (N_STAB) only repeat them.
    symbols = [s for s in binary.symbols if s.value and s.name and not s.raw_type & 0xE0 and s.raw_type & 0x0E == 0x0E]
    return Image(
        os="macos",
        cpu=cpu,
        segments=segments,
        rebases=tuple(_read_macho_rebases(binary, segments, base, name)),
        binds=tuple(_read_macho_binds(binary, base)),
        exports={str(s.name).removeprefix("_"): s.value - base for s in binary.exported_symbols if s.value},
        symbols=sort_symbols((s.value - base, str(s.name).removeprefix("_")) for s in symbols),
        constructors=tuple(function.address - base for function in binary.ctor_functions),
        libraries=tuple(str(library.name) for library in binary.libraries),
        read_only_after_binding=tuple(
            (s.virtual_address - base, s.virtual_size) for s in binary.segments if s.name == "__DATA_CONST"
        ),
    )


def _read_macho_segment(
    part: lief.MachO.SegmentCommand, binary: lief.MachO.Binary, base: int, data: bytes, name: str
) -> Segment:
    stored = read_range(data, binary.fat_offset + part.file_offset, min(part.file_size, part.virtual_size), name)
    size = -(-part.virtual_size // PAGE) * PAGE
    protection = part.init_protection
    return Segment(part.virtual_address - base, size, stored, bool(protection & 2), bool(protection & 4))


def _read_macho_rebases(binary: lief.MachO.Binary, segments: tuple[Segment, ...], base: int, name: str) -> list[Rebase]:
    found = []
    for relocation in binary.relocations:
        address = relocation.address - base
        if isinstance(relocation, lief.MachO.RelocationFixup):
            found.append(Rebase(address, relocation.target - base))
        elif isinstance(relocation, lief.MachO.RelocationDyld):
            found.append(Rebase(address, read_relocated(segments, address, 8, name) - base))
        else:
            raise BadImage(f"{name}: a relocation of an object file in a loadable one")
    return found


def _read_macho_binds(binary: lief.MachO.Binary, base: int) -> list[Bind]:
    """Return every address that dyld binds, from bind opcodes or chained fixups."""
    found = []
    for entry in binary.bindings:
        if entry.symbol is not None:
            library = str(entry.library.name) if entry.library is not None else ""
            symbol = str(entry.symbol.name).removeprefix("_")
            found.append(Bind(entry.address - base, symbol, library, entry.addend, entry.weak_import))
    return found
