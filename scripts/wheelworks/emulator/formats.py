"""Windows DLLs (PE32, PE32+). Source: Microsoft's PE format specification."""

from __future__ import annotations

import warnings

import lief

from wheelworks.core.binary import MACHO_MAGIC
from wheelworks.emulator.faults import Unsupported
from wheelworks.emulator.image import (
    MAX_FILE,
    BadImage,
    Bind,
    Image,
    Rebase,
    Segment,
    check_image,
    read_range,
    sort_symbols,
)

PE_CPUS = {"ARM64": "aarch64", "AMD64": "x86_64", "I386": "x86"}
PAGE = 0x1000


def _pe_config() -> lief.PE.ParserConfig:
    config = lief.PE.ParserConfig()
    config.parse_signature = config.parse_rsrc = config.parse_exceptions = config.parse_arm64x_binary = False
    return config


def read_pe(data: bytes, name: str) -> Image:
    """The image in a ``.pyd``. Raises BadImage."""
    binary = lief.PE.parse(data, _pe_config())
    if binary is None:
        raise BadImage(f"{name}: not a readable PE file")
    cpu = PE_CPUS.get(binary.header.machine.name)
    if cpu is None:
        raise Unsupported(f"{name}: PE for {binary.header.machine.name}, which no emulated CPU runs")
    segments = tuple(_pe_segment(section, data, name) for section in binary.sections)
    image = Image(
        os="windows",
        cpu=cpu,
        segments=segments,
        rebases=tuple(_pe_rebases(binary, segments, cpu, name)),
        binds=tuple(_pe_binds(binary, name)),
        exports=_pe_exports(binary, name),
        symbols=sort_symbols((address, export) for export, address in _pe_exports(binary, name).items()),
        libraries=tuple(str(library.name) for library in binary.imports),
    )
    return check_image(image, name)


def _pe_segment(section: lief.PE.Section, data: bytes, name: str) -> Segment:
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


def _pe_rebases(binary: lief.PE.Binary, segments: tuple[Segment, ...], cpu: str, name: str) -> list[Rebase]:
    kinds = lief.PE.RelocationEntry.BASE_TYPES
    wanted, width = (kinds.HIGHLOW, 4) if cpu == "x86" else (kinds.DIR64, 8)
    found = []
    for block in binary.relocations:
        for entry in block.entries:
            if entry.type == kinds.ABS:
                continue
            if entry.type != wanted:
                raise BadImage(f"{name}: a base relocation of kind {entry.type.name}, not used on {cpu}")
            stored = int.from_bytes(_pe_content(segments, entry.address, width, name), "little")
            found.append(Rebase(entry.address, stored - binary.optional_header.imagebase))
    return found


def _pe_content(segments: tuple[Segment, ...], address: int, width: int, name: str) -> bytes:
    for segment in segments:
        if segment.address <= address <= segment.address + len(segment.data) - width:
            return segment.data[address - segment.address :][:width]
    raise BadImage(f"{name}: a relocation at {address:#x}, outside every section's data")


def _pe_binds(binary: lief.PE.Binary, name: str) -> list[Bind]:
    found = []
    for library in binary.imports:
        for entry in library.entries:
            if entry.is_ordinal:
                raise BadImage(f"{name}: imports ordinal {entry.ordinal} of {library.name!s}: which function is that?")
            found.append(Bind(entry.iat_address, str(entry.name), str(library.name)))
    return found


def _pe_exports(binary: lief.PE.Binary, name: str) -> dict[str, int]:
    table = binary.get_export()
    if table is None:
        return {}
    forwarded = [entry.name for entry in table.entries if entry.is_forwarded]
    if forwarded:
        raise BadImage(f"{name}: forwards {forwarded[0]!s} to another DLL")
    return {str(entry.name): entry.address for entry in table.entries if entry.name}


