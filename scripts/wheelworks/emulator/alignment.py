"""Instructions that fault on a misaligned address. Each one is checked before it runs.

Unicorn accepts some of these accesses (SSE, LDRD, LDAR, STLR, LGRL) and rejects others without a reason (LDXR, AMO*,
CS). They are found in two ways. On x86 and 32-bit Arm, a sweep of capstone's disassembler finds them. The 64-bit RISC
CPUs and s390x need alignment only for atomic and paired accesses: there, every address at which an instruction may
start is compared with the opcodes, so that data between the code can't hide an instruction.

Which accesses need alignment, by source:

- Intel's manual: SSE operands of 16 bytes, except those of unaligned moves.
- The Arm Architecture Reference Manual: LDRD, LDM, VLDR and their relatives need word alignment also where LDR doesn't,
  LDREXD and STREXD 8 bytes. On AArch64, exclusive, acquiring, releasing and atomic accesses need alignment to their
  size (C4.1 has the encodings). FEAT_LSE2 (Armv8.4, all ARM64 Macs) also allows them within 16 aligned bytes; Armv8.0,
  Unicorn and C don't, so they are faults on every platform.
- The RISC-V Instruction Set Manual, volume I, "A" extension: LR, SC and AMO*. The manual leaves misaligned plain loads
  and stores open, but Linux supports them (Documentation/arch/riscv/uabi.rst).
- IBM's z/Architecture Principles of Operation, chapter 7: compare and swap, interlocked and paired accesses, operands
  relative to the instruction. CSST and PLO, whose alignment depends on a function code, and instructions run by EX or
  EXRL are not checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import capstone
from capstone import arm as a32
from capstone import x86
from unicorn import arm64_const, arm_const, riscv_const, s390x_const, x86_const

from wheelworks.emulator.cpu import Cpu
from wheelworks.emulator.faults import Fault


@dataclass(frozen=True)
class MemoryOperand:
    """The operand at base + index * scale + offset, and the alignment that it needs, in bytes."""

    base: int | None
    index: int | None
    scale: int
    offset: int
    alignment: int

    def compute_address(self, cpu: Cpu) -> int:
        """Return the operand's address with the current registers."""
        base = cpu.get(self.base) if self.base is not None else 0
        index = cpu.get(self.index) if self.index is not None else 0
        return base + index * self.scale + self.offset


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
    """How to find a CPU's atomic instructions.

    Instructions start at multiples of ``step`` bytes; ``leads`` matches the byte at offset ``at`` of one.
    """

    step: int
    at: int
    leads: re.Pattern[bytes]
    decode: Callable[[bytes, int], tuple[MemoryOperand, ...]]


def find_atomic_operands(cpu: str, code: bytes, address: int) -> Iterator[tuple[int, MemoryOperand]]:
    """Yield the address and the operands of each atomic instruction in ``code``, which is loaded at ``address``."""
    encoding = ENCODINGS.get(cpu)
    if encoding is None:
        return
    for found in encoding.leads.finditer(code[encoding.at :: encoding.step]):
        start = found.start() * encoding.step
        for operand in encoding.decode(code[start : start + 6], address + start):
            yield address + start, operand


def _decode_arm64(code: bytes, _address: int) -> tuple[MemoryOperand, ...]:
    word = int.from_bytes(code[:4], "little")
    kind, size = word >> 24 & 0x3F, 1 << (word >> 30)
    offset = 0
    if kind == ARM64_EXCLUSIVE:
        is_pair = word & 1 << 21 and not word & 1 << 23
        size = 8 << (word >> 30 & 1) if is_pair else size
    elif word & 0x200C00 != (0x200000 if kind == ARM64_ATOMIC else 0):
        return ()
    elif kind == ARM64_UNSCALED:
        offset = _sign_extend(word >> 12, 9)
    number = word >> 5 & 31
    base = getattr(arm64_const, "UC_ARM64_REG_SP" if number == 31 else f"UC_ARM64_REG_X{number}")
    return (MemoryOperand(base, None, 1, offset, size),)


