"""The CPUs whose CPython can be run here: what Debian, qemu, wheel tags and the kernel call each of them.

The ELF header's fields are from the System V ABI and its processor supplements; the format of a binfmt_misc rule is
from the kernel's Documentation/admin-guide/binfmt-misc.rst.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Literal

from wheelworks.core.errors import UsageError


@dataclass(frozen=True)
class Machine:
    """One CPU: ``cpu`` as in wheel tags, ``debian`` the architecture, ``elf`` the header's e_machine.

    ``model`` is the one that qemu is to be, where its default (all that it knows) won't do.
    """

    cpu: str
    debian: str
    qemu: str
    elf: int
    bits: int = 64
    big_endian: bool = False
    model: str = ""

    @property
    def emulator(self) -> str:
        """The statically linked qemu-user program: it must start inside a root that holds nothing of the host."""
        return f"qemu-{self.qemu}-static"


MACHINES = (
    # An ARMv8.0 core: nothing above the baseline runs unnoticed. And Debian's newer builds sign return addresses, which
    # older cores skip, and which qemu before 9.0 computes so slowly that Python takes seven times as long.
    Machine("aarch64", "arm64", "aarch64", 183, model="cortex-a53"),
    Machine("armv7l", "armhf", "arm", 40, bits=32),
    Machine("riscv64", "riscv64", "riscv64", 243),
    Machine("s390x", "s390x", "s390x", 22, big_endian=True),
    Machine("ppc64le", "ppc64el", "ppc64le", 21),
    Machine("i686", "i386", "i386", 3, bits=32),
    Machine("loongarch64", "loong64", "loongarch64", 258),
    Machine("x86_64", "amd64", "x86_64", 62),
)


def find_machine(name: str) -> Machine:
    """The machine that wheel tags or Debian call ``name``; raises UsageError that lists the known ones."""
    for machine in MACHINES:
        if name in (machine.cpu, machine.debian):
            return machine
    known = ", ".join(machine.cpu for machine in MACHINES)
    raise UsageError(f"no CPython can be had here for the CPU {name!r}", f"the CPUs are {known}")


def is_host(machine: Machine) -> bool:
    """Whether this machine's own CPU runs ``machine``'s code, so that nothing need be emulated."""
    return platform.system() == "Linux" and platform.machine() == machine.cpu


def elf_header(machine: Machine) -> tuple[bytes, bytes]:
    """The first 20 bytes of an executable for ``machine``, and the mask of the bits that must match.

    Left open: the OS ABI and ABI version, and e_type's lowest bit (2 is a fixed executable, 3 a movable one).
    """
    order: Literal["big", "little"] = "big" if machine.big_endian else "little"
    ident = b"\x7fELF" + bytes([machine.bits // 32, 2 if machine.big_endian else 1, 1]) + bytes(9)
    magic = ident + (2).to_bytes(2, order) + machine.elf.to_bytes(2, order)
    mask = b"\xff" * 7 + bytes(9) + (0xFFFE).to_bytes(2, order) + b"\xff\xff"
    return magic, mask


def binfmt_rule(machine: Machine, interpreter: str) -> str:
    """The line for binfmt_misc's ``register`` that starts ``machine``'s executables by ``interpreter``.

    Flag F opens the interpreter now, so that it is there after the root changes; P hands argv[0] on.
    """
    magic, mask = (_escaped(part) for part in elf_header(machine))
    return f":{machine.emulator}:M::{magic}:{mask}:{interpreter}:FP"


def _escaped(part: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in part)