ELF_CPUS = {
    ("AARCH64", 64): "aarch64",
    ("X86_64", 64): "x86_64",
    ("I386", 32): "x86",
    ("ARM", 32): "armv7l",
    ("RISCV", 64): "riscv64",
    ("S390", 64): "s390x",
}
RELATIVE = {"AARCH64_RELATIVE", "X86_64_RELATIVE", "X86_RELATIVE", "ARM_RELATIVE", "RISCV_RELATIVE", "SYSZ_RELATIVE"}
# The loader stores symbol + addend for each of these; a GOT or PLT slot's addend is 0 where it isn't written down.
SLOT = {
    "AARCH64_GLOB_DAT", "AARCH64_JUMP_SLOT", "X86_64_GLOB_DAT", "X86_64_JUMP_SLOT", "X86_GLOB_DAT", "X86_JUMP_SLOT",
    "ARM_GLOB_DAT", "ARM_JUMP_SLOT", "RISCV_JUMP_SLOT", "SYSZ_GLOB_DAT", "SYSZ_JMP_SLOT",
}  # fmt: skip
ABSOLUTE = {"AARCH64_ABS64", "X86_64_R64", "X86_64_64", "X86_32", "ARM_ABS32", "RISCV_64", "SYSZ_64"}


def read_elf(data: bytes, name: str) -> Image:
    """The image in an ELF ``.so``. Raises BadImage."""
    binary = lief.ELF.parse(data)
    if binary is None:
        raise BadImage(f"{name}: not a readable ELF file")
    cpu = _elf_cpu(binary, name)
    segments = tuple(_elf_segments(binary, data, name))
    rebases: list[Rebase] = []
    binds: list[Bind] = []
    for relocation in binary.relocations:
        if relocation.purpose != lief.ELF.Relocation.PURPOSE.OBJECT:
            _elf_relocate(relocation, segments, rebases, binds, name, cpu)
    exports = {str(s.name): s.value for s in binary.exported_symbols if s.value}
    thumb = int(cpu == "armv7l")  # bit 0 of an address only says how to call it
    functions = [(s.value & ~thumb, str(s.name)) for s in binary.symbols if s.value and s.is_function and s.name]
    image = Image(
        os="linux",
        cpu=cpu,
        segments=segments,
        rebases=tuple(rebases),
        binds=tuple(binds),
        exports=exports,
        symbols=sort_symbols(functions),
        constructors=_elf_constructors(binary, segments, rebases, cpu),
        libraries=tuple(str(library) for library in binary.libraries),
        read_only_after_binding=tuple(
            (s.virtual_address, s.virtual_size) for s in binary.segments if s.type == lief.ELF.Segment.TYPE.GNU_RELRO
        ),
    )
    return check_image(image, name)


def _elf_cpu(binary: lief.ELF.Binary, name: str) -> str:
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


def _elf_segments(binary: lief.ELF.Binary, data: bytes, name: str) -> list[Segment]:
    found = []
    for part in binary.segments:
        if part.type == lief.ELF.Segment.TYPE.TLS:
            raise Unsupported(f"{name}: uses thread-local storage, which the emulated CPU doesn't offer")
        if part.type == lief.ELF.Segment.TYPE.LOAD and part.virtual_size:
            stored = read_range(data, part.file_offset, min(part.physical_size, part.virtual_size), name)
            flags = part.flags.value
            found.append(Segment(part.virtual_address, part.virtual_size, stored, bool(flags & 2), bool(flags & 1)))
    return found


def _elf_relocate(
    relocation: lief.ELF.Relocation,
    segments: tuple[Segment, ...],
    rebases: list[Rebase],
    binds: list[Bind],
    name: str,
    cpu: str,
) -> None:
    kind = relocation.type.name
    symbol = relocation.symbol if relocation.has_symbol else None
    stored = 0 if kind in SLOT and not relocation.is_rela else _elf_stored(segments, relocation, cpu)
    addend = relocation.addend if relocation.is_rela else stored
    if kind in RELATIVE:
        rebases.append(Rebase(relocation.address, addend))
    elif kind not in SLOT | ABSOLUTE:
        raise Unsupported(f"{name}: a relocation of kind {kind}, which this loader doesn't apply")
    elif symbol is None or not symbol.name:
        raise BadImage(f"{name}: a {kind} relocation without a symbol")
    elif symbol.value and symbol.shndx:
        rebases.append(Rebase(relocation.address, symbol.value + addend))
    else:
        weak = symbol.binding == lief.ELF.Symbol.BINDING.WEAK
        binds.append(Bind(relocation.address, str(symbol.name), "", addend, weak))


