"""Read from a binary what its loader does with it: the libraries and symbols that it needs, and where it searches.

The descriptions outlive LIEF's objects, so that the checks can follow libraries over the whole wheel.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from functools import cached_property

import lief

from wheelworks.core.binary import Binary, Parsed
from wheelworks.core.tags import Platform

# The bits of n_type and n_desc, and flags of the header (mach-o/nlist.h, mach-o/loader.h).
_N_STAB, _N_TYPE, _N_EXT, _N_WEAK_REF = 0xE0, 0x0E, 0x01, 0x40
_TWO_LEVELS = lief.MachO.Header.FLAGS.TWOLEVEL
_COMMAND = lief.MachO.LoadCommand.TYPE
_PE_DLL = lief.PE.Header.CHARACTERISTICS.DLL


class Ordinal(IntEnum):
    """Values of a Mach-O symbol's library ordinal that don't number a library (mach-o/nlist.h)."""

    SELF = 0x00
    WEAK_LOOKUP = 0xFD
    DYNAMIC_LOOKUP = 0xFE
    EXECUTABLE = 0xFF


class Need(Enum):
    """What a loader does if a library is missing: refuse the binary, bind zeros, or look for it at the first use."""

    REQUIRED = "required"
    WEAK = "weak"
    DELAYED = "delayed"


@dataclass(frozen=True)
class Library:
    """A library that a binary needs, by the name that its loader is given."""

    name: str
    need: Need = Need.REQUIRED
    reexported: bool = False


@dataclass(frozen=True)
class Symbol:
    """A symbol that a binary needs. ``library`` is "" where any may have it; ``version`` is ELF's.

    In ELF, the library is the one that had the symbol when it was linked; loaders accept it from any other.
    """

    name: str
    library: str = ""
    version: str = ""


@dataclass(frozen=True)
class Links:
    """What a binary needs and offers.

    ``name`` is its SONAME or install name. ``paths`` are the folders that it adds to the search: RUNPATH, or RPATH if
    ``inherits``, which then holds for the libraries below it, too; LC_RPATH. ``forwards`` maps an export to the DLL and
    the symbol that it stands for. ``system`` is the one that a Mach-O file was built for, such as MACOS or IOS.
    """

    libraries: tuple[Library, ...]
    symbols: tuple[Symbol, ...]
    name: str = ""
    paths: tuple[str, ...] = ()
    inherits: bool = False
    is_program: bool = False
    forwards: dict[str, tuple[str, str]] = field(default_factory=dict)
    system: str = ""


@dataclass(frozen=True)
class Linkage:
    """One binary, or one half of a universal one, as its loader sees it; ``platforms`` are those that it is for."""

    member: str
    facts: Binary
    platforms: tuple[Platform, ...]
    links: Links
    is_module: bool

    @property
    def kind(self) -> tuple[str, str]:
        """The format and machine, which a library must share with the binaries that load it."""
        return self.facts.format, self.facts.machine

    @property
    def file_name(self) -> str:
        """The member's name without its folder."""
        return self.member.rpartition("/")[2]

    @property
    def name(self) -> str:
        """The name by which its loader recognises it once it is loaded."""
        return self.file_name if self.facts.format == "PE" else self.links.name

    @cached_property
    def exports(self) -> frozenset[str]:
        """The names that other binaries can use."""
        return frozenset(self.facts.exports)

    @property
    def is_root(self) -> bool:
        """Whether it is loaded by its path: a module or a program."""
        return self.is_module or self.links.is_program


def read_links(parsed: Parsed) -> Links:
    """Describe a binary while it is in memory."""
    if isinstance(parsed, lief.ELF.Binary):
        return _read_elf(parsed)
    return _read_pe(parsed) if isinstance(parsed, lief.PE.Binary) else _read_macho(parsed)


# -- ELF


def _read_elf(parsed: lief.ELF.Binary) -> Links:
    entries = list(parsed.dynamic_entries)
    runpaths = [str(one.runpath) for one in entries if isinstance(one, lief.ELF.DynamicEntryRunPath)]
    rpaths = [str(one.rpath) for one in entries if isinstance(one, lief.ELF.DynamicEntryRpath)]
    names = [str(one.name) for one in entries if isinstance(one, lief.ELF.DynamicSharedObject)]
    needed = [str(one.name) for one in entries if isinstance(one, lief.ELF.DynamicEntryLibrary)]
    return Links(
        tuple(map(Library, needed)),
        tuple(_list_elf_symbols(parsed)),
        names[0] if names else "",
        tuple(path for one in runpaths or rpaths for path in one.split(":")),
        inherits=not runpaths,
        is_program=parsed.has_interpreter,
    )


