"""Signatures of Mach-O files: what is right, and what only looks as if it were."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import pytest
from wheelworks.audit import hardening

DATA = bytes(range(256)) * 50


def signature(
    *, hash_type: int = 2, size: int = 32, exponent: int = 12, copies: int = 1, algorithm: str = "sha256"
) -> bytes:
    """An ad-hoc signature of `DATA`, its code directory repeated."""
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