def _elf_stored(segments: tuple[Segment, ...], relocation: lief.ELF.Relocation, cpu: str) -> int:
    width = 4 if cpu in ("x86", "armv7l") else 8
    return _elf_word(segments, relocation.address, width, cpu)


def _elf_word(segments: tuple[Segment, ...], address: int, width: int, cpu: str) -> int:
    order = "big" if cpu == "s390x" else "little"
    for segment in segments:
        if segment.address <= address < segment.address + segment.size:
            at = address - segment.address
            return int.from_bytes(segment.data[at : at + width], order)  # type: ignore[arg-type]
    return 0


def _elf_constructors(
    binary: lief.ELF.Binary, segments: tuple[Segment, ...], rebases: list[Rebase], cpu: str
) -> tuple[int, ...]:
    """DT_INIT, then DT_INIT_ARRAY: what the dynamic loader calls before anything else."""
    tags = {entry.tag.name: entry.value for entry in binary.dynamic_entries}
    found = [tags["INIT"]] if tags.get("INIT") else []
    width = 4 if cpu in ("x86", "armv7l") else 8
    start, size = tags.get("INIT_ARRAY", 0), min(tags.get("INIT_ARRAYSZ", 0), 8 * 1024)
    targets = {rebase.address: rebase.target for rebase in rebases}
    array = [targets.get(at) for at in range(start, start + size, width)]
    return tuple(found + [target for target in array if target])


MACHO_CPUS = {"ARM64": "aarch64", "X86_64": "x86_64"}
PAGE_M = 0x1000
SKIPPED = ("__LINKEDIT", "__PAGEZERO")


def _macho_parse(data: bytes, name: str) -> lief.MachO.FatBinary:
    """What the file holds; its binaries live only as long as it does."""
    fat = lief.MachO.parse(data, lief.MachO.ParserConfig.deep)
    if fat is None or not fat.size:
        raise BadImage(f"{name}: not a readable Mach-O file")
    return fat


def _macho_binaries(fat: lief.MachO.FatBinary) -> dict[str, lief.MachO.Binary]:
    binaries = [fat.at(index) for index in range(fat.size)]
    return {MACHO_CPUS.get(b.header.cpu_type.name, b.header.cpu_type.name): b for b in binaries if b is not None}


def list_macho_cpus(data: bytes, name: str) -> tuple[str, ...]:
    """The CPUs that a thin or universal file has code for. Raises BadImage."""
    fat = _macho_parse(data, name)
    return tuple(_macho_binaries(fat))


def read_macho(data: bytes, name: str, cpu: str | None = None) -> Image:
    """The image for ``cpu`` in a Mach-O ``.so``; of a universal file the ARM64 one if nothing is said.

    Raises BadImage, also where the file has no such half.
    """
    fat = _macho_parse(data, name)
    found = _macho_binaries(fat)
    if not found:
        raise BadImage(f"{name}: a universal file without code")
    chosen = cpu or ("aarch64" if "aarch64" in found else next(iter(found)))
    if chosen not in found:
        raise BadImage(f"{name}: no code for {chosen}, only for {', '.join(sorted(found))}")
    if chosen not in MACHO_CPUS.values():
        raise Unsupported(f"{name}: Mach-O for {chosen}, which no emulated CPU runs")
    return check_image(_macho_image(found[chosen], chosen, data, name), name)


def _macho_image(binary: lief.MachO.Binary, cpu: str, data: bytes, name: str) -> Image:
    base = next((s.virtual_address for s in binary.segments if s.name == "__TEXT"), 0)
    exports = {str(s.name).removeprefix("_"): s.value - base for s in binary.exported_symbols if s.value}
    segments = tuple(_macho_segment(s, binary, base, data, name) for s in binary.segments if s.name not in SKIPPED)
    return Image(
        os="macos",
        cpu=cpu,
        segments=segments,
        rebases=tuple(_macho_rebases(binary, segments, base, name)),
        binds=tuple(_macho_binds(binary, base)),
        exports=exports,
        symbols=sort_symbols(_macho_symbols(binary, base)),
        constructors=tuple(function.address - base for function in binary.ctor_functions),
        libraries=tuple(str(library.name) for library in binary.libraries),
        read_only_after_binding=tuple(
            (s.virtual_address - base, s.virtual_size) for s in binary.segments if s.name == "__DATA_CONST"
        ),
    )


