"""Read which symbols an object file or static library defines and needs: these decide how the linker is called.

LIEF reads object files too, but importing it takes three times as long as compiling and linking an extension. The tests
compare this reader with LIEF's. Formats: System V ABI (ELF), PE/COFF specification, Mach-O's loader.h and nlist.h,
ar(5).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_

from wheelworks.core.errors import WheelworksError

_ARCHIVE = b"!<arch>\n"
_ELF, _MACHO = b"\x7fELF", b"\xcf\xfa\xed\xfe"
_COFF_MACHINES = {b"\x64\xaa": "aarch64", b"\x64\x86": "x86_64", b"\x4c\x01": "x86"}
_ELF_MACHINES = {3: "x86", 21: "powerpc64le", 22: "s390x", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
_MACHO_CPUS = {0x0100_0007: "x86_64", 0x0100_000C: "aarch64"}
# What static libraries hold instead of object files: the first bytes, what they are, and what to do.
_OTHERS = {
    b"\0\0\xff\xff\0\0": (
        "it is an import library of a DLL, which the wheel won't have",
        "build it as a static library",
    ),
    b"BC\xc0\xde": ("it is LLVM's intermediate code, not machine code", "compile it without -flto"),
    b"\xde\xc0\x17\x0b": ("it is LLVM's intermediate code, not machine code", "compile it without -flto"),
    b"\xca\xfe\xba\xbe": ("it is a universal file, with code for several CPUs", "extract one CPU's part by lipo -thin"),
    b"!<thin>\n": ("it is a thin library, which only names its object files", "make it by `ar rcs`, without T"),
}

_ELFCLASS64, _ELFDATA2LSB = 2, 1
_SHT_SYMTAB, _SHN_UNDEF, _STB_GLOBAL, _STB_WEAK = 2, 0, 1, 2
_LC_SYMTAB, _N_EXT, _N_STAB, _N_TYPE = 2, 0x01, 0xE0, 0x0E
_DEFAULT_LIBRARY = re.compile(r'(?i)[-/]defaultlib:"?([^"\s]+)')  # in the linker's arguments of a section
_IMAGE_FILE_MACHINE_I386 = 0x14C
_IMAGE_SYM_CLASS_EXTERNAL, _IMAGE_SYM_CLASS_WEAK_EXTERNAL = 2, 105


@dataclass(frozen=True)
class Symbols:
    """The external symbols that an object defines and needs, spelled as in C.

    For Windows, ``imported`` are those needed through a DLL's import table (``__imp_NAME``), and ``starts`` says that
    functions must be called when the library is loaded or unloaded: an object lists them, or has a ``DllMain``.
    ``libraries`` are those that the source names itself (``#pragma comment(lib, ...)``).
    """

    defined: frozenset[str] = frozenset()
    undefined: frozenset[str] = frozenset()
    imported: frozenset[str] = frozenset()
    starts: bool = False
    libraries: frozenset[str] = frozenset()

    def __or__(self, other: Symbols) -> Symbols:
        """Return the symbols of the two linked together."""
        defined, imported = self.defined | other.defined, self.imported | other.imported
        undefined, starts = self.undefined | other.undefined, self.starts or other.starts
        return Symbols(defined, undefined - defined, imported - defined, starts, self.libraries | other.libraries)


def read_symbols(data: bytes) -> Symbols:
    """Read the symbols of an object file, or of a static library's members linked together.

    Raises WheelworksError for any other or damaged file.
    """
    try:
        if data.startswith(_ARCHIVE):
            return reduce(or_, map(_read_object, _archive_members(data)), Symbols())
        return _read_object(data)
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise WheelworksError(f"the object file is damaged: {error}") from error


def _read_object(data: bytes) -> Symbols:
    if data.startswith(_ARCHIVE):
        raise ValueError("a library in a library")
    if data.startswith(_ELF):
        return _read_elf(data)
    if data.startswith(_MACHO):
        return _read_macho(data)
    if data[:2] in _COFF_MACHINES:
        return _read_coff(data)
    raise _refuse(data)


def _refuse(data: bytes) -> WheelworksError:
    """Return the error for a file that is no object file."""
    other = next((text for start, text in _OTHERS.items() if data.startswith(start)), None)
    what, hint = other or (f"it starts with {data[:4].hex(' ')}", "")
    return WheelworksError(f"not an object file of ELF, COFF or Mach-O: {what}", hint)


def identify_objects(data: bytes) -> set[tuple[str, str]]:
    """Return the format and CPU of an object file, or of a static library's members: {("ELF", "aarch64")}.

    A CPU that no target has is named by its number. Raises WheelworksError for any other or damaged file.
    """
    try:
        members = _archive_members(data) if data.startswith(_ARCHIVE) else iter([data])
        return {_identify_object(member) for member in members}
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise WheelworksError(f"the library is damaged: {error}") from error


def _identify_object(data: bytes) -> tuple[str, str]:
    if data.startswith(_ELF):
        number = struct.unpack_from("<H" if data[5] == _ELFDATA2LSB else ">H", data, 18)[0]
        return "ELF", _ELF_MACHINES.get(number, f"CPU {number}")
    if data.startswith(_MACHO):
        number = struct.unpack_from("<I", data, 4)[0]
        return "Mach-O", _MACHO_CPUS.get(number, f"CPU {number:#x}")
    if data[:2] in _COFF_MACHINES:
        return "COFF", _COFF_MACHINES[data[:2]]
    raise _refuse(data)


def _archive_members(data: bytes) -> Iterator[bytes]:
    offset = 8
    while offset + 60 <= len(data):
        name, size = data[offset : offset + 16].rstrip(), int(data[offset + 48 : offset + 58])
        start = offset + 60
        if not 0 <= size <= len(data) - start:
            raise ValueError(f"a member of {size} bytes")
        if name.startswith(b"#1/"):  # BSD: the name is stored before the contents
            skipped = int(name[3:])
            if not data[start : start + skipped].startswith(b"__.SYMDEF"):
                yield data[start + skipped : start + size]
        elif name not in (b"/", b"//", b"/SYM64/") and not name.startswith(b"__.SYMDEF"):
            yield data[start : start + size]
        offset = start + size + size % 2


def _read_name(strings: bytes, offset: int) -> str:
    return strings[offset : strings.index(b"\0", offset)].decode("utf-8", "replace")


def _make_symbols(symbols: Iterator[tuple[str, bool]]) -> Symbols:
    """Sort pairs of a symbol's name and whether it is defined."""
    defined, undefined, imported = set(), set(), set()
    for name, is_defined in symbols:
        if is_defined:
            defined.add(name)
        elif name.startswith("__imp_"):
            imported.add(name.removeprefix("__imp_"))
        else:
            undefined.add(name)
    return Symbols(frozenset(defined), frozenset(undefined - defined), frozenset(imported - defined))


def _read_elf(data: bytes) -> Symbols:
    wide, order = data[4] == _ELFCLASS64, "<" if data[5] == _ELFDATA2LSB else ">"
    head = struct.unpack_from(order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"), data, 16)
    table, entry, count = head[5], head[10], head[11]
    layout = order + ("IIQQQQIIQQ" if wide else "IIIIIIIIII")
    sections = [struct.unpack_from(layout, data, table + i * entry) for i in range(count)]
    tables = (section for section in sections if section[1] == _SHT_SYMTAB)
    return _make_symbols(symbol for section in tables for symbol in _elf_symbols(data, section, sections, order))


def _elf_symbols(
    data: bytes, section: tuple[int, ...], sections: list[tuple[int, ...]], order: str
) -> Iterator[tuple[str, bool]]:
    offset, size, link, entry = section[4], section[5], section[6], section[9]
    strings = data[sections[link][4] : sections[link][4] + sections[link][5]]
    for place in range(offset, offset + size, entry):
        if entry == 24:  # 64-bit
            name, info, _, index, _, _ = struct.unpack_from(order + "IBBHQQ", data, place)
        else:
            name, _, _, info, _, index = struct.unpack_from(order + "IIIBBH", data, place)
        if info >> 4 in (_STB_GLOBAL, _STB_WEAK):
            yield _read_name(strings, name), index != _SHN_UNDEF


def _read_macho(data: bytes) -> Symbols:
    count = struct.unpack_from("<I", data, 16)[0]
    offset = 32
    for _ in range(count):
        command, size = struct.unpack_from("<II", data, offset)
        if command == _LC_SYMTAB:
            return _make_symbols(_macho_symbols(data, *struct.unpack_from("<IIII", data, offset + 8)))
        if size < 8:
            raise ValueError(f"a load command of {size} bytes")
        offset += size
    return Symbols()


def _macho_symbols(data: bytes, offset: int, count: int, names: int, size: int) -> Iterator[tuple[str, bool]]:
    strings = data[names : names + size]
    for place in range(offset, offset + count * 16, 16):
        name, kind, _, _, value = struct.unpack_from("<IBBHQ", data, place)
        if kind & _N_EXT and not kind & _N_STAB:
            is_common = kind & _N_TYPE == 0 and value != 0
            yield _read_name(strings, name).removeprefix("_"), kind & _N_TYPE != 0 or is_common


def _read_coff(data: bytes) -> Symbols:
    machine, sections, _, table, count, optional, _ = struct.unpack_from("<HHIIIHH", data)
    prefix = "_" if machine == _IMAGE_FILE_MACHINE_I386 else ""  # only 32-bit x86 decorates C names
    found = _make_symbols((_undecorate(name, prefix), defined) for name, defined in _coff_symbols(data, table, count))
    contents = dict(_coff_sections(data, 20 + optional, sections, table + count * 18))
    libraries = _DEFAULT_LIBRARY.findall(contents.get(".drectve", b"").decode("utf-8", "replace"))
    starts = find_dllmain(found) or any(map(_lists_functions, contents))
    return replace(found, starts=starts, libraries=frozenset(libraries))


def find_dllmain(symbols: Symbols) -> bool:
    """Return whether objects define the function that Windows' C runtime calls when a library is loaded."""
    return any(name.partition("@")[0] == "DllMain" for name in symbols.defined)


def _lists_functions(section: str) -> bool:
    """Return whether a section lists functions to be called when the library is loaded or unloaded."""
    return section.startswith((".ctors", ".dtors", ".CRT$XC", ".CRT$XI"))


def _coff_sections(data: bytes, table: int, count: int, strings: int) -> Iterator[tuple[str, bytes]]:
    """Yield each section's name and contents; long names are in the string table, at the decimal after "/"."""
    for place in range(table, table + count * 40, 40):
        raw, size, start = struct.unpack_from("<8s8xII", data, place)
        name = raw.rstrip(b"\0").decode("utf-8", "replace")
        if name[:1] == "/" and name[1:].isdigit():
            name = _read_name(data, strings + int(name[1:]))
        yield name, data[start : start + size] if start else b""


def _undecorate(name: str, prefix: str) -> str:
    imported, plain = ("__imp_", name[6:]) if name.startswith("__imp_") else ("", name)
    return imported + plain.removeprefix(prefix)


def _coff_symbols(data: bytes, table: int, count: int) -> Iterator[tuple[str, bool]]:
    strings = data[table + count * 18 :]
    index = 0
    while index < count:
        raw, value, section, _, storage, more = struct.unpack_from("<8sIhHBB", data, table + index * 18)
        is_long = raw[:4] == bytes(4)
        name = _read_name(strings, int.from_bytes(raw[4:], "little")) if is_long else raw.rstrip(b"\0").decode()
        if storage == _IMAGE_SYM_CLASS_EXTERNAL:
            yield name, section != 0 or value != 0
        elif storage == _IMAGE_SYM_CLASS_WEAK_EXTERNAL:  # its default is defined in the same object
            yield name, True
        index += 1 + more
