"""One emulated CPU (Unicorn): its registers, the memory mapped into it, and running code up to an exit address.

It knows nothing about Python. A callback decides whether an access to a watched address is allowed.
"""

from __future__ import annotations

import ctypes
import mmap
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import unicorn as untyped_unicorn
from unicorn import arm64_const as a64
from unicorn import arm_const as a32
from unicorn import riscv_const as rv
from unicorn import s390x_const as s390
from unicorn import unicorn_const as uc
from unicorn import x86_const as x86

from wheelworks.core.errors import Unsupported
from wheelworks.core.image import PAGE
from wheelworks.emulator.abi import Abi
from wheelworks.emulator.faults import Fault, add_address

unicorn: Any = untyped_unicorn
IF_THEN = 0x0600FC00  # the bits of CPSR with the state of an IT block (Arm ARM, B1.3.3)
SLICE = 20_000_000  # instructions between two checks of the clock
CALL_COST = 1000  # instructions that a call of an emulated function counts as
INVALID_ACCESS = (
    uc.UC_HOOK_MEM_READ_UNMAPPED | uc.UC_HOOK_MEM_WRITE_UNMAPPED | uc.UC_HOOK_MEM_FETCH_UNMAPPED
    | uc.UC_HOOK_MEM_READ_PROT | uc.UC_HOOK_MEM_WRITE_PROT | uc.UC_HOOK_MEM_FETCH_PROT
)  # fmt: skip
TRANSLATED = 16 << 20  # bytes for translated code; Unicorn's default is 1 GiB
FETCHES = (uc.UC_MEM_FETCH_UNMAPPED, uc.UC_MEM_FETCH_PROT)
WRITES = (uc.UC_MEM_WRITE, uc.UC_MEM_WRITE_UNMAPPED, uc.UC_MEM_WRITE_PROT)


@dataclass(frozen=True)
class RunLimits:
    """How long guest code may run in one call."""

    instructions: int = 200_000_000
    seconds: float = 20.0


@dataclass(frozen=True)
class Chip:
    """Unicorn's names for a CPU and its special registers.

    ``link`` is None where calls push the return address. ``thread`` holds the thread pointer (s390x: in two halves).
    ``protects`` tells whether pages can be made read-only. On Unicorn's s390x, code in such pages can't run, so that
    writes to them are watched instead.
    """

    arch: int
    mode: int
    model: int | None
    pc: int
    sp: int
    link: int | None
    setup: tuple[tuple[int, int], ...] = ()
    thread: tuple[int, ...] = ()
    protects: bool = True


CHIPS = {
    "aarch64": Chip(
        uc.UC_ARCH_ARM64, uc.UC_MODE_ARM, a64.UC_CPU_ARM64_MAX, a64.UC_ARM64_REG_PC, a64.UC_ARM64_REG_SP,
        a64.UC_ARM64_REG_LR, ((a64.UC_ARM64_REG_CPACR_EL1, 3 << 20),),
        (a64.UC_ARM64_REG_TPIDR_EL0, a64.UC_ARM64_REG_TPIDRRO_EL0, a64.UC_ARM64_REG_X18),
    ),
    "x86_64": Chip(
        uc.UC_ARCH_X86, uc.UC_MODE_64, None, x86.UC_X86_REG_RIP, x86.UC_X86_REG_RSP, None,
        thread=(x86.UC_X86_REG_FS_BASE, x86.UC_X86_REG_GS_BASE),
    ),
    "x86": Chip(uc.UC_ARCH_X86, uc.UC_MODE_32, None, x86.UC_X86_REG_EIP, x86.UC_X86_REG_ESP, None,
        thread=(x86.UC_X86_REG_FS, x86.UC_X86_REG_GS),
    ),
    "arm": Chip(
        uc.UC_ARCH_ARM, uc.UC_MODE_ARM, a32.UC_CPU_ARM_CORTEX_A15, a32.UC_ARM_REG_PC, a32.UC_ARM_REG_SP,
        a32.UC_ARM_REG_LR, ((a32.UC_ARM_REG_C1_C0_2, 0xF << 20), (a32.UC_ARM_REG_FPEXC, 1 << 30)),
        (a32.UC_ARM_REG_C13_C0_3,),
    ),
    "riscv64": Chip(
        uc.UC_ARCH_RISCV, uc.UC_MODE_RISCV64, None, rv.UC_RISCV_REG_PC, rv.UC_RISCV_REG_X2, rv.UC_RISCV_REG_X1,
        ((rv.UC_RISCV_REG_MSTATUS, 3 << 13),), (rv.UC_RISCV_REG_X4,),
    ),
    "s390x": Chip(
        uc.UC_ARCH_S390X, uc.UC_MODE_BIG_ENDIAN, s390.UC_CPU_S390X_Z14, s390.UC_S390X_REG_PC,
        s390.UC_S390X_REG_R15, s390.UC_S390X_REG_R14,
        ((s390.UC_S390X_REG_PSWM, 0x1_8000_0000), (s390.UC_S390X_REG_CR0, 0x60000)),
        (s390.UC_S390X_REG_A0, s390.UC_S390X_REG_A1), protects=False,
    ),
}  # fmt: skip


