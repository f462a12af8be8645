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
