"""What ELF headers claim: once each byte in a good file, and anything in others."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelworks.audit import hardening

from tests.fixtures import binaries


@pytest.mark.parametrize("sections", [1, 3, 1000])
def test_each_claim_counts(sections: int) -> None:
    code = 100 * b"\x90"
    names = len(b"\0.text\0.shstrtab\0")
    assert hardening.sum_claimed_sizes(binaries.elf(code, sections)) == sections * len(code) + names + 128 + len(code)


def test_32_bits_and_the_other_order_of_bytes() -> None:
    head = b"\x7fELF\1\2\1".ljust(16, b"\0")
    head += struct.pack(">HHIIIIIHHHHHH", 3, 20, 1, 0, 52, 84, 0, 52, 32, 1, 40, 3, 0)
    segment = struct.pack(">IIIIIIII", 1, 0, 0, 0, 1000, 0, 5, 4096)
    kinds = ((0, 0), (1, 30), (8, 5_000))  # nothing, code, and what is in memory alone
    rows = b"".join(struct.pack(">IIIIIIIIII", 0, kind, 0, 0, 0, size, 0, 0, 0, 0) for kind, size in kinds)
    assert hardening.sum_claimed_sizes(head + segment + rows) == 1030


def test_a_program_of_this_machine_claims_little_more_than_it_is() -> None:
    data = Path(sys.executable).read_bytes()
    if data[:4] == b"\x7fELF":
        assert len(data) / 2 < hardening.sum_claimed_sizes(data) < 4 * len(data)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    assert hardening.sum_claimed_sizes(b"\x7fELF" + data) >= 0 == hardening.sum_claimed_sizes(data[:3])
