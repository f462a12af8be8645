"""Test what a binary says of itself: the names of machines."""

from __future__ import annotations

import struct

import pytest
from wheelworks.core import binary


@pytest.mark.parametrize(
    ("machine", "order", "name"),
    [(21, "<", "powerpc64le"), (21, ">", "ppc64"), (258, "<", "loongarch64"), (62, "<", "x86_64"), (22, ">", "s390x")],
)
def test_a_machine_has_the_name_of_its_platform_tags(machine: int, order: str, name: str) -> None:
    ident = bytes([0x7F, *b"ELF", 2, 1 if order == "<" else 2, 1]).ljust(16, b"\0")
    header = struct.pack(f"{order}HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 0, 64, 0, 0)
    assert [one.machine for one in binary.describe(ident + header, "x.so")] == [name]


def make_s390x(second: int = 0x12) -> bytes:
    """Return a shared object for IBM Z with two symbols, a hash table of 64-bit numbers, and more bytes behind them.

    ``second`` is the binding and the type of the second symbol: a global function.
    """
    names = b"\0first\0second\0.dynsym\0.dynstr\0"
    symbols = bytes(24) + struct.pack(">IBBHQQ", 1, 0x10, 0, 0, 0, 0) + struct.pack(">IBBHQQ", 7, second, 0, 1, 64, 8)
    table = struct.pack(">10Q", 5, 3, 1, 0, 0, 0, 0, 0, 2, 0)  # numbers of buckets and symbols, buckets, chains
    behind = struct.pack(">IBBHQQ", 2, 0x10, 0, 0, 0, 0) * 2
    places = {4: 0x200, 6: 0x280, 5: 0x340, 10: len(names), 11: 24}
    dynamic = b"".join(struct.pack(">QQ", tag, value) for tag, value in places.items()) + bytes(16)
    content = bytearray(0x400)
    for place, data in ((0x100, dynamic), (0x200, table), (0x280, symbols + behind), (0x340, names)):
        content[place : place + len(data)] = data
    segments = struct.pack(">IIQQQQQQ", 1, 5, 0, 0, 0, 0x400, 0x400, 4096)
    segments += struct.pack(">IIQQQQQQ", 2, 6, 0x100, 0x100, 0x100, len(dynamic), len(dynamic), 8)
    content[64 : 64 + len(segments)] = segments
    rows = struct.pack(">IIQQQQIIQQ", 14, 11, 2, 0x280, 0x280, len(symbols), 2, 1, 8, 24)
    rows += struct.pack(">IIQQQQIIQQ", 22, 3, 2, 0x340, 0x340, len(names), 0, 0, 1, 0)
    head = b"\x7fELF\2\2\1".ljust(16, b"\0")
    head += struct.pack(">HHIQQQIHHHHHH", 3, 22, 1, 0, 64, 0x400, 0, 64, 56, 2, 64, 3, 2)
    content[: len(head)] = head
    return bytes(content) + bytes(64) + rows


def test_symbols_of_ibm_z_are_counted_right() -> None:
    [found] = binary.describe(make_s390x(), "x.so")
    assert found.machine == "s390x" and found.symbols == {"first"} and found.exports == ("second",)


@pytest.mark.parametrize(("second", "exports"), [(0x16, ("second",)), (0x06, ())], ids=["global", "local"])
def test_a_thread_local_variable_is_exported_if_it_is_global(second: int, exports: tuple[str, ...]) -> None:
    """libstdc++ has two, which std::call_once() uses."""
    [found] = binary.describe(make_s390x(second), "x.so")
    assert found.exports == exports
