"""Test which bytes of a binary are disassembled: all of its code, and each byte once."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import capstone
import pytest
from wheelworks.audit import disassembly
from wheelworks.audit.disassembly import Instruction
from wheelworks.core import binary
from wheelworks.core.binary import Parsed

from tests.fixtures import binaries
from tests.fixtures.commands import wheelworks
from tests.fixtures.drafts import draft

# Instructions of 1 to 11 bytes, so that a read window of any size ends inside an instruction at some point.
LENGTHS = [
    b"\x90",
    b"\x66\x90",
    b"\x48\x89\xc8",
    b"\x48\x8b\x44\x24\x08",
    b"\x48\xb8" + bytes(8),
    b"\x66" * 8 + b"\x0f\x1f\xc0",
]


def instructions(data: bytes) -> list[Instruction]:
    """Return a binary's instructions, at most 100,000, so that an endless reader fails a test instead of hanging."""
    [(parsed, facts, _)] = binary.parts(data)
    regions = disassembly.find_code_regions(parsed)
    return list(itertools.islice(disassembly.read_instructions(parsed, facts.machine, regions), 100_000))


def test_instructions_across_a_windows_edge_are_read_as_any_other() -> None:
    code = b"".join(LENGTHS[number * number % len(LENGTHS)] for number in range(3000))
    whole = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64).disasm_lite(code, 128)
    assert instructions(binaries.elf(code)) == list(whole)


@pytest.mark.parametrize(
    ("machine", "code", "lengths"),
    [
        (62, b"\x06\x90\x06\x06", [1, 1, 1, 1]),
        (183, b"\xff\xff\xff\xff" + b"\x1f\x20\x03\xd5", [4, 4]),
        (243, b"\xff\xff\xff\xff" + b"\0\0", [4, 2]),
    ],
)
def test_what_is_no_instruction_is_stepped_over_by_its_length(machine: int, code: bytes, lengths: list[int]) -> None:
    found = instructions(binaries.elf(code, machine=machine))
    assert [one[1] for one in found] == lengths and [one[0] - 128 for one in found] == [
        sum(lengths[:place]) for place in range(len(lengths))
    ]


NOP, LDADDAL, TABLE = bytes.fromhex("1f2003d5"), bytes.fromhex("2000e1f8"), struct.pack("<i", -200)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        (NOP * 10 + LDADDAL + NOP * 10, ["ldaddal"]),
        (LDADDAL, ["ldaddal"]),
        (bytes(8) + LDADDAL + NOP * 10, ["ldaddal"]),  # after padding
        (TABLE * 3 + LDADDAL + TABLE * 3, []),
        (NOP * 10 + LDADDAL + NOP * 3 + TABLE, []),
        (TABLE + NOP * 4 + LDADDAL + NOP * 4 + TABLE, ["ldaddal"]),
    ],
)
def test_words_of_a_table_in_aarch64_code_are_no_instructions(code: bytes, found: list[str]) -> None:
    read = instructions(binaries.elf(code, machine=183))
    assert [one[0] - 128 for one in read] == list(range(0, len(code), 4))
    assert [one[2] for one in read if one[2] not in ("", "nop", "udf")] == found


POWER_NOP, XXBRD, POWER_TABLE = (struct.pack("<I", word) for word in (0x60000000, 0xF037176C, 0xFFFFF3A0))
BRD = struct.pack("<I", 0x7C600176)  # of POWER10, which capstone doesn't know


@pytest.mark.parametrize(
    ("code", "found"),
    [
        (POWER_NOP * 10 + XXBRD + POWER_NOP * 10, ["xxbrd"]),
        (bytes(8) + XXBRD + POWER_NOP * 10, ["xxbrd"]),  # after padding
        (BRD + XXBRD + BRD, ["xxbrd"]),
        (POWER_TABLE * 3 + XXBRD + POWER_TABLE * 3, []),
        (POWER_NOP * 10 + XXBRD + POWER_NOP + struct.pack("<I", 0xA8) + POWER_NOP * 9, []),
    ],
)
def test_words_of_a_table_in_power_code_are_no_instructions(code: bytes, found: list[str]) -> None:
    parsed = cast(Parsed, SimpleNamespace(functions=[]))
    read = list(disassembly.read_instructions(parsed, "powerpc64le", [disassembly.CodeRegion(128, code)]))
    assert sum(one[1] for one in read) == len(code)
    assert [one[2] for one in read if one[2] not in ("", "nop")] == found


@pytest.mark.parametrize("start", [128, 129, 130])
def test_aarch64_code_is_read_from_multiples_of_four_only(start: int) -> None:
    """Symbols of data in the code, and sections that begin with data, don't move the instructions."""
    code = bytes(-start % 4) + NOP * 8
    region = disassembly.CodeRegion(start, code)
    parsed = cast(Parsed, SimpleNamespace(functions=[SimpleNamespace(address=141), SimpleNamespace(address=146)]))
    found = list(disassembly.read_instructions(parsed, "aarch64", [region]))
    assert [one[2] for one in found] == ["nop"] * 8 and found[0][0] == start + -start % 4


