"""Atomic accesses are decoded as Capstone decodes them, whatever instructions surround them."""

from __future__ import annotations

import re

import capstone
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unicorn import arm64_const, riscv_const, s390x_const
from wheelworks.emulator.alignment import MemoryOperand, find_atomic_operands

BASE = 0x10000
X3, SP = arm64_const.UC_ARM64_REG_X3, arm64_const.UC_ARM64_REG_SP
A0 = riscv_const.UC_RISCV_REG_X0 + 10
R1, R3, R4 = (s390x_const.UC_S390X_REG_R0 + number for number in (1, 3, 4))
CASES = {
    "aarch64": {
        "63fc5f08": [MemoryOperand(X3, None, 1, 0, 1)],  # ldaxrb w3, [x3]
        "60fcdf48": [MemoryOperand(X3, None, 1, 0, 2)],  # ldarh w0, [x3]
        "e0ffdf88": [MemoryOperand(SP, None, 1, 0, 4)],  # ldar w0, [sp]
        "60847fc8": [MemoryOperand(X3, None, 1, 0, 16)],  # ldaxp x0, x1, [x3]
        "62fc6248": [MemoryOperand(X3, None, 1, 0, 16)],  # caspal x2, x3, x2, x3, [x3]
        "60fce888": [MemoryOperand(X3, None, 1, 0, 4)],  # casal w8, w0, [x3]
        "6000e8f8": [MemoryOperand(X3, None, 1, 0, 8)],  # ldaddal x8, x0, [x3]
        "60c0bfb8": [MemoryOperand(X3, None, 1, 0, 4)],  # ldapr w0, [x3]
        "60c05fd9": [MemoryOperand(X3, None, 1, -4, 8)],  # ldapur x0, [x3, #-4]
        "600040f8": [],  # ldur x0, [x3]
        "606868f8": [],  # ldr x0, [x3, x8]
    },
    "riscv64": {
        "2f35b506": [MemoryOperand(A0, None, 1, 0, 8)],  # amoadd.d.aqrl a0, a1, (a0)
        "2f270510": [MemoryOperand(A0, None, 1, 0, 4)],  # lr.w a4, (a0)
        "83350500": [],  # ld a1, 0(a0)
    },
    "s390x": {
        "ba123008": [MemoryOperand(R3, None, 1, 8, 4)],  # cs %r1, %r2, 8(%r3)
        "eb123ff8ff14": [MemoryOperand(R3, None, 1, -8, 4)],  # csy %r1, %r2, -8(%r3)
        "eb1238801330": [MemoryOperand(R3, None, 1, 80000, 8)],  # csg %r1, %r2, 80000(%r3)
        "e3243008008f": [MemoryOperand(R3, R4, 1, 8, 16)],  # lpq %r2, 8(%r4, %r3)
        "c82410003008": [MemoryOperand(R1, None, 1, 0, 4), MemoryOperand(R3, None, 1, 8, 4)],  # lpd %r2, 0(%r1), 8(%r3)
        "c418fffffff8": [MemoryOperand(None, None, 1, BASE - 16, 8)],  # lgrl %r1, .-16
        "eb00000000e8": [MemoryOperand(None, None, 1, 0, 8)],  # laag %r0, %r0, 0
        "ebbff0580024": [],  # stmg %r11, %r15, 88(%r15)
    },
}
MODES = {
    "aarch64": (capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM),
    "riscv64": (capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC),
    "s390x": (capstone.CS_ARCH_SYSZ, capstone.CS_MODE_BIG_ENDIAN),
}
LEADS = {"aarch64": (3, 0x08, 0x19, 0x38), "riscv64": (0, 0x2F), "s390x": (0, 0xBA, 0xBB, 0xC4, 0xC6, 0xC8, 0xE3, 0xEB)}
ATOMIC = {
    "aarch64": r"cas|swp|(ld|st)(add|clr|eor|set|[su]max|[su]min|a?x|lx|l?ar|ll?r|apr|apur|lur|64b)",
    "riscv64": r"(lr|sc|amo\w+)\.[wd]",
    "s390x": r"(cs|cds)[gy]?$|la[anox]l?g?$|lpq$|stpq$|lpdg?$|(l|st|c|cl)g?rl$|(lg|llg|cg|clg)frl$",
}
SIZES = {"b": 1, "h": 2, "w": 4, "d": 8}


@pytest.mark.parametrize(("cpu", "code"), [(cpu, code) for cpu, codes in CASES.items() for code in codes])
@pytest.mark.parametrize("before", ["", "ffff0000", "c0e50000", "eb00ba12"])
def test_an_instruction_is_found_behind_whatever_data(cpu: str, code: str, before: str) -> None:
    place = BASE - len(before) // 2
    found = [operand for at, operand in find_atomic_operands(cpu, bytes.fromhex(before + code), place) if at == BASE]
    assert found == CASES[cpu][code]


@pytest.mark.parametrize("cpu", ["x86_64", "x86", "arm"])
def test_the_other_cpus_have_none(cpu: str) -> None:
    assert not list(find_atomic_operands(cpu, bytes(range(256)), BASE))


@pytest.mark.parametrize("cpu", MODES)
@settings(max_examples=400)
@given(random=st.binary(min_size=6, max_size=6), choice=st.integers(0, 255))
def test_what_capstone_calls_atomic_is_found_and_nothing_else(cpu: str, random: bytes, choice: int) -> None:
    at, *leads = LEADS[cpu]
    lead = leads[choice % len(leads)] | (choice & 0xC0 if cpu == "aarch64" else 0)
    code = random[:at] + bytes([lead]) + random[at + 1 :]
    instruction = next(capstone.Cs(*MODES[cpu]).disasm_lite(code, BASE, 1), None)
    found = [operand for place, operand in find_atomic_operands(cpu, code, BASE) if place == BASE]
    if instruction:
        _, _, mnemonic, text = instruction
        assert bool(found) == bool(re.match(ATOMIC[cpu], mnemonic)), (mnemonic, text)
        if found and cpu == "aarch64" and "64b" not in mnemonic:
            assert found[0].alignment == arm64_size(mnemonic, text)
            base = re.findall(r"\[(\w+)", text)[0].upper()
            assert found[0].base == getattr(arm64_const, f"UC_ARM64_REG_{base}")


def arm64_size(mnemonic: str, text: str) -> int:
    """Return the number of bytes that an instruction accesses, read from its assembler text."""
    if sized := re.search(r"([bh])$|s(w)$", mnemonic):
        return SIZES[sized[1] or sized[2]]
    size = 8 if re.search(r"\bx", text.split("[")[0]) else 4
    return 2 * size if re.search(r"xp$|casp", mnemonic) else size
