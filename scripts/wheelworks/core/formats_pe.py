"""The reader of PE files (Windows). Source: Microsoft's "PE Format"."""

from __future__ import annotations

import lief

from wheelworks.core.errors import Unsupported
from wheelworks.core.image import PAGE, BadImage, Bind, Image, Rebase, Segment, read_range, read_relocated, sort_symbols

PE_CPUS = {"ARM64": "aarch64", "AMD64": "x86_64", "I386": "x86"}


def read_pe(data: bytes, name: str) -> Image:
    """Read a PE file. Raises BadImage or Unsupported."""
    config = lief.PE.ParserConfig()
    config.parse_signature = config.parse_rsrc = config.parse_exceptions = config.parse_arm64x_binary = False
    binary = lief.PE.parse(data, config)
    if binary is None:
        raise BadImage(f"{name}: not a readable PE file")
    cpu = PE_CPUS.get(binary.header.machine.name)
    if cpu is None:
        raise Unsupported(f"{name}: PE for {binary.header.machine.name}, which no emulated CPU runs")
    segments = tuple(_read_pe_segment(section, data, name) for section in binary.sections)
    exports = _read_pe_exports(binary, name)
    return Image(
        os="windows",
        cpu=cpu,
        segments=segments,
        rebases=tuple(_read_pe_rebases(binary, segments, cpu, name)),
        binds=tuple(_read_pe_binds(binary, name)),
        exports=exports,
        symbols=sort_symbols((address, export) for export, address in exports.items()),
        libraries=tuple(str(library.name) for library in binary.imports),
    )


def _read_pe_segment(section: lief.PE.Section, data: bytes, name: str) -> Segment:
    flags = section.characteristics
    stored = min(section.sizeof_raw_data, section.virtual_size or section.sizeof_raw_data)
    content = read_range(data, section.pointerto_raw_data, stored, name) if stored else b""
    size = max(section.virtual_size, section.sizeof_raw_data)
    return Segment(
        address=section.virtual_address,
        size=-(-size // PAGE) * PAGE,
        data=content,
        writable=bool(flags & lief.PE.Section.CHARACTERISTICS.MEM_WRITE.value),
        executable=bool(flags & lief.PE.Section.CHARACTERISTICS.MEM_EXECUTE.value),
    )


def _read_pe_rebases(binary: lief.PE.Binary, segments: tuple[Segment, ...], cpu: str, name: str) -> list[Rebase]:
    kinds = lief.PE.RelocationEntry.BASE_TYPES
    expected, width = (kinds.HIGHLOW, 4) if cpu == "x86" else (kinds.DIR64, 8)
    found = []
    for block in binary.relocations:
        for entry in block.entries:
            if entry.type == kinds.ABS:
                continue
            if entry.type != expected:
                raise BadImage(f"{name}: a base relocation of kind {entry.type.name}, not used on {cpu}")
            stored = read_relocated(segments, entry.address, width, name)
            found.append(Rebase(entry.address, stored - binary.optional_header.imagebase))
    return found


def _read_pe_binds(binary: lief.PE.Binary, name: str) -> list[Bind]:
    found = []
    for library in binary.imports:
        for entry in library.entries:
            if entry.is_ordinal:
                raise BadImage(f"{name}: imports ordinal {entry.ordinal} of {library.name!s}, which has no name")
            found.append(Bind(entry.iat_address, str(entry.name), str(library.name)))
    return found


def _read_pe_exports(binary: lief.PE.Binary, name: str) -> dict[str, int]:
    table = binary.get_export()
    if table is None:
        return {}
    forwarded = [entry.name for entry in table.entries if entry.is_forwarded]
    if forwarded:
        raise BadImage(f"{name}: forwards {forwarded[0]!s} to another DLL")
    return {str(entry.name): entry.address for entry in table.entries if entry.name}
