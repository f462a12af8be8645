"""Seed faults into modules for Windows and macOS: a run in a real CPython must catch every one, and no good twin."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import capstone
import pytest
from wheelworks.core.formats import read_image
from wheelworks.core.image import Bind, Image, Rebase
from wheelworks.foreign.rewrap.rewrapper import rewrap_image
from wheelworks.foreign.rewrap.shims import System

from tests.fixtures import builds
from tests.wheelworks.foreign.rewrap import sites

pytestmark = pytest.mark.integration

PLATFORMS: dict[tuple[System, str], str] = {
    ("windows", "aarch64"): "win_arm64",
    ("macos", "aarch64"): "macosx_11_0_arm64",
    ("macos", "x86_64"): "macosx_10_15_x86_64",
}
CHECKS = """
import fixture
total = 7
for byte in range(256):
    total ^= byte
    total = (total + (total << 5)) % 2**32
assert fixture.digest(bytes(range(256))) == total, "digest"
assert fixture.subtract((50, 8)) == 42, "subtract"
assert [fixture.name(number) for number in range(4)] == ["zero", "one", "two", "three"], "name"
print("passed")
"""


def change_instruction(image: Image, matches: Callable[[str, str], bool], change: Callable[[int], int]) -> Image:
    """Change the first instruction that matches by its mnemonic and operands."""
    disassembler = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
    for index, segment in enumerate(image.segments):
        if not segment.executable:
            continue
        for offset in range(0, len(segment.data) - 3, 4):
            word = segment.data[offset : offset + 4]
            found = next(disassembler.disasm(word, 0, 1), None)
            if found and matches(found.mnemonic, found.op_str):
                changed = struct.pack("<I", change(*struct.unpack("<I", word)))
                data = segment.data[:offset] + changed + segment.data[offset + 4 :]
                segments = list(image.segments)
                segments[index] = replace(segment, data=data)
                return replace(image, segments=tuple(segments))
    raise AssertionError("no such instruction")


def turn_eor_into_orr(image: Image) -> Image:
    return change_instruction(image, lambda name, _: name == "eor", lambda word: word ^ 0b11 << 29)


def turn_add_into_sub(image: Image) -> Image:
    return change_instruction(image, lambda name, to: name == "add" and "lsl #5" in to, lambda word: word ^ 1 << 30)


def swap_operands(image: Image) -> Image:
    """Turn ``sub x0, x0, x1`` into ``sub x0, x1, x0``."""
    return change_instruction(
        image, lambda name, to: (name, to) == ("sub", "x0, x0, x1"), lambda word: word & ~(31 << 16 | 31 << 5) | 1 << 5
    )


def shift_a_rebase(image: Image) -> Image:
    """Let the second name's pointer point to its second letter."""
    segments = {segment.address: segment for segment in image.segments}

    def text_at(address: int) -> bytes:
        for start, segment in segments.items():
            if start <= address < start + len(segment.data):
                return segment.data[address - start : address - start + 4]
        return b""

    (wrong,) = [rebase for rebase in image.rebases if text_at(rebase.target) == b"one\0"]
    moved = [Rebase(one.address, one.target + (one == wrong)) for one in image.rebases]
    return replace(image, rebases=tuple(moved))


def rename_an_import(image: Image) -> Image:
    names = {bind.name for bind in image.binds}
    assert "PyUnicode_FromString" in names
    renamed = "PyUnicode_FromStrinX"
    binds = [
        Bind(bind.address, renamed if bind.name == "PyUnicode_FromString" else bind.name, *bind[2:])
        for bind in image.binds
    ]
    return replace(image, binds=tuple(binds))


EXPECTED: dict[Callable[[Image], Image], str] = {
    turn_eor_into_orr: "AssertionError: digest",
    turn_add_into_sub: "AssertionError: digest",
    swap_operands: "AssertionError: subtract",
    shift_a_rebase: "AssertionError: name",
    rename_an_import: "PyUnicode_FromStrinX",
}
ARM64_FAULTS = (turn_eor_into_orr, turn_add_into_sub, swap_operands)
DATA_FAULTS = (shift_a_rebase, rename_an_import)
CASES = [
    (system, cpu, fault)
    for system, cpu in PLATFORMS
    for fault in ((*ARM64_FAULTS, *DATA_FAULTS) if cpu == "aarch64" else DATA_FAULTS)
]


@cache
def read(system: System, cpu: str) -> Image:
    platform = PLATFORMS[system, cpu]
    return read_image(builds.build("rewrapped.c", platform, optimise="-O1").read_bytes(), "fixture", cpu)


def run(system: System, cpu: str, image: Image, site: Path, code: str = CHECKS) -> subprocess.CompletedProcess[str]:
    python = sites.find_python(system, cpu)
    sites.copy_shim(python, site)
    made = rewrap_image(image, name="fixture", provided=python.provided, runpath=f"$ORIGIN/{sites.SHIMS}")
    (site / "fixture.abi3.so").write_bytes(made.elf)
    return sites.run(python, site, code)


@pytest.mark.parametrize(("system", "cpu"), PLATFORMS)
def test_the_good_twin_passes(system: System, cpu: str, tmp_path: Path) -> None:
    ended = run(system, cpu, read(system, cpu), tmp_path)
    assert (ended.returncode, ended.stdout) == (0, "passed\n"), ended.stderr


@pytest.mark.parametrize(("system", "cpu", "fault"), CASES)
def test_every_seeded_fault_is_caught(
    system: System, cpu: str, fault: Callable[[Image], Image], tmp_path: Path
) -> None:
    ended = run(system, cpu, fault(read(system, cpu)), tmp_path)
    assert ended.returncode != 0 and "passed" not in ended.stdout
    assert EXPECTED[fault] in ended.stderr


def test_read_only_data_cannot_be_written(tmp_path: Path) -> None:
    """Relocated constants are in .rdata on Windows; zig leaves those of macOS in a writable segment."""
    code = "import fixture; print('started', flush=True); fixture.overwrite(1); print('passed')"
    ended = run("windows", "aarch64", read("windows", "aarch64"), tmp_path, code)
    assert ended.stdout == "started\n" and ended.returncode != 0 and "Segmentation fault" in ended.stderr
