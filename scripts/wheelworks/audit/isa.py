"""Name the instruction set that an instruction belongs to, for every machine whose code the audit reads.

Each machine has a baseline, its first generation, whose instructions need no name: x86-64-v1 (SSE2), ARMv8.0-A with
Advanced SIMD, ARMv7-A with VFPv3-D16, POWER8, z196, RV64GC. Mnemonics and operands are written as capstone writes
them. For an instruction that capstone does not know, the mnemonic is empty and the operands are its bytes in hex.

Sources: Intel's and AMD's manuals; Arm's Architecture Reference Manuals (ARMv7-A, ARMv8-A); the Power ISA 3.0 and 3.1;
z/Architecture Principles of Operation; the RISC-V Instruction Set Manual.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

_HWPROBE = ("a0, zero, 0x102", "a7, zero, 0x102")  # the system call's number, as an argument or in its register


@lru_cache(1 << 15)
def find_feature(machine: str, mnemonic: str, operands: str) -> str:
    """Return the instruction set above the machine's baseline, or "". Raises KeyError for an unknown machine."""
    rules = _RULES[machine]
    if not mnemonic:
        return _WORDS[machine](operands) if machine in _WORDS else ""
    name = mnemonic.rpartition(" ")[2].removesuffix(".w").rstrip(".")
    text = f"{name} {operands}"
    for rule in rules:
        found = rule.get(name) if isinstance(rule, dict) else rule[1] if rule[0].match(text) else None
        if found is not None:
            return found
    return ""


def supports_machine(machine: str) -> bool:
    """Return whether the machine's instructions are known here."""
    return machine in _RULES


def queries_cpu(machine: str, mnemonic: str, operands: str) -> bool:
    """Return whether an instruction by itself reads the CPU's features, or asks the operating system for them."""
    if machine == "aarch64":
        return mnemonic == "mrs" and "id_aa64" in operands.casefold()
    if machine == "riscv64":
        return mnemonic == "addi" and operands in _HWPROBE
    return machine == "s390x" and mnemonic in ("stfl", "stfle")


# A rule is a table of mnemonics, or a pattern for the mnemonic, a space, and the operands. A machine's first rule that
# matches decides. capstone's type suffixes and conditions are part of the mnemonic.
Rule = dict[str, str] | tuple[re.Pattern[str], str]


def _by_mnemonic(sets: Mapping[str, str]) -> dict[str, str]:
    return {name: feature for feature, names in sets.items() for name in names.split()}


def _rule(pattern: str, feature: str) -> Rule:
    return re.compile(pattern), feature


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
# Instructions that older CPUs execute as a harmless other one (`tzcnt` as `bsf`, hints as nothing) are baseline.
_X86_RULES: tuple[Rule, ...] = (
    _by_mnemonic(_X86_SETS),
    _rule(r"k(add|and|andn|mov|not|or|ortest|shiftl|shiftr|test|unpck|xnor|xor)[bwdq]{1,2} |.*zmm|.*\{k", "avx512"),
    _rule(r"(?!v)|(verr|verw) ", ""),
    _rule(r"vm(call|clear|func|launch|load|mcall|ptrld|ptrst|read|resume|run|save|write|xoff|xon) ", ""),
    _rule(r"vfmadd|vfmsub|vfnm", "fma"),
    _rule(r"vcvt(ph2ps|ps2ph) ", "f16c"),
    _rule(r"vp.*ymm", "avx2"),
    _rule(r"v", "avx"),
)