def _decode_riscv(code: bytes, _address: int) -> tuple[MemoryOperand, ...]:
    word = int.from_bytes(code[:4], "little")
    width = word >> 12 & 7
    if width not in (2, 3) or word >> 27 not in RISCV_OPERATIONS:
        return ()
    return (MemoryOperand(riscv_const.UC_RISCV_REG_X0 + (word >> 15 & 31), None, 1, 0, 1 << width),)


def _decode_s390(code: bytes, address: int) -> tuple[MemoryOperand, ...]:
    code = code.ljust(6, b"\0")
    word = int.from_bytes(code, "big")
    if size := S390_SHORT.get(code[0]):
        return (_decode_s390_operand(word >> 16, size),)
    if size := S390_LONG.get(code[0] << 8 | code[5]):
        return (_decode_s390_long(word, size),)
    operation = code[0] << 4 | code[1] & 15
    if size := S390_DISJOINT.get(operation):
        return _decode_s390_operand(word >> 16, size), _decode_s390_operand(word, size)
    if size := S390_RELATIVE.get(operation):
        return (MemoryOperand(None, None, 1, address + 2 * _sign_extend(word, 32), size),)
    return ()


def _decode_s390_operand(bits: int, size: int) -> MemoryOperand:
    """Decode a base and a displacement of 12 bits."""
    return MemoryOperand(_get_s390_base(bits >> 12), None, 1, bits & 0xFFF, size)


def _decode_s390_long(word: int, size: int) -> MemoryOperand:
    """Decode a base and a displacement of 20 bits, high byte last, and the index that 0xE3 instructions have."""
    offset = _sign_extend((word >> 8 & 0xFF) << 12 | word >> 16 & 0xFFF, 20)
    index = _get_s390_base(word >> 32) if word >> 40 == 0xE3 else None
    return MemoryOperand(_get_s390_base(word >> 28), index, 1, offset, size)


def _get_s390_base(number: int) -> int | None:
    """Return the register; number 0 means no register."""
    return s390x_const.UC_S390X_REG_R0 + (number & 15) if number & 15 else None


