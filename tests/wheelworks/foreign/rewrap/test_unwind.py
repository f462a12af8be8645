"""Compact unwind information becomes .eh_frame: the rules of the compiler's own DWARF, and exceptions that work."""

from __future__ import annotations

import itertools
import json
import struct
import time
from pathlib import Path
from typing import Any

import lief
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelworks.core.image import BadImage, Image, Segment
from wheelworks.foreign.rewrap import cfi, unwind

from tests.wheelworks.foreign.rewrap import frames, macos_modules, sites

slow = pytest.mark.integration
ARM, X86 = "aarch64", "x86_64"
INFO_AT, CODE_END, FRAMES_AT = 0x8000, 0x8000, 0x20000
WORDS = st.integers(0, 0xFFFFFFFF)


def make_image(info: bytes = b"", cpu: str = ARM, *, eh_frame: bytes = b"", code: bytes = b"") -> Image:
    """Return an image of 128 KiB: code, unwind information at 0x8000, and __eh_frame right behind it."""
    data = code.ljust(INFO_AT, b"\0") + info + eh_frame
    return Image(
        "macos", cpu, (Segment(0, FRAMES_AT, data, False, True),), (), (), {}, (),
        unwind_info=(INFO_AT if info else 0, len(info)),
        eh_frame=(INFO_AT + len(info) if eh_frame else 0, len(eh_frame)),
    )  # fmt: skip


def make_info(
    entries: list[tuple[int, int]],
    end: int,
    *,
    compressed: bool = True,
    personalities: tuple[int, ...] = (),
    lsdas: dict[int, int] | None = None,
    common: int = 1,
) -> bytes:
    """Return unwind information with one page; ``common`` encodings are those of the whole image."""
    encodings = list(dict.fromkeys(encoding for _, encoding in entries))
    shared, own = encodings[:common], encodings[common:]
    base = entries[0][0] if entries else 0
    if compressed:
        numbers = {encoding: number for number, encoding in enumerate(shared + own)}
        words = [(start - base) | numbers[encoding] << 24 for start, encoding in entries]
        head = struct.pack("<IHHHH", 3, 12, len(words), 12 + 4 * len(words), len(own))
        page = head + struct.pack(f"<{len(words) + len(own)}I", *words, *own)
    else:
        flat = [word for entry in entries for word in entry]
        page = struct.pack("<IHH", 2, 8, len(entries)) + struct.pack(f"<{len(flat)}I", *flat)
    common_at = 28
    people_at = common_at + 4 * len(shared)
    index_at = people_at + 4 * len(personalities)
    lsda_at = index_at + 24
    rows = sorted((lsdas or {}).items())
    page_at = lsda_at + 8 * len(rows)
    out = struct.pack("<7I", 1, common_at, len(shared), people_at, len(personalities), index_at, 2)
    out += struct.pack(f"<{len(shared) + len(personalities)}I", *shared, *personalities)
    out += struct.pack("<6I", base, page_at, lsda_at, end, 0, lsda_at + 8 * len(rows))
    return out + b"".join(struct.pack("<2I", *row) for row in rows) + page


def read_made(made: unwind.EhFrame) -> dict[int, frames.Frame]:
    """Find every frame by the header's table, as libgcc does."""
    version, *encodings, distance, count = struct.unpack_from("<4BiI", made.header)
    assert (version, *encodings) == (1, 0x1B, 0x03, 0x3B)
    assert made.header_address + 4 + distance == made.address
    table = [struct.unpack_from("<2i", made.header, 12 + 8 * i) for i in range(count)]
    assert table == sorted(table)
    found = {}
    for start, fde in table:
        frame = frames.read_frame(made.eh_frame, made.address, made.header_address + fde)
        assert frame.start == made.header_address + start
        found[frame.start] = frame
    return found


