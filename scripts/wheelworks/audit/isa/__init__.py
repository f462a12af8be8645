"""Which set an instruction belongs to, and whether it asks the CPU what it has: a module for each machine.

Each has ``feature(mnemonic, operands)``, in the words of capstone, and ``FEATURES``, all that it can answer.
"""

from __future__ import annotations

from collections.abc import Callable

from wheelworks.audit.isa import aarch64, arm, power, riscv, s390x, x86

_MACHINES: dict[str, Callable[[str, str], str]] = {
    "x86_64": x86.feature,
    "x86": x86.feature,
    "aarch64": aarch64.feature,
    "arm": arm.feature,
    "powerpc64le": power.feature,
    "s390x": s390x.feature,
    "riscv64": riscv.feature,
}
# Every feature that can be named.
FEATURES = frozenset().union(*(one.FEATURES for one in (x86, aarch64, arm, power, s390x, riscv)))
_HWPROBE = ("a0, zero, 0x102", "a7, zero, 0x102")  # the system call's number, as an argument or in its register


def is_known(machine: str) -> bool:
    """Whether the machine's instructions are known here."""
    return machine in _MACHINES


def feature(machine: str, mnemonic: str, operands: str) -> str:
    """The instruction set beyond the machine's first generation; "" for that. Raises KeyError for another machine.

    Where capstone knows no instruction, ``mnemonic`` is empty and ``operands`` are the bytes in hexadecimal.
    """
    return _MACHINES[machine](mnemonic, operands)


def asks(machine: str, mnemonic: str, operands: str) -> bool:
    """Whether an instruction asks the CPU, or by itself the system, which sets it has."""
    if machine == "aarch64":
        return mnemonic == "mrs" and "id_aa64" in operands.casefold()
    if machine == "riscv64":
        return mnemonic == "addi" and operands in _HWPROBE
    return machine == "s390x" and mnemonic in ("stfl", "stfle")
