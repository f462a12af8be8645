"""64-bit RISC-V: RV64GC (IMAFD, Zicsr, Zifencei, C) is the first generation, which every distribution builds for.

Source: The RISC-V Instruction Set Manual. capstone reads that generation alone, so that later ones are known here by
their words: opcode in bits 0 to 6, funct3 in 12 to 14, funct7 from 25 on. Sixteen-bit instructions above the generation
(Zcb) aren't known.
"""

from __future__ import annotations

from functools import lru_cache

FEATURES = frozenset({"rvv", "zba", "zbb", "zbc", "zbs", "zicond", "zfh", "zicbo", "zkn"})

_OP, _OP_IMM, _OP_32, _OP_IMM_32 = 0x33, 0x13, 0x3B, 0x1B
# (opcode, funct3, funct7): the extension
_BITS = {
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


@lru_cache(1 << 14)
def feature(mnemonic: str, operands: str) -> str:
    """The extension of an instruction; "" for the first generation. One without a mnemonic is its bytes in hex."""
    if mnemonic or len(operands) != 8:
        return ""
    word = int.from_bytes(bytes.fromhex(operands), "little")
    opcode, funct3, funct7 = word & 0x7F, word >> 12 & 7, word >> 25
    if opcode == _VECTOR or (opcode in (_FP_LOAD, _FP_STORE) and funct3 in _VECTOR_WIDTHS):
        return "rvv"
    half = (opcode in (_FP, *_FUSED) and funct7 & 3 == 2) or (opcode in (_FP_LOAD, _FP_STORE) and funct3 == 1)
    return "zfh" if half else _BITS.get((opcode, funct3, funct7), "")