class Cpu:
    """Registers and mapped memory of one CPU."""

    def __init__(
        self, abi: Abi, limits: RunLimits, check_access: Callable[[int, int, bool], Fault | Unsupported | None]
    ) -> None:
        """``check_access(address, size, write)`` returns what is wrong with an access, or None."""
        self.chip = CHIPS[abi.cpu]
        self.limits = limits
        self.engine: Any = unicorn.Uc(self.chip.arch, self.chip.mode)
        self.engine.ctl_set_tcg_buffer_size(TRANSLATED)
        if self.chip.model is not None:
            self.engine.ctl_set_cpu_model(self.chip.model)
        for register, value in self.chip.setup:
            self.engine.reg_write(register, value)
        self._check_access = check_access
        self._fault: Fault | Unsupported | None = None
        self._exits: frozenset[int] = frozenset()
        self.engine.hook_add(INVALID_ACCESS, self._handle_invalid)
        self.deadline = 0.0
        self.budget = 0

    def close(self) -> None:
        """Free the CPU's memory, which is large, without waiting for the garbage collector."""
        self.engine = None

    def map(self, address: int, memory: mmap.mmap, permissions: int) -> None:
        """Map ``memory`` at a guest address; both sides share its bytes."""
        host = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        self.engine.mem_map_ptr(address, len(memory), permissions, host)

    def protect(self, address: int, size: int, permissions: int) -> None:
        """Restrict the permissions of pages that were mapped with all of them."""
        if self.chip.protects:
            self.engine.mem_protect(address, size, permissions)
        elif not permissions & uc.UC_PROT_WRITE:
            self.watch(address, address + size - 1, writes_only=True)

    def unmap(self, address: int, size: int) -> None:
        """Unmap a range."""
        self.engine.mem_unmap(address, size)

    def watch(self, first: int, last: int, writes_only: bool = False) -> int:
        """Check every access to ``first`` to ``last`` inclusive; return a handle for :meth:`unwatch`."""
        kinds = uc.UC_HOOK_MEM_WRITE if writes_only else uc.UC_HOOK_MEM_READ | uc.UC_HOOK_MEM_WRITE
        return int(self.engine.hook_add(kinds, self._handle_watched, None, first, last))

    def unwatch(self, handle: int) -> None:
        """Stop checking accesses to a watched range."""
        self.engine.hook_del(handle)

    def check_at(self, address: int, check: Callable[[], Fault | None]) -> None:
        """Call ``check`` each time before the instruction at ``address`` runs; it may return a fault."""

        def arrived(*_arguments: object) -> None:
            found = check()
            if found is not None and self._fault is None:
                self._fault = found.placed(address=address)
                self.engine.emu_stop()

        self.engine.hook_add(uc.UC_HOOK_CODE, arrived, None, address, address)

    def count_instructions(self, first: int, last: int) -> Callable[[], int]:
        """Count the instructions at ``first`` to ``last`` that run from now on; return a reader of the count."""
        executed = 0

        def ran(*_arguments: object) -> None:
            nonlocal executed
            executed += 1

        self.engine.hook_add(uc.UC_HOOK_CODE, ran, None, first, last)
        self.engine.ctl_flush_tb()  # code that was translated before would run without the hook
        return lambda: executed

    def set_exits(self, addresses: list[int]) -> None:
        """Set the addresses at which :meth:`run` stops, before their instructions."""
        self._exits = frozenset(addresses)
        self.engine.ctl_exits_enabled(True)
        self.engine.ctl_set_exits(addresses)

    def set_thread_pointer(self, address: int, spare: int) -> None:
        """Set the thread pointer. On 32-bit x86, its descriptor table is written to ``spare``."""
        values = [address] * len(self.chip.thread)
        if self.chip.arch == uc.UC_ARCH_S390X:
            values = [address >> 32, address & 0xFFFFFFFF]
        elif self.chip.mode == uc.UC_MODE_32:
            values = [self._describe_segment(address, spare)] * 2
        for register, value in zip(self.chip.thread, values, strict=True):
            self.set(register, value)

    def _describe_segment(self, base: int, table: int) -> int:
        """Return the selector of a 4 GiB data segment at ``base`` (Intel's manual, volume 3, section 3.4.5).

        The stack and data segments are set to one that starts at 0.
        """
        entries = b"".join(_pack_descriptor(start) for start in (base, 0))
        self.engine.mem_write(table + 8, entries)
        self.engine.reg_write(x86.UC_X86_REG_GDTR, (0, table, 7 + len(entries), 0))
        for register in (x86.UC_X86_REG_SS, x86.UC_X86_REG_DS, x86.UC_X86_REG_ES):
            self.set(register, 16)
        return 8

    def get(self, register: int) -> int:
        """Return the value of a register."""
        return int(self.engine.reg_read(register))

    def set(self, register: int, value: int) -> None:
        """Set a register."""
        self.engine.reg_write(register, value)

    @property
    def pc(self) -> int:
        """Return the address of the next instruction."""
        return self.get(self.chip.pc)

    @property
    def sp(self) -> int:
        """Return the stack pointer."""
        return self.get(self.chip.sp)

    @sp.setter
    def sp(self, value: int) -> None:
        self.set(self.chip.sp, value)

    def start_clock(self) -> None:
        """Count time and instructions from here."""
        self.deadline = time.monotonic() + self.limits.seconds
        self.budget = self.limits.instructions

    def run(self, address: int) -> int:
        """Run from ``address`` to an exit address, and return that.

        Raises Fault, with the address of the faulty instruction, or Unsupported.
        """
        while True:
            self.check_clock(address)
            part = min(SLICE, self.budget)
            self._run_part(address, part)
            address = self.pc
            if address in self._exits:
                return address
            self.budget -= part
            address |= self._thumb

    def _end_if_then(self) -> None:
        """Clear the state of an IT block of Thumb code, which Unicorn sets for a hook and applies after the block, too.

        The block's own instructions were translated with their condition, and don't need the state.
        """
        if self.chip.arch == uc.UC_ARCH_ARM:
            status = self.get(a32.UC_ARM_REG_CPSR)
            if status & IF_THEN:
                self.set(a32.UC_ARM_REG_CPSR, status & ~IF_THEN)

    @property
    def _thumb(self) -> int:
        """Return bit 0 of the address to continue at: 1 in the Thumb mode of 32-bit Arm."""
        return int(self.chip.arch == uc.UC_ARCH_ARM and bool(self.get(a32.UC_ARM_REG_CPSR) & 1 << 5))

    def charge_call(self, address: int) -> None:
        """Count a call of an emulated function as some instructions, and check the limits."""
        self.budget -= CALL_COST
        self.check_clock(address)

    def check_clock(self, address: int) -> None:
        """Raise Fault if the call has used up its instructions, Unsupported if its time, since this machine is slow."""
        if self.budget <= 0:
            limit = f"{self.limits.instructions:,} instructions"
            raise Fault("timeout", f"still running after {limit}").placed(address=address)
        if time.monotonic() > self.deadline:
            raise Unsupported(f"it still runs after {self.limits.seconds:g} s: this machine is too slow for it")

    def _run_part(self, address: int, instructions: int) -> None:
        self._fault = None
        try:
            self.engine.emu_start(address, 0, count=instructions)
        except unicorn.UcError as error:
            self._raise_for(error)
        if self._fault is not None:
            raise self._fault

    def _raise_for(self, error: Any) -> None:
        """Raise what the CPU's exception means."""
        if self._fault is not None:
            raise self._fault from None
        if self.pc in self._exits:  # Unicorn's s390x raises an exception at an exit
            return
        names = {
            uc.UC_ERR_INSN_INVALID: Fault("illegal-instruction", "an instruction that this CPU doesn't have"),
            uc.UC_ERR_EXCEPTION: Fault(
                "illegal-instruction", "a trap, or an instruction or address that this CPU refuses"
            ),
            uc.UC_ERR_READ_UNALIGNED: Fault("misaligned-access", "a read from a misaligned address"),
            uc.UC_ERR_WRITE_UNALIGNED: Fault("misaligned-access", "a write to a misaligned address"),
        }
        known = names.get(error.errno)
        if known is None:
            raise Unsupported(f"the emulated CPU stopped at {self.pc:#x}: {error}")
        raise known.placed(address=self.pc) from None

    def _handle_watched(self, _engine: object, access: int, address: int, size: int, *_rest: object) -> None:
        self._end_if_then()
        found = self._check_access(address, size, access in WRITES)
        if found is not None and self._fault is None:
            self._fault = add_address(found, self.pc)
            self.engine.emu_stop()

    def _handle_invalid(self, _engine: object, access: int, address: int, size: int, *_rest: object) -> bool:
        if access in FETCHES and address < PAGE:
            self._fault = Fault("null-call", "a call through a null pointer")
        elif access in FETCHES:
            self._fault = Fault("jump-outside-module", f"a jump to {address:#x}")
        else:
            found = self._check_access(address, size, access in WRITES)
            self._fault = add_address(found or Fault("wild-pointer", f"{address:#x} is not mapped"), self.pc)
        return False


def _pack_descriptor(base: int) -> bytes:
    """Return the descriptor of a writable 32-bit data segment of 4 GiB."""
    low = (base & 0xFFFF) << 16 | 0xFFFF
    high = base & 0xFF000000 | 0xCF9200 | base >> 16 & 0xFF
    return low.to_bytes(4, "little") + high.to_bytes(4, "little")
