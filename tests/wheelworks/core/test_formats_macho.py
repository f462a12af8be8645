"""The tables of Mach-O files: both formats of fixups, exports, thread-local variables, constructors, functions."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelworks.core.errors import Unsupported
from wheelworks.core.formats import list_cpus, read_image
from wheelworks.core.image import BadImage, Bind, Image, Rebase, ThreadLocal

from tests.fixtures.executables import DATA, MachO, make_universal, uleb

SECONDS = 5.0
SYSTEM, OTHER = "/usr/lib/libSystem.B.dylib", "@rpath/libother.dylib"
LIBRARIES = [(0xC, SYSTEM), (0x80000018, OTHER)]
CHAINED, TRIE, STARTS = 0x80000034, 0x80000033, 0x26
DONE = b"\0"


def read(file: MachO) -> Image:
    return read_image(file.build(), "x.so")


def opcodes(rebase: bytes = b"", bind: bytes = b"", weak: bytes = b"", lazy: bytes = b"", trie: bytes = b"") -> MachO:
    words = [0x4010, 0x4020, 0x4030, 0x4040, 0x4050, 0x4060, 0x4070, 0x4080]
    return MachO(data=struct.pack("<8Q", *words), dyld_info=(rebase, bind, weak, lazy, trie), strings=list(LIBRARIES))


def symbol(name: str, flags: int = 0) -> bytes:
    return bytes([0x40 | flags]) + name.encode() + b"\0"


AT_DATA = b"\x71" + uleb(0)  # BIND_OPCODE_SET_SEGMENT_AND_OFFSET_ULEB, segment 1


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (b"\x52", (0, 1)),  # DO_REBASE_IMM_TIMES 2
        (b"\x60\x03", (0, 1, 2)),  # DO_REBASE_ULEB_TIMES 3
        (b"\x70\x10\x51", (0, 3)),  # DO_REBASE_ADD_ADDR_ULEB 16
        (b"\x80\x03\x08", (0, 2, 4)),  # DO_REBASE_ULEB_TIMES_SKIPPING_ULEB 3, 8
        (b"\x30\x10\x51", (2,)),  # ADD_ADDR_ULEB 16
        (b"\x43\x51", (3,)),  # ADD_ADDR_IMM_SCALED 3
        (b"\x30\x10\x30" + uleb((1 << 64) - 8) + b"\x51", (1,)),  # distances go back, too
    ],
)
def test_rebase_opcodes(program: bytes, words: Sequence[int]) -> None:
    found = read(opcodes(b"\x11\x21\0" + program + DONE + b"\x51"))
    assert found.rebases == tuple(Rebase(DATA + 8 * word, 0x4010 + 16 * word) for word in words)


def test_bind_opcodes() -> None:
    first = b"\x11" + symbol("_puts") + b"\x51" + AT_DATA + b"\x90"  # ordinal 1, DO_BIND
    second = b"\x20\x02" + symbol("_data", 1) + b"\x60\x7e" + b"\xa0\x08"  # ordinal 2, addend -2, then skip 8
    third = b"\x3e" + symbol("_flat") + b"\x60\0" + b"\xb1" + b"\xc0\x02\x08"  # flat lookup; scaled skip; 2 times
    found = read(opcodes(bind=first + second + third + DONE))
    assert found.binds == (
        Bind(DATA, "puts", SYSTEM),
        Bind(DATA + 8, "data", OTHER, -2, True),
        Bind(DATA + 24, "flat"),
        Bind(DATA + 40, "flat"),
        Bind(DATA + 56, "flat"),
    )


def test_lazy_and_weak_binds_take_the_place_of_rebases() -> None:
    rebase = b"\x11\x21\0\x53" + DONE
    lazy = AT_DATA + b"\x11" + symbol("_puts") + b"\x90" + DONE + b"\x71\x08\x12" + symbol("_f") + b"\x90" + DONE
    # The first has a lazy bind already, the second the image's own definition, the third neither.
    weak = symbol("__Znwm") + b"\x51" + b"\x71\x08\x90" + b"\x71\x10\x90" + b"\x71\x18\x90" + DONE
    found = read(opcodes(rebase, b"", weak, lazy))
    assert sorted(found.binds) == [
        Bind(DATA, "puts", SYSTEM),
        Bind(DATA + 8, "f", OTHER),
        Bind(DATA + 24, "_Znwm"),
    ]
    assert found.rebases == (Rebase(DATA + 16, 0x4030),)


def test_a_bind_to_the_image_itself_is_a_rebase() -> None:
    trie = b"\0\x01_own\0" + uleb(8) + b"\x03\0" + uleb(0x123) + b"\0"
    found = read(opcodes(bind=b"\x30" + symbol("_own") + AT_DATA + b"\x90" + DONE, trie=trie))
    assert found.exports == {"own": 0x123}
    assert (found.rebases, found.binds) == ((Rebase(DATA, 0x123),), ())


def test_exports_of_other_libraries_absolute_ones_and_loops() -> None:
    leaf = b"\x05\x08\x02_h\0\0"  # REEXPORT of library 2 under another name
    trie = b"\0\x02_g\0" + uleb(10) + b"_a\0" + uleb(10 + len(leaf)) + leaf + b"\x02\x02\x07\0"
    found = read(opcodes(trie=trie))
    assert (found.exports, found.forwarded) == ({}, {"g": (OTHER, "h")})
    with pytest.raises(BadImage, match="two edges to the node 0x0"):
        read(opcodes(trie=b"\0\x01_\0\0"))
    with pytest.raises(BadImage, match="ends in a node"):
        read(opcodes(trie=b"\0\x01_\0\x20"))


def chained(
    words: Sequence[int], *, kind: int, imports: tuple[int, bytes, int] = (1, b"", 0), starts: int = 0
) -> MachO:
    """Return a file whose __DATA has words of a chain; ``imports`` are the format, the table and the count."""
    fmt, table, count = imports
    names = b"\0_puts\0_weak\0"
    segment = struct.pack("<IHHQIHH", 24, 0x4000, kind, DATA, 0, 1, starts)
    offsets = struct.pack("<4I", 3, 0, 16, 0)
    at = 28 + len(offsets) + len(segment)
    head = struct.pack("<7I", 0, 28, at, at + len(table), count, fmt, 0)
    content = head + offsets + segment + table + names
    return MachO(base=0x10000, data=struct.pack(f"<{len(words)}Q", *words), tables={CHAINED: content},
                 strings=list(LIBRARIES))  # fmt: skip


NEXT = 2 << 51  # 8 bytes further


@pytest.mark.parametrize(("kind", "base"), [(2, 0x10000), (6, 0)])
def test_chained_rebases(kind: int, base: int) -> None:
    found = read(chained([base + 0x123 | NEXT, base + 0x456 | 0x80 << 36], kind=kind))
    assert found.rebases == (Rebase(DATA, 0x123), Rebase(DATA + 8, 0x456 | 0x80 << 56))


@pytest.mark.parametrize(
    ("imports", "addend"),
    [
        ((1, struct.pack("<2I", 1 | 1 << 9, 0xFE | 1 << 8 | 7 << 9), 2), 0),
        ((2, struct.pack("<IiIi", 1 | 1 << 9, -3, 0xFE | 1 << 8 | 7 << 9, 0), 2), -3),
        ((3, struct.pack("<QqQq", 1 | 1 << 32, -3, 0xFFFE | 1 << 16 | 7 << 32, 0), 2), -3),
    ],
)
def test_chained_binds(imports: tuple[int, bytes, int], addend: int) -> None:
    found = read(chained([1 << 63 | 5 << 24 | NEXT, 1 << 63 | 1], kind=6, imports=imports))
    assert found.binds == (Bind(DATA, "puts", SYSTEM, addend + 5), Bind(DATA + 8, "weak", "", 0, True))


@pytest.mark.parametrize(
    ("file", "error", "message"),
    [
        (chained([0xFFF << 51] * 2, kind=6, starts=8), BadImage, "beyond their page"),
        (chained([1 << 63 | 9], kind=6), BadImage, "binds import 9 of 0"),
        (chained([0], kind=6, starts=0x3FFC), BadImage, "start beyond it"),
        (chained([1 << 51, 0], kind=6), BadImage, "relocations overlap"),
        (chained([0], kind=12), Unsupported, "chained fixups of format 12"),
        (chained([0], kind=6, imports=(1, b"", 1 << 28)), Unsupported, "imports: too many"),
        (opcodes(b"\x11\x21\0\x60" + uleb(1 << 60)), Unsupported, "relocations: too many"),
        (opcodes(b"\x11\x21\0\x80" + uleb(1 << 50) + uleb((1 << 64) - 8)), Unsupported, "relocations: too many"),
        (opcodes(b"\x11\x21" + uleb(1 << 40) + b"\x51"), BadImage, "outside every segment"),
        (opcodes(b"\x11\x29\0\x51"), BadImage, "in segment 9 of 3"),
        (opcodes(b"\x12\x21\0\x51"), Unsupported, "of type 2"),
        (opcodes(b"\x11\x21"), BadImage, "end in an operand"),
        (opcodes(b"\x11\x21\0\x90"), Unsupported, "the opcode 0x90"),
        (opcodes(bind=b"\x19" + symbol("_f") + AT_DATA + b"\x90"), BadImage, "binds to library 9 of 2"),
        (MachO(sections=[("__DATA", "__big", DATA, 8, 40, 0)]), BadImage, r"aligned to 2\*\*40"),
        (MachO(sections=[("__DATA", "__vars", DATA, 25, 3, 0x13)]), BadImage, "thread-local variables"),
        (MachO(sections=[("__DATA", "__mod_init_func", DATA, 8, 3, 9)]), BadImage, "words that aren't rebased"),
    ],
)  # fmt: skip
def test_tables_that_lie(file: MachO, error: type[Exception], message: str) -> None:
    started = time.monotonic()
    with pytest.raises(error, match=message):
        read(file)
    assert time.monotonic() - started < SECONDS


def test_thread_local_variables() -> None:
    sections = [
        ("__DATA", "__thread_vars", DATA, 48, 3, 0x13),
        ("__DATA", "__thread_data", DATA + 64, 5, 2, 0x11),
        ("__DATA", "__thread_bss", DATA + 72, 24, 3, 0x12),
    ]
    found = read(MachO(base=0x10000, sections=sections)).thread_local
    assert found == ThreadLocal(DATA + 64, 5, 32, 8, descriptors=(DATA, DATA + 24))


def test_constructors_of_every_kind_in_their_order() -> None:
    file = opcodes(b"\x11\x21\0\x52" + DONE)
    file.routine = 0x40
    file.data += struct.pack("<2I", 0x50, 0x60)
    file.sections = [
        ("__DATA", "__mod_init_func", DATA, 16, 3, 0x9),
        ("__DATA", "__init_offsets", DATA + 64, 8, 2, 0x16),
    ]
    assert read(file).constructors == (0x40, 0x4010, 0x4020, 0x50, 0x60)


def test_functions_end_at_the_next_or_at_the_end_of_their_section() -> None:
    file = MachO(
        tables={STARTS: uleb(0x1000) + uleb(0x20) + uleb(0x1000) + uleb(0x3000) + b"\0"},
        sections=[
            ("__TEXT", "__text", 0x1000, 0x100, 2, 0), ("__TEXT", "__stubs", 0x2000, 0x80, 2, 8),
            ("__TEXT", "__unwind_info", 0x2100, 0x48, 2, 0), ("__TEXT", "__eh_frame", 0x2200, 0x90, 3, 0),
        ],
    )  # fmt: skip
    found = read(file)
    assert found.functions == ((0x1000, 0x1020), (0x1020, 0x1100), (0x2020, 0x2080))
    assert (found.unwind_info, found.eh_frame) == ((0x2100, 0x48), (0x2200, 0x90))


def test_names_of_libraries_and_of_the_file() -> None:
    names = [(0xD, "@rpath/me.so"), (0xC, "a"), (0x8000001C, "@loader_path/.dylibs"), (0x80000018, "b"),
             (0x8000001F, "c"), (0x80000023, "d")]  # fmt: skip
    found = read(MachO(strings=names))
    assert (found.install_name, found.rpaths) == ("@rpath/me.so", ("@loader_path/.dylibs",))
    assert (found.libraries, found.reexported) == (("a", "b", "c", "d"), ("c",))


def test_symbols_and_exports_without_a_trie() -> None:
    rows = [("_f", 0x0F, 0x10), ("_hidden", 0x1F, 0x20), ("_local", 0x0E, 0x30), ("_debug", 0x24, 0x40)]
    found = read(MachO(symbols=rows))
    assert found.exports == {"f": 0x10}
    assert found.symbols == ((0x10, "f"), (0x20, "hidden"), (0x30, "local"))


def test_the_parts_of_a_universal_file() -> None:
    parts = {"x86_64": MachO("x86_64", strings=[(0xC, "x")]), "aarch64": MachO("aarch64", strings=[(0xC, "a")])}
    data = make_universal({cpu: part.build() for cpu, part in parts.items()})
    assert list_cpus(data, "x.so") == ("aarch64", "x86_64")
    assert [read_image(data, "x.so", cpu).libraries for cpu in (None, "x86_64")] == [("a",), ("x",)]
    damaged = data[:4] + struct.pack(">I", 1 << 20) + data[8:]
    with pytest.raises(BadImage, match="code for 1048576 CPUs"):
        read_image(damaged, "x.so")


SAMPLES = (
    opcodes(b"\x11\x21\0\x52" + DONE, b"\x11" + symbol("_puts") + b"\x51\x71\x20\x90" + DONE, b"", b"",
            b"\0\x01_own\0" + uleb(8) + b"\x03\0" + uleb(0x123) + b"\0").build(),
    chained([0x123 | NEXT, 1 << 63], kind=6, imports=(1, struct.pack("<I", 1 | 1 << 9), 1)).build(),
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.data(), st.sampled_from(SAMPLES))
def test_a_damaged_file_is_an_error_or_an_image_in_bounded_time(data: st.DataObject, sample: bytes) -> None:
    content = bytearray(sample)
    places = st.one_of(st.integers(0, 0x400), st.integers(0x8000, 0x8200), st.integers(0x4000, 0x4040))
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(places)
        word = st.sampled_from([b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\x40\0\0", b"\1\0\0\0"])
        new = data.draw(st.one_of(word, st.binary(min_size=1, max_size=8)))
        content[place : place + len(new)] = new
    started = time.monotonic()
    try:
        image = read_image(bytes(content[: data.draw(st.integers(0x8000, len(content)))]), "x.so")
    except (BadImage, Unsupported):
        return
    finally:
        assert time.monotonic() - started < SECONDS
    assert all(0 <= bind.address < image.size for bind in image.binds)