@pytest.mark.parametrize("compressed", [True, False])
def test_each_function_gets_a_frame(compressed: bool) -> None:
    info = make_info(
        [(0x100, 0x02003000), (0x140, 0x54000103), (0x200, 0), (0x300, 0x04000000)], 0x400,
        compressed=compressed, personalities=(0x7000,), lsdas={0x140: 0x6000},
    )  # fmt: skip
    made = unwind.make_eh_frame(make_image(info), FRAMES_AT)
    assert made is not None
    assert made.skipped == ()
    found = read_made(made)
    assert [(f.start, f.size, f.personality, f.lsda) for f in found.values()] == [
        (0x100, 0x40, 0, 0),
        (0x140, 0xC0, 0x7000, 0x6000),
        (0x300, 0x100, 0, 0),
    ]
    assert found[0x100].row == frames.Row(31, 48)
    saved = {29: 16, 30: 8, 19: 24, 20: 32, 21: 40, 22: 48, 72: 56, 73: 64}
    assert found[0x140].row == frames.Row(29, 16, saved)


def test_a_personality_without_an_lsda_has_a_null() -> None:
    made = unwind.make_eh_frame(make_image(make_info([(0x100, 0x14000000)], 0x200, personalities=(0x7000,))), FRAMES_AT)
    assert made is not None
    frame = read_made(made)[0x100]
    assert (frame.personality, frame.lsda) == (0x7000, 0)


def test_an_encoding_that_is_not_understood_is_skipped() -> None:
    made = unwind.make_eh_frame(make_image(make_info([(0x100, 0x05000000), (0x200, 0x04000000)], 0x300)), FRAMES_AT)
    assert made is not None
    assert made.skipped == (0x100,)
    assert list(read_made(made)) == [0x200]


def test_an_image_without_unwind_information() -> None:
    assert unwind.make_eh_frame(make_image(), FRAMES_AT) is None


# -- x86-64


def encode_permutation(registers: tuple[int, ...]) -> int:
    """Encode saved registers as <mach-o/compact_unwind_encoding.h> says: Lehmer digits in a mixed base."""
    digits = [n - 1 - sum(1 for other in registers[:i] if other < n) for i, n in enumerate(registers)]
    units = {1: (1,), 2: (5, 1), 3: (20, 4, 1), 4: (60, 12, 3, 1), 5: (120, 24, 6, 2, 1), 6: (120, 24, 6, 2, 1, 0)}
    return sum(digit * unit for digit, unit in zip(digits, units[len(registers)], strict=True))


NUMBERS = {1: 3, 2: 12, 3: 13, 4: 14, 5: 15, 6: 6}


@pytest.mark.parametrize("count", range(1, 7))
def test_every_permutation_of_saved_registers(count: int) -> None:
    for registers in itertools.permutations(range(1, 7), count):
        encoding = 0x02000000 | 9 << 16 | count << 10 | encode_permutation(registers)
        rules = cfi.read_rules(make_image(cpu=X86), 0, encoding)
        lowest = 8 * (count + 1)
        expected = {16: 8, **{NUMBERS[n]: lowest - 8 * i for i, n in enumerate(registers)}}
        assert rules is not None
        assert (rules.register, rules.offset, dict(rules.saved)) == (7, 72, expected)


def test_a_frame_of_rbp() -> None:
    locations = 1 | 4 << 3 | 5 << 6  # rbx, r14, r15, upwards from 3 words below rbp
    rules = cfi.read_rules(make_image(cpu=X86), 0, 0x01000000 | 3 << 16 | locations)
    assert rules is not None
    assert (rules.register, rules.offset) == (6, 16)
    assert dict(rules.saved) == {6: 16, 16: 8, 3: 40, 14: 32, 15: 24}


def test_a_large_stack_is_read_from_the_instruction() -> None:
    code = bytes(0x100) + b"\x41\x56\x53\x48\x81\xec" + struct.pack("<I", 0x1008)  # push; push; sub rsp, 0x1008
    registers = encode_permutation((1, 4))
    encoding = 0x03000000 | 6 << 16 | 3 << 13 | 2 << 10 | registers
    rules = cfi.read_rules(make_image(cpu=X86, code=code), 0x100, encoding)
    assert rules is not None
    assert (rules.register, rules.offset, dict(rules.saved)) == (7, 0x1008 + 24, {16: 8, 3: 24, 14: 16})


