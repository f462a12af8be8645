"""Linux shared objects (ELF). Source: the System V gABI and each CPU's psABI."""

from __future__ import annotations

import lief

from wheelworks.emulator.findings import CannotRun
from wheelworks.emulator.image import BadImage, Bind, Image, Rebase, Segment, checked, file_range, symbol_table

CPUS = {
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
    cpu = _cpu(binary, name)
    segments = tuple(_segments(binary, data, name))
    rebases: list[Rebase] = []
    binds: list[Bind] = []
    for relocation in binary.relocations:
        if relocation.purpose != lief.ELF.Relocation.PURPOSE.OBJECT:
            _relocate(relocation, segments, rebases, binds, name, cpu)
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
        symbols=symbol_table(functions),
        constructors=_constructors(binary, segments, rebases, cpu),
        libraries=tuple(str(library) for library in binary.libraries),
        read_only_after_binding=tuple(
            (s.virtual_address, s.virtual_size) for s in binary.segments if s.type == lief.ELF.Segment.TYPE.GNU_RELRO
        ),
    )
    return checked(image, name)


def _cpu(binary: lief.ELF.Binary, name: str) -> str:
    machine = binary.header.machine_type.name
    bits = 64 if binary.header.identity_class == lief.ELF.Header.CLASS.ELF64 else 32
    cpu = CPUS.get((machine, bits))
    if cpu is None:
        hint = "Unicorn emulates only big-endian PowerPC" if machine == "PPC64" else ""
        raise CannotRun(f"{name}: {bits}-bit ELF for {machine}, which no emulated CPU runs", hint)
    big = binary.header.identity_data == lief.ELF.Header.ELF_DATA.MSB
    if big != (cpu == "s390x"):
        raise BadImage(f"{name}: ELF for {machine} in the wrong byte order")
    return cpu


def _segments(binary: lief.ELF.Binary, data: bytes, name: str) -> list[Segment]:
    found = []
    for part in binary.segments:
        if part.type == lief.ELF.Segment.TYPE.TLS:
            raise CannotRun(f"{name}: uses thread-local storage, which the emulated CPU doesn't offer")
        if part.type == lief.ELF.Segment.TYPE.LOAD and part.virtual_size:
            stored = file_range(data, part.file_offset, min(part.physical_size, part.virtual_size), name)
            flags = part.flags.value
            found.append(Segment(part.virtual_address, part.virtual_size, stored, bool(flags & 2), bool(flags & 1)))
    return found


def _relocate(
    relocation: lief.ELF.Relocation,
    segments: tuple[Segment, ...],
    rebases: list[Rebase],
    binds: list[Bind],
    name: str,
    cpu: str,
) -> None:
    kind = relocation.type.name
    symbol = relocation.symbol if relocation.has_symbol else None
    stored = 0 if kind in SLOT and not relocation.is_rela else _stored(segments, relocation, cpu)
    addend = relocation.addend if relocation.is_rela else stored
    if kind in RELATIVE:
        rebases.append(Rebase(relocation.address, addend))
    elif kind not in SLOT | ABSOLUTE:
        raise CannotRun(f"{name}: a relocation of kind {kind}, which this loader doesn't apply")
    elif symbol is None or not symbol.name:
        raise BadImage(f"{name}: a {kind} relocation without a symbol")
    elif symbol.value and symbol.shndx:
        rebases.append(Rebase(relocation.address, symbol.value + addend))
    else:
        weak = symbol.binding == lief.ELF.Symbol.BINDING.WEAK
        binds.append(Bind(relocation.address, str(symbol.name), "", addend, weak))


def _stored(segments: tuple[Segment, ...], relocation: lief.ELF.Relocation, cpu: str) -> int:
    width = 4 if cpu in ("x86", "armv7l") else 8
    return _word(segments, relocation.address, width, cpu)


def _word(segments: tuple[Segment, ...], address: int, width: int, cpu: str) -> int:
    order = "big" if cpu == "s390x" else "little"
    for segment in segments:
        if segment.address <= address < segment.address + segment.size:
            at = address - segment.address
            return int.from_bytes(segment.data[at : at + width], order)  # type: ignore[arg-type]
    return 0


def _constructors(
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
