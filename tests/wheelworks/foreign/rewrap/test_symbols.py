"""Test what an import is bound to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from wheelworks.core.errors import WheelworksError
from wheelworks.core.image import Bind, Image, Os, Segment
from wheelworks.foreign.rewrap.elf import Import, Part, Rights, SharedLibrary, write_elf
from wheelworks.foreign.rewrap.symbols import (
    Exports,
    Provided,
    choose_import,
    name_import,
    read_exports,
    read_ordinals,
    read_provided,
    read_same_names,
)

LIBC = Exports("libc.so.6", dict.fromkeys(("memcpy", "stat", "open", "recv", "snprintf"), "GLIBC_2.17"))
LIBM = Exports("libm.so.6", {"pow": "GLIBC_2.29", "powl": "GLIBC_2.17"})
LIBZ = Exports("libz.so.1", {"deflate": "", "crc32": ""})
LIBFFI = Exports("libffi.so.8", {"ffi_call": "LIBFFI_BASE_8.0", "ffi_closure_alloc": "LIBFFI_CLOSURE_8.0"})
UNWINDER = Exports("libgcc_s.so.1", {"_Unwind_Resume": "GCC_3.0"})
PROGRAM = Exports("", dict.fromkeys(("PyList_New", "_Py_NoneStruct", "deflate", "main"), ""))
SHIM = Exports("libshim.so", dict.fromkeys(("w_recv", "w_PyLong_AsLong", "m_stat", "m_fopen", "m_fopen$DARWIN"), ""))
OWN = Exports("libfoo.so", {"foo": "", "memcpy": "", "deflate": ""})
PROVIDED = Provided(SHIM, PROGRAM, (LIBC, LIBM, LIBZ, LIBFFI, UNWINDER), {"foo.dll": OWN, "@rpath/libfoo.dylib": OWN})
SYSTEM = "/usr/lib/libSystem.B.dylib"


def make_image(os: Os, cpu: str = "aarch64", **exports: int) -> Image:
    segments = (Segment(0, 64, b"", False, False),)
    return Image(os, cpu, segments, (), (), exports, (), libraries=(SYSTEM, "@rpath/libfoo.dylib"))


@pytest.mark.parametrize(
    ("library", "name", "expected"),
    [
        ("python3.dll", "PyList_New", Import("PyList_New")),
        ("PYTHON313.DLL", "_Py_NoneStruct", Import("_Py_NoneStruct")),
        ("python313.dll", "PyLong_AsLong", Import("w_PyLong_AsLong", "libshim.so")),
        ("python313.dll", "memcpy", None),
        ("KERNEL32.dll", "PyList_New", None),
        ("WS2_32.dll", "#16", Import("w_recv", "libshim.so")),
        ("ws2_32.dll", "#9999", None),
        ("OTHER.dll", "#16", None),
        ("VCRUNTIME140.dll", "memcpy", Import("memcpy", "libc.so.6", "GLIBC_2.17")),
        ("api-ms-win-crt-math-l1-1-0.dll", "pow", Import("pow", "libm.so.6", "GLIBC_2.29")),
        ("api-ms-win-crt-filesystem-l1-1-0.dll", "stat", None),
        ("api-ms-win-crt-stdio-l1-1-0.dll", "snprintf", None),
        ("LEFTOUT.dll", "memcpy", None),
        ("FOO.dll", "foo", Import("libfoo.so!foo", "libfoo.so")),
        ("FOO.dll", "memcpy", Import("libfoo.so!memcpy", "libfoo.so")),
        ("FOO.dll", "bar", None),
    ],
)
def test_windows_imports(library: str, name: str, expected: Import | None) -> None:
    assert choose_import(Bind(0, name, library), make_image("windows"), PROVIDED) == expected


@pytest.mark.parametrize(
    ("library", "name", "expected"),
    [
        ("", "PyList_New", Import("PyList_New")),
        ("", "main", None),
        ("", "foo", Import("libfoo.so!foo", "libfoo.so")),
        ("", "own", 24),
        (SYSTEM, "own", None),
        (SYSTEM, "memcpy", Import("memcpy", "libc.so.6", "GLIBC_2.17")),
        (SYSTEM, "pow", Import("pow", "libm.so.6", "GLIBC_2.29")),
        (SYSTEM, "stat$INODE64", Import("m_stat", "libshim.so")),
        (SYSTEM, "fopen$DARWIN", Import("m_fopen$DARWIN", "libshim.so")),
        (SYSTEM, "fopen$OTHER", Import("m_fopen", "libshim.so")),
        (SYSTEM, "open", None),
        (SYSTEM, "powl", None),
        (SYSTEM, "_Unwind_Resume", Import("_Unwind_Resume", "libgcc_s.so.1", "GCC_3.0")),
        ("/usr/lib/libz.1.dylib", "deflate", Import("deflate", "libz.so.1")),
        ("/usr/lib/libz.1.dylib", "inflate", None),
        ("/usr/lib/libffi.dylib", "ffi_call", Import("ffi_call", "libffi.so.8", "LIBFFI_BASE_8.0")),
        ("/usr/lib/libffi.dylib", "ffi_closure_alloc", None),
        ("@rpath/left_out.dylib", "memcpy", None),
        ("@rpath/left_out.dylib", "fopen", None),
        ("@rpath/Python.framework/Versions/3.13/Python", "PyList_New", Import("PyList_New")),
        ("/System/Library/Frameworks/Security.framework/Security", "fopen", Import("m_fopen", "libshim.so")),
        ("@rpath/libfoo.dylib", "deflate", Import("libfoo.so!deflate", "libfoo.so")),
        ("@rpath/libfoo.dylib", "bar", None),
        ("/usr/lib/libbz2.1.0.dylib", "BZ2_bzCompress", None),
    ],
)
def test_macos_imports(library: str, name: str, expected: Import | int | None) -> None:
    assert choose_import(Bind(0, name, library), make_image("macos", own=24), PROVIDED) == expected


def test_only_intel_has_linux_variadic_functions() -> None:
    bind = Bind(0, "snprintf", SYSTEM)
    assert choose_import(bind, make_image("macos", "x86_64"), PROVIDED) == Import("snprintf", "libc.so.6", "GLIBC_2.17")
    assert choose_import(bind, make_image("macos"), PROVIDED) is None


@pytest.mark.parametrize(
    ("bind", "name"),
    [
        (Bind(0, "#16", "WS2_32.dll"), "WS2_32.dll!recv"),
        (Bind(0, "#7", "X.dll"), "X.dll!#7"),
        (Bind(0, "open", SYSTEM), "libSystem.B.dylib!open"),
        (Bind(0, "open"), "open"),
    ],
)
def test_unresolved_imports_are_named(bind: Bind, name: str) -> None:
    assert name_import(bind) == name


def test_ordinals_are_those_of_winsock() -> None:
    """The numbers of winsock 1.1's functions, as Wine's and mingw-w64's sources have them."""
    table = read_ordinals()
    assert set(table) == {"ws2_32.dll", "oleaut32.dll"}
    known = {"#1": "accept", "#16": "recv", "#23": "socket", "#57": "gethostname", "#115": "WSAStartup"}
    assert known.items() <= table["ws2_32.dll"].items()
    assert {"#2": "SysAllocString", "#6": "SysFreeString", "#9": "VariantClear"}.items() <= table[
        "oleaut32.dll"
    ].items()
    assert all(name.isidentifier() for names in table.values() for name in names.values())