_AARCH64_SETS = {
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
_AARCH64_RULES: tuple[Rule, ...] = (
    _rule(r"(rdsvl|addsvl|addspl|smstart|smstop) |.*\bza(\d|\b)", "sme"),
    _rule(r"(rdvl|addvl|ptrue) |.*(\bz\d+\.[bhsdq]\b|\bp\d+(/[mz]|\.[bhsd]))", "sve"),
    _by_mnemonic(_AARCH64_SETS),
    _rule(r"(casp?|swp|(ld|st)(add|clr|eor|set|smax|smin|umax|umin))(a|l|al)?[bh]? ", "lse"),
    _rule(r"pmull.*\.1q", "aes"),
    _rule(r"f(?!cvt).*(\bh\d+\b|\.[48]h\b)", "fp16"),
)

_ARM_RULES: tuple[Rule, ...] = (
    _rule(r"[su]div\w{0,2} ", "idiv"),
    _rule(r"crc32", "armv8-crc"),
    _rule(r"(aes[de]|aesi?mc|sha1\w+|sha256\w+)\.\d+ ", "armv8-crypto"),
    _rule(r"((lda|stl)(ex)?[bhd]?|ldab|ldah|sevl|hlt|dcps\d|vsel\w\w\.f\d\d|v(max|min)nm\.f\d\d) ", "armv8"),
    _rule(r"(vrint\w\.f\d\d\S*|vcvt[anpm]\.\S+) ", "armv8"),
    _rule(r"(?!v)", ""),
    _rule(r"\S* .*\bq\d+|vfn?m[as]\w{0,2}\.f32 d\d", "neon"),
    _rule(r"vfn?m[as]\w{0,2}\.f(32|64) ", "vfpv4"),
    _rule(r"vcvt[bt]\w{0,2}\.f\d\d\.f\d\d ", "vfpv3-fp16"),
    _rule(r"v(?!mov|mrs|msr|cvt|ldr|str|ldm|stm|push|pop)\w+\.[iusp]?(8|16|32|64) ", "neon"),
    _rule(r"vmov\w{0,2}\.(8|16|[us]8|[us]16) ", "neon"),
    # In VFP, only conversions from single precision combine a double register with .f32.
    _rule(r"(v\w+\.f32|vcvt\w{0,2}\.(f32\.[su]32|[su]32\.f32)) d\d", "neon"),
    _rule(r"\S* .*\bd(1[6-9]|2\d|3[01])\b", "d32"),
)

_POWER9_NAMES = """
addpcis lnia subpcis cmpeqb cmprb cnttzd cnttzw copy paste darn extswsli ldat lwat stdat stwat maddhd maddhdu maddld
mcrxrx modsd modsw modud moduw setb lxv lxvx lxvl lxvll lxsd lxssp lxsibzx lxsihzx lxvb16x lxvh8x lxvwsx stxv stxvx
stxvl stxvll stxsd stxssp stxsibx stxsihx stxvb16x stxvh8x mfvsrld mtvsrdd mtvsrws
bcdcfn bcdcfsq bcdcfz bcdcpsgn bcdctn bcdctsq bcdctz bcds bcdsetsgn bcdsr bcdtrunc bcdus bcdutrunc
vabsdub vabsduh vabsduw vbpermd vclzlsbb vctzlsbb vcmpneb vcmpneh vcmpnew vcmpnezb vcmpnezh vcmpnezw vctzb vctzd vctzh
vctzw vextractd vextractub vextractuh vextractuw vextsb2d vextsb2w vextsh2d vextsh2w vextsw2d vextublx vextubrx vextuhlx
vextuhrx vextuwlx vextuwrx vinsertb vinsertd vinserth vinsertw vmsumudm vmul10cuq vmul10ecuq vmul10euq vmul10uq vnegd
vnegw vpermr vprtybd vprtybq vprtybw vrldmi vrldnm vrlwmi vrlwnm vslv vsrv
xscmpeqdp xscmpexpdp xscmpgedp xscmpgtdp xscvdphp xscvhpdp xsiexpdp xsmaxcdp xsmaxjdp xsmincdp xsminjdp xststdcdp
xststdcsp xsxexpdp xsxsigdp xvcvhpsp xvcvsphp xviexpdp xviexpsp xvtstdcdp xvtstdcsp xvxexpdp xvxexpsp xvxsigdp xvxsigsp
xxbrd xxbrh xxbrq xxbrw xxextractuw xxinsertw xxperm xxpermr xxspltib
"""
_POWER_RULES: tuple[Rule, ...] = (
    _rule(r"\S* v31, v31, v31$", ""),  # all bits set, as in the distances in front of stubs: data
    _by_mnemonic({"power9": _POWER9_NAMES}),
    _rule(r"(xs\w+qpo?|xs\w+qp[a-z]+|xscv[a-z]+qp) ", "power9"),  # arithmetic with 128-bit floating point
)
# capstone doesn't know POWER10. Mask and value of its instruction words: the four forms of prefix (all code compiled
# for it is full of them), then byte reversal, set on condition, and pairs of vectors.
_POWER10 = (
    (0xFFEC0000, 0x04000000), (0xFFEC0000, 0x06000000), (0xFFFF0000, 0x05000000), (0xFFFFF000, 0x07900000),
    (0xFC00FFFF, 0x7C000136), (0xFC00FFFF, 0x7C000176), (0xFC00FFFF, 0x7C0001B6),
    (0xFC00FFFF, 0x7C000300), (0xFC00FFFF, 0x7C000340), (0xFC00FFFF, 0x7C000380), (0xFC00FFFF, 0x7C0003C0),
    (0xFC00000F, 0x18000000), (0xFC00000F, 0x18000001),
)  # fmt: skip


def _find_power_word(operands: str) -> str:
    word = int.from_bytes(bytes.fromhex(operands), "little")
    return "power10" if any(word & mask == value for mask, value in _POWER10) else ""


# capstone knows IBM Z's instructions up to the z13; later ones are recognised by their operation codes.
_S390X_SETS = {
    "zec12": "bpp bprp niai ppa etnd tabort tbegin tbeginc tend ntstg lat lgat lfhat llgfat llgtat risbgn "
    "clgt clt cdzt cxzt czdt czxt",
    "z13": "lzrf lzrg llzrgf locfh locfhr stocfh lcbb cpdt cpxt cdpt cxpt",
    "z14": "agh sgh mg mgh mgrk msgrkc msrkc msc msgc bi bic lgg llgfsg lgsc stgsc irbm",
}
_S390X_RULES: tuple[Rule, ...] = (
    _rule(r"(clgt|clt)(e|h|l|ne|nh|nl|he|le|lh|nhe|nle|nlh)? ", "zec12"),
    _by_mnemonic(_S390X_SETS),
    _rule(r"(loc(g|h)?hi\w*|(clgt|clt)\w*) ", "z13"),  # the condition is part of the mnemonic
    _rule(r"(v[a-z]\w*|w[a-z]\w*|lcbb) ", "vx"),
)
# The first two bytes of z15's four-byte instructions: combined logic and select.
_Z15 = frozenset(
    ["b964", "b965", "b966", "b967", "b974", "b975", "b976", "b977", "b9c0", "b9e3", "b9e5", "b9f0", "b9f5"]
)


def _find_s390x_word(operands: str) -> str:
    if len(operands) == 12 and operands[:2] in ("e6", "e7"):
        return "vx"  # the codes of the vector facility, and of nothing else
    return "z15" if operands[:4] in _Z15 and len(operands) == 8 else ""


# RISC-V. capstone reads RV64GC alone, so later extensions are recognised by their words: opcode in bits 0 to 6, funct3
# in 12 to 14, funct7 from 25 on. 16-bit instructions above the baseline (Zcb) aren't recognised.
_OP, _OP_IMM, _OP_32, _OP_IMM_32 = 0x33, 0x13, 0x3B, 0x1B
_RISCV = {  # (opcode, funct3, funct7): extension
    **{(_OP, f3, 0x10): "zba" for f3 in (2, 4, 6)},
    **{(_OP_32, f3, 0x10): "zba" for f3 in (2, 4, 6)},
    (_OP_32, 0, 0x04): "zba", (_OP_IMM_32, 1, 0x04): "zba", (_OP_IMM_32, 1, 0x05): "zba",
    **{(_OP, f3, 0x20): "zbb" for f3 in (4, 6, 7)},
    **{(_OP, f3, 0x05): "zbb" for f3 in (4, 5, 6, 7)},
    **{(_OP, f3, 0x05): "zbc" for f3 in (1, 2, 3)},
    **{(op, f3, 0x30): "zbb" for op in (_OP, _OP_32, _OP_IMM, _OP_IMM_32) for f3 in (1, 5)},
    (_OP_IMM, 5, 0x31): "zbb", (_OP_IMM, 5, 0x14): "zbb", (_OP_IMM, 5, 0x35): "zbb", (_OP_32, 4, 0x04): "zbb",
    **{(op, f3, f7): "zbs" for op in (_OP, _OP_IMM) for f3, f7 in ((1, 0x14), (1, 0x24), (5, 0x24), (1, 0x34))},
    **{(_OP_IMM, f3, f7): "zbs" for f3, f7 in ((1, 0x15), (1, 0x25), (5, 0x25), (1, 0x35))},
    (_OP, 5, 0x07): "zicond", (_OP, 7, 0x07): "zicond",
    **{(_OP, 0, f7): "zkn" for f7 in (0x19, 0x1B, 0x1D, 0x1F)},
    (_OP_IMM, 1, 0x08): "zkn", (_OP_IMM, 1, 0x18): "zkn",
    (0x0F, 2, 0x00): "zicbo",
}  # fmt: skip
_FP_LOAD, _FP_STORE, _FP, _VECTOR = 0x07, 0x27, 0x53, 0x57
_FUSED = (0x43, 0x47, 0x4B, 0x4F)
_VECTOR_WIDTHS = (0, 5, 6, 7)


def _find_riscv_word(operands: str) -> str:
    if len(operands) != 8:
        return ""
    word = int.from_bytes(bytes.fromhex(operands), "little")
    opcode, funct3, funct7 = word & 0x7F, word >> 12 & 7, word >> 25
    if opcode == _VECTOR or (opcode in (_FP_LOAD, _FP_STORE) and funct3 in _VECTOR_WIDTHS):
        return "rvv"
    half = (opcode in (_FP, *_FUSED) and funct7 & 3 == 2) or (opcode in (_FP_LOAD, _FP_STORE) and funct3 == 1)
    return "zfh" if half else _RISCV.get((opcode, funct3, funct7), "")


_RULES: dict[str, tuple[Rule, ...]] = {
    "x86_64": _X86_RULES,
    "x86": _X86_RULES,
    "aarch64": _AARCH64_RULES,
    "arm": _ARM_RULES,
    "powerpc64le": _POWER_RULES,
    "s390x": _S390X_RULES,
    "riscv64": (),
}
# What capstone doesn't know is data more often than an instruction, except on machines with newer generations.
_WORDS: dict[str, Callable[[str], str]] = {
    "powerpc64le": _find_power_word, "s390x": _find_s390x_word, "riscv64": _find_riscv_word,
}  # fmt: skip
_ALL_RULES = [rule for rules in _RULES.values() for rule in rules]
_NAMED = {name for rule in _ALL_RULES for name in (rule.values() if isinstance(rule, dict) else (rule[1],))}
# Every feature that `find_feature` can return.
FEATURES = frozenset({*_NAMED, *_RISCV.values(), "rvv", "zfh", "power10", "z15"}) - {""}
