"""Which set an instruction belongs to: by its bytes, as capstone reads them."""

from __future__ import annotations

import capstone
import pytest
from wheelworks.audit import instructions

X86 = {
    "f30f58c1": "",  # addss
    "660fefc0": "",  # pxor
    "f30fbcc0": "",  # tzcnt, which is bsf to older CPUs
    "f30f1efa": "",  # endbr64
    "f20fd0c1": "sse3",  # addsubps
    "660f3800c1": "ssse3",  # pshufb
    "660f3817c1": "sse4.1",  # ptest
    "f20f38f1c1": "sse4.2",  # crc32
    "f30fb8c1": "popcnt",
    "f30fbdc1": "lzcnt",
    "c5f877": "avx",  # vzeroupper
    "c5f5fec2": "avx2",  # vpaddd ymm
    "c4e27598c2": "fma",  # vfmadd132ps
    "62f17548fec2": "avx512",  # vpaddd zmm
    "c4e278f7c1": "bmi1",  # bextr
    "c4e27bf5c1": "bmi2",  # pdep
    "660f38dcc1": "aes",
    "480fc70f": "cx16",
}
ARM = {
    "1f2003d5": "",  # nop
    "3f2303d5": "",  # paciasp, a hint
    "2000028b": "",  # add
    "207c5f88": "",  # ldxr
    "2000e1f8": "lse",  # ldaddal
    "2000e0b8": "lse",
    "20c0bfb8": "rcpc",  # ldapr
    "2094824e": "dotprod",  # sdot
    "20a4824e": "i8mm",  # smmla
    "20004004": "sve",  # and z0.h, p0/m
    "2048284e": "aes",
    "2040c21a": "crc",
    "ff0b5fd6": "pauth",  # retaa
}


@pytest.mark.parametrize(("code", "feature"), X86.items())
def test_x86(code: str, feature: str) -> None:
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    [found] = decoder.disasm_lite(bytes.fromhex(code), 0)
    assert instructions.x86(*found[2:]) == feature


@pytest.mark.parametrize(("code", "feature"), ARM.items())
def test_aarch64(code: str, feature: str) -> None:
    decoder = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
    found = list(decoder.disasm_lite(bytes.fromhex(code), 0))
    assert [instructions.aarch64(*one[2:]) for one in found] in ([feature], [])
    assert found or not feature


def test_every_feature_can_be_named() -> None:
    assert set(X86.values()) | set(ARM.values()) <= instructions.FEATURES | {""}