@given(WORDS)
def test_any_encoding_of_x86_is_read_or_skipped(encoding: int) -> None:
    rules = cfi.read_rules(make_image(cpu=X86), 0x100, encoding)
    if rules is not None:
        assert all(0 < below <= rules.offset + 8 * 256 for _, below in rules.saved)
        assert len({register for register, _ in rules.saved}) <= len(rules.saved)


# -- hostile input


def try_reading(image: Image) -> None:
    started = time.process_time()
    try:
        made = unwind.make_eh_frame(image, FRAMES_AT)
    except BadImage:
        return
    finally:
        assert time.process_time() - started < 2
    assert made is None or len(made.eh_frame) < 64 * (1 << 16)


@settings(deadline=None)
@given(st.binary(max_size=2048), st.binary(max_size=512), st.sampled_from([ARM, X86]))
def test_random_bytes(info: bytes, eh_frame: bytes, cpu: str) -> None:
    try_reading(make_image(info, cpu, eh_frame=eh_frame))


@settings(deadline=None)
@given(st.data())
def test_one_changed_word(data: st.DataObject) -> None:
    entries = [(0x100 + 16 * i, 0x54000000 | i % 7) for i in range(40)]
    compressed = data.draw(st.booleans())
    good = make_info(entries, 0x1000, compressed=compressed, personalities=(0x7000,), lsdas={0x100: 0x6000})
    at = data.draw(st.integers(0, len(good) // 4 - 1)) * 4
    word = data.draw(st.one_of(WORDS, st.integers(0, 0x200)))
    try_reading(make_image(good[:at] + struct.pack("<I", word) + good[at + 4 :]))


def test_pages_that_overlap_are_refused() -> None:
    index = struct.pack("<3I", 0x100, 28 + 12 * 401, 28) * 400 + struct.pack("<3I", 0x200, 0, 28)
    page = struct.pack("<IHH", 2, 8, 4000) + struct.pack("<2I", 0x100, 0x04000000) * 4000
    info = struct.pack("<7I", 1, 28, 0, 28, 0, 28, 401) + index + page
    with pytest.raises(BadImage, match="overlap"):
        unwind.make_eh_frame(make_image(info), FRAMES_AT)


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (struct.pack("<7I", 9, 28, 0, 28, 0, 28, 0), "version 9"),
        (struct.pack("<7I", 1, 28, 1 << 30, 28, 0, 28, 0), "claims"),
        (make_info([(0x300, 0x04000000), (0x100, 0x04000000)], 0x400, compressed=False), "isn't sorted"),
        (make_info([(0x100, 0x24000000)], 0x400, personalities=(0x7000,)), "doesn't exist"),
        (make_info([(0x100, 0x14000000)], 0x400, personalities=(0x70000000,)), "beyond the image"),
        (make_info([(0x100, 0x04000000)], 0x400)[:-6], "behind its own end"),
    ],
)
def test_bad_unwind_information(info: bytes, message: str) -> None:
    with pytest.raises(BadImage, match=message):
        unwind.make_eh_frame(make_image(info), FRAMES_AT)


# -- compiled code


def compile_frames(cpu: str, folder: Path, *flags: str) -> dict[str, frames.Frame]:
    """Compile the C++ module; return the frames made from its compact information, by function."""
    folder.mkdir()
    image = macos_modules.read_module(macos_modules.compile_module("macos_exceptions.cpp", cpu, folder, *flags), cpu)
    names = dict(image.symbols)
    made = unwind.make_eh_frame(image, 1 << 28)
    assert made is not None
    assert made.skipped == ()
    return {
        names[start]: frames.read_frame(made.eh_frame, made.address, fde)
        for start, fde in made.frames.items()
        if made.address <= fde < made.header_address  # not those that lie in the module's own __eh_frame
    }


