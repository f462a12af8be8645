"""Test what becomes of an image: relocations, stubs, records, refusals; and that hostile images do no harm."""

from __future__ import annotations

import struct
import time
from dataclasses import replace
from typing import Any

import lief
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelworks.core.errors import WheelworksError
from wheelworks.core.image import BadImage, Bind, Image, Os, Rebase, Segment, ThreadLocal
from wheelworks.foreign.rewrap.rewrapper import CannotRewrap, rewrap, rewrap_image
from wheelworks.foreign.rewrap.symbols import Exports, Provided

from tests.fixtures import builds

lief.logging.disable()
SHIM = Exports("libshim.so", dict.fromkeys(("m__tlv_bootstrap", "m_unresolved", "w_unresolved", "w_start_image"), ""))
LIBC = Exports("libc.so.6", {"memcpy": "GLIBC_2.17"})
OWN = Exports("libown.so", {"shared": ""})
PROVIDED = Provided(SHIM, Exports("", {"PyList_New": ""}), (LIBC,), {"own.dll": OWN, "@rpath/own.dylib": OWN})
SYSTEM = "/usr/lib/libSystem.B.dylib"
CODE, DATA = 0x1000, 0x4000
TEMPLATE = DATA + 0x800


def make_image(os: Os = "macos", cpu: str = "aarch64", **fields: Any) -> Image:
    segments = (Segment(CODE, 0x1000, bytes(0x100), False, True), Segment(DATA, 0x1000, b"\x11" * 0x1000, True, False))
    return replace(Image(os, cpu, segments, (), (), {}, ()), **fields)


