"""Windows DLLs (PE32, PE32+). Source: Microsoft's PE format specification."""

from __future__ import annotations

import lief

from wheelworks.emulator.findings import CannotRun
from wheelworks.emulator.image import BadImage, Bind, Image, Rebase, Segment, checked, file_range, symbol_table

CPUS = {"ARM64": "aarch64", "AMD64": "x86_64", "I386": "x86"}
PAGE = 0x1000


def _config() -> lief.PE.ParserConfig:
    config = lief.PE.ParserConfig()
    config.parse_signature = config.parse_rsrc = config.parse_exceptions = config.parse_arm64x_binary = False
    return config


def read_pe(data: bytes, name: str) -> Image:
    """The image in a ``.pyd``. Raises BadImage."""
    binary = lief.PE.parse(data, _config())
    if binary is None:
        raise BadImage(f"{name}: not a readable PE file")
    cpu = CPUS.get(binary.header.machine.name)
    if cpu is None:
        raise CannotRun(f"{name}: PE for {binary.header.machine.name}, which no emulated CPU runs")
    segments = tuple(_segment(section, data, name) for section in binary.sections)
    image = Image(
        os="windows",
        cpu=cpu,
        segments=segments,
        rebases=tuple(_rebases(binary, segments, cpu, name)),
        binds=tuple(_binds(binary, name)),
        exports=_exports(binary, name),
        symbols=symbol_table((address, export) for export, address in _exports(binary, name).items()),
        libraries=tuple(str(library.name) for library in binary.imports),
    )
    return checked(image, name)


def _segment(section: lief.PE.Section, data: bytes, name: str) -> Segment:
    flags = section.characteristics
    stored = min(section.sizeof_raw_data, section.virtual_size or section.sizeof_raw_data)
    content = file_range(data, section.pointerto_raw_data, stored, name) if stored else b""
    size = max(section.virtual_size, section.sizeof_raw_data)
    return Segment(
        address=section.virtual_address,
        size=-(-size // PAGE) * PAGE,
        data=content,
        writable=bool(flags & lief.PE.Section.CHARACTERISTICS.MEM_WRITE.value),
        executable=bool(flags & lief.PE.Section.CHARACTERISTICS.MEM_EXECUTE.value),
    )


def _rebases(binary: lief.PE.Binary, segments: tuple[Segment, ...], cpu: str, name: str) -> list[Rebase]:
    kinds = lief.PE.RelocationEntry.BASE_TYPES
    wanted, width = (kinds.HIGHLOW, 4) if cpu == "x86" else (kinds.DIR64, 8)
    found = []
    for block in binary.relocations:
        for entry in block.entries:
            if entry.type == kinds.ABS:
                continue
            if entry.type != wanted:
                raise BadImage(f"{name}: a base relocation of kind {entry.type.name}, not used on {cpu}")
            stored = int.from_bytes(_content(segments, entry.address, width, name), "little")
            found.append(Rebase(entry.address, stored - binary.optional_header.imagebase))
    return found


def _content(segments: tuple[Segment, ...], address: int, width: int, name: str) -> bytes:
    for segment in segments:
        if segment.address <= address <= segment.address + len(segment.data) - width:
            return segment.data[address - segment.address :][:width]
    raise BadImage(f"{name}: a relocation at {address:#x}, outside every section's data")


def _binds(binary: lief.PE.Binary, name: str) -> list[Bind]:
    found = []
    for library in binary.imports:
        for entry in library.entries:
            if entry.is_ordinal:
                raise BadImage(f"{name}: imports ordinal {entry.ordinal} of {library.name!s}: which function is that?")
            found.append(Bind(entry.iat_address, str(entry.name), str(library.name)))
    return found


def _exports(binary: lief.PE.Binary, name: str) -> dict[str, int]:
    table = binary.get_export()
    if table is None:
        return {}
    forwarded = [entry.name for entry in table.entries if entry.is_forwarded]
    if forwarded:
        raise BadImage(f"{name}: forwards {forwarded[0]!s} to another DLL")
    return {str(entry.name): entry.address for entry in table.entries if entry.name}
