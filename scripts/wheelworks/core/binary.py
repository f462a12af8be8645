"""What a native binary says of itself, whatever its format: one neutral description, read by LIEF."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from wheelworks.core.errors import WheelworksError

if TYPE_CHECKING:  # LIEF takes half a second to import, for which a build with nothing to do shouldn't wait
    import lief

Parsed: TypeAlias = "lief.PE.Binary | lief.ELF.Binary | lief.MachO.Binary"

SUFFIXES = (".so", ".pyd", ".dll", ".dylib")

_PE = {"ARM64": "aarch64", "AMD64": "x86_64", "I386": "x86", "THUMB": "arm"}
_ELF = {
    "AARCH64": "aarch64",
    "X86_64": "x86_64",
    "I386": "x86",
    "ARM": "arm",
    "RISCV": "riscv64",
    "S390": "s390x",
    "PPC64": "powerpc64le",
    "LOONGARCH": "loongarch64",
}
_BIG_ENDIAN = {"powerpc64le": "ppc64"}  # machines of both byte orders, which ELF gives the same number
_STT_TLS, _STB_LOCAL = 6, 0
_MSB = 2  # EI_DATA: the most significant byte comes first (gABI)
MACHO_MAGIC = (b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf")
_MACHO = {"ARM64": "aarch64", "X86_64": "x86_64", "X86": "x86"}


def name_entry_points(module: str) -> tuple[str, str]:
    """Return the functions by which CPython starts a module: of PEP 489 and PEP 793.

    ``module`` is the last part of its name. One beyond ASCII is encoded in Punycode.
    """
    ending = f"_{module}" if module.isascii() else "U_" + module.encode("punycode").decode().replace("-", "_")
    return f"PyInit{ending}", f"PyModExport{ending}"


@dataclass(frozen=True)
class Binary:
    """One binary, or one half of a universal one.

    ``imports`` maps each library to the symbols that are asked of it; where the format doesn't say of whom
    (ELF, flat Mach-O lookup) they stand under "". ``minimum`` is the lowest macOS, ``timestamp`` PE's.
    """

    format: str
    machine: str
    imports: dict[str, tuple[str, ...]]
    exports: tuple[str, ...]
    minimum: str = ""
    signed: bool = False
    timestamp: int | None = None

    @property
    def symbols(self) -> frozenset[str]:
        """Everything that is asked of others."""
        return frozenset(name for names in self.imports.values() for name in names)

    @property
    def libraries(self) -> tuple[str, ...]:
        """The libraries that the loader has to find."""
        return tuple(sorted(name for name in self.imports if name))


def describe(data: bytes, name: str) -> tuple[Binary, ...]:
    """Describe a binary: one entry, or one for each half of a universal one.

    Raises WheelworksError where the bytes are no PE, ELF or Mach-O file.
    """
    found = tuple(binary for _, binary, _ in parts(data))
    if not found:
        raise WheelworksError(f"{name}: no PE, ELF or Mach-O binary: it starts with {data[:4].hex(' ')}")
    return found


def parts(data: bytes) -> Iterator[tuple[Parsed, Binary, frozenset[str]]]:
    """LIEF's view of a binary, ours, and the machines of the whole file: once, or once for each half.

    None where the bytes can't be read as one. LIEF's objects die with the file that they were read from, which lives
    as long as this iterator does.
    """
    try:
        whole, found = _parts(data)
    except SystemError:  # of LIEF, at damaged names: "returned a result with an exception set"
        return
    machines = frozenset(facts.machine for _, facts in found)
    yield from ((parsed, facts, machines) for parsed, facts in found)
    del whole


def _parts(data: bytes) -> tuple[object, list[tuple[Parsed, Binary]]]:
    import lief

    lief.logging.disable()
    if data[:4] in MACHO_MAGIC:
        fat = lief.MachO.parse(data)
        return fat, [(one, _macho(one)) for one in fat or ()]
    parsed = lief.ELF.parse(data, _count_by_sections()) if _is_s390x(data) else lief.parse(data)
    if isinstance(parsed, lief.PE.Binary):
        return parsed, [(parsed, _pe(parsed))]
    return parsed, [(parsed, _elf(parsed))] if isinstance(parsed, lief.ELF.Binary) else []


def _is_s390x(data: bytes) -> bool:
    return data[:6] == b"\x7fELF\2\2" and data[18:20] == b"\0\x16"


def _count_by_sections() -> lief.ELF.ParserConfig:
    """Return settings that make LIEF count dynamic symbols by their section.

    It reads the hash table's numbers as 32 bits, but IBM Z's have 64 (its ABI supplement), so that it finds symbols in
    the bytes after the table.
    """
    import lief

    settings = lief.ELF.ParserConfig()
    settings.count_mtd = lief.ELF.ParserConfig.DYNSYM_COUNT.SECTION
    return settings


def _machine(value: Enum | int, names: Mapping[str, str]) -> str:
    name = value.name if isinstance(value, Enum) else f"{value:#x}"  # LIEF has numbers that it doesn't know
    return names.get(name, name)


def _pe(binary: lief.PE.Binary) -> Binary:
    imports = {str(one.name): tuple(sorted(str(entry.name) for entry in one.entries)) for one in binary.imports}
    export = binary.get_export()
    return Binary(
        "PE",
        _machine(binary.header.machine, _PE),
        dict(sorted(imports.items())),
        tuple(sorted(str(entry.name) for entry in export.entries)) if export else (),
        timestamp=binary.header.time_date_stamps,
    )


def _elf(binary: lief.ELF.Binary) -> Binary:
    # Not LIEF's imported_symbols, which leaves out symbols without a type: what lld writes for a shared object's.
    wanted = tuple(sorted({str(one.name) for one in binary.dynamic_symbols if one.shndx == 0 and one.name}))
    machine = _machine(binary.header.machine_type, _ELF)
    is_big_endian = int(binary.header.identity_data) == _MSB  # a number where LIEF has no name for it
    return Binary(
        "ELF",
        _BIG_ENDIAN.get(machine, machine) if is_big_endian else machine,
        {"": wanted, **{str(name): () for name in binary.libraries}},
        tuple(sorted({str(one.name) for one in (*binary.exported_symbols, *filter(_is_tls, binary.dynamic_symbols))})),
    )


def _is_tls(symbol: lief.ELF.Symbol) -> bool:
    """Return whether a symbol is an exported thread-local variable, which LIEF's exported_symbols leaves out."""
    return int(symbol.type) == _STT_TLS and symbol.shndx != 0 and int(symbol.binding) != _STB_LOCAL


def _macho(binary: lief.MachO.Binary) -> Binary:
    wanted = tuple(sorted(str(symbol.name).removeprefix("_") for symbol in binary.imported_symbols))
    needed = [one.name for one in binary.libraries if one.command.name != "ID_DYLIB"]
    version = binary.build_version.minos if binary.build_version else [0]
    if not binary.build_version and binary.version_min:
        version = binary.version_min.version
    # LIEF leaves out exports that are in dyld's trie alone, as in files whose symbol table was stripped. zig's linker
    # exports two of its own names from every dylib.
    exported = {str(one.name) for one in (*binary.exported_symbols, *filter(_is_in_trie, binary.symbols))}
    exports = (name.removeprefix("_") for name in exported)
    return Binary(
        "Mach-O",
        _machine(binary.header.cpu_type, _MACHO),
        {"": wanted, **{str(name): () for name in needed}},
        tuple(sorted(name for name in exports if not name.startswith(("_mh_", "__dso_handle")))),
        minimum=".".join(map(str, version[:2])),
        signed=binary.has_code_signature,
    )


def _is_in_trie(symbol: lief.MachO.Symbol) -> bool:
    return symbol.has_export_info
