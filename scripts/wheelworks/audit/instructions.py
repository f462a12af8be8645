"""Which instruction set an instruction belongs to, by the name that capstone gives it.

Sources: Intel's and AMD's manuals for x86, where everything in x86-64-v1 (SSE2) is the first generation; Arm's
Architecture Reference Manual for AArch64, where ARMv8.0-A with Advanced SIMD is. Instructions that older CPUs take for
another and do no harm with (``tzcnt`` is ``bsf`` there, hints are nothing) belong to the first generation.
"""

from __future__ import annotations

import re
from functools import lru_cache

_X86_SETS = {
    "sse3": "addsubpd addsubps haddpd haddps hsubpd hsubps lddqu movddup movshdup movsldup fisttp",
    "ssse3": "pabsb pabsw pabsd palignr phaddw phaddd phaddsw phsubw phsubd phsubsw pmaddubsw pmulhrsw pshufb "
    "psignb psignw psignd",
    "sse4.1": "blendpd blendps blendvpd blendvps dppd dpps extractps insertps movntdqa mpsadbw packusdw pblendvb "
    "pblendw pcmpeqq pextrb pextrd pextrq phminposuw pinsrb pinsrd pinsrq pmaxsb pmaxsd pmaxud pmaxuw pminsb pminsd "
    "pminud pminuw pmovsxbw pmovsxbd pmovsxbq pmovsxwd pmovsxwq pmovsxdq pmovzxbw pmovzxbd pmovzxbq pmovzxwd "
    "pmovzxwq pmovzxdq pmuldq pmulld ptest roundpd roundps roundsd roundss",
    "sse4.2": "crc32 pcmpestri pcmpestrm pcmpistri pcmpistrm pcmpgtq",
    "sse4a": "extrq insertq movntsd movntss",
    "popcnt": "popcnt",
    "lzcnt": "lzcnt",
    "bmi1": "andn bextr blsi blsmsk blsr",
    "bmi2": "bzhi mulx pdep pext rorx sarx shlx shrx",
    "adx": "adcx adox",
    "movbe": "movbe",
    "cx16": "cmpxchg16b",
    "aes": "aesdec aesdeclast aesenc aesenclast aesimc aeskeygenassist",
    "pclmul": "pclmulqdq pclmulhqhqdq pclmullqhqdq pclmulhqlqdq pclmullqlqdq",
    "sha": "sha1msg1 sha1msg2 sha1nexte sha1rnds4 sha256msg1 sha256msg2 sha256rnds2",
    "gfni": "gf2p8affineinvqb gf2p8affineqb gf2p8mulb",
    "rdrand": "rdrand rdseed",
}
_ARM_SETS = {
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
_X86 = {name: feature for feature, names in _X86_SETS.items() for name in names.split()}
_ARM = {name: feature for feature, names in _ARM_SETS.items() for name in names.split()}

# Every feature that these functions can name.
FEATURES = frozenset({*_X86_SETS, *_ARM_SETS, "avx", "avx2", "avx512", "fma", "f16c", "sve", "lse", "fp16"})

_VMX = "call clear func launch load mcall ptrld ptrst read resume run save write xoff xon"
_NOT_VECTOR = frozenset(["verr", "verw", *(f"vm{name}" for name in _VMX.split())])
_MASK = re.compile(r"k(add|and|andn|mov|not|or|ortest|shiftl|shiftr|test|unpck|xnor|xor)[bwdq]{1,2}")
_LSE = re.compile(r"casp?(a|l|al)?[bh]?|swp(a|l|al)?[bh]?|(ld|st)(add|clr|eor|set|smax|smin|umax|umin)(a|l|al)?[bh]?")
_SVE = re.compile(r"\bz\d+\.[bhsdq]\b|\bp\d+(/[mz]|\.[bhsd])")
_HALF = re.compile(r"\bh\d+\b|\.[48]h\b")


@lru_cache(1 << 14)
def x86(mnemonic: str, operands: str) -> str:
    """The instruction set of an x86 instruction; "" for the first generation."""
    name = mnemonic.rpartition(" ")[2]
    if feature := _X86.get(name):
        return feature
    if _MASK.fullmatch(name) or "zmm" in operands or "{k" in operands:
        return "avx512"
    if not name.startswith("v") or name in _NOT_VECTOR:
        return ""
    if name.startswith(("vfmadd", "vfmsub", "vfnm")):
        return "fma"
    if name in ("vcvtph2ps", "vcvtps2ph"):
        return "f16c"
    return "avx2" if name.startswith("vp") and "ymm" in operands else "avx"


@lru_cache(1 << 14)
def aarch64(mnemonic: str, operands: str) -> str:
    """The instruction set of an AArch64 instruction; "" for the first generation."""
    if _SVE.search(operands) or mnemonic in ("rdvl", "addvl", "ptrue", "smstart", "smstop"):
        return "sve"
    if feature := _ARM.get(mnemonic):
        return feature
    if _LSE.fullmatch(mnemonic):
        return "lse"
    if mnemonic.startswith("pmull") and ".1q" in operands:
        return "aes"
    is_arithmetic = mnemonic[0] == "f" and not mnemonic.startswith("fcvt")
    return "fp16" if is_arithmetic and _HALF.search(operands) else ""
