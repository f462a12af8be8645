"""Which symbols an object file or static library leaves to others: all that the linker's choice rests on.

LIEF reads object files too, but importing it takes three times as long as compiling and linking an extension;
the tests hold this reader against LIEF's. Formats: System V ABI (ELF), PE/COFF specification, Mach-O's loader.h, ar(5).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from wheelworks.core.errors import WheelworksError

_ARCHIVE = b"!<arch>\n"


@dataclass(frozen=True)
class Symbols:
    """The external symbols that an object defines, and those that it asks for, as the C source spells them.

    On Windows ``imported`` are those that it asks for through a DLL's import table (``__imp_NAME``).
    """

    defined: frozenset[str] = frozenset()
    undefined: frozenset[str] = frozenset()
    imported: frozenset[str] = frozenset()

    def __or__(self, other: Symbols) -> Symbols:
        """What the two leave open when linked together."""
        defined = self.defined | other.defined
        return Symbols(
            defined, (self.undefined | other.undefined) - defined, (self.imported | other.imported) - defined
        )


def read_symbols(data: bytes) -> Symbols:
    """The symbols of an object file, or of a static library's members together.

    Raises WheelworksError where the bytes are neither.
    """
    try:
        if data.startswith(_ARCHIVE):
            return _merge(_read_object(member) for member in _archive_members(data))
        return _read_object(data)
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise WheelworksError(f"not a whole object file: {error}") from error


def _read_object(data: bytes) -> Symbols:
    if data.startswith(_ARCHIVE):
        raise ValueError("a library in a library")
    if data.startswith(b"\x7fELF"):
        return _read_elf(data)
    if data[:4] == b"\xcf\xfa\xed\xfe":
        return _read_macho(data)
    if data[:2] in (b"\x64\xaa", b"\x64\x86", b"\x4c\x01"):
        return _read_coff(data)
    raise WheelworksError(f"not an object file of ELF, COFF or Mach-O: it starts with {data[:4].hex(' ')}")


def _merge(parts: Iterator[Symbols]) -> Symbols:
    total = Symbols()
    for part in parts:
        total |= part
    return total


def _archive_members(data: bytes) -> Iterator[bytes]:
    offset = 8
    while offset + 60 <= len(data):
        name, size = data[offset : offset + 16].rstrip(), int(data[offset + 48 : offset + 58])
        start = offset + 60
        if not 0 <= size <= len(data) - start:
            raise ValueError(f"a member of {size} bytes")
        if name.startswith(b"#1/"):  # BSD: the name stands before the contents
            skipped = int(name[3:])
            if not data[start : start + skipped].startswith(b"__.SYMDEF"):
                yield data[start + skipped : start + size]
        elif name not in (b"/", b"//", b"/SYM64/") and not name.startswith(b"__.SYMDEF"):
            yield data[start : start + size]
        offset = start + size + size % 2


def _read_name(strings: bytes, offset: int) -> str:
    return strings[offset : strings.index(b"\0", offset)].decode("utf-8", "replace")


def _make_symbols(found: Iterator[tuple[str, bool]]) -> Symbols:
    defined, undefined, imported = set(), set(), set()
    for name, is_defined in found:
        if is_defined:
            defined.add(name)
        elif name.startswith("__imp_"):
            imported.add(name.removeprefix("__imp_"))
        else:
            undefined.add(name)
    return Symbols(frozenset(defined), frozenset(undefined - defined), frozenset(imported - defined))


def _read_elf(data: bytes) -> Symbols:
    wide, order = data[4] == 2, "<" if data[5] == 1 else ">"
    head = struct.unpack_from(order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"), data, 16)
    table, entry, count = head[5], head[10], head[11]
    layout = order + ("IIQQQQIIQQ" if wide else "IIIIIIIIII")
    sections = [struct.unpack_from(layout, data, table + i * entry) for i in range(count)]
    return _make_symbols(
        found for section in sections if section[1] == 2 for found in _elf_table(data, section, sections, order)
    )


def _elf_table(
    data: bytes, section: tuple[int, ...], sections: list[tuple[int, ...]], order: str
) -> Iterator[tuple[str, bool]]:
    offset, size, link, entry = section[4], section[5], section[6], section[9]
    strings = data[sections[link][4] : sections[link][4] + sections[link][5]]
    for place in range(offset, offset + size, entry):
        if entry == 24:
            name, info, _, index, _, _ = struct.unpack_from(order + "IBBHQQ", data, place)
        else:
            name, _, _, info, _, index = struct.unpack_from(order + "IIIBBH", data, place)
        if info >> 4 in (1, 2):  # global or weak
            yield _read_name(strings, name), index != 0


def _read_macho(data: bytes) -> Symbols:
    count = struct.unpack_from("<I", data, 16)[0]
    offset = 32
    for _ in range(count):
        command, size = struct.unpack_from("<II", data, offset)
        if command == 2:  # LC_SYMTAB
            return _make_symbols(_macho_table(data, *struct.unpack_from("<IIII", data, offset + 8)))
        if size < 8:
            raise ValueError(f"a load command of {size} bytes")
        offset += size
    return Symbols()


def _macho_table(data: bytes, offset: int, count: int, names: int, size: int) -> Iterator[tuple[str, bool]]:
    strings = data[names : names + size]
    for place in range(offset, offset + count * 16, 16):
        name, kind, _, _, value = struct.unpack_from("<IBBHQ", data, place)
        if kind & 0x01 and not kind & 0xE0:  # external, and no debugger's entry
            common = kind & 0x0E == 0 and value != 0
            yield _read_name(strings, name).removeprefix("_"), kind & 0x0E != 0 or common


def _read_coff(data: bytes) -> Symbols:
    machine, _, _, table, count, _, _ = struct.unpack_from("<HHIIIHH", data)
    underscore = "_" if machine == 0x14C else ""  # 32-bit x86 alone decorates C names
    return _make_symbols((_undecorated(name, underscore), defined) for name, defined in _coff_table(data, table, count))


def _undecorated(name: str, underscore: str) -> str:
    imported, plain = ("__imp_", name[6:]) if name.startswith("__imp_") else ("", name)
    return imported + plain.removeprefix(underscore)


def _coff_table(data: bytes, table: int, count: int) -> Iterator[tuple[str, bool]]:
    strings = data[table + count * 18 :]
    index = 0
    while index < count:
        raw, value, section, _, storage, more = struct.unpack_from("<8sIhHBB", data, table + index * 18)
        name = (
            _read_name(strings, int.from_bytes(raw[4:], "little"))
            if raw[:4] == bytes(4)
            else raw.rstrip(b"\0").decode()
        )
        if storage == 2:  # external
            yield name, section != 0 or value != 0
        elif storage == 105:  # weak external: its default stands in the same object
            yield name, True
        index += 1 + more
