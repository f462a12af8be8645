"""macOS bundles (Mach-O), thin and universal. Source: Apple's <mach-o/loader.h> and <mach-o/fixup-chains.h>."""

from __future__ import annotations

import lief

from wheelworks.emulator.findings import CannotRun
from wheelworks.emulator.image import BadImage, Bind, Image, Rebase, Segment, checked, file_range, symbol_table

CPUS = {"ARM64": "aarch64", "X86_64": "x86_64"}
PAGE = 0x1000
SKIPPED = ("__LINKEDIT", "__PAGEZERO")


def _parse(data: bytes, name: str) -> lief.MachO.FatBinary:
    """What the file holds; its binaries live only as long as it does."""
    fat = lief.MachO.parse(data, lief.MachO.ParserConfig.deep)
    if fat is None or not fat.size:
        raise BadImage(f"{name}: not a readable Mach-O file")
    return fat


def _halves(fat: lief.MachO.FatBinary) -> dict[str, lief.MachO.Binary]:
    binaries = [fat.at(index) for index in range(fat.size)]
    return {CPUS.get(b.header.cpu_type.name, b.header.cpu_type.name): b for b in binaries if b is not None}


def cpus(data: bytes, name: str) -> tuple[str, ...]:
    """The CPUs that a thin or universal file has code for. Raises BadImage."""
    fat = _parse(data, name)
    return tuple(_halves(fat))


def read_macho(data: bytes, name: str, cpu: str | None = None) -> Image:
    """The image for ``cpu`` in a Mach-O ``.so``; of a universal file the ARM64 one if nothing is said.

    Raises BadImage, also where the file has no such half.
    """
    fat = _parse(data, name)
    found = _halves(fat)
    if not found:
        raise BadImage(f"{name}: a universal file without code")
    chosen = cpu or ("aarch64" if "aarch64" in found else next(iter(found)))
    if chosen not in found:
        raise BadImage(f"{name}: no code for {chosen}, only for {', '.join(sorted(found))}")
    if chosen not in CPUS.values():
        raise CannotRun(f"{name}: Mach-O for {chosen}, which no emulated CPU runs")
    return checked(_image(found[chosen], chosen, data, name), name)


def _image(binary: lief.MachO.Binary, cpu: str, data: bytes, name: str) -> Image:
    base = next((s.virtual_address for s in binary.segments if s.name == "__TEXT"), 0)
    exports = {str(s.name).removeprefix("_"): s.value - base for s in binary.exported_symbols if s.value}
    segments = tuple(_segment(s, binary, base, data, name) for s in binary.segments if s.name not in SKIPPED)
    return Image(
        os="macos",
        cpu=cpu,
        segments=segments,
        rebases=tuple(_rebases(binary, segments, base, name)),
        binds=tuple(_binds(binary, base)),
        exports=exports,
        symbols=symbol_table(_functions(binary, base)),
        constructors=tuple(function.address - base for function in binary.ctor_functions),
        libraries=tuple(str(library.name) for library in binary.libraries),
        read_only_after_binding=tuple(
            (s.virtual_address - base, s.virtual_size) for s in binary.segments if s.name == "__DATA_CONST"
        ),
    )


def _segment(part: lief.MachO.SegmentCommand, binary: lief.MachO.Binary, base: int, data: bytes, name: str) -> Segment:
    stored = file_range(data, binary.fat_offset + part.file_offset, min(part.file_size, part.virtual_size), name)
    size = -(-part.virtual_size // PAGE) * PAGE
    protection = part.init_protection
    return Segment(part.virtual_address - base, size, stored, bool(protection & 2), bool(protection & 4))


def _functions(binary: lief.MachO.Binary, base: int) -> list[tuple[int, str]]:
    """Named symbols of sections; debugging entries (N_STAB) only repeat them."""
    named = [s for s in binary.symbols if s.value and not s.raw_type & 0xE0 and s.raw_type & 0x0E == 0x0E]
    return [(s.value - base, str(s.name).removeprefix("_")) for s in named if s.name]


def _rebases(binary: lief.MachO.Binary, segments: tuple[Segment, ...], base: int, name: str) -> list[Rebase]:
    found = []
    for relocation in binary.relocations:
        if isinstance(relocation, lief.MachO.RelocationFixup):
            found.append(Rebase(relocation.address - base, relocation.target - base))
        elif isinstance(relocation, lief.MachO.RelocationDyld):
            at = relocation.address - base
            found.append(Rebase(at, _word(segments, at, name) - base))
        else:
            raise BadImage(f"{name}: a relocation of an object file in a loadable one")
    return found


def _word(segments: tuple[Segment, ...], address: int, name: str) -> int:
    for segment in segments:
        if segment.address <= address <= segment.address + segment.size - 8:
            at = address - segment.address
            return int.from_bytes(segment.data[at : at + 8], "little")
    raise BadImage(f"{name}: a relocation at {address:#x}, outside every segment")


def _binds(binary: lief.MachO.Binary, base: int) -> list[Bind]:
    """Every place that dyld fills with an imported address; LIEF reads bind opcodes and chained fixups alike."""
    found = []
    for entry in binary.bindings:
        if entry.symbol is not None:
            library = str(entry.library.name) if entry.library is not None else ""
            symbol = str(entry.symbol.name).removeprefix("_")
            found.append(Bind(entry.address - base, symbol, library, entry.addend, entry.weak_import))
    return found
