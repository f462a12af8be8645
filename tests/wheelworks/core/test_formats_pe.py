"""The tables of PE files: imports, delayed and by ordinal, exports, base relocations, thread-local data, functions."""

from __future__ import annotations

import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelworks.core.errors import Unsupported
from wheelworks.core.formats import read_image
from wheelworks.core.image import BadImage, Bind, Image, Rebase, ThreadLocal

from tests.fixtures.executables import PE_BASE, SECTION, Content, add_imports, make_pe

EXPORT, IMPORT, EXCEPTION, RELOCATION, TLS, DELAYED = 0, 1, 3, 5, 9, 13
ORDINAL = 1 << 63
SECONDS = 5.0


def read(content: Content, directories: dict[int, tuple[int, int]], **fields: int) -> Image:
    return read_image(make_pe(bytes(content.data), directories, **fields), "x.pyd")


def add_relocations(content: Content, *entries: int, page: int = SECTION) -> tuple[int, int]:
    block = struct.pack(f"<II{len(entries)}H", page, 8 + 2 * len(entries), *entries)
    return content.add(block, 4), len(block)


def test_the_headers_are_mapped_and_the_entry_point_known() -> None:
    content = Content(SECTION)
    content.add(b"\xc0\x03\x5f\xd6")
    image = read(content, {}, entry=SECTION)
    assert (image.os, image.cpu, image.entry, len(image.header)) == ("windows", "aarch64", SECTION, 0x400)
    assert image.header.startswith(b"MZ")


def test_imports_by_name_and_by_ordinal() -> None:
    content = Content(SECTION)
    bound, row = add_imports(content, "WS2_32.dll", (content.name("send", hint=True), ORDINAL | 115))
    table = content.add(row + bytes(20), 4)
    image = read(content, {IMPORT: (table, 40)})
    assert image.binds == (Bind(bound, "send", "WS2_32.dll"), Bind(bound + 8, "#115", "WS2_32.dll"))
    assert (image.libraries, image.delayed) == (("WS2_32.dll",), ())


def test_a_delayed_import_is_bound_at_once_instead_of_to_its_helper() -> None:
    content = Content(SECTION)
    names = content.words(content.name("CreateThing", hint=True), 0)
    slots = content.words(PE_BASE + SECTION, 0)
    library = content.name("late.dll")
    table = content.add(struct.pack("<8I", 1, library, 0, slots, names, 0, 0, 0) + bytes(32), 4)
    relocations = add_relocations(content, 10 << 12 | slots - SECTION, 0)
    image = read(content, {DELAYED: (table, 64), RELOCATION: relocations})
    assert image.binds == (Bind(slots, "CreateThing", "late.dll"),)
    assert (image.libraries, image.delayed, image.rebases) == ((), ("late.dll",), ())


def test_exports_by_name_by_ordinal_and_forwarded() -> None:
    content = Content(SECTION)
    function = content.add(b"\xc0\x03\x5f\xd6")
    names = content.add(struct.pack("<2I", content.name("f"), content.name("g")), 4)
    ordinals, addresses = content.add(struct.pack("<2H", 0, 1), 2), content.add(bytes(16), 4)
    directory = content.add(struct.pack("<16xIIIIII", 5, 4, 2, addresses, names, ordinals), 4)
    target = content.add(b"OTHER.h\0", 1)  # within the directory, which tells a forwarder from a function
    struct.pack_into("<4I", content.data, addresses - SECTION, function, target, function, 0)
    image = read(content, {EXPORT: (directory, 48)})
    assert image.exports == {"f": function, "#7": function}
    assert image.forwarded == {"g": ("OTHER", "h")}


def test_base_relocations_and_their_padding() -> None:
    content = Content(SECTION)
    content.words(PE_BASE + 0x1234, 0, PE_BASE + 0x5678)
    relocations = add_relocations(content, 10 << 12, 10 << 12 | 16, 0)
    assert read(content, {RELOCATION: relocations}).rebases == (Rebase(SECTION, 0x1234), Rebase(SECTION + 16, 0x5678))


def test_thread_local_variables_and_their_callbacks() -> None:
    content = Content(SECTION)
    template, index = content.add(b"abcdef"), content.words(0)
    callbacks = content.words(PE_BASE + SECTION, PE_BASE + SECTION + 8, 0)
    fields = (PE_BASE + template, PE_BASE + template + 6, PE_BASE + index, PE_BASE + callbacks, 10, 6 << 20)
    directory = content.add(struct.pack("<QQQQII", *fields))
    found = read(content, {TLS: (directory, 40)}).thread_local
    assert found == ThreadLocal(template, 6, 16, 32, index, callbacks=(SECTION, SECTION + 8))


