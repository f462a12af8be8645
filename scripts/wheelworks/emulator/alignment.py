"""Instructions that fault on a misaligned address: each is checked when it runs.

Unicorn lets some pass (SSE, LDRD, LDAR, STLR, LGRL …) and refuses others without saying why (LDXR, AMO*, CS …).

Sources: Intel's manual (SSE operands of 16 bytes lie at multiples of 16, but for the unaligned moves), the Arm
Architecture Reference Manual (LDRD, LDM, VLDR and their kin need word alignment also where LDR doesn't, LDREXD and
STREXD that of 8 bytes; on AArch64 exclusive, acquiring, releasing and atomic accesses need their size's), the RISC-V
Instruction Set Manual (LR, SC and AMO*), IBM's z/Architecture Principles of Operation (compare and swap, interlocked
and paired accesses, operands relative to the instruction).

Plain loads and stores may be misaligned on AArch64 and s390x; on RISC-V the instruction set leaves it open, but
Linux promises it (its Documentation/arch/riscv/uabi.rst). Armv8.4's FEAT_LSE2, which ARM64 Macs have, allows atomic
accesses within 16 aligned bytes too; neither Armv8.0 nor Unicorn does, nor C, so that they are faults everywhere.
Not looked at: s390x's CSST and PLO, whose alignment depends on a function code, and what its EX and EXRL execute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import capstone
from capstone import arm as a32
from capstone import x86
from unicorn import arm_const, x86_const

from wheelworks.emulator.atomics import atomic_operands
from wheelworks.emulator.cpu import Cpu
from wheelworks.emulator.findings import Fault, fault
from wheelworks.emulator.operand import Operand

Mode = tuple[int, int]
UNALIGNED_MOVES = ("movups", "movupd", "movdqu", "lddqu", "pcmpestri", "pcmpestrm", "pcmpistri", "pcmpistrm")
ARM_ALIGNMENTS = {  # by how the mnemonic starts: the first that fits
    **dict.fromkeys(("ldrexd", "strexd"), 8),
    **dict.fromkeys(("ldrexh", "strexh"), 2),
    **dict.fromkeys(("ldrexb", "strexb"), 1),
    **dict.fromkeys(("ldrex", "strex", "ldrd", "strd", "ldm", "stm", "vldr", "vstr", "vldm", "vstm"), 4),
}
THUMB = 1 << 5  # in CPSR
MODES = {
    "x86_64": ((capstone.CS_ARCH_X86, capstone.CS_MODE_64),),
    "x86": ((capstone.CS_ARCH_X86, capstone.CS_MODE_32),),
    "armv7l": ((capstone.CS_ARCH_ARM, capstone.CS_MODE_ARM), (capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB)),
}


def watch_alignment(cpu: Cpu, name: str, code: bytes, address: int) -> None:
    """Have every instruction in ``code`` that needs alignment checked; ``name`` is the CPU's.

    What stands at an address that is run is an instruction, even where a sweep through the code took data for some.
    """
    for mode in MODES.get(name, ()):
        for place, operand in aligned_operands(mode, code, address):
            cpu.check_at(place, _check(cpu, operand, mode))
    for place, operand in atomic_operands(name, code, address):
        cpu.check_at(place, _check(cpu, operand))


def _check(cpu: Cpu, operand: Operand, mode: Mode | None = None) -> Callable[[], Fault | None]:
    def check() -> Fault | None:
        if mode and mode[0] == capstone.CS_ARCH_ARM and not _in_mode(cpu, mode):
            return None
        address = operand.address(cpu)
        if address % operand.alignment == 0:
            return None
        return fault("misaligned-access", f"{address:#x} is not a multiple of {operand.alignment}, as it must be")

    return check


def _in_mode(cpu: Cpu, mode: Mode) -> bool:
    in_thumb = bool(cpu.get(arm_const.UC_ARM_REG_CPSR) & THUMB)
    return in_thumb == bool(mode[1] == capstone.CS_MODE_THUMB)


def aligned_operands(mode: Mode, code: bytes, address: int) -> Iterator[tuple[int, Operand]]:
    """The addresses of instructions that need alignment, and the operand that does."""
    sweep, detailed = capstone.Cs(*mode), capstone.Cs(*mode)
    sweep.skipdata = detailed.detail = True
    for place, size, mnemonic, text in sweep.disasm_lite(code, address):
        if _may_need(mode, mnemonic, text):
            found = next(detailed.disasm(code[place - address :][:size], place), None)
            operand = found and (_arm_operand(found) if mode[0] == capstone.CS_ARCH_ARM else _x86_operand(found))
            if operand:
                yield place, operand


def _may_need(mode: Mode, mnemonic: str, text: str) -> bool:
    if mode[0] == capstone.CS_ARCH_ARM:
        return mnemonic.startswith(tuple(ARM_ALIGNMENTS))
    return "xmmword" in text and not mnemonic.startswith((*UNALIGNED_MOVES, "v"))


def _x86_operand(instruction: Any) -> Operand | None:
    for operand in instruction.operands:
        if operand.type == x86.X86_OP_MEM and operand.size == 16 and not operand.mem.segment:
            memory = operand.mem
            base = _register(instruction, memory.base, x86_const, "UC_X86_REG_")
            index = _register(instruction, memory.index, x86_const, "UC_X86_REG_")
            if memory.base in (x86.X86_REG_RIP, x86.X86_REG_EIP):
                return Operand(None, None, 1, instruction.address + instruction.size + memory.disp, 16)
            return Operand(base, index, memory.scale, memory.disp, 16)
    return None


def _arm_operand(instruction: Any) -> Operand | None:
    for operand in instruction.operands:
        if operand.type == a32.ARM_OP_MEM and operand.mem.base != a32.ARM_REG_PC:
            memory = operand.mem
            base = _register(instruction, memory.base, arm_const, "UC_ARM_REG_")
            index = _register(instruction, memory.index, arm_const, "UC_ARM_REG_")
            offset = 0 if instruction.post_index else memory.disp
            return Operand(base, index, memory.scale, offset, _arm_alignment(instruction.mnemonic))
    first = instruction.operands[0]
    if first.type == a32.ARM_OP_REG and instruction.mnemonic.startswith(("ldm", "stm", "vldm", "vstm")):
        return Operand(_register(instruction, first.reg, arm_const, "UC_ARM_REG_"), None, 1, 0, 4)
    return None


def _arm_alignment(mnemonic: str) -> int:
    return next(bytes_ for start, bytes_ in ARM_ALIGNMENTS.items() if mnemonic.startswith(start))


def _register(instruction: Any, number: int, constants: Any, prefix: str) -> int | None:
    if not number:
        return None
    found: int | None = getattr(constants, prefix + instruction.reg_name(number).upper(), None)
    return found