class Elf:
    """What a loader finds in a rewrapped image."""

    def __init__(self, image: Image, **options: str) -> None:
        self.made = rewrap_image(image, name="demo", provided=PROVIDED, **options)
        elf = lief.ELF.parse(self.made.elf)
        assert elf is not None
        self.relative = {one.address: one.addend for one in elf.relocations if one.type.name.endswith("_RELATIVE")}
        named = [(one.address, one.symbol, one.addend) for one in elf.relocations if one.symbol and one.symbol.name]
        self.absolute = {address: (str(symbol.name), addend) for address, symbol, addend in named}
        self.exports = {str(one.name): one.value for one in elf.exported_symbols}
        self.needed = [str(name) for name in elf.libraries]
        self.tags = {entry.tag.name: entry.value for entry in elf.dynamic_entries}
        self.loads = [s for s in elf.segments if s.type == lief.ELF.Segment.TYPE.LOAD]
        self._content = {load.virtual_address: bytes(load.content) for load in self.loads}

    def read(self, address: int, size: int) -> bytes:
        start = max(start for start in self._content if start <= address)
        return self._content[start][address - start : address - start + size]

    def read_text(self, address: int) -> str:
        return self.read(address, 4096).partition(b"\0")[0].decode()

    def read_words(self, address: int, count: int) -> list[int | str]:
        """Return numbers; a word that is relocated is the name of its symbol, or its target."""
        words: list[int | str] = []
        for at in range(address, address + 8 * count, 8):
            (number,) = struct.unpack("<Q", self.read(at, 8))
            words.append(self.absolute[at][0] if at in self.absolute else self.relative.get(at, number))
        return words

    @property
    def initializers(self) -> list[int | str]:
        return self.read_words(self.tags["INIT_ARRAY"], self.tags["INIT_ARRAYSZ"] // 8)


@pytest.mark.parametrize("cpu", ["aarch64", "x86_64"])
def test_pointers_imports_and_exports_of_macos(cpu: str) -> None:
    image = make_image(
        cpu=cpu,
        rebases=(Rebase(DATA, CODE + 4), Rebase(DATA + 8, CODE + 8 | 1 << 63)),
        binds=(
            Bind(DATA + 16, "PyList_New"),
            Bind(DATA + 24, "memcpy", SYSTEM, 3),
            Bind(DATA + 32, "own", "", 2),
            Bind(DATA + 40, "gone", SYSTEM, 0, True),
            Bind(DATA + 48, "dyld_stub_binder", SYSTEM),
            Bind(DATA + 56, "shared", "@rpath/own.dylib"),
        ),
        exports={"own": CODE + 12},
    )
    elf = Elf(image, soname="libdemo.so", runpath="$ORIGIN/libs")
    assert elf.relative[DATA] == CODE + 4 and elf.relative[DATA + 8] % (1 << 64) == CODE + 8 | 1 << 63
    assert elf.relative[DATA + 32] == CODE + 14
    assert elf.absolute == {
        DATA + 16: ("PyList_New", 0),
        DATA + 24: ("memcpy", 3),
        DATA + 56: ("libown.so!shared", 0),
    }
    assert elf.read(DATA + 40, 16) == bytes(16) and elf.read(DATA + 64, 8) == b"\x11" * 8
    assert elf.exports == {"own": CODE + 12, "libdemo.so!own": CODE + 12}
    assert elf.needed == ["libc.so.6", "libown.so"]
    assert elf.made.unresolved == () and elf.made.patches == ()


@pytest.mark.parametrize(("os", "cpu"), [("macos", "aarch64"), ("macos", "x86_64"), ("windows", "aarch64")])
def test_unresolved_imports_have_one_stub_each(os: Os, cpu: str) -> None:
    binds = (Bind(DATA, "b", "L"), Bind(DATA + 8, "a", "L"), Bind(DATA + 16, "b", "L"))
    elf = Elf(make_image(os, cpu, binds=binds))
    assert elf.made.unresolved == ("L!a", "L!b")
    stubs = [elf.relative[DATA + 8 * n] for n in range(3)]
    assert stubs[0] == stubs[2] != stubs[1]
    assert ("w_unresolved" if os == "windows" else "m_unresolved", 0) in elf.absolute.values()
    assert b"L!a\0" in elf.made.elf and elf.made.elf.count(b"L!b\0") == 1


def test_constructors_are_called_in_their_order() -> None:
    assert Elf(make_image(constructors=(CODE + 8, CODE, CODE + 4))).initializers == [CODE + 8, CODE, CODE + 4]
    assert "INIT_ARRAY" not in Elf(make_image()).tags


def test_a_thread_local_descriptor_gets_the_record_of_its_image() -> None:
    binds = tuple(Bind(DATA + at, "_tlv_bootstrap", SYSTEM) for at in (0, 24))
    image = make_image(binds=binds, thread_local=ThreadLocal(TEMPLATE, 8, 20, 16, descriptors=(DATA, DATA + 24)))
    elf = Elf(image)
    assert elf.read_words(DATA, 2) == ["m__tlv_bootstrap", elf.relative[DATA + 32]]
    record = elf.relative[DATA + 8]
    assert elf.read_words(record, 5) == [TEMPLATE, 8, 20, 0, 16]


def test_the_record_of_a_windows_image() -> None:
    storage = ThreadLocal(TEMPLATE, 8, 20, 32, index=DATA + 0x100, callbacks=(CODE + 16, CODE + 32))
    image = make_image("windows", entry=CODE + 4, header=b"MZ", thread_local=storage, exception_table=(DATA, 24))
    elf = Elf(image)
    (start,) = elf.initializers
    assert isinstance(start, int) and ("w_start_image", 0) in elf.absolute.values()
    (record,) = (address for address, target in elf.relative.items() if target == CODE + 4)
    words = elf.read_words(record, 12)
    assert words[:7] == [CODE + 4, 0, DATA + 0x100, TEMPLATE, 8, 20, 32]
    assert words[8:11] == [DATA + 0x1000, DATA, 24]
    callbacks, name = words[7], words[11]
    assert isinstance(callbacks, int) and elf.read_words(callbacks, 3) == [CODE + 16, CODE + 32, 0]
    assert isinstance(name, int) and elf.read_text(name) == "demo"
    assert elf.read(0, 2) == b"MZ"


def test_a_windows_image_without_any_of_these() -> None:
    elf = Elf(make_image("windows"))
    (start,) = (address for address, target in elf.relative.items() if target == 0)  # of the image: the second word
    assert elf.read_words(start - 8, 11) == [0, 0, 0, 0, 0, 0, 0, 0, DATA + 0x1000, 0, 0]


def test_what_is_not_for_these_cpus_is_refused() -> None:
    for os, cpu in (("windows", "x86_64"), ("windows", "x86"), ("linux", "aarch64")):
        with pytest.raises(CannotRewrap, match=f"{os} code for {cpu} can't be rewrapped"):
            rewrap_image(make_image(os, cpu), name="demo")  # type: ignore[arg-type]
    with pytest.raises(BadImage, match="neither PE, ELF nor Mach-O"):
        rewrap(b"text", "aarch64", name="demo")


@pytest.mark.parametrize("field", ["exports", "binds", "name", "soname"])
def test_a_zero_in_a_name_is_refused(field: str) -> None:
    fields: dict[str, Any] = {"exports": {"a\0b": CODE}, "binds": (Bind(DATA, "a\0b", "L"),)}
    image = make_image(**({field: fields[field]} if field in fields else {}))
    with pytest.raises(BadImage, match="a zero in a name"):
        rewrap_image(image, name="a\0b" if field == "name" else "x", soname="a\0b" if field == "soname" else "")


def test_large_zeros_are_not_written() -> None:
    image = make_image()
    large = Segment(DATA, 1 << 28, b"x", True, False)
    made = rewrap_image(replace(image, segments=(image.segments[0], large)))
    assert len(made.elf) < 1 << 16
    elf = lief.ELF.parse(made.elf)
    assert elf is not None and max(segment.virtual_size for segment in elf.segments) == 1 << 28


@pytest.mark.parametrize("platform", ["win_arm64", "macosx_11_0_arm64", "macosx_10_15_x86_64"])
def test_equal_input_has_equal_bytes(platform: str) -> None:
    data = builds.build("rewrapped.c", platform).read_bytes()
    cpu = "x86_64" if "x86_64" in platform else "aarch64"
    first, second = (rewrap(bytes(data), cpu, name="fixture", provided=PROVIDED) for _ in range(2))
    assert first == second
    assert "fixture" not in first.unresolved and any("PyModule_Create2" in name for name in first.unresolved)


# -- hostile files


def mutate(data: bytes, changes: list[tuple[int, bytes]], cut: int) -> bytes:
    """Overwrite some bytes, at places that favor the headers, and cut the end off."""
    changed = bytearray(data)
    for place, new in changes:
        at = place % len(changed)
        changed[at : at + len(new)] = new
    return bytes(changed[: len(changed) - cut % len(changed)])


places = st.one_of(st.integers(0, 0x600), st.integers(0, 1 << 20))
values = st.one_of(
    st.binary(min_size=1, max_size=8),
    st.sampled_from([b"\xff" * 4, b"\xff" * 8, bytes(8), b"\x00\x00\x00\x80", b"\xff\xff\xff\x7f"]),
)


@pytest.mark.parametrize("platform", ["win_arm64", "macosx_11_0_arm64", "macosx_10_15_x86_64"])
@settings(max_examples=60, deadline=None)
@given(
    changes=st.lists(st.tuples(places, values), min_size=1, max_size=6),
    cut=st.one_of(st.just(0), st.integers(0, 1 << 20)),
)
def test_a_damaged_file_is_an_error_or_a_library(platform: str, changes: list[tuple[int, bytes]], cut: int) -> None:
    data = mutate(builds.build("rewrapped.c", platform).read_bytes(), changes, cut)
    began = time.process_time()
    try:
        made = rewrap(data, "x86_64" if "x86_64" in platform else "aarch64", name="fixture", provided=PROVIDED)
    except WheelworksError:
        pass  # a clear error; any other exception fails the test
    else:
        assert made.elf.startswith(b"\x7fELF") and lief.ELF.parse(made.elf) is not None
        assert len(made.elf) < len(data) + (2 << 20)
    assert time.process_time() - began < 10


@settings(deadline=None)
@given(
    os=st.sampled_from(["windows", "macos"]),
    rebases=st.dictionaries(st.integers(0, 99), st.integers(-(1 << 63), (1 << 64) - 1)),
    binds=st.dictionaries(st.integers(100, 199), st.tuples(st.text(st.characters(codec="utf-8")), st.text(max_size=5))),
    addend=st.integers(-(1 << 40), 1 << 40),
    weak=st.booleans(),
)
def test_any_relocations_are_written_or_refused(
    os: Os, rebases: dict[int, int], binds: dict[int, tuple[str, str]], addend: int, weak: bool
) -> None:
    image = make_image(
        os,
        rebases=tuple(Rebase(DATA + 8 * at, target) for at, target in rebases.items()),
        binds=tuple(Bind(DATA + 8 * at, *names, addend, weak) for at, names in binds.items()),
    )
    try:
        elf = Elf(image)
    except BadImage:
        assert any("\0" in name for names in binds.values() for name in names)
        return
    assert {at: elf.relative[DATA + 8 * at] % (1 << 64) for at in rebases} == {
        at: target % (1 << 64) for at, target in rebases.items()
    }
