"""The CPUs whose CPython can be run: their names in Debian, qemu and wheel tags, and their ELF headers.

The fields of the ELF header are those of the System V ABI and its processor supplements. The format of a binfmt_misc
rule is described in the kernel's Documentation/admin-guide/binfmt-misc.rst.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Literal

from wheelworks.core.errors import UsageError


@dataclass(frozen=True)
class Cpu:
    """A CPU: ``name`` as in wheel tags, ``debian`` the architecture, ``elf`` the header's e_machine.

    ``model`` is the one that qemu emulates, where its default (every feature that it knows) doesn't fit.
    """

    name: str
    debian: str
    qemu: str
    elf: int
    bits: int = 64
    big_endian: bool = False
    model: str = ""

    @property
    def emulator(self) -> str:
        """Return the statically linked qemu-user program. It must start inside a root without the host's libraries."""
        return f"qemu-{self.qemu}-static"


CPUS = (
    # An ARMv8.0 core, so that instructions above the baseline fail. Also, Debian's newer builds sign return addresses:
    # older cores skip that, and qemu before 9.0 computes it so slowly that Python takes seven times as long.
    Cpu("aarch64", "arm64", "aarch64", 183, model="cortex-a53"),
    Cpu("armv7l", "armhf", "arm", 40, bits=32),
    Cpu("riscv64", "riscv64", "riscv64", 243),
    Cpu("s390x", "s390x", "s390x", 22, big_endian=True),
    Cpu("ppc64le", "ppc64el", "ppc64le", 21),
    Cpu("i686", "i386", "i386", 3, bits=32),
    Cpu("loongarch64", "loong64", "loongarch64", 258),
    Cpu("x86_64", "amd64", "x86_64", 62),
)


def find_cpu(name: str) -> Cpu:
    """Return the CPU with that name in wheel tags or in Debian. Raises UsageError, which lists the known ones."""
    for cpu in CPUS:
        if name in (cpu.name, cpu.debian):
            return cpu
    raise UsageError(f"no CPython for the CPU {name!r}", f"known CPUs: {', '.join(cpu.name for cpu in CPUS)}")


def is_host(cpu: Cpu) -> bool:
    """Return whether this machine runs the CPU's code without an emulator."""
    return platform.system() == "Linux" and platform.machine() == cpu.name


def elf_header(cpu: Cpu) -> tuple[bytes, bytes]:
    """Return the first 20 bytes of an executable for a CPU, and the mask of the bits that must match.

    The mask leaves out the OS ABI, the ABI version, and the lowest bit of e_type (2: ET_EXEC, 3: ET_DYN).
    """
    order: Literal["big", "little"] = "big" if cpu.big_endian else "little"
    ident = b"\x7fELF" + bytes([cpu.bits // 32, 2 if cpu.big_endian else 1, 1]) + bytes(9)
    magic = ident + (2).to_bytes(2, order) + cpu.elf.to_bytes(2, order)
    mask = b"\xff" * 7 + bytes(9) + (0xFFFE).to_bytes(2, order) + b"\xff\xff"
    return magic, mask


def recognize_cpu(header: bytes) -> Cpu | None:
    """Return the CPU of an executable whose first 20 bytes are ``header``; None for an unknown one."""
    for cpu in CPUS:
        magic, mask = elf_header(cpu)
        if len(header) >= len(magic) and all(a & m == b & m for a, b, m in zip(magic, header, mask, strict=False)):
            return cpu
    return None


def binfmt_rule(cpu: Cpu, interpreter: str) -> str:
    """Return the line for binfmt_misc's ``register`` that starts a CPU's executables by ``interpreter``.

    Flag F opens the interpreter now, so that it is found after the root changes. Flag P passes argv[0] on.
    """
    magic, mask = ("".join(f"\\x{byte:02x}" for byte in part) for part in elf_header(cpu))
    return f":{cpu.emulator}:M::{magic}:{mask}:{interpreter}:FP"