@pytest.mark.parametrize("os", ["windows", "macos"])
def test_lists_leave_out_what_differs(os: Os) -> None:
    assert {"memcpy", "malloc", "pow"} <= read_same_names(os, "aarch64") <= read_same_names(os, "x86_64")
    assert not {"stat", "open", "printf", "setjmp", "pthread_mutex_lock"} & read_same_names(os, "aarch64")


def make_elf(folder: Path, name: str, *names: str) -> Path:
    part = Part(0, bytearray(0x1000), 0x1000, Rights.READ)
    path = folder / name
    path.write_bytes(write_elf(SharedLibrary("aarch64", [part], {}, {}, dict.fromkeys(names, 8), [])))
    return path


def test_exports_are_read_from_the_first_folder_that_has_the_library(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
    make_elf(tmp_path / "first", "libc.so.6", "old")
    make_elf(tmp_path / "second", "libc.so.6", "new")
    make_elf(tmp_path / "second", "libm.so.6", "pow")
    program, shim = make_elf(tmp_path, "python", "PyList_New"), make_elf(tmp_path, "libshim.so", "w_x")
    found = read_provided(program, shim, [tmp_path / "first", tmp_path / "second"])
    assert found.program == Exports("", {"PyList_New": ""}) and found.shim == Exports("libshim.so", {"w_x": ""})
    assert {one.soname: set(one.symbols) for one in found.libraries} == {"libc.so.6": {"old"}, "libm.so.6": {"pow"}}
    assert choose_import(Bind(0, "pow", SYSTEM), make_image("macos"), found) == Import("pow", "libm.so.6")
    assert choose_import(Bind(0, "pow", SYSTEM), make_image("macos"), replace(found, libraries=())) is None


def test_default_versions_are_read_from_this_machines_libc() -> None:
    path = next((p for p in Path("/").glob("lib*/*/libc.so.6")), None) or next(
        iter(Path("/").glob("lib64/libc.so.6")), None
    )
    if path is None:
        pytest.skip("no glibc here")
    symbols = read_exports(path, "libc.so.6").symbols
    assert symbols["memcpy"].startswith("GLIBC_2.") and symbols["pthread_cond_wait"] not in ("", "GLIBC_2.2.5")


def test_a_file_that_is_no_elf_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"no ELF")
    for path in (tmp_path / "x", tmp_path / "none"):
        with pytest.raises(WheelworksError, match="not a readable ELF file"):
            read_exports(path, "x")
