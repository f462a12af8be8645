"""Which instructions exist, although the emulated CPU lacks them: extensions such as AVX and SVE."""

from __future__ import annotations

import capstone

LONGEST_INSTRUCTION = 16
DISASSEMBLERS = {
    "x86": (capstone.CS_ARCH_X86, capstone.CS_MODE_32),
    "x86_64": (capstone.CS_ARCH_X86, capstone.CS_MODE_64),
    "aarch64": (capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM),
}
# Compilers emit these where code must not continue, and debuggers stop at them.
TRAPS = frozenset(("ud0", "ud1", "ud2", "int3", "int1", "int", "into", "hlt", "udf", "brk", "hvc", "smc"))


def find_instruction(cpu: str, code: bytes, address: int) -> str:
    """Return the mnemonic of the instruction at the start of ``code``, or "" for a trap or an unknown instruction.

    It is "" too on CPUs whose traps aren't instructions of their own.
    """
    if cpu not in DISASSEMBLERS:
        return ""
    decoder = capstone.Cs(*DISASSEMBLERS[cpu])
    found = next(decoder.disasm_lite(code, address, 1), None)
    return "" if found is None or found[2] in TRAPS else str(found[2])