def test_functions_of_packed_and_unpacked_unwind_data() -> None:
    content = Content(SECTION)
    code = content.add(bytes(0x100))
    record = content.add(struct.pack("<I", 0x40 // 4 | 1 << 20), 4)
    rows = (code, 1 | 0x20 // 4 << 2, code + 0x20, record, code + 0x60, 2 | 0x10 // 4 << 2, 0, 0)
    table = content.add(struct.pack("<8I", *rows), 4)
    image = read(content, {EXCEPTION: (table, 32)})
    assert image.functions == ((code, code + 0x20), (code + 0x20, code + 0x60), (code + 0x60, code + 0x70))
    assert image.exception_table == (table, 32)
    struct.pack_into("<I", content.data, table - SECTION + 4, code + 3)  # a thunk, which names another entry
    struct.pack_into("<I", content.data, table - SECTION + 20, code + 3)
    assert read(content, {EXCEPTION: (table, 32)}).functions[::2] == ((code, code + 0x20), (code + 0x60, code + 0x64))


def test_functions_outside_the_code_are_not_believed() -> None:
    content = Content(SECTION)
    table = content.add(struct.pack("<2I", 0x70000, 1 | 8 << 2), 4)
    with pytest.raises(Unsupported, match="isn't in its code"):
        read(content, {EXCEPTION: (table, 8)})


@pytest.mark.parametrize(
    ("entries", "message"),
    [((3 << 12, 0), "a base relocation of type 3"), ((10 << 12 | 0xFFC, 0), "outside every segment"),
     ((10 << 12, 10 << 12 | 4), "relocations overlap")],
)  # fmt: skip
def test_base_relocations_that_lie(entries: tuple[int, ...], message: str) -> None:
    content = Content(SECTION)
    content.words(0, 0)
    relocations = add_relocations(content, *entries)
    with pytest.raises(BadImage, match=message):
        read(content, {RELOCATION: relocations})


def test_a_block_of_relocations_without_end() -> None:
    content = Content(SECTION)
    block = content.add(struct.pack("<II", SECTION, 4), 4)
    with pytest.raises(BadImage, match="a block of 0x4 bytes"):
        read(content, {RELOCATION: (block, 8)})


def test_an_import_table_without_end_takes_bounded_time() -> None:
    content = Content(SECTION)
    _, row = add_imports(content, "a.dll", (content.name("f", hint=True),))
    table = content.add(row * 2000, 4)
    with pytest.raises(Unsupported, match="more than 1000 libraries"):
        read(content, {IMPORT: (table, 40000)})


def test_a_number_of_exports_that_no_ordinal_reaches() -> None:
    content = Content(SECTION)
    directory = content.add(struct.pack("<16xIIIIII", 1, 1 << 30, 0, SECTION, SECTION, SECTION), 4)
    with pytest.raises(BadImage, match="claims 1073741824 exports"):
        read(content, {EXPORT: (directory, 40)}, size=0x8000000)


def test_names_that_share_their_bytes() -> None:
    """Each of 4,000 names is the rest of the one before: 8 MB of names in 44 KB of file."""
    content = Content(SECTION)
    first = content.add(b"x" * 4000 + b"\0", 2)
    _, row = add_imports(content, "a.dll", range(first, first + 3998))
    table = content.add(row + bytes(20), 4)
    with pytest.raises(Unsupported, match="names share bytes"):
        read(content, {IMPORT: (table, 40)})


@pytest.mark.parametrize(
    ("machine", "message"), [(0xA641, "PE for ARM64EC"), (0x1C4, "PE for THUMB"), (0x5064, "PE for machine 0x5064")]
)
def test_machines_that_are_not_emulated(machine: int, message: str) -> None:
    content = Content(SECTION)
    content.words(0)
    with pytest.raises(Unsupported, match=message):
        read(content, {}, machine=machine)


def make_sample() -> bytes:
    """Return a DLL with every table."""
    content = Content(SECTION)
    code = content.add(bytes(0x80))
    names = (content.name("send", hint=True), ORDINAL | 115)
    _, row = add_imports(content, "WS2_32.dll", names)
    imports = content.add(row + bytes(20), 4)
    late = content.add(struct.pack("<8I", 1, content.name("l.dll"), 0, content.words(1, 0), content.words(names[0], 0),
                                   0, 0, 0) + bytes(32), 4)  # fmt: skip
    functions = content.add(struct.pack("<2I", code, 1 | 8 << 2), 4)
    tls = content.add(struct.pack("<QQQQII", PE_BASE + code, PE_BASE + code + 8, PE_BASE + code, 0, 8, 0))
    addresses, table = content.add(struct.pack("<I", code), 4), content.add(struct.pack("<I", content.name("f")), 4)
    exports = content.add(struct.pack("<16xIIIIII", 1, 1, 1, addresses, table, content.add(b"\0\0", 2)), 4)
    relocations = add_relocations(content, 10 << 12 | content.words(PE_BASE + code) - SECTION, 0)
    directories = {EXPORT: (exports, 40), IMPORT: (imports, 40), EXCEPTION: (functions, 8), RELOCATION: relocations,
                   TLS: (tls, 40), DELAYED: (late, 64)}  # fmt: skip
    return make_pe(bytes(content.data), directories)


SAMPLE = make_sample()


def test_the_sample_is_right() -> None:
    image = read_image(SAMPLE, "x.pyd")
    assert [bind.name for bind in image.binds] == ["send", "#115", "send"]
    assert image.exports == {"f": SECTION} and image.functions == ((SECTION, SECTION + 32),)


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_a_damaged_dll_is_an_error_or_an_image_in_bounded_time(data: st.DataObject) -> None:
    content = bytearray(SAMPLE)
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(content) - 8))
        word = st.sampled_from([b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\x10\0\0", b"\1\0\0\0"])
        new = data.draw(st.one_of(word, st.binary(min_size=1, max_size=8)))
        content[place : place + len(new)] = new
    started = time.monotonic()
    try:
        image = read_image(bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))]), "x.pyd")
    except (BadImage, Unsupported):
        return
    finally:
        assert time.monotonic() - started < SECONDS
    assert all(0 <= bind.address < image.size for bind in image.binds)
