"""Test the object file reader on invalid and damaged files: it quickly returns symbols or raises a WheelworksError."""

from __future__ import annotations

import struct
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelworks.build import objects
from wheelworks.build.objects import Symbols
from wheelworks.core.errors import WheelworksError

MAGICS = (b"", b"\x7fELF\x02\x01", b"\x7fELF\x01\x02", b"\xcf\xfa\xed\xfe", b"\x64\xaa", b"\x4c\x01", b"!<arch>\n")


def elf() -> bytes:
    """Return a 64-bit ELF object that defines ``here`` and refers to ``there``."""
    strings = b"\0here\0there\0"
    table = bytes(24) + struct.pack("<IBBHQQ", 1, 0x10, 0, 1, 0, 0) + struct.pack("<IBBHQQ", 6, 0x10, 0, 0, 0, 0)
    names, symbols = 64, 64 + len(strings)
    sections = bytes(64)
    sections += struct.pack("<IIQQQQIIQQ", 0, 2, 0, 0, symbols, len(table), 2, 1, 8, 24)
    sections += struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, names, len(strings), 0, 0, 1, 0)
    head = struct.pack("<HHIQQQIHHHHHH", 1, 183, 1, 0, 0, symbols + len(table), 0, 64, 0, 0, 64, 3, 0)
    return b"\x7fELF\x02\x01\x01" + bytes(9) + head + strings + table + sections


def macho() -> bytes:
    """Return a Mach-O object that defines ``here`` and refers to ``there``."""
    strings = b"\0_here\0_there\0"
    table = struct.pack("<IBBHQ", 1, 0x0F, 1, 0, 0) + struct.pack("<IBBHQ", 7, 0x01, 0, 0, 0)
    symtab = struct.pack("<IIIIII", 2, 24, 56, 2, 56 + len(table), len(strings))
    return struct.pack("<IIIIIIII", 0xFEEDFACF, 0x0100000C, 0, 1, 1, 24, 0, 0) + symtab + table + strings


def coff() -> bytes:
    """Return an ARM64 COFF object that defines ``here``, refers to ``there``, and imports a symbol by import table."""
    table = struct.pack("<8sIhHBB", b"here", 0, 1, 0x20, 2, 0) + struct.pack("<8sIhHBB", b"there", 0, 0, 0, 2, 0)
    table += struct.pack("<IIIhHBB", 0, 4, 0, 0, 0, 2, 0)
    strings = b"__imp_imported\0"
    return struct.pack("<HHIIIHH", 0xAA64, 0, 0, 20, 3, 0, 0) + table + struct.pack("<I", 4 + len(strings)) + strings


def archive(*members: bytes, name: bytes = b"a.o/") -> bytes:
    """Return a static library that contains ``members``."""
    head = b"!<arch>\n"
    for data in members:
        head += b"%-16s%-12d%-6d%-6d%-8o%-10d`\n" % (name, 0, 0, 0, 0o644, len(data)) + data + b"\n" * (len(data) % 2)
    return head


WANTED = Symbols(frozenset({"here"}), frozenset({"there"}))
OBJECTS = {"elf": elf(), "macho": macho(), "coff": coff(), "archive": archive(elf(), macho())}


@pytest.mark.parametrize("name", ["elf", "macho", "archive"])
def test_reads_what_is_defined_and_what_is_asked_for(name: str) -> None:
    assert objects.read_symbols(OBJECTS[name]) == WANTED


def test_reads_what_is_asked_for_by_the_import_table() -> None:
    assert objects.read_symbols(coff()) == Symbols(WANTED.defined, WANTED.undefined, frozenset({"imported"}))


def test_members_of_a_library_answer_each_other() -> None:
    answer = coff().replace(b"there", b"other").replace(b"here\0", b"there")
    assert objects.read_symbols(archive(coff(), answer)).undefined == {"other"}


def test_a_library_of_the_bsd_kind_holds_names_before_the_contents() -> None:
    name = b"long name.o\0"
    assert objects.read_symbols(archive(name + elf(), name=b"#1/%d" % len(name))) == WANTED
    index = b"__.SYMDEF SORTED"
    assert objects.read_symbols(archive(index + b"not an object", name=b"#1/%d" % len(index))) == Symbols()


@pytest.mark.parametrize("name", [b"/", b"//", b"/SYM64/", b"__.SYMDEF"])
def test_a_library_index_is_no_object(name: bytes) -> None:
    assert objects.read_symbols(archive(b"not an object", name=name)) == Symbols()


@pytest.mark.parametrize("size", [b"-60", b"-1", b"0x10", b"1_0", b"", b"99999999"])
def test_a_library_that_lies_of_a_size_is_refused(size: bytes) -> None:
    whole = archive(elf())
    with pytest.raises(WheelworksError, match="the object file is damaged"):
        objects.read_symbols(whole[:56] + size.ljust(10) + whole[66:])


def test_a_library_in_a_library_is_refused() -> None:
    nested = elf()
    for _ in range(2000):
        nested = archive(nested)
    with pytest.raises(WheelworksError, match="library in a library"):
        objects.read_symbols(nested)


@pytest.mark.parametrize("data", [b"", b"MZ", b"#!/bin/sh", b"BC\xc0\xde", b"!<thin>\n"])
def test_other_files_are_refused_by_their_first_bytes(data: bytes) -> None:
    with pytest.raises(WheelworksError, match="not an object file of ELF, COFF or Mach-O"):
        objects.read_symbols(data)


@pytest.mark.parametrize("name", OBJECTS)
def test_every_truncation_is_refused_or_read(name: str) -> None:
    for length in range(len(OBJECTS[name])):
        survives(OBJECTS[name][:length])


@given(st.sampled_from(MAGICS), st.binary(max_size=400))
def test_random_bytes(magic: bytes, rest: bytes) -> None:
    survives(magic + rest)


@given(
    st.sampled_from(sorted(OBJECTS)),
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from([b"\0", b"\x01", b"\xff", b"\xff" * 8, bytes(8), b"-9"]))),
)
def test_mutated_objects(name: str, changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(OBJECTS[name])
    for place, value in changes:
        data[place % len(data) : place % len(data) + len(value)] = value
    survives(bytes(data))


def survives(data: bytes) -> None:
    start = time.process_time()
    with suppress(WheelworksError):  # any other exception is a fault
        assert isinstance(objects.read_symbols(data), Symbols)
    assert time.process_time() - start < 1
