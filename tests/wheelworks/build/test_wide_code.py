"""Test that the AVX2 code, which the emulated CPU cannot run, is identical in all x86-64 wheels.

tests/speedups runs this code wherever the CPU has AVX2: alone (test_xor_on_cpus.py), and in the functions that call it.
"""

from __future__ import annotations

from pathlib import Path

import capstone
import pytest
from wheelworks.audit.disassembly import find_code_regions
from wheelworks.core import binary
from wheelworks.core.wheel import read_members

pytestmark = pytest.mark.integration

DECODER = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)


def code(wheel: Path) -> bytes:
    """Return all machine code of the only binary in a wheel."""
    [data] = [member.data for name, member in read_members(wheel).items() if name.endswith((".so", ".pyd"))]
    # Read the regions within the loop, because LIEF's objects become invalid together with their binary.
    return b"".join(region.data for parsed, _, _ in binary.parts(data) for region in find_code_regions(parsed))


def wide(text: bytes) -> list[bytes]:
    """Return the functions that use 32-byte registers, each from its entry to its return."""
    found, start, is_wide = [], 0, False
    for address, size, mnemonic, operands in DECODER.disasm_lite(text, 0):
        is_wide = is_wide or "ymm" in operands
        if mnemonic.startswith(("ret", "nop", "int3", "jmp")) and not (is_wide and mnemonic != "ret"):
            if is_wide:
                found.append(text[start : address + size])
            start, is_wide = address + size, False
    return found


def test_it_is_one_function_and_the_same_everywhere(release: Path) -> None:
    wheels = [path for path in release.glob("*.whl") if path.stem.endswith(("x86_64", "amd64"))]
    assert len(wheels) == 9
    functions = {wheel.name: wide(code(wheel)) for wheel in wheels}
    assert {len(found) for found in functions.values()} == {1}
    assert len({found[0] for found in functions.values()}) == 1
    assert all(b"\x0f\xa2" in code(wheel) for wheel in wheels), "the CPU is asked"


def test_no_other_cpu_has_such_code(release: Path) -> None:
    [wheel] = release.glob("*-cp311-abi3-win32.whl")
    assert wide(code(wheel)) == []