def _list_elf_symbols(parsed: lief.ELF.Binary) -> Iterator[Symbol]:
    weak = lief.ELF.Symbol.BINDING.WEAK
    libraries: dict[str, set[str]] = {}
    for requirement in parsed.symbols_version_requirement:
        for auxiliary in requirement.get_auxiliary_symbols():
            libraries.setdefault(str(auxiliary.name), set()).add(str(requirement.name))
    for one in parsed.dynamic_symbols:
        if one.shndx == 0 and one.name and one.binding != weak:
            version = one.symbol_version
            known = version.symbol_version_auxiliary if version and version.has_auxiliary_version else None
            named = str(known.name) if known else ""
            owners = libraries.get(named, set())
            yield Symbol(str(one.name), min(owners) if len(owners) == 1 else "", named)


# -- Mach-O


def _read_macho(parsed: lief.MachO.Binary) -> Links:
    libraries = [_read_dylib(one) for one in parsed.libraries if one.command != _COMMAND.ID_DYLIB]
    return Links(
        tuple(libraries),
        tuple(_list_macho_symbols(parsed, libraries)),
        next((str(one.name) for one in parsed.libraries if one.command == _COMMAND.ID_DYLIB), ""),
        tuple(str(one.path) for one in parsed.rpaths),
        inherits=True,
        is_program=parsed.header.file_type == lief.MachO.Header.FILE_TYPE.EXECUTE,
        system=_read_system(parsed),
    )


def _read_system(parsed: lief.MachO.Binary) -> str:
    """Return the name of LC_BUILD_VERSION's platform, or its number if that has no name; "" without the command."""
    if parsed.build_version is None:
        return ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LIEF warns about numbers that it has no name for
        system = parsed.build_version.platform
    return str(getattr(system, "name", system))


def _read_dylib(command: lief.MachO.DylibCommand) -> Library:
    needs = {_COMMAND.LOAD_WEAK_DYLIB: Need.WEAK, _COMMAND.LAZY_LOAD_DYLIB: Need.DELAYED}
    need = needs.get(command.command, Need.REQUIRED)
    return Library(str(command.name), need, command.command == _COMMAND.REEXPORT_DYLIB)


def _list_macho_symbols(parsed: lief.MachO.Binary, libraries: list[Library]) -> Iterator[Symbol]:
    """Yield the undefined symbols, without the leading underscore; in a flat namespace none belongs to a library."""
    is_flat = not parsed.header.has(_TWO_LEVELS)
    for one in parsed.symbols:
        kind, description = int(one.raw_type), int(one.description)
        if kind & _N_STAB or kind & (_N_TYPE | _N_EXT) != _N_EXT or one.value or description & _N_WEAK_REF:
            continue
        ordinal = Ordinal.DYNAMIC_LOOKUP if is_flat else _find_ordinal(one)
        if 0 < ordinal <= len(libraries):
            if libraries[ordinal - 1].need is Need.REQUIRED:
                yield Symbol(str(one.name).removeprefix("_"), libraries[ordinal - 1].name)
        elif ordinal == Ordinal.DYNAMIC_LOOKUP:
            yield Symbol(str(one.name).removeprefix("_"))


def _find_ordinal(symbol: lief.MachO.Symbol) -> int:
    """Return the ordinal of an undefined symbol's library: the one that dyld binds it by, else that of the table.

    They are one byte in the table, signed numbers in what dyld reads. zig writes SELF into the table for all symbols
    that dyld shall look up in every image.
    """
    binding = symbol.binding_info if symbol.has_binding_info else None
    return int(binding.library_ordinal) & 0xFF if binding else int(symbol.description) >> 8 & 0xFF


# -- PE


def _read_pe(parsed: lief.PE.Binary) -> Links:
    imported = dict.fromkeys(str(one.name) for one in parsed.imports)
    delayed = dict.fromkeys(str(one.name) for one in parsed.delay_imports)
    named = ((str(one.name), entry) for one in parsed.imports for entry in one.entries)
    return Links(
        (*map(Library, imported), *(Library(name, Need.DELAYED) for name in delayed)),
        tuple(Symbol(str(one.name), dll) for dll, one in named if not one.is_ordinal and one.name),
        is_program=not parsed.header.has_characteristic(_PE_DLL),
        forwards=_list_forwards(parsed),
    )


def _list_forwards(parsed: lief.PE.Binary) -> dict[str, tuple[str, str]]:
    """Return the exports that stand for another DLL's: the name of that DLL, which mostly has no suffix, and a name."""
    export = parsed.get_export()
    found = {}
    for entry in export.entries if export else ():
        if entry.is_forwarded:
            library, function = str(entry.forward_information.library), str(entry.forward_information.function)
            found[str(entry.name)] = (library if "." in library else f"{library}.dll", function)
    return found
