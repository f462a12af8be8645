"""Readers of the three binary formats: PE (Windows), ELF (Linux) and Mach-O (macOS), each to an :class:`Image`.

LIEF parses the headers; what they claim is checked here and in :func:`check_image`. Sources: Microsoft's PE format
specification; the System V gABI and each CPU's psABI; Apple's <mach-o/loader.h> and <mach-o/fixup-chains.h>.
"""

from __future__ import annotations

import warnings
from typing import Literal

import lief

from wheelworks.core.binary import MACHO_MAGIC
from wheelworks.emulator.faults import Unsupported
from wheelworks.emulator.image import (
    MAX_FILE,
    PAGE,
    BadImage,
    Bind,
    Image,
    Rebase,
    Segment,
    check_image,
    read_range,
    read_word,
    sort_symbols,
)

PE_CPUS = {"ARM64": "aarch64", "AMD64": "x86_64", "I386": "x86"}
ELF_CPUS = {
    ("AARCH64", 64): "aarch64",
    ("X86_64", 64): "x86_64",
    ("I386", 32): "x86",
    ("ARM", 32): "arm",
    ("RISCV", 64): "riscv64",
    ("S390", 64): "s390x",
}
ELF_32 = ("x86", "arm")
RELATIVE = {"AARCH64_RELATIVE", "X86_64_RELATIVE", "X86_RELATIVE", "ARM_RELATIVE", "RISCV_RELATIVE", "SYSZ_RELATIVE"}
# The loader stores symbol + addend for both. The addend of a GOT or PLT slot is 0 if the relocation has none.
SLOT = {
    "AARCH64_GLOB_DAT", "AARCH64_JUMP_SLOT", "X86_64_GLOB_DAT", "X86_64_JUMP_SLOT", "X86_GLOB_DAT", "X86_JUMP_SLOT",
    "ARM_GLOB_DAT", "ARM_JUMP_SLOT", "RISCV_JUMP_SLOT", "SYSZ_GLOB_DAT", "SYSZ_JMP_SLOT",
}  # fmt: skip
ABSOLUTE = {"AARCH64_ABS64", "X86_64_R64", "X86_64_64", "X86_32", "ARM_ABS32", "RISCV_64", "SYSZ_64"}
MACHO_CPUS = {"ARM64": "aarch64", "X86_64": "x86_64"}
MACHO_SKIPPED = ("__LINKEDIT", "__PAGEZERO")

lief.logging.disable()  # its complaints are reported as BadImage


def read_image(data: bytes, name: str, cpu: str | None = None) -> Image:
    """Read a PE, ELF or Mach-O file; ``cpu`` selects a part of a universal one.

    Raises BadImage for a file that no loader accepts, Unsupported for one that can't be emulated.
    """
    if len(data) > MAX_FILE:
        raise BadImage(f"{name}: {len(data) >> 20} MiB: larger than any small extension")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LIEF warns about numbers that it has no name for
            found = check_image(_read_format(data, name, cpu), name)
    except (ValueError, TypeError, AttributeError, UnicodeDecodeError, OverflowError) as error:
        raise BadImage(f"{name}: invalid headers ({type(error).__name__}: {error})") from None
    if cpu not in (None, found.cpu):
        raise BadImage(f"{name}: code for {found.cpu}, not for {cpu}")
    return found


def list_cpus(data: bytes, name: str) -> tuple[str | None, ...]:
    """Return the values of ``cpu`` for :func:`read_image`: each CPU of a universal file, None for other files.

    Raises BadImage.
    """
    if data[:4] not in MACHO_MAGIC:
        return (None,)
    try:
        fat = _parse_macho(data, name)
        return tuple(sorted(_list_binaries(fat)))
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise BadImage(f"{name}: invalid headers ({error})") from None


def _read_format(data: bytes, name: str, cpu: str | None) -> Image:
    if data[:2] == b"MZ":
        return _read_pe(data, name)
    if data[:4] == b"\x7fELF":
        return _read_elf(data, name)
    if data[:4] in MACHO_MAGIC:
        return _read_macho(data, name, cpu)
    raise BadImage(f"{name}: neither PE, ELF nor Mach-O")


# -- PE


def _read_pe(data: bytes, name: str) -> Image:
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
            stored = _read_relocated(segments, entry.address, width, name)
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


def _read_relocated(segments: tuple[Segment, ...], address: int, width: int, name: str) -> int:
    word = read_word(segments, address, width)
    if word is None:
        raise BadImage(f"{name}: a relocation at {address:#x}, outside every segment")
    return word


# -- ELF