def compile_dwarf(cpu: str, folder: Path) -> dict[str, frames.Frame]:
    """Compile the C++ module; return the compiler's own DWARF frames, by function.

    They are read from a linked module for ARM64, and from an object file for x86-64: zig's linker drops the DWARF of a
    function that has compact information, and for x86-64 every function has it.
    """
    folder.mkdir()
    flags = ["-fasynchronous-unwind-tables"]
    flags += ["-c", "-femit-dwarf-unwind=always"] if cpu == X86 else []
    path = macos_modules.compile_module("macos_exceptions.cpp", cpu, folder, *flags)
    parsed = lief.MachO.parse(str(path))
    assert parsed is not None
    binary = parsed.at(0)
    assert binary is not None
    names = {symbol.value: str(symbol.name)[1:] for symbol in binary.symbols if str(symbol.name).startswith("_")}
    section = binary.get_section("__eh_frame")
    assert section is not None
    data, base = bytes(section.content), section.virtual_address
    found, at = {}, 0
    while at + 8 <= len(data):
        size, cie = struct.unpack_from("<2I", data, at)
        if size and cie:
            frame = frames.read_frame(data, base, base + at)
            found[names[frame.start]] = frame
        at += 4 + size
    return found


@slow
@pytest.mark.parametrize("cpu", macos_modules.CPUS)
def test_frames_are_those_of_the_compilers_dwarf(cpu: str, tmp_path: Path) -> None:
    """Where every instruction needs to be unwound, the compiler writes DWARF for the same code."""
    own = compile_frames(cpu, tmp_path / "calls", "-fno-asynchronous-unwind-tables", "-funwind-tables")
    theirs = compile_dwarf(cpu, tmp_path / "all")
    both = own.keys() & theirs.keys()
    assert len(both) > 20
    for name in both:
        row = theirs[name].row
        assert (own[name].row.register, own[name].row.offset) == (row.register, row.offset), name
        assert own[name].row.saved == row.saved, name
        assert bool(own[name].lsda) == bool(theirs[name].lsda)


PROBE = """
import json
import exceptions as e
names = "catch_below_destructors catch_by_type rethrow catch_in_thread use_library miss_handler"
found = {name: getattr(e, name)() for name in names.split()}
found["catch_through_cpython"] = e.catch_through_cpython(e.throw_through)
print(json.dumps(found))
"""
EXPECTED = {
    "catch_below_destructors": ["a text that is too long for the short form of a string", 42, 21, 11.0, 7011],
    "catch_by_type": "7;out_of_range;out_of_range;out_of_range;",
    "rethrow": [42, 13],
    "catch_in_thread": ["a text that is too long for the short form of a string", 1004],
    "use_library": "a key that is too long for the short form=7;short=8;2.5;ff",
    "miss_handler": "caught by the outer handler",
    "catch_through_cpython": ["through CPython", 101],
}


def run_exceptions(cpu: str, tmp_path: Path) -> dict[str, Any]:
    python = sites.find_python("macos", cpu)
    module = macos_modules.compile_module("macos_exceptions.cpp", cpu, tmp_path)
    made = macos_modules.install_module(module, "exceptions", python, tmp_path / "site", with_libcxx=True)
    assert made.unresolved == ()
    ended = sites.run(python, tmp_path / "site", PROBE)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


@slow
@pytest.mark.parametrize("cpu", macos_modules.CPUS)
def test_exceptions_are_caught(cpu: str, tmp_path: Path) -> None:
    assert run_exceptions(cpu, tmp_path) == EXPECTED


@slow
@pytest.mark.parametrize("cpu", macos_modules.CPUS)
def test_without_frames_an_exception_ends_the_process(
    cpu: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wheelworks.foreign.rewrap.rewrapper.make_eh_frame", lambda image, address: None)
    monkeypatch.setattr(macos_modules, "_made", {})
    with pytest.raises(AssertionError, match="terminat"):
        run_exceptions(cpu, tmp_path)
