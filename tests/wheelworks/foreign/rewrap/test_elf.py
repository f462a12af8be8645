"""Test the ELF writer: what it writes is loaded by this machine's loader, and read back by LIEF."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import lief
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelworks.core.image import PAGE, round_up
from wheelworks.foreign.rewrap.elf import Import, Part, Rights, SharedLibrary, hash_name, write_elf

lief.logging.disable()  # it warns about files without section headers
linux_x86_64 = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="loads x86-64 code into this process's Python"
)

RETURN_7 = bytes.fromhex("b807000000c3")  # mov eax, 7; ret
CODE, DATA, CONSTANTS = 0, PAGE, 2 * PAGE
# At 16, f: return 7. At 32, g: return *(int *)DATA. At 48, an initializer: *(int *)(DATA + 4) = 9.
F = bytes(16) + RETURN_7.ljust(16, b"\xcc")
G = (b"\x8b\x05" + (DATA - 32 - 6).to_bytes(4, "little") + b"\xc3").ljust(16, b"\xcc")
SET = b"\xc7\x05" + (DATA + 4 - 48 - 10).to_bytes(4, "little", signed=True) + (9).to_bytes(4, "little") + b"\xc3"

LOAD = """
import ctypes, json, sys
library = ctypes.CDLL(sys.argv[1])
base = ctypes.cast(library.f, ctypes.c_void_p).value - 16
word = lambda at: ctypes.c_uint64.from_address(base + at).value
rights = {}
for line in open("/proc/self/maps"):
    span, flags, *_ = line.split()
    start, end = (int(part, 16) for part in span.split("-"))
    for name, at in (("code", 0), ("data", 0x1000), ("constants", 0x2000)):
        if start <= base + at < end:
            rights[name] = flags