def _read_elf(data: bytes, name: str) -> Image:
    binary = lief.ELF.parse(data)
    if binary is None:
        raise BadImage(f"{name}: not a readable ELF file")
    cpu = _read_elf_cpu(binary, name)
    segments = tuple(_read_elf_segments(binary, data, name))
    rebases: list[Rebase] = []
    binds: list[Bind] = []
    for relocation in binary.relocations:
        if relocation.purpose != lief.ELF.Relocation.PURPOSE.OBJECT:
            found = _read_elf_relocation(relocation, segments, name, cpu)
            (rebases if isinstance(found, Rebase) else binds).append(found)  # type: ignore[arg-type]
    thumb = int(cpu == "arm")  # bit 0 of an address only selects the instruction set
    functions = [(s.value & ~thumb, str(s.name)) for s in binary.symbols if s.value and s.is_function and s.name]
    return Image(
        os="linux",
        cpu=cpu,
        segments=segments,
        rebases=tuple(rebases),
        binds=tuple(binds),
        exports={str(s.name): s.value for s in binary.exported_symbols if s.value},
        symbols=sort_symbols(functions),
        constructors=_read_elf_constructors(binary, rebases, cpu),
        libraries=tuple(str(library) for library in binary.libraries),
        read_only_after_binding=tuple(
            (s.virtual_address, s.virtual_size) for s in binary.segments if s.type == lief.ELF.Segment.TYPE.GNU_RELRO
        ),
    )


def _read_elf_cpu(binary: lief.ELF.Binary, name: str) -> str:
    machine = binary.header.machine_type.name
    bits = 64 if binary.header.identity_class == lief.ELF.Header.CLASS.ELF64 else 32
    cpu = ELF_CPUS.get((machine, bits))
    if cpu is None:
        hint = "Unicorn emulates only big-endian PowerPC" if machine == "PPC64" else ""
        raise Unsupported(f"{name}: {bits}-bit ELF for {machine}, which no emulated CPU runs", hint)
    big = binary.header.identity_data == lief.ELF.Header.ELF_DATA.MSB
    if big != (cpu == "s390x"):
        raise BadImage(f"{name}: ELF for {machine} in the wrong byte order")
    return cpu


def _read_elf_segments(binary: lief.ELF.Binary, data: bytes, name: str) -> list[Segment]:
    found = []
    for part in binary.segments:
        if part.type == lief.ELF.Segment.TYPE.TLS:
            raise Unsupported(f"{name}: uses thread-local storage, which isn't emulated")
        if part.type == lief.ELF.Segment.TYPE.LOAD and part.virtual_size:
            stored = read_range(data, part.file_offset, min(part.physical_size, part.virtual_size), name)
            flags = part.flags.value
            found.append(Segment(part.virtual_address, part.virtual_size, stored, bool(flags & 2), bool(flags & 1)))
    return found


def _read_elf_relocation(
    relocation: lief.ELF.Relocation, segments: tuple[Segment, ...], name: str, cpu: str
) -> Rebase | Bind:
    kind, address = relocation.type.name, relocation.address
    symbol = relocation.symbol if relocation.has_symbol else None
    if relocation.is_rela:
        addend = relocation.addend
    else:
        width = 4 if cpu in ELF_32 else 8
        order: Literal["big", "little"] = "big" if cpu == "s390x" else "little"
        addend = 0 if kind in SLOT else read_word(segments, address, width, order) or 0
    if kind in RELATIVE:
        return Rebase(address, addend)
    if kind not in SLOT | ABSOLUTE:
        raise Unsupported(f"{name}: a relocation of kind {kind}, which isn't emulated")
    if symbol is None or not symbol.name:
        raise BadImage(f"{name}: a {kind} relocation without a symbol")
    if symbol.value and symbol.shndx:
        return Rebase(address, symbol.value + addend)
    return Bind(address, str(symbol.name), "", addend, symbol.binding == lief.ELF.Symbol.BINDING.WEAK)


def _read_elf_constructors(binary: lief.ELF.Binary, rebases: list[Rebase], cpu: str) -> tuple[int, ...]:
    """Return DT_INIT, then DT_INIT_ARRAY: the functions that the loader calls first."""
    tags = {entry.tag.name: entry.value for entry in binary.dynamic_entries}
    found = [tags["INIT"]] if tags.get("INIT") else []
    start, size = tags.get("INIT_ARRAY", 0), min(tags.get("INIT_ARRAYSZ", 0), 8 * 1024)
    targets = {rebase.address: rebase.target for rebase in rebases}
    array = [targets.get(at) for at in range(start, start + size, 4 if cpu in ELF_32 else 8)]
    return tuple(found + [target for target in array if target])


# -- Mach-O


def _parse_macho(data: bytes, name: str) -> lief.MachO.FatBinary:
    """Parse a thin or universal file. Its binaries live only as long as the returned object."""
    fat = lief.MachO.parse(data, lief.MachO.ParserConfig.deep)
    if fat is None or not fat.size:
        raise BadImage(f"{name}: not a readable Mach-O file")
    return fat


def _list_binaries(fat: lief.MachO.FatBinary) -> dict[str, lief.MachO.Binary]:
    binaries = [fat.at(index) for index in range(fat.size)]
    return {MACHO_CPUS.get(b.header.cpu_type.name, b.header.cpu_type.name): b for b in binaries if b is not None}


def _read_macho(data: bytes, name: str, cpu: str | None) -> Image:
    """Read the part for ``cpu``; the default is ARM64 where the file has it."""
    fat = _parse_macho(data, name)
    found = _list_binaries(fat)
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
            found.append(Rebase(address, _read_relocated(segments, address, 8, name) - base))
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
