"""Fuzz the readers of what loaders use: small PE, Mach-O and ELF files whose tables are changed or cut at random."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelworks.audit.findings import CODES
from wheelworks.audit.inspection import inspect_wheel
from wheelworks.audit.linkage import read_links
from wheelworks.core import binary

from tests.fixtures import binaries, wheels
from tests.fixtures.executables import PE_BASE, SECTION, Content, MachO, add_imports, make_pe, make_universal, uleb

EXPORT, IMPORT, DELAYED = 0, 1, 13
LOAD_DYLIB, ID_DYLIB, LOAD_WEAK_DYLIB, RPATH, REEXPORT_DYLIB = 0xC, 0xD, 0x80000018, 0x8000001C, 0x8000001F
EXPORTS_TRIE, DATA_IN_CODE, SIGNATURE = 0x80000033, 0x29, 0x1D


def make_linked_pe() -> bytes:
    """Return a DLL with imports, a delayed import, an export and a forwarder."""
    content = Content(SECTION)
    code = content.add(b"\xc0\x03\x5f\xd6")
    _, row = add_imports(content, "KERNEL32.dll", (content.name("HeapAlloc", hint=True), (1 << 63) | 7))
    imports = content.add(row + bytes(20), 4)
    names, slots = content.words(content.name("Late", hint=True), 0), content.words(PE_BASE + SECTION, 0)
    late = content.name("late.dll")
    delayed = content.add(struct.pack("<8I", 1, late, 0, slots, names, 0, 0, 0) + bytes(32), 4)
    exported = content.add(struct.pack("<2I", content.name("PyInit__x"), content.name("g")), 4)
    ordinals, addresses = content.add(struct.pack("<2H", 0, 1), 2), content.add(bytes(8), 4)
    own = content.name("x.dll")
    exports = content.add(struct.pack("<12xIIIIIII", own, 1, 2, 2, addresses, exported, ordinals), 4)
    struct.pack_into("<2I", content.data, addresses - SECTION, code, content.add(b"OTHER.h\0", 1))
    return make_pe(bytes(content.data), {EXPORT: (exports, 80), IMPORT: (imports, 40), DELAYED: (delayed, 64)})


def make_linked_macho() -> bytes:
    """Return a universal dylib with libraries of every kind, an export trie, data in its code and a signature."""
    leaf = b"\3\0" + uleb(0x1000) + b"\0"
    trie = b"\0\1_PyInit__x\0" + uleb(14) + leaf
    strings = [(ID_DYLIB, "@rpath/libown.dylib"), (LOAD_DYLIB, "/usr/lib/libSystem.B.dylib"),
               (LOAD_WEAK_DYLIB, "@rpath/libweak.dylib"), (REEXPORT_DYLIB, "@loader_path/libother.dylib"),
               (RPATH, "@loader_path/libs")]  # fmt: skip
    tables = {EXPORTS_TRIE: trie, DATA_IN_CODE: struct.pack("<IHH", 0x1000, 16, 1), SIGNATURE: bytes(64)}
    halves = {
        cpu: MachO(cpu=cpu, strings=strings, tables=tables, symbols=[("_forgotten", 1, 0)]).build()
        for cpu in ("aarch64", "x86_64")
    }
    return make_universal(halves)


KINDS = {
    "pe": ("win_arm64", "sample/_x.pyd", make_linked_pe()),
    "mach-o": ("macosx_11_0_universal2", "sample/_x.abi3.so", make_linked_macho()),
    "elf-x86": ("manylinux_2_17_x86_64", "sample/_x.abi3.so", binaries.elf(bytes.fromhex("c4e27d18000fa2c3") * 8)),
    "elf-power": ("manylinux_2_17_ppc64le", "sample/_x.abi3.so", binaries.elf(b"\xa0\xf3\xff\xff" * 9, machine=21)),
    "elf-arm": ("manylinux_2_17_armv7l", "sample/_x.abi3.so", binaries.elf32(b"\xf0\xb5\x00\xbf" * 9, 40)),
    "elf-s390x": ("manylinux_2_17_s390x", "sample/_x.abi3.so", binaries.elf(bytes.fromhex("e70020100044") * 9, 1, 22)),
    "elf-riscv": ("manylinux_2_31_riscv64", "sample/_x.abi3.so", binaries.elf(b"\x57\x70\x80\x0d" * 9, machine=243)),
}  # fmt: skip


def list_places(data: bytes) -> list[int]:
    """Return the offsets of the bytes that aren't zero: nearly all of these bytes are in tables."""
    return [place for place, byte in enumerate(data) if byte]


def test_the_tables_that_are_changed_are_read() -> None:
    [links] = [read_links(parsed) for parsed, _, _ in binary.parts(make_linked_pe())]
    assert [one.name for one in links.libraries] == ["KERNEL32.dll", "late.dll"] and links.forwards
    found = [(facts, read_links(parsed)) for parsed, facts, _ in binary.parts(make_linked_macho())]
    assert [facts.exports for facts, _ in found] == [("PyInit__x",)] * 2  # of the trie alone
    assert all("PyInit__x" not in facts.symbols and len(links.libraries) == 3 for facts, links in found)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # from LIEF, at numbers that it has no name for
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_no_tables_make_the_audit_fail(
    kind: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    tag, member, good = KINDS[kind]
    bad = bytearray(good)
    places = st.sampled_from(list_places(good))
    for place in data.draw(st.lists(places, max_size=4)):
        value = data.draw(st.sampled_from([b"\0", b"\1", b"\x7f", b"\xff", b"\xff\xff\xff\xff", b"\0\0\0\x80"]))
        bad[place : place + len(value)] = value
    end = data.draw(st.sampled_from([len(bad), len(bad) - 1, len(bad) // 2]))
    folder = tmp_path_factory.mktemp("hostile")
    path: Path = wheels.wheel(folder, f"cp311-abi3-{tag}", {member: bytes(bad[:end])})
    found = inspect_wheel(path).findings
    assert {one.code for one in found} <= set(CODES)
    assert all((one.evidence + one.member).isprintable() for one in found)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", [one for one in KINDS if one.startswith("elf")])
@pytest.mark.parametrize("place", [4, 5, 32, 39, 42, 54, 57])  # class, byte order, places and sizes of the tables
def test_no_number_in_an_elf_header_makes_the_audit_fail(kind: str, place: int, tmp_path: Path) -> None:
    tag, member, good = KINDS[kind]
    for value in (b"\x7f", b"\xff"):
        path = wheels.wheel(tmp_path, f"cp311-abi3-{tag}", {member: binaries.put(good, place, value)})
        assert {one.code for one in inspect_wheel(path).findings} <= set(CODES)


@pytest.mark.parametrize(
    ("data", "evidence"),
    [
        (binaries.elf(b"\x90" * 64)[:130], "the headers name bytes up to 0xc0, the file ends at 0x82"),
        (binaries.elf(b"\x90" * 1000, sections=100), "its headers claim 101145 bytes, of 7680"),
        (binaries.put(binaries.elf(b"\x90" * 64), 56, b"\0\0"), "its headers name no part that would be loaded"),
    ],
)
def test_a_file_without_what_its_headers_name_is_damaged(data: bytes, evidence: str, tmp_path: Path) -> None:
    path = wheels.wheel(tmp_path, "cp311-abi3-manylinux_2_17_x86_64", {"sample/_x.abi3.so": data})
    assert [one.evidence for one in inspect_wheel(path).findings if one.code == "W119"] == [evidence]
