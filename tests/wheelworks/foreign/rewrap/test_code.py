"""Test the added instructions by running them on an emulated CPU."""

from __future__ import annotations

from typing import Any

import pytest
import unicorn as untyped_unicorn
from hypothesis import given
from hypothesis import strategies as st
from unicorn import arm64_const as arm64
from unicorn import x86_const as x86
from wheelworks.foreign.rewrap.code import BRANCH_REACH, Arm64Code, X86Code, create_code, encode_branch

unicorn: Any = untyped_unicorn
CODE, SLOT, FUNCTION, STACK, ORIGIN = 0x40000, 0x10008, 0x80000, 0x100000, 0x20000
MAPPED = (CODE, SLOT & ~0xFFF, FUNCTION, STACK, ORIGIN)


def create_cpu(cpu: str, code: Arm64Code | X86Code) -> Any:
    kind = (unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM) if cpu == "aarch64" else (unicorn.UC_ARCH_X86, 8)
    machine = unicorn.Uc(*kind)
    for address in MAPPED:
        machine.mem_map(address, 0x1000)
    machine.mem_write(CODE, bytes(code.data))
    machine.mem_write(SLOT, FUNCTION.to_bytes(8, "little"))
    return machine


@pytest.mark.parametrize("argument", [0, 0x123, 0x10FF8, 0x7FFF000])
def test_a_stub_passes_its_argument_on(argument: int) -> None:
    for cpu, register in (("aarch64", arm64.UC_ARM64_REG_X0), ("x86_64", x86.UC_X86_REG_RDI)):
        code = create_code(cpu, CODE)
        code.emit_stub(1, SLOT)
        start = code.emit_stub(argument, SLOT)
        machine = create_cpu(cpu, code)
        machine.emu_start(start, FUNCTION, count=8)
        program_counter = arm64.UC_ARM64_REG_PC if cpu == "aarch64" else x86.UC_X86_REG_RIP
        assert (machine.reg_read(program_counter), machine.reg_read(register)) == (FUNCTION, argument)


def test_a_veneer_gets_the_teb_and_goes_back() -> None:
    code = Arm64Code(CODE)
    start = code.emit_veneer(0xF9402E48, ORIGIN, SLOT)  # ldr x8, [x18, #0x58]
    machine = create_cpu("aarch64", code)
    machine.mem_write(ORIGIN, encode_branch(ORIGIN, start).to_bytes(4, "little"))
    machine.mem_write(FUNCTION, (0xD2A00012 | STACK >> 16 << 5).to_bytes(4, "little") + b"\xc0\x03\x5f\xd6")
    machine.mem_write(STACK + 0x58, (0xCAFE).to_bytes(8, "little"))
    before = {arm64.UC_ARM64_REG_SP: STACK + 0x800, arm64.UC_ARM64_REG_X29: 29, arm64.UC_ARM64_REG_X30: 30}
    before |= {getattr(arm64, f"UC_ARM64_REG_X{n}"): n for n in (*range(8), *range(9, 18), *range(19, 29))}
    for register, value in before.items():
        machine.reg_write(register, value)
    machine.emu_start(ORIGIN, ORIGIN + 4, count=20)
    assert machine.reg_read(arm64.UC_ARM64_REG_PC) == ORIGIN + 4
    assert machine.reg_read(arm64.UC_ARM64_REG_X8) == 0xCAFE
    assert {register: machine.reg_read(register) for register in before} == before


@given(st.integers(-BRANCH_REACH // 4, BRANCH_REACH // 4 - 1))
def test_a_branch_reaches_128_mib(words: int) -> None:
    source = 1 << 28
    word = encode_branch(source, source + 4 * words)
    distance = word & 0x3FFFFFF
    assert word >> 26 == 0b000101 and (distance - (distance >> 25 << 26)) == words


@pytest.mark.parametrize("target", [0, 3 << 27])
def test_no_branch_goes_farther(target: int) -> None:
    with pytest.raises(OverflowError, match="reaches"):
        encode_branch(BRANCH_REACH + 4 if not target else BRANCH_REACH * 2, target)
