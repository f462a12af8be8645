"""32-bit ARM, hard float: ARMv7-A with VFPv3 of 16 registers is the first generation, as distributions build for it.

Source: Arm's Architecture Reference Manuals, ARMv7-A and ARMv8-A (AArch32). capstone's names bear type suffixes and, in
Thumb, the condition of the IT block and ``.w``.
"""

from __future__ import annotations

import re
from functools import lru_cache

FEATURES = frozenset({"neon", "d32", "vfpv3-fp16", "vfpv4", "idiv", "armv8", "armv8-crypto", "armv8-crc"})

_DIVIDE = re.compile(r"[su]div\w{0,2}")
_FUSED = re.compile(r"vfn?m[as]\w{0,2}\.f(32|64)")
_HALF = re.compile(r"vcvt[bt]\w{0,2}\.f\d\d\.f\d\d")
_ARMV8 = re.compile(r"(lda|stl)(ex)?[bhd]?|ldab|ldah|sevl|hlt|vsel\w\w\.f\d\d|v(max|min)nm\.f\d\d|vrint\w\.f\d\d\S*|"
                    r"vcvt[anpm]\.\S+|dcps\d")  # fmt: skip
_CRYPTO = re.compile(r"(aes[de]|aesi?mc|sha1\w+|sha256\w+)\.\d+")
_QUAD = re.compile(r"\bq\d+")
_UPPER = re.compile(r"\bd(1[6-9]|2\d|3[01])\b")
_VECTOR_TYPE = re.compile(r"v(?!mov|mrs|msr|cvt|ldr|str|ldm|stm|push|pop)\w+\.([iusp]?(8|16|32|64))")
_TWO_FLOATS = re.compile(r"v\w+\.f32")
_VMOV_OF_ONE = re.compile(r"vmov\w{0,2}\.(8|16|[us]8|[us]16)")
_DOUBLE = re.compile(r"^d\d+")
_CONVERTS = re.compile(r"vcvt\w{0,2}\.(f32\.[su]32|[su]32\.f32)")


@lru_cache(1 << 14)
def feature(mnemonic: str, operands: str) -> str:
    """The instruction set of an ARM or Thumb instruction; "" for the first generation."""
    name = mnemonic.removesuffix(".w")
    if _DIVIDE.fullmatch(name):
        return "idiv"
    if name.startswith("crc32"):
        return "armv8-crc"
    if _CRYPTO.fullmatch(name):
        return "armv8-crypto"
    if _ARMV8.fullmatch(name):
        return "armv8"
    return _floating(name, operands) if name.startswith("v") else ""


def _floating(name: str, operands: str) -> str:
    if _QUAD.search(operands):
        return "neon"
    if _FUSED.fullmatch(name):
        return "neon" if name.endswith("f32") and _DOUBLE.match(operands) else "vfpv4"
    if _HALF.fullmatch(name):
        return "vfpv3-fp16"
    if _VECTOR_TYPE.fullmatch(name) or _VMOV_OF_ONE.fullmatch(name):
        return "neon"
    # of VFP, only conversions from single precision have a double register beside .f32
    is_pair = _DOUBLE.match(operands) and (_TWO_FLOATS.fullmatch(name) or _CONVERTS.fullmatch(name))
    if is_pair:
        return "neon"
    return "d32" if _UPPER.search(operands) else ""
