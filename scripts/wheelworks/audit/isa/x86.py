"""x86: everything in x86-64-v1 (SSE2) is the first generation; sources: Intel's and AMD's manuals.

Instructions that older CPUs take for another and do no harm with (``tzcnt`` is ``bsf`` there, hints are nothing)
belong to the first generation.
"""

from __future__ import annotations

import re
from functools import lru_cache

_SETS = {
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
_NAMES = {name: feature for feature, names in _SETS.items() for name in names.split()}

FEATURES = frozenset({*_SETS, "avx", "avx2", "avx512", "fma", "f16c"})

_VMX = "call clear func launch load mcall ptrld ptrst read resume run save write xoff xon"
_NOT_VECTOR = frozenset(["verr", "verw", *(f"vm{name}" for name in _VMX.split())])
_MASK = re.compile(r"k(add|and|andn|mov|not|or|ortest|shiftl|shiftr|test|unpck|xnor|xor)[bwdq]{1,2}")


@lru_cache(1 << 14)
def feature(mnemonic: str, operands: str) -> str:
    """The instruction set of an x86 instruction; "" for the first generation."""
    name = mnemonic.rpartition(" ")[2]
    if found := _NAMES.get(name):
        return found
    if _MASK.fullmatch(name) or "zmm" in operands or "{k" in operands:
        return "avx512"
    if not name.startswith("v") or name in _NOT_VECTOR:
        return ""
    if name.startswith(("vfmadd", "vfmsub", "vfnm")):
        return "fma"
    if name in ("vcvtph2ps", "vcvtps2ph"):
        return "f16c"
    return "avx2" if name.startswith("vp") and "ymm" in operands else "avx"