libc = ctypes.CDLL(None)
print(json.dumps({
    "calls": [library.f(), library.g(), ctypes.c_int.from_address(base + 0x1004).value],
    "relative": word(0x2000) - base,
    "getpid": word(0x2008) == ctypes.cast(libc.getpid, ctypes.c_void_p).value,
    "y0": word(0x1008) - ctypes.cast(ctypes.CDLL("libm.so.6").y0, ctypes.c_void_p).value,
    "rights": rights,
}))
"""


def make_library() -> SharedLibrary:
    return SharedLibrary(
        cpu="x86_64",
        parts=[
            Part(CODE, bytearray(F + G + SET), PAGE, Rights.READ | Rights.EXECUTE),
            Part(DATA, bytearray((41).to_bytes(4, "little")), PAGE, Rights.READ | Rights.WRITE),
            Part(CONSTANTS, bytearray(32), 32, Rights.READ | Rights.WRITE),
        ],
        relative={CONSTANTS: 32, CONSTANTS + 16: 48},
        absolute={
            CONSTANTS + 8: (Import("getpid", "libc.so.6", "GLIBC_2.2.5"), 0),
            # A function that CPython doesn't call itself: Debian's answers for those with an address in the program.
            DATA + 8: (Import("y0", "libm.so.6", "GLIBC_2.2.5"), 24),
        },
        exports={"f": 16, "g": 32},
        needed=["libm.so.6", "libc.so.6"],
        initializers=(CONSTANTS + 16, 1),
        read_only=(CONSTANTS, PAGE),
    )


def load(library: SharedLibrary, folder: Path) -> dict[str, object]:
    file = folder / "library.so"
    file.write_bytes(write_elf(library))
    ended = subprocess.run([sys.executable, "-c", LOAD, file], check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, object] = json.loads(ended.stdout)
    return found


@linux_x86_64
def test_the_loader_relocates_binds_starts_and_protects(tmp_path: Path) -> None:
    assert load(make_library(), tmp_path) == {
        "calls": [7, 41, 9],
        "relative": 32,
        "getpid": True,
        "y0": 24,
        "rights": {"code": "r-xp", "data": "rw-p", "constants": "r--p"},
    }


@linux_x86_64
def test_text_relocations_leave_every_right_as_it_was(tmp_path: Path) -> None:
    library = make_library()
    parts = [replace(library.parts[0], size=PAGE), library.parts[1], replace(library.parts[2], rights=Rights.READ)]
    found = load(replace(library, parts=parts, read_only=(0, 0), text_relocations=True), tmp_path)
    assert found["relative"] == 32 and found["calls"] == [7, 41, 9]
    assert found["rights"] == {"code": "r-xp", "data": "rw-p", "constants": "r--p"}


@linux_x86_64
def test_a_missing_library_or_version_is_an_import_error(tmp_path: Path) -> None:
    library = make_library()
    with pytest.raises(AssertionError, match=r"libnone\.so"):
        load(replace(library, needed=["libnone.so"]), tmp_path)
    wrong = {**library.absolute, DATA + 8: (Import("y0", "libm.so.6", "GLIBC_9.9"), 0)}
    with pytest.raises(AssertionError, match=r"GLIBC_9\.9"):
        load(replace(library, absolute=wrong), tmp_path)


def read_version(symbol: lief.ELF.Symbol) -> str:
    assert symbol.symbol_version and symbol.symbol_version.symbol_version_auxiliary
    return str(symbol.symbol_version.symbol_version_auxiliary.name)


@pytest.mark.parametrize("cpu", ["aarch64", "x86_64"])
def test_another_reader_finds_the_same(cpu: str) -> None:
    library = replace(make_library(), cpu=cpu, soname="libdemo.so", runpath="$ORIGIN/libs", unwinding=(CONSTANTS, 32))
    elf = lief.ELF.parse(write_elf(library))
    assert elf is not None
    assert [str(name) for name in elf.libraries] == library.needed
    assert {str(s.name): s.value for s in elf.exported_symbols} == library.exports
    imports = [symbol for symbol in elf.dynamic_symbols if symbol.name and not symbol.shndx]
    versions = {str(s.name): read_version(s) for s in imports}
    assert versions == {"getpid": "GLIBC_2.2.5", "y0": "GLIBC_2.2.5"}
    relative = {r.address: r.addend for r in elf.relocations if r.type.name.endswith("_RELATIVE")}
    absolute = {r.address: (str(r.symbol.name), r.addend) for r in elf.relocations if r.symbol and r.symbol.name}
    assert relative == library.relative
    assert absolute == {place: (symbol.name, addend) for place, (symbol, addend) in library.absolute.items()}
    entries = {e.tag.name: e for e in elf.dynamic_entries}
    assert str(entries["SONAME"].name) == "libdemo.so" and str(entries["RUNPATH"].runpath) == "$ORIGIN/libs"  # type: ignore[attr-defined]
    kinds = {segment.type.name: segment for segment in elf.segments}
    assert {"LOAD", "DYNAMIC", "GNU_RELRO", "GNU_EH_FRAME", "GNU_STACK"} == set(kinds)
    assert bytes(kinds["GNU_EH_FRAME"].content) == bytes(32)
    assert not kinds["GNU_STACK"].has(lief.ELF.Segment.FLAGS.X)


def test_equal_input_has_equal_bytes() -> None:
    library = make_library()
    turned = replace(
        library,
        relative=dict(sorted(library.relative.items(), reverse=True)),
        exports=dict(sorted(library.exports.items(), reverse=True)),
    )
    assert write_elf(library) == write_elf(turned)


@pytest.mark.parametrize(("name", "value"), [("", 0), ("printf", 0x077905A6), ("exit", 0x0006CF04)])
def test_hashes_of_the_gabi(name: str, value: int) -> None:
    assert hash_name(name.encode()) == value


@given(st.binary(max_size=300))
def test_a_hash_has_28_bits(name: bytes) -> None:
    assert 0 <= hash_name(name) < 1 << 28


@given(st.integers(0, 1 << 40), st.integers(1, 1 << 20))
def test_rounding_up(number: int, unit: int) -> None:
    rounded = round_up(number, unit)
    assert rounded % unit == 0 and number <= rounded < number + unit


@settings(deadline=None)
@given(st.dictionaries(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1), st.integers(0, 99)))
def test_any_names_are_exported(exports: dict[str, int]) -> None:
    library = SharedLibrary("x86_64", [Part(0, bytearray(PAGE), PAGE, Rights.READ)], {}, {}, exports, [])
    elf = lief.ELF.parse(write_elf(library))
    assert elf is not None and len(list(elf.dynamic_symbols)) == 1 + len(exports)
