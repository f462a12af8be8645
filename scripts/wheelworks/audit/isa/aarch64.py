"""AArch64: ARMv8.0-A with Advanced SIMD is the first generation; source: Arm's Architecture Reference Manual."""

from __future__ import annotations

import re
from functools import lru_cache

_SETS = {
    "dotprod": "sdot udot",
    "rdm": "sqrdmlah sqrdmlsh",
    "fhm": "fmlal fmlal2 fmlsl fmlsl2",
    "fcma": "fcmla fcadd",
    "jscvt": "fjcvtzs",
    "flagm": "cfinv rmif setf8 setf16 axflag xaflag",
    "frint": "frint32x frint32z frint64x frint64z",
    "sha3": "eor3 rax1 xar bcax",
    "sha512": "sha512h sha512h2 sha512su0 sha512su1",
    "sm3": "sm3partw1 sm3partw2 sm3ss1 sm3tt1a sm3tt1b sm3tt2a sm3tt2b",
    "sm4": "sm4e sm4ekey",
    "sha2": "sha1c sha1h sha1m sha1p sha1su0 sha1su1 sha256h sha256h2 sha256su0 sha256su1",
    "aes": "aesd aese aesimc aesmc",
    "crc": "crc32b crc32h crc32w crc32x crc32cb crc32ch crc32cw crc32cx",
    "i8mm": "smmla ummla usmmla usdot sudot",
    "bf16": "bfdot bfmmla bfmlalb bfmlalt bfcvt bfcvtn bfcvtn2",
    "pauth": "pacga pacda pacdb pacia pacib pacdza pacdzb paciza pacizb autda autdb autia autib autdza autdzb autiza "
    "autizb xpaci xpacd braa brab braaz brabz blraa blrab blraaz blrabz retaa retab ldraa ldrab",
    "rcpc": "ldapr ldaprb ldaprh ldapur ldapurb ldapurh ldapursb ldapursh ldapursw stlur stlurb stlurh",
    "mte": "irg addg subg gmi stg st2g stzg stgp ldg",
}
_NAMES = {name: feature for feature, names in _SETS.items() for name in names.split()}

FEATURES = frozenset({*_SETS, "sve", "lse", "fp16"})

_LSE = re.compile(r"casp?(a|l|al)?[bh]?|swp(a|l|al)?[bh]?|(ld|st)(add|clr|eor|set|smax|smin|umax|umin)(a|l|al)?[bh]?")
_SVE = re.compile(r"\bz\d+\.[bhsdq]\b|\bp\d+(/[mz]|\.[bhsd])")
_HALF = re.compile(r"\bh\d+\b|\.[48]h\b")


@lru_cache(1 << 14)
def feature(mnemonic: str, operands: str) -> str:
    """The instruction set of an AArch64 instruction; "" for the first generation."""
    if not mnemonic:
        return ""  # what capstone doesn't know is data more often than an instruction
    if _SVE.search(operands) or mnemonic in ("rdvl", "addvl", "ptrue", "smstart", "smstop"):
        return "sve"
    if found := _NAMES.get(mnemonic):
        return found
    if _LSE.fullmatch(mnemonic):
        return "lse"
    if mnemonic.startswith("pmull") and ".1q" in operands:
        return "aes"
    is_arithmetic = mnemonic[0] == "f" and not mnemonic.startswith("fcvt")
    return "fp16" if is_arithmetic and _HALF.search(operands) else ""