def _macho_segment(
    part: lief.MachO.SegmentCommand, binary: lief.MachO.Binary, base: int, data: bytes, name: str
) -> Segment:
    stored = read_range(data, binary.fat_offset + part.file_offset, min(part.file_size, part.virtual_size), name)
    size = -(-part.virtual_size // PAGE_M) * PAGE_M
    protection = part.init_protection
    return Segment(part.virtual_address - base, size, stored, bool(protection & 2), bool(protection & 4))


def _macho_symbols(binary: lief.MachO.Binary, base: int) -> list[tuple[int, str]]:
    """Named symbols of sections; debugging entries (N_STAB) only repeat them."""
    named = [s for s in binary.symbols if s.value and not s.raw_type & 0xE0 and s.raw_type & 0x0E == 0x0E]
    return [(s.value - base, str(s.name).removeprefix("_")) for s in named if s.name]


def _macho_rebases(binary: lief.MachO.Binary, segments: tuple[Segment, ...], base: int, name: str) -> list[Rebase]:
    found = []
    for relocation in binary.relocations:
        if isinstance(relocation, lief.MachO.RelocationFixup):
            found.append(Rebase(relocation.address - base, relocation.target - base))
        elif isinstance(relocation, lief.MachO.RelocationDyld):
            at = relocation.address - base
            found.append(Rebase(at, _macho_word(segments, at, name) - base))
        else:
            raise BadImage(f"{name}: a relocation of an object file in a loadable one")
    return found


def _macho_word(segments: tuple[Segment, ...], address: int, name: str) -> int:
    for segment in segments:
        if segment.address <= address <= segment.address + segment.size - 8:
            at = address - segment.address
            return int.from_bytes(segment.data[at : at + 8], "little")
    raise BadImage(f"{name}: a relocation at {address:#x}, outside every segment")


def _macho_binds(binary: lief.MachO.Binary, base: int) -> list[Bind]:
    """Every place that dyld fills with an imported address; LIEF reads bind opcodes and chained fixups alike."""
    found = []
    for entry in binary.bindings:
        if entry.symbol is not None:
            library = str(entry.library.name) if entry.library is not None else ""
            symbol = str(entry.symbol.name).removeprefix("_")
            found.append(Bind(entry.address - base, symbol, library, entry.addend, entry.weak_import))
    return found


lief.logging.disable()  # what it complains about is told as BadImage


def read_image(data: bytes, name: str, cpu: str | None = None) -> Image:
    """The image in a PE, ELF or Mach-O file; ``cpu`` chooses a half of a universal one.

    Raises BadImage for anything a loader wouldn't take.
    """
    if len(data) > MAX_FILE:
        raise BadImage(f"{name}: {len(data) >> 20} MiB: larger than any small extension")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LIEF warns of numbers that it has no name for
            image = _read_format(data, name, cpu)
    except (ValueError, TypeError, AttributeError, UnicodeDecodeError, OverflowError) as error:
        raise BadImage(f"{name}: headers that make no sense ({type(error).__name__}: {error})") from None
    if cpu not in (None, image.cpu):
        raise BadImage(f"{name}: code for {image.cpu}, not for {cpu}")
    return image


def list_cpus(data: bytes, name: str) -> tuple[str | None, ...]:
    """What ``cpu`` may be for :func:`read_image`: each CPU of a universal file, None for what has only one.

    Raises BadImage.
    """
    if data[:4] in MACHO_MAGIC:
        try:
            return tuple(sorted(list_macho_cpus(data, name)))
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            raise BadImage(f"{name}: headers that make no sense ({error})") from None
    return (None,)


def _read_format(data: bytes, name: str, cpu: str | None) -> Image:
    if data[:2] == b"MZ":
        return read_pe(data, name)
    if data[:4] == b"\x7fELF":
        return read_elf(data, name)
    if data[:4] in MACHO_MAGIC:
        return read_macho(data, name, cpu)
    raise BadImage(f"{name}: neither PE, ELF nor Mach-O")
