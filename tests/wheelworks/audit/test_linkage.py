"""Test what is read from binaries for the loaders: libraries and how they are needed, symbols, paths, forwarders."""

from __future__ import annotations

import struct

from wheelworks.audit.linkage import Library, Links, Need, Symbol, read_links
from wheelworks.core import binary

from tests.fixtures.executables import PE_BASE, SECTION, Content, MachO, add_imports, make_pe

EXPORT, IMPORT, DELAYED = 0, 1, 13
ORDINAL = 1 << 63
LOAD_DYLIB, ID_DYLIB, LOAD_WEAK_DYLIB, RPATH, REEXPORT_DYLIB = 0xC, 0xD, 0x80000018, 0x8000001C, 0x8000001F


def read(data: bytes) -> Links:
    (links,) = [read_links(parsed) for parsed, _, _ in binary.parts(data)]  # LIEF's object dies with the iterator
    return links


def test_imports_of_a_dll_by_name_and_by_ordinal() -> None:
    content = Content(SECTION)
    _, row = add_imports(content, "WS2_32.dll", (content.name("send", hint=True), ORDINAL | 115))
    table = content.add(row + bytes(20), 4)
    links = read(make_pe(bytes(content.data), {IMPORT: (table, 40)}))
    assert links.libraries == (Library("WS2_32.dll"),)
    assert links.symbols == (Symbol("send", "WS2_32.dll"),)
    assert not links.is_program


def test_a_delayed_dll_is_needed_at_its_first_use() -> None:
    content = Content(SECTION)
    names = content.words(content.name("CreateThing", hint=True), 0)
    slots = content.words(PE_BASE + SECTION, 0)
    library = content.name("late.dll")
    table = content.add(struct.pack("<8I", 1, library, 0, slots, names, 0, 0, 0) + bytes(32), 4)
    links = read(make_pe(bytes(content.data), {DELAYED: (table, 64)}))
    assert links.libraries == (Library("late.dll", Need.DELAYED),)
    assert links.symbols == ()


def test_a_forwarder_names_a_dll_and_a_function() -> None:
    content = Content(SECTION)
    function = content.add(b"\xc0\x03\x5f\xd6")
    names = content.add(struct.pack("<2I", content.name("f"), content.name("g")), 4)
    ordinals, addresses = content.add(struct.pack("<2H", 0, 1), 2), content.add(bytes(8), 4)
    own = content.name("x.dll")
    directory = content.add(struct.pack("<12xIIIIIII", own, 1, 2, 2, addresses, names, ordinals), 4)
    target = content.add(b"OTHER.h\0", 1)
    struct.pack_into("<2I", content.data, addresses - SECTION, function, target)
    links = read(make_pe(bytes(content.data), {EXPORT: (directory, 48)}))
    assert links.forwards == {"g": ("OTHER.dll", "h")}


def test_the_commands_of_a_dylib() -> None:
    made = MachO(
        strings=[
            (ID_DYLIB, "@rpath/libown.dylib"),
            (LOAD_DYLIB, "/usr/lib/libSystem.B.dylib"),
            (LOAD_WEAK_DYLIB, "@rpath/libweak.dylib"),
            (REEXPORT_DYLIB, "@loader_path/libother.dylib"),
            (RPATH, "@loader_path/libs"),
        ],
        symbols=[("_forgotten", 1, 0)],
    )
    links = read(made.build())
    assert links.name == "@rpath/libown.dylib" and links.paths == ("@loader_path/libs",) and links.inherits
    assert links.libraries == (
        Library("/usr/lib/libSystem.B.dylib"),
        Library("@rpath/libweak.dylib", Need.WEAK),
        Library("@loader_path/libother.dylib", reexported=True),
    )
    assert links.symbols == (Symbol("forgotten"),)  # the header doesn't say that names belong to libraries
