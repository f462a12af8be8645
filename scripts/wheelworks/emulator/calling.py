"""Calling conventions: where each operating system and CPU puts arguments and results.

Sources: AAPCS64 and AAPCS32 (Arm), Apple's "Writing ARM64 code for Apple platforms", Microsoft's x64 and ARM64 ABI
conventions, the System V psABIs of x86-64, RISC-V and s390x, cdecl.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from unicorn import arm64_const as a64
from unicorn import arm_const as a32
from unicorn import riscv_const as rv
from unicorn import s390x_const as s390
from unicorn import x86_const as x86

from wheelworks.emulator.abi import Abi
from wheelworks.emulator.cpu import Cpu
from wheelworks.emulator.memory import Memory


@dataclass(frozen=True)
class Convention:
    """The registers and stack offsets of one convention.

    ``stack`` is the offset in bytes from the stack pointer to a callee's first stack argument.
    ``variadic`` tells where unnamed arguments are: where named ones would be ("same"), in integer registers and then
    on the stack, floats included ("integers"), or on the stack only ("stack").
    ``positional``: the n-th argument takes the n-th register of either kind (Microsoft x64).
    ``paired``: a 64-bit value takes an even register and the next one (32-bit Arm).
    ``scratch`` is the size in bytes of the red zone below the stack pointer.
    """

    integers: tuple[int, ...]
    floats: tuple[int, ...]
    result: int
    float_result: int | None
    stack: int
    variadic: Literal["same", "integers", "stack"] = "same"
    positional: bool = False
    paired: bool = False
    high_result: int | None = None
    scratch: int = 0


def _list_registers(module: object, prefix: str, numbers: range) -> tuple[int, ...]:
    return tuple(getattr(module, f"{prefix}{number}") for number in numbers)


X = _list_registers(a64, "UC_ARM64_REG_X", range(8))
D = _list_registers(a64, "UC_ARM64_REG_D", range(8))
XMM = _list_registers(x86, "UC_X86_REG_XMM", range(8))
RISCV_A = _list_registers(rv, "UC_RISCV_REG_A", range(8))
RISCV_FA = _list_registers(rv, "UC_RISCV_REG_FA", range(8))
ARM_R = _list_registers(a32, "UC_ARM_REG_R", range(4))
ARM_D = _list_registers(a32, "UC_ARM_REG_D", range(8))
S390_R = _list_registers(s390, "UC_S390X_REG_R", range(2, 7))
S390_F = tuple(getattr(s390, f"UC_S390X_REG_F{number}") for number in (0, 2, 4, 6))
SYSV = (
    x86.UC_X86_REG_RDI, x86.UC_X86_REG_RSI, x86.UC_X86_REG_RDX,
    x86.UC_X86_REG_RCX, x86.UC_X86_REG_R8, x86.UC_X86_REG_R9,
)  # fmt: skip
MICROSOFT = (x86.UC_X86_REG_RCX, x86.UC_X86_REG_RDX, x86.UC_X86_REG_R8, x86.UC_X86_REG_R9)
CDECL = Convention(
    (), (), x86.UC_X86_REG_EAX, x86.UC_X86_REG_ST0, stack=4, high_result=x86.UC_X86_REG_EDX
)  # fmt: skip

CONVENTIONS: dict[tuple[str, str], Convention] = {
    ("linux", "aarch64"): Convention(X, D, X[0], D[0], stack=0),
    ("windows", "aarch64"): Convention(X, D, X[0], D[0], stack=0, variadic="integers"),
    ("macos", "aarch64"): Convention(X, D, X[0], D[0], stack=0, variadic="stack"),
    ("linux", "x86_64"): Convention(SYSV, XMM, x86.UC_X86_REG_RAX, XMM[0], stack=8, scratch=128),
    ("macos", "x86_64"): Convention(SYSV, XMM, x86.UC_X86_REG_RAX, XMM[0], stack=8, scratch=128),
    ("windows", "x86_64"): Convention(
        MICROSOFT, XMM[:4], x86.UC_X86_REG_RAX, XMM[0], stack=40, variadic="integers", positional=True
    ),
    ("linux", "x86"): CDECL,
    ("windows", "x86"): CDECL,
    ("linux", "arm"): Convention(
        ARM_R, ARM_D, ARM_R[0], ARM_D[0], stack=0, variadic="integers", paired=True, high_result=ARM_R[1]
    ),
    ("linux", "riscv64"): Convention(RISCV_A, RISCV_FA, RISCV_A[0], RISCV_FA[0], stack=0, variadic="integers"),
    ("linux", "s390x"): Convention(S390_R, S390_F, S390_R[0], S390_F[0], stack=160),
}


class ArgumentReader:
    """Reads the arguments of the function that has just been entered, in order."""

    def __init__(self, convention: Convention, abi: Abi, cpu: Cpu, memory: Memory) -> None:
        self._convention, self._abi, self._cpu, self._memory = convention, abi, cpu, memory
        self._integer = self._float = 0
        self._stack = cpu.sp + convention.stack
        self._variadic = False

    def start_variadic(self) -> ArgumentReader:
        """Read unnamed arguments (``...``) from here on."""
        self._variadic = True
        if self._convention.variadic == "stack":
            self._integer = len(self._convention.integers)
        return self

    def unsigned(self, size: int) -> int:
        """Return the next integer or pointer, of ``size`` bytes."""
        if size > self._abi.pointer:
            return self._read_wide()
        word = self._next_register()
        value = self._cpu.get(word) if word is not None else self._read_stack(self._abi.pointer)
        return value & ((1 << 8 * size) - 1)

    def signed(self, size: int) -> int:
        """Return the next signed integer, of ``size`` bytes."""
        value = self.unsigned(size)
        return value - (1 << 8 * size) if value >> (8 * size - 1) else value

    def double(self) -> float:
        """Return the next ``double``; unnamed ``float`` arguments are promoted to it."""
        convention = self._convention
        if (self._variadic and convention.variadic != "same") or not convention.floats:
            return float(struct.unpack("<d", self.unsigned(8).to_bytes(8, "little"))[0])
        if convention.positional:
            self._float = self._integer
        if self._float >= len(convention.floats):
            return float(struct.unpack("<d", self._read_stack(8).to_bytes(8, "little"))[0])
        register = convention.floats[self._float]
        self._float += 1
        self._integer += convention.positional
        return float(struct.unpack("<d", (self._cpu.get(register) & (2**64 - 1)).to_bytes(8, "little"))[0])

    def _next_register(self) -> int | None:
        if self._integer >= len(self._convention.integers):
            return None
        self._integer += 1
        return self._convention.integers[self._integer - 1]

    def _read_wide(self) -> int:
        """Return a 64-bit value on a 32-bit CPU."""
        if self._convention.paired:
            self._integer += self._integer % 2
            if self._integer >= len(self._convention.integers):
                self._stack += -self._stack % 8
        return self.unsigned(4) | self.unsigned(4) << 32

    def _read_stack(self, size: int) -> int:
        value = int.from_bytes(self._memory.load(self._stack, size), self._abi.order)
        self._stack += size
        return value


def prepare_call(convention: Convention, abi: Abi, cpu: Cpu, memory: Memory, words: Sequence[int], back: int) -> None:
    """Put word-sized arguments and the return address ``back`` where a guest function expects them."""
    registers, on_stack = convention.integers[: len(words)], words[len(convention.integers) :]
    for register, word in zip(registers, words, strict=False):
        cpu.set(register, word)
    pushed = b"".join(word.to_bytes(abi.pointer, abi.order) for word in on_stack)
    space = convention.stack - (abi.pointer if cpu.chip.link is None else 0)
    sp = cpu.sp - convention.scratch - space - len(pushed)
    sp -= sp % 16
    memory.store(sp + space, pushed)
    if cpu.chip.link is None:
        sp -= abi.pointer
        memory.store(sp, back.to_bytes(abi.pointer, abi.order))
    else:
        cpu.set(cpu.chip.link, back)
    cpu.sp = sp


def get_return_address(abi: Abi, cpu: Cpu, memory: Memory) -> int:
    """Return the return address of the function that has just been entered."""
    if cpu.chip.link is not None:
        return cpu.get(cpu.chip.link)
    return int.from_bytes(memory.load(cpu.sp, abi.pointer), abi.order)


def return_integer(convention: Convention, abi: Abi, cpu: Cpu, value: int) -> None:
    """Set the integer result, of up to 64 bits."""
    mask = (1 << 8 * abi.pointer) - 1
    cpu.set(convention.result, value & mask)
    if convention.high_result is not None:
        cpu.set(convention.high_result, value >> 32 & mask)


def return_double(convention: Convention, cpu: Cpu, value: float) -> None:
    """Set the floating-point result."""
    bits = int.from_bytes(struct.pack("<d", value), "little")
    if convention.float_result == x86.UC_X86_REG_ST0:
        _push_x87(cpu, bits)
    elif convention.float_result is not None:
        cpu.set(convention.float_result, bits)


def _push_x87(cpu: Cpu, bits: int) -> None:
    """Push the result of a cdecl function on the x87 stack, converted to 80 bits."""
    sign, exponent, fraction = bits >> 63, bits >> 52 & 0x7FF, bits & ((1 << 52) - 1)
    wide = 0 if exponent == 0 else 0x7FFF if exponent == 0x7FF else exponent - 1023 + 16383
    mantissa = (1 << 63 if exponent else 0) | fraction << 11
    cpu.set(x86.UC_X86_REG_FPSW, cpu.get(x86.UC_X86_REG_FPSW) & ~0x3800 | 7 << 11)
    cpu.engine.reg_write(x86.UC_X86_REG_FP7, (mantissa, sign << 15 | wide))
    cpu.set(x86.UC_X86_REG_FPTAG, cpu.get(x86.UC_X86_REG_FPTAG) & 0x3FFF)


def return_to(abi: Abi, cpu: Cpu, back: int, removed: int = 0) -> None:
    """Return from the function that has just been entered, which removes so many bytes of its stack arguments."""
    if cpu.chip.link is None:
        cpu.sp = cpu.sp + abi.pointer + removed
    cpu.set(cpu.chip.pc, back)
