"""Emit the few instructions that the rewrapper adds: stubs that pass an argument on, and veneers.

Sources: the Arm Architecture Reference Manual for A-profile, C6.2; the Intel SDM, volume 2.
"""

from __future__ import annotations

import struct
from typing import Protocol

NOP = 0xD503201F
SAVE_LINK = 0xA9BF7BFD  # stp x29, x30, [sp, #-16]!
RESTORE_LINK = 0xA8C17BFD  # ldp x29, x30, [sp], #16
BRANCH_REACH = 1 << 27  # bytes in each direction
PLATFORM_REGISTER = 18
SCRATCH = 16  # x16, which a call may change (AAPCS64, 6.1.1)


class Code(Protocol):
    """Code of one CPU at an address."""

    address: int
    data: bytearray

    def emit_stub(self, argument: int, slot: int) -> int:
        """Emit a function that calls the one whose address is in ``slot`` with the address ``argument``; return it."""
        ...


def encode_branch(source: int, target: int) -> int:
    """Return ``b target`` at ``source``. Raises OverflowError beyond 128 MiB."""
    distance = target - source
    if not -BRANCH_REACH <= distance < BRANCH_REACH:
        raise OverflowError(f"no branch from {source:#x} reaches {target:#x}")
    return 0x14000000 | (distance >> 2) & 0x3FFFFFF


def encode_page(register: int, source: int, target: int) -> int:
    """Return ``adrp register, target`` at ``source``."""
    pages = (target >> 12) - (source >> 12)
    return 0x90000000 | (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5 | register


def encode_add(register: int, target: int) -> int:
    """Return ``add register, register, #low 12 bits of target``."""
    return 0x91000000 | (target & 0xFFF) << 10 | register << 5 | register


def encode_load(register: int, slot: int) -> int:
    """Return ``ldr register, [register, #low 12 bits of slot]``; ``slot`` is a multiple of 8."""
    return 0xF9400000 | (slot & 0xFFF) // 8 << 10 | register << 5 | register


class Arm64Code:
    """Code for AArch64."""

    def __init__(self, address: int) -> None:
        self.address = address
        self.data = bytearray()

    @property
    def here(self) -> int:
        """Return the address of the next instruction."""
        return self.address + len(self.data)

    def emit(self, word: int) -> None:
        """Append an instruction."""
        self.data += struct.pack("<I", word)

    def emit_load(self, register: int, slot: int) -> None:
        """Load a register from a slot."""
        self.emit(encode_page(register, self.here, slot))
        self.emit(encode_load(register, slot))

    def emit_stub(self, argument: int, slot: int) -> int:
        """Emit ``x0 = argument; goto *slot``."""
        start = self.here
        self.emit(encode_page(0, start, argument))
        self.emit(encode_add(0, argument))
        self.emit_load(SCRATCH, slot)
        self.emit(0xD61F0000 | SCRATCH << 5)  # br x16
        return start

    def emit_veneer(self, instruction: int, origin: int, slot: int) -> int:
        """Emit a call of the function in ``slot``, an instruction moved from ``origin``, and the way back."""
        start = self.here
        self.emit(SAVE_LINK)
        self.emit_load(PLATFORM_REGISTER, slot)
        self.emit(0xD63F0000 | PLATFORM_REGISTER << 5)  # blr x18
        self.emit(RESTORE_LINK)
        self.emit(instruction)
        self.emit(encode_branch(self.here, origin + 4))
        return start


class X86Code:
    """Code for x86-64."""

    def __init__(self, address: int) -> None:
        self.address = address
        self.data = bytearray()

    def emit_stub(self, argument: int, slot: int) -> int:
        """Emit ``rdi = argument; goto *slot``."""
        self.data += b"\xcc" * (-len(self.data) % 16)
        start = self.address + len(self.data)
        self.data += b"\x48\x8d\x3d" + struct.pack("<i", argument - (start + 7))  # lea rdi, [rip + n]
        self.data += b"\xff\x25" + struct.pack("<i", slot - (start + 13))  # jmp [rip + n]
        return start


def create_code(cpu: str, address: int) -> Arm64Code | X86Code:
    """Return an empty piece of code for a CPU."""
    return Arm64Code(address) if cpu == "aarch64" else X86Code(address)
