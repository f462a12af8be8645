"""Test the sizes that ELF headers claim, and the signatures of Mach-O files."""

from __future__ import annotations

import hashlib
import struct
import sys
from pathlib import Path
from typing import Any

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
    kinds = ((0, 0), (1, 30), (8, 5_000))  # SHT_NULL, SHT_PROGBITS and SHT_NOBITS
    rows = b"".join(struct.pack(">IIIIIIIIII", 0, kind, 0, 0, 0, size, 0, 0, 0, 0) for kind, size in kinds)
    assert hardening.sum_claimed_sizes(head + segment + rows) == 1030


def test_a_program_of_this_machine_claims_little_more_than_it_is() -> None:
    data = Path(sys.executable).read_bytes()
    if data[:4] == b"\x7fELF":
        assert len(data) / 2 < hardening.sum_claimed_sizes(data) < 4 * len(data)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    assert hardening.sum_claimed_sizes(b"\x7fELF" + data) >= 0 == hardening.sum_claimed_sizes(data[:3])


DATA = bytes(range(256)) * 50


def signature(
    *, hash_type: int = 2, size: int = 32, exponent: int = 12, copies: int = 1, algorithm: str = "sha256"
) -> bytes:
    """Return an ad-hoc signature of `DATA` that lists its code directory `copies` times."""
    page = 1 << exponent if exponent else len(DATA)
    pages = [DATA[start : start + page] for start in range(0, len(DATA), page)]
    hashes = b"".join(hashlib.new(algorithm, one).digest()[:size] for one in pages)
    head = struct.pack(">IIIIIII", 0xFADE0C02, 44 + len(hashes), 0x20400, 2, 44, 0, 0)
    head += struct.pack(">IIBBBBI", len(pages), len(DATA), size, hash_type, 0, exponent, 0)
    slots = b"".join(struct.pack(">II", number, 12 + 8 * copies) for number in range(copies))
    return struct.pack(">III", 0xFADE0CC0, 0, copies) + slots + head + hashes


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"exponent": 14},
        {"exponent": 0},
        {"hash_type": 1, "size": 20, "algorithm": "sha1"},
        {"hash_type": 3, "size": 20},
        {"hash_type": 4, "size": 48, "algorithm": "sha384"},
        {"copies": 2},
    ],
)
def test_a_right_one_is(how: dict[str, Any]) -> None:
    assert hardening.find_signature_fault(DATA, signature(**how)) == ""
    assert "isn't the one that was signed" in hardening.find_signature_fault(b"\1" + DATA[1:], signature(**how))


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"size": 0}, "hash type 2 of 0 bytes"),
        ({"size": 1}, "hash type 2 of 1 bytes"),
        ({"hash_type": 9}, "hash type 9"),
        ({"hash_type": 0, "size": 0}, "hash type 0 of 0 bytes"),
        ({"exponent": 1}, "page size 2**1"),
        ({"exponent": 40}, "page size 2**40"),
        ({"copies": 64}, "64 code directories"),
    ],
)
def test_what_would_prove_nothing_or_take_long_is_refused(how: dict[str, Any], told: str) -> None:
    assert told in hardening.find_signature_fault(DATA, signature(**how))