AVX, X86_NOP, X86_TABLE = bytes.fromhex("c5f877"), b"\x90", struct.pack("<i", -200)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        (X86_NOP * 10 + AVX + X86_NOP * 10, ["vzeroupper"]),
        (AVX, ["vzeroupper"]),
        (bytes(8) + AVX + X86_NOP * 10, ["vzeroupper"]),  # after padding
        (X86_TABLE * 3 + AVX + b"\xff" + X86_TABLE * 3, []),
        (X86_NOP * 10 + AVX + X86_NOP * 2 + X86_TABLE, []),
        (X86_TABLE + X86_NOP * 12 + AVX + X86_NOP * 12 + X86_TABLE, ["vzeroupper"]),
        (b"\x0f\xa2" + X86_TABLE, ["cpuid"]),
    ],
)
@pytest.mark.parametrize("machine", ["x86", "x86_64"])
def test_bytes_of_a_table_in_x86_code_are_no_instructions(machine: str, code: bytes, found: list[str]) -> None:
    parsed = cast(Parsed, SimpleNamespace(functions=[]))
    read = list(disassembly.read_instructions(parsed, machine, [disassembly.CodeRegion(128, code)]))
    assert [one[2] for one in read if one[2] in ("vzeroupper", "cpuid")] == found
    assert sum(one[1] for one in read) == len(code)


def _switch(table: bytes, pointers: int) -> tuple[bytes, list[int]]:
    """Return `jmp [eax*4 + TABLE]`, the table at 0x10001010, and the places of the relocated addresses."""
    code = bytes.fromhex("ff248510100010").ljust(16, b"\xcc") + table
    return code, [3, *range(16, 16 + 4 * pointers, 4)]


def test_a_jump_table_in_32_bit_windows_code_is_followed_and_not_read_as_code() -> None:
    """The bytes of the first entry, 0x1077f8c5, are those of `vzeroupper` and one more."""
    entries = struct.pack("<III", 0x1077F8C5, 0x1000101C, 0x1000101E)
    code, places = _switch(entries + b"\x40\xc3\x48\xc3", 3)
    assert [one[2] for one in instructions(binaries.pe_x86(code, places))] == ["jmp", "inc", "ret", "dec", "ret"]


def test_a_table_of_bytes_in_32_bit_windows_code_is_no_code() -> None:
    """`movzx eax, byte ptr [eax + 0x10001010]; ret`; and the good twin, `push 0x10001010; ret`, which is code."""
    table = bytes.fromhex("0fb68010100010c3").ljust(16, b"\xcc") + AVX + b"\xc3"
    assert [one[2] for one in instructions(binaries.pe_x86(table, [3]))] == ["movzx", "ret"]
    code = bytes.fromhex("6810100010c3").ljust(16, b"\xcc") + AVX + b"\xc3"
    assert [one[2] for one in instructions(binaries.pe_x86(code, [1]))] == ["push", "ret", "vzeroupper", "ret"]


def test_a_table_that_leads_to_no_instruction_is_not_followed_for_ever() -> None:
    code = b"\xc3".ljust(16, b"\x06") + struct.pack("<II", 0x1028, 0x1029) + b"\x06" * 40
    found = instructions(binaries.pe(code, struct.pack("<III", 0x1000, 0x1040, 0)))
    assert [one[2] for one in found] == ["ret"]


def test_a_table_leads_to_code_that_nothing_else_reaches() -> None:
    code = b"\xc3".ljust(16, b"\x06") + struct.pack("<II", 0x1028, 0x1029) + b"\x06" * 16 + b"\x90\xc3"
    found = instructions(binaries.pe(code, struct.pack("<III", 0x1000, 0x102A, 0)))
    assert sorted(one[0] - 0x180001000 for one in found) == [0, 0x28, 0x29]


def test_a_word_alone_is_no_table() -> None:
    """It is part of code that nothing was known to reach, where an instruction doesn't begin everywhere."""
    code = b"\xc3".ljust(16, b"\x06") + struct.pack("<I", 0x1028) + b"\x06" * 20 + b"\xc5\xf8\x77\xc3"
    found = instructions(binaries.pe(code, struct.pack("<III", 0x1000, 0x102C, 0)))
    assert [one[2] for one in found] == ["ret"]


def test_functions_over_each_other_are_looked_at_once() -> None:
    code = b"\xc3".ljust(1 << 16, b"\x06")
    functions = struct.pack("<III", 0x1000, 0x1000 + len(code), 0) * 10_000
    assert len(instructions(binaries.pe(code, functions))) == 1


def test_places_that_touch_or_lie_over_each_other_are_one() -> None:
    spans = [(8, 12), (0, 4), (2, 6), (20, 28), (21, 22), (28, 29)]
    assert disassembly.merge_spans(spans) == [(0, 6), (8, 12), (20, 29)]


@pytest.mark.integration
def test_our_own_wheels_for_i686_do_without_sse2(tmp_path: Path, wheelworks_cache: Path) -> None:
    """The audit allows SSE2, because manylinux's own compilers use it, but some Debian users have CPUs without it."""
    words = ("--no-run", "--target", "manylinux_2_17_i686", "--abi", "cp311-abi3", "--out", tmp_path)
    assert wheelworks("build-wheels", *words, cache=wheelworks_cache).status == 0
    one = draft(next(tmp_path.glob("*i686*.whl")))
    found = instructions(one.members[one.extension].data)
    assert len(found) > 1000 and [line for line in found if "mm" in line[3]] == []
