"""Test which uses of x18 are found, moved, left alone and refused."""

from __future__ import annotations

import random
import struct
from dataclasses import replace

import capstone
import pytest
from capstone import arm64_const
from wheelworks.core.image import Image, Segment
from wheelworks.foreign.rewrap.code import NOP, Arm64Code
from wheelworks.foreign.rewrap.layout import CannotRewrap, lay_out
from wheelworks.foreign.rewrap.patches import (
    Patch,
    find_reachable,
    find_register_uses,
    patch_windows,
)

RET = 0xD65F03C0
LOAD_TLS = 0xF9402E48  # ldr x8, [x18, #0x58]
MOVE_TEB = 0xAA1203E8  # mov x8, x18
LOAD_ERROR = 0xB9406A40  # ldr w0, [x18, #0x68]
LOAD_PAIR = 0xA9400640  # ldp x0, x1, [x18]
STORE = 0xF9001640  # str x0, [x18, #0x28]
LOAD_BYTE = 0x39416240  # ldrb w0, [x18, #0x58]
USE_AS_SCRATCH = 0xAA0003F2  # mov x18, x0
CURRENT_EL = 0xD5384248  # mrs x8, CurrentEL
CODE, VENEERS, SLOT = 0x1000, 0x8000, 0x7000


def make_image(*words: int, functions: tuple[tuple[int, int], ...] = ()) -> Image:
    code = struct.pack(f"<{len(words)}I", *words)
    segments = (Segment(CODE, 0x1000, code, False, True),)
    return Image("windows", "aarch64", segments, (), (), {}, (), functions=functions)


def patch(image: Image) -> tuple[list[Patch], list[int], Arm64Code]:
    parts, code = lay_out(image, "demo.pyd"), Arm64Code(VENEERS)
    patches = patch_windows(image, parts, code, SLOT, "demo.pyd")
    return patches, [word for (word,) in struct.iter_unpack("<I", parts[0].data[: len(image.segments[0].data)])], code


@pytest.mark.parametrize("word", [LOAD_TLS, MOVE_TEB, LOAD_ERROR])
def test_teb_accesses_are_moved_wherever_they_are(word: int) -> None:
    patches, (first, second), code = patch(make_image(word, RET))
    assert [found.address for found in patches] == [CODE] and "x18" in patches[0].instruction
    assert first >> 26 == 0b000101 and CODE + 4 * (first & 0x3FFFFFF) == VENEERS and second == RET
    assert word in [moved for (moved,) in struct.iter_unpack("<I", code.data)]


@pytest.mark.parametrize("word", [LOAD_PAIR, STORE, LOAD_BYTE])
def test_other_reads_are_moved_only_if_they_are_code(word: int) -> None:
    assert len(patch(make_image(word, RET, functions=((CODE, CODE + 8),)))[0]) == 1
    assert patch(make_image(word, RET))[:2] == ([], [word, RET])
    after_the_end = make_image(RET, word, functions=((CODE, CODE + 8),))
    assert patch(after_the_end)[0] == []


def test_a_write_to_x18_is_refused_by_name() -> None:
    with pytest.raises(CannotRewrap, match=r"demo\.pyd: `mov x18, x0` at 0x1004: a use of x18 that isn't understood"):
        patch(make_image(NOP, USE_AS_SCRATCH, RET, functions=((CODE, CODE + 12),)))
    assert patch(make_image(RET, USE_AS_SCRATCH, functions=((CODE, CODE + 8),)))[0] == []


def test_reads_of_current_el_become_nops() -> None:
    patches, words, _ = patch(make_image(CURRENT_EL, CURRENT_EL | 31, RET))
    assert [found.instruction for found in patches] == ["mrs x8, CurrentEL"]
    assert words == [NOP, CURRENT_EL | 31, RET]


def test_two_equal_runs_patch_equally() -> None:
    image = make_image(LOAD_TLS, MOVE_TEB, LOAD_ERROR, CURRENT_EL, RET)
    first, second = patch(image), patch(image)
    assert first[:2] == second[:2] and first[2].data == second[2].data
    assert [found.address for found in first[0]] == [CODE, CODE + 4, CODE + 8, CODE + 12]


def test_an_image_beyond_a_branch_is_refused() -> None:
    image = make_image(LOAD_TLS, RET)
    with pytest.raises(CannotRewrap, match="too large"):
        patch_windows(image, lay_out(image, "x"), Arm64Code(1 << 28), SLOT, "x")


def test_only_code_is_searched() -> None:
    image = make_image(LOAD_TLS)
    data = replace(image, segments=(replace(image.segments[0], executable=False),))
    assert patch(data)[:2] == ([], [LOAD_TLS])


def test_reachable_instructions_follow_branches_and_stop_at_ends() -> None:
    # 0: cbz x0, 12; 4: b 16; 8: data; 12: ret; 16: br x1; 20: data
    words = (0xB4000060, 0x14000003, USE_AS_SCRATCH, RET, 0xD61F0020, USE_AS_SCRATCH)
    assert find_reachable(struct.pack("<6I", *words), CODE) == {CODE, CODE + 4, CODE + 12, CODE + 16}


def test_a_long_function_is_followed_to_its_end() -> None:
    words = [NOP] * 300 + [RET, NOP]
    assert len(find_reachable(struct.pack("<302I", *words), CODE)) == 301
    endless = struct.pack("<2I", NOP, 0x17FFFFFF)  # b -4
    assert find_reachable(endless, CODE) == {CODE, CODE + 4}
    assert find_reachable(b"\0" * 8, CODE) <= {CODE}


def test_the_search_is_bounded() -> None:
    count = 20
    functions = tuple((CODE + 4 * n, CODE + (1 << 20)) for n in range(count))
    code = Segment(CODE, 1 << 20, struct.pack("<2I", STORE, 0x14000000) * count, False, True)
    image = replace(make_image(), segments=(code,), functions=functions)
    with pytest.raises(CannotRewrap, match="too many words name x18"):
        patch(image)


def is_use(disassembler: capstone.Cs, word: int) -> bool:
    """Return whether capstone, asked one word at a time, finds x18 in an instruction."""
    instruction = next(disassembler.disasm(word.to_bytes(4, "little"), 0, 1), None)
    if instruction is None:
        return False
    registers = {arm64_const.ARM64_REG_X18, arm64_const.ARM64_REG_W18}
    return bool(registers & {register for accessed in instruction.regs_access() for register in accessed})


@pytest.mark.parametrize("seed", range(4))
def test_no_use_is_overlooked(seed: int) -> None:
    """Compare with capstone on random words, most with 18 in a register field."""
    disassembler = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
    disassembler.detail = True
    chosen = random.Random(seed)
    words = [chosen.getrandbits(32) for _ in range(20_000)]
    shifts = [chosen.choice((0, 5, 10, 16, None)) for _ in words]
    words = [w if s is None else w & ~(31 << s) | 18 << s for w, s in zip(words, shifts, strict=True)]
    code = struct.pack(f"<{len(words)}I", *words)
    found = {words[offset // 4] for offset in find_register_uses(code)}
    uses = [word for word in words if is_use(disassembler, word)]
    assert len(uses) > 1_500
    assert [f"{word:#010x}" for word in uses if word not in found] == []


def test_hardly_anything_else_is_found() -> None:
    code = struct.pack("<4I", 0xD503201F, 0x91001C00, 0x1E204000, 0xF9400BE0) * 1000
    assert find_register_uses(code) == []
    assert find_register_uses(code + b"\x12\x00") == []
