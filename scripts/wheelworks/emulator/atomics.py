"""Atomic and paired accesses of the 64-bit RISC CPUs and s390x, found by their encodings: they need alignment.

Every place where an instruction may start is looked at, rather than swept over from the start: no data among
the code can hide an instruction, and only the few places whose opcode fits are decoded, so that it costs little.

Sources: the Arm Architecture Reference Manual (C4.1, encodings of loads and stores), the RISC-V Instruction Set
Manual (volume I, "A" extension), IBM's z/Architecture Principles of Operation (chapter 7).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from unicorn import arm64_const, riscv_const, s390x_const

from wheelworks.emulator.operand import Operand

ARM64_EXCLUSIVE = 0b001000  # bits 29 to 24: exclusives and their pairs, LDAR, STLR, LDLAR, STLLR, CAS, CASP
ARM64_ATOMIC = 0b111000  # LDADD, LDCLR, LDEOR, LDSET, LD{S,U}{MAX,MIN}, SWP, LDAPR; loads and stores of other kinds
ARM64_UNSCALED = 0b011001  # LDAPUR, STLUR
ARM64_KINDS = (ARM64_EXCLUSIVE, ARM64_ATOMIC, ARM64_UNSCALED)
RISCV_ATOMIC = 0x2F  # bits 6 to 0
RISCV_OPERATIONS = frozenset((*range(5), 8, 12, 16, 20, 24, 28))  # bits 31 to 27: LR, SC and AMO*
S390_SHORT = {0xBA: 4, 0xBB: 8}  # CS, CDS
S390_LONG = {
    **dict.fromkeys((0xEB14, 0xEBF4, 0xEBF6, 0xEBF7, 0xEBF8, 0xEBFA), 4),  # CSY, LAN, LAO, LAX, LAA, LAAL
    **dict.fromkeys((0xEB30, 0xEB31, 0xEBE4, 0xEBE6, 0xEBE7, 0xEBE8, 0xEBEA), 8),  # CSG, CDSY, LANG … LAALG
    **dict.fromkeys((0xEB3E, 0xE38E, 0xE38F), 16),  # CDSG, STPQ, LPQ
}
S390_DISJOINT = {0xC84: 4, 0xC85: 8}  # LPD, LPDG
S390_RELATIVE = {
    **dict.fromkeys((0xC4C, 0xC4D, 0xC4E, 0xC4F, 0xC6C, 0xC6D, 0xC6E, 0xC6F), 4),  # LGFRL, LRL, LLGFRL, STRL, C*RL
    **dict.fromkeys((0xC48, 0xC4B, 0xC68, 0xC6A), 8),  # LGRL, STGRL, CGRL, CLGRL
}


@dataclass(frozen=True)
class Encoding:
    """How to find such instructions: ``leads`` matches the byte ``at`` in the ``step`` bytes that one starts on."""

    step: int
    at: int
    leads: re.Pattern[bytes]
    decode: Callable[[bytes, int], tuple[Operand, ...]]


def atomic_operands(cpu: str, code: bytes, address: int) -> Iterator[tuple[int, Operand]]:
    """The addresses of all such instructions in ``code``, which lies at ``address``, and the operands they have."""
    encoding = ENCODINGS.get(cpu)
    if encoding is None:
        return
    for found in encoding.leads.finditer(code[encoding.at :: encoding.step]):
        start = found.start() * encoding.step
        for operand in encoding.decode(code[start : start + 6], address + start):
            yield address + start, operand


def _arm64(code: bytes, _address: int) -> tuple[Operand, ...]:
    word = int.from_bytes(code[:4], "little")
    kind, size = word >> 24 & 0x3F, 1 << (word >> 30)
    offset = 0
    if kind == ARM64_EXCLUSIVE:
        is_pair = word & 1 << 21 and not word & 1 << 23
        size = 8 << (word >> 30 & 1) if is_pair else size
    elif word & 0x200C00 != (0x200000 if kind == ARM64_ATOMIC else 0):
        return ()
    elif kind == ARM64_UNSCALED:
        offset = _signed(word >> 12, 9)
    return (Operand(_arm64_base(word >> 5 & 31), None, 1, offset, size),)


def _arm64_base(number: int) -> int:
    name = "SP" if number == 31 else f"X{number}"
    return int(getattr(arm64_const, f"UC_ARM64_REG_{name}"))


def _riscv(code: bytes, _address: int) -> tuple[Operand, ...]:
    word = int.from_bytes(code[:4], "little")
    width = word >> 12 & 7
    if width not in (2, 3) or word >> 27 not in RISCV_OPERATIONS:
        return ()
    return (Operand(riscv_const.UC_RISCV_REG_X0 + (word >> 15 & 31), None, 1, 0, 1 << width),)


def _s390(code: bytes, address: int) -> tuple[Operand, ...]:
    code = code.ljust(6, b"\0")
    word = int.from_bytes(code, "big")
    if size := S390_SHORT.get(code[0]):
        return (_s390_operand(word >> 16, size),)
    if size := S390_LONG.get(code[0] << 8 | code[5]):
        return (_s390_long(word, size),)
    operation = code[0] << 4 | code[1] & 15
    if size := S390_DISJOINT.get(operation):
        return _s390_operand(word >> 16, size), _s390_operand(word, size)
    if size := S390_RELATIVE.get(operation):
        return (Operand(None, None, 1, address + 2 * _signed(word, 32), size),)
    return ()


def _s390_operand(bits: int, size: int) -> Operand:
    """Base and displacement of 12 bits."""
    return Operand(_s390_base(bits >> 12), None, 1, bits & 0xFFF, size)


def _s390_long(word: int, size: int) -> Operand:
    """Base and displacement of 20 bits, whose high byte comes last; of the 0xE3 ones, an index before them."""
    offset = _signed((word >> 8 & 0xFF) << 12 | word >> 16 & 0xFFF, 20)
    index = _s390_base(word >> 32) if word >> 40 == 0xE3 else None
    return Operand(_s390_base(word >> 28), index, 1, offset, size)


def _s390_base(number: int) -> int | None:
    """The register, but that 0 stands for none."""
    return s390x_const.UC_S390X_REG_R0 + (number & 15) if number & 15 else None


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _one_of(values: Iterator[int]) -> re.Pattern[bytes]:
    return re.compile(b"[" + re.escape(bytes(values)) + b"]", re.DOTALL)


ENCODINGS = {
    "aarch64": Encoding(4, 3, _one_of(size << 6 | kind for size in range(4) for kind in ARM64_KINDS), _arm64),
    "riscv64": Encoding(2, 0, _one_of(low | RISCV_ATOMIC for low in (0, 0x80)), _riscv),
    "s390x": Encoding(2, 0, _one_of(iter((0xBA, 0xBB, 0xC4, 0xC6, 0xC8, 0xE3, 0xEB))), _s390),
}
