"""The reader of ELF files (Linux). Sources: the System V gABI and each CPU's psABI."""

from __future__ import annotations

import warnings
from typing import Literal

import lief

from wheelworks.core.errors import Unsupported
from wheelworks.core.image import CPUS_32, BadImage, Bind, Image, Rebase, Segment, read_word, sort_symbols
from wheelworks.core.reader import BinaryReader

ELF_CPUS = {
    ("AARCH64", 64): "aarch64",
    ("X86_64", 64): "x86_64",
    ("I386", 32): "x86",
    ("ARM", 32): "arm",
    ("RISCV", 64): "riscv64",
    ("S390", 64): "s390x",
}
RELATIVE = {"AARCH64_RELATIVE", "X86_64_RELATIVE", "X86_RELATIVE", "ARM_RELATIVE", "RISCV_RELATIVE", "SYSZ_RELATIVE"}
# The loader stores symbol + addend for both. The addend of a GOT or PLT slot is 0 if the relocation has none.
SLOT = {
    "AARCH64_GLOB_DAT", "AARCH64_JUMP_SLOT", "X86_64_GLOB_DAT", "X86_64_JUMP_SLOT", "X86_GLOB_DAT", "X86_JUMP_SLOT",
    "ARM_GLOB_DAT", "ARM_JUMP_SLOT", "RISCV_JUMP_SLOT", "SYSZ_GLOB_DAT", "SYSZ_JMP_SLOT",
}  # fmt: skip
ABSOLUTE = {"AARCH64_ABS64", "X86_64_R64", "X86_64_64", "X86_32", "ARM_ABS32", "RISCV_64", "SYSZ_64"}


lief.logging.disable()  # its complaints are reported as BadImage


def read_elf(data: bytes, name: str) -> Image:
    """Read an ELF file. Raises BadImage or Unsupported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LIEF warns about numbers that it has no name for
        return _read_binary(data, name)


def parse_elf(data: bytes, name: str) -> lief.ELF.Binary:
    """Return LIEF's view of an ELF file. Raises BadImage."""
    if (binary := lief.ELF.parse(data)) is None:
        raise BadImage(f"{name}: not a readable ELF file")
    return binary


def _read_binary(data: bytes, name: str) -> Image:
    binary = parse_elf(data, name)
    cpu = _read_elf_cpu(binary, name)
    segments = tuple(_read_elf_segments(binary, BinaryReader(data, name)))
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
        # DT_RELA may include the relocations of DT_JMPREL (RISC-V's linkers do that), which are then listed twice.
        rebases=tuple(dict.fromkeys(rebases)),
        binds=tuple(dict.fromkeys(binds)),
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


def _read_elf_segments(binary: lief.ELF.Binary, file: BinaryReader) -> list[Segment]:
    found = []
    for part in binary.segments:
        if part.type == lief.ELF.Segment.TYPE.TLS:
            raise Unsupported(f"{file.name}: uses thread-local storage, which isn't emulated")
        if part.type == lief.ELF.Segment.TYPE.LOAD and part.virtual_size:
            stored = file.read(part.file_offset, min(part.physical_size, part.virtual_size))
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
        width = 4 if cpu in CPUS_32 else 8
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
    array = [targets.get(at) for at in range(start, start + size, 4 if cpu in CPUS_32 else 8)]
    return tuple(found + [target for target in array if target])