def _sign_extend(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _compile_choice(values: Iterable[int]) -> re.Pattern[bytes]:
    return re.compile(b"[" + re.escape(bytes(values)) + b"]", re.DOTALL)


ENCODINGS = {
    "aarch64": Encoding(
        4, 3, _compile_choice(size << 6 | kind for size in range(4) for kind in ARM64_KINDS), _decode_arm64
    ),
    "riscv64": Encoding(2, 0, _compile_choice(low | RISCV_ATOMIC for low in (0, 0x80)), _decode_riscv),
    "s390x": Encoding(2, 0, _compile_choice((0xBA, 0xBB, 0xC4, 0xC6, 0xC8, 0xE3, 0xEB)), _decode_s390),
}


Mode = tuple[int, int]
UNALIGNED_MOVES = ("movups", "movupd", "movdqu", "lddqu", "pcmpestri", "pcmpestrm", "pcmpistri", "pcmpistrm")
ARM_ALIGNMENTS = {  # by the start of the mnemonic; the first match counts
    **dict.fromkeys(("ldrexd", "strexd"), 8),
    **dict.fromkeys(("ldrexh", "strexh"), 2),
    **dict.fromkeys(("ldrexb", "strexb"), 1),
    **dict.fromkeys(("ldrex", "strex", "ldrd", "strd", "ldm", "stm", "vldr", "vstr", "vldm", "vstm"), 4),
}
THUMB = 1 << 5  # in CPSR
MODES = {
    "x86_64": ((capstone.CS_ARCH_X86, capstone.CS_MODE_64),),
    "x86": ((capstone.CS_ARCH_X86, capstone.CS_MODE_32),),
    "arm": ((capstone.CS_ARCH_ARM, capstone.CS_MODE_ARM), (capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB)),
}


def watch_alignment(cpu: Cpu, name: str, code: bytes, address: int) -> None:
    """Check, before it runs, every instruction in ``code`` that needs alignment. ``name`` is the CPU's name.

    Data that looks like such an instruction does no harm: it never runs.
    """
    for mode in MODES.get(name, ()):
        for place, operand in find_aligned_operands(mode, code, address):
            cpu.check_at(place, _check(cpu, operand, mode))
    for place, operand in find_atomic_operands(name, code, address):
        cpu.check_at(place, _check(cpu, operand))


def _check(cpu: Cpu, operand: MemoryOperand, mode: Mode | None = None) -> Callable[[], Fault | None]:
    def check() -> Fault | None:
        if mode and mode[0] == capstone.CS_ARCH_ARM:
            thumb = bool(cpu.get(arm_const.UC_ARM_REG_CPSR) & THUMB)
            if thumb != (mode[1] == capstone.CS_MODE_THUMB):
                return None
        address = operand.compute_address(cpu)
        wrong = f"{address:#x} is not a multiple of {operand.alignment}, as it must be"
        return Fault("misaligned-access", wrong) if address % operand.alignment else None

    return check


def find_aligned_operands(mode: Mode, code: bytes, address: int) -> Iterator[tuple[int, MemoryOperand]]:
    """Yield the address and the operand of each instruction that needs alignment."""
    sweep, detailed = capstone.Cs(*mode), capstone.Cs(*mode)
    sweep.skipdata = detailed.detail = True
    for place, size, mnemonic, text in sweep.disasm_lite(code, address):
        if _may_need_alignment(mode, mnemonic, text):
            found = next(detailed.disasm(code[place - address :][:size], place), None)
            find = _find_arm_operand if mode[0] == capstone.CS_ARCH_ARM else _find_x86_operand
            if found and (operand := find(found)):
                yield place, operand


def _may_need_alignment(mode: Mode, mnemonic: str, text: str) -> bool:
    if mode[0] == capstone.CS_ARCH_ARM:
        return mnemonic.startswith(tuple(ARM_ALIGNMENTS))
    return "xmmword" in text and not mnemonic.startswith((*UNALIGNED_MOVES, "v"))


def _find_x86_operand(instruction: Any) -> MemoryOperand | None:
    for operand in instruction.operands:
        if operand.type == x86.X86_OP_MEM and operand.size == 16 and not operand.mem.segment:
            memory = operand.mem
            base = _find_register(instruction, memory.base, x86_const, "UC_X86_REG_")
            index = _find_register(instruction, memory.index, x86_const, "UC_X86_REG_")
            if memory.base in (x86.X86_REG_RIP, x86.X86_REG_EIP):
                return MemoryOperand(None, None, 1, instruction.address + instruction.size + memory.disp, 16)
            return MemoryOperand(base, index, memory.scale, memory.disp, 16)
    return None


def _find_arm_operand(instruction: Any) -> MemoryOperand | None:
    for operand in instruction.operands:
        if operand.type == a32.ARM_OP_MEM and operand.mem.base != a32.ARM_REG_PC:
            memory = operand.mem
            base = _find_register(instruction, memory.base, arm_const, "UC_ARM_REG_")
            index = _find_register(instruction, memory.index, arm_const, "UC_ARM_REG_")
            offset = 0 if instruction.post_index else memory.disp
            size = next(size for start, size in ARM_ALIGNMENTS.items() if instruction.mnemonic.startswith(start))
            return MemoryOperand(base, index, memory.scale, offset, size)
    first = instruction.operands[0]
    if first.type == a32.ARM_OP_REG and instruction.mnemonic.startswith(("ldm", "stm", "vldm", "vstm")):
        return MemoryOperand(_find_register(instruction, first.reg, arm_const, "UC_ARM_REG_"), None, 1, 0, 4)
    return None


def _find_register(instruction: Any, number: int, constants: Any, prefix: str) -> int | None:
    if not number:
        return None
    found: int | None = getattr(constants, prefix + instruction.reg_name(number).upper(), None)
    return found
