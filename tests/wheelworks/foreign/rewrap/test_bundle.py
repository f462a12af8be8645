"""Test how a wheel's binaries find each other, and what they are called on Linux."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from wheelworks.core.image import Bind, Image, Segment
from wheelworks.foreign.rewrap.bundle import (
    NativeFile,
    describe_patches,
    describe_unresolved,
    find_libraries,
    find_missing_python_api,
    is_native,
    make_runpath,
    make_soname,
    rename,
)
from wheelworks.foreign.rewrap.patches import Patch
from wheelworks.foreign.rewrap.rewrapper import CannotRewrap

CODE = (Segment(0, 16, bytes(16), False, True),)


def make_native(
    path: str,
    *libraries: str,
    os: Any = "macos",
    exports: tuple[str, ...] = (),
    binds: tuple[Bind, ...] = (),
    **more: Any,
) -> NativeFile:
    return NativeFile(
        path, Image(os, "aarch64", CODE, (), binds, dict.fromkeys(exports, 0), (), libraries=libraries, **more)
    )


def find(*natives: NativeFile) -> dict[str, Mapping[str, str]]:
    return {path: one.loads for path, one in find_libraries({one.path: one for one in natives}).items()}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("demo/_c.cp313-win_arm64.pyd", "demo/_c.cpython-313-aarch64-linux-gnu.so"),
        ("demo/_c.cp313t-win_arm64.pyd", "demo/_c.cpython-313t-aarch64-linux-gnu.so"),
        ("demo/_c.pyd", "demo/_c.so"),
        ("_c.PYD", "_c.so"),
        ("demo/_c.cpython-313-darwin.so", "demo/_c.cpython-313-aarch64-linux-gnu.so"),
        ("demo/_c.abi3.so", "demo/_c.abi3.so"),
        ("demo/_c.so", "demo/_c.so"),
        ("demo.libs/x-1.2.dll", "demo.libs/x-1.2.dll"),
        ("demo/.dylibs/libx.1.dylib", "demo/.dylibs/libx.1.dylib"),
    ],
)
def test_names_on_linux(path: str, name: str) -> None:
    assert rename(make_native(path), "aarch64") == name


@pytest.mark.parametrize(("exports", "module"), [(("PyInit__c",), True), (("PyModExport__c",), True), (("x",), False)])
def test_a_module_has_the_entry_point_of_its_name_and_calls_cpython(exports: tuple[str, ...], module: bool) -> None:
    calls = (Bind(0, "PyModuleDef_Init", "python313.dll"),)
    assert make_native("demo/_c.cp313-win_arm64.pyd", exports=exports, binds=calls).is_module is module
    assert not make_native("demo/_c.cp313-win_arm64.pyd", exports=exports).is_module


def test_windows_finds_a_library_by_its_name() -> None:
    """The name has no case, and the folder of the module comes first."""
    own, libs = make_native("demo/X.dll", os="windows"), make_native("demo.libs/x.dll", os="windows")
    module = make_native("demo/_c.pyd", "x.DLL", "KERNEL32.dll", "python313.dll", os="windows", delayed=("y.dll",))
    other = make_native("other/y.dll", os="windows")
    assert find(module, libs)["demo/_c.pyd"] == {"x.DLL": "demo.libs/x.dll"}
    assert find(module, libs, own, other)["demo/_c.pyd"] == {"x.DLL": "demo/X.dll", "y.dll": "other/y.dll"}


@pytest.mark.parametrize(
    "name", ["python3.dll", "VCRUNTIME140_1.dll", "api-ms-win-crt-heap-l1-1-0.dll", "ucrtbase.dll"]
)
def test_windows_own_libraries_stay_the_shims(name: str) -> None:
    own = make_native(f"demo/{name}", os="windows")
    assert find(make_native("demo/_c.pyd", name, os="windows"), own)["demo/_c.pyd"] == {}


@pytest.mark.parametrize(
    ("name", "rpaths", "target"),
    [
        ("@loader_path/.dylibs/libx.dylib", (), "demo/sub/.dylibs/libx.dylib"),
        ("@loader_path/../../other/libx.dylib", (), "other/libx.dylib"),
        ("@rpath/libx.dylib", ("@loader_path/nowhere", "@loader_path/../lib"), "demo/lib/libx.dylib"),
        ("@rpath/libx.dylib", ("/opt/lib",), "elsewhere/libx.dylib"),
        ("/build/libx.dylib", (), "elsewhere/libx.dylib"),
    ],
)
def test_macos_finds_a_library_by_its_path(name: str, rpaths: tuple[str, ...], target: str) -> None:
    """A path outside of the wheel stands for a library that was loaded before."""
    library = make_native(target, install_name="" if target.startswith("elsewhere") else "other")
    module = make_native("demo/sub/_c.so", name, "/usr/lib/libSystem.B.dylib", rpaths=rpaths)
    assert find(module, library)["demo/sub/_c.so"] == {name: target}


def test_an_install_name_goes_before_a_file_name() -> None:
    first, second = make_native("a/libx.dylib"), make_native("b/liby.dylib", install_name="/build/libx.dylib")
    assert find(make_native("_c.so", "/build/libx.dylib"), first, second)["_c.so"] == {
        "/build/libx.dylib": "b/liby.dylib"
    }


@pytest.mark.parametrize(
    "name", ["/System/Library/Frameworks/A.framework/A", "@rpath/Python3.framework/Versions/3.9/Python3", "/usr/lib/x"]
)
def test_macos_own_libraries_are_not_looked_for(name: str) -> None:
    assert find(make_native("_c.so", name))["_c.so"] == {}


@pytest.mark.parametrize(
    "name", ["@rpath/libtorch.dylib", "@loader_path/../../../etc/x", "/opt/homebrew/lib/libx.dylib"]
)
def test_a_missing_library_is_named(name: str) -> None:
    with pytest.raises(CannotRewrap, match=r"demo/_c\.so: it loads .*, which neither macOS nor the wheel has"):
        find(make_native("demo/_c.so", name))


def test_libraries_may_load_each_other() -> None:
    """Those of Pillow's wheels for macOS do."""
    found = find(make_native("a.dll", "B.DLL", os="windows"), make_native("b.dll", "a.dll", os="windows"))
    assert found == {"a.dll": {"B.DLL": "b.dll"}, "b.dll": {"a.dll": "a.dll"}}


def test_sonames_differ_by_path() -> None:
    assert make_soname("a/libx.dylib") != make_soname("b/libx.dylib") and make_soname("a/x").endswith("-x")


@pytest.mark.parametrize(("path", "up"), [("_c.so", ""), ("demo/_c.so", "../"), ("a/b/c.so", "../../")])
def test_the_runpath_leads_to_the_libraries(path: str, up: str) -> None:
    assert make_runpath(path) == f"$ORIGIN:$ORIGIN/{up}.wheelworks-libs"


@pytest.mark.parametrize(
    ("path", "data", "native"),
    [
        ("a.pyd", b"MZ\x90", True),
        ("a.DLL", b"MZ", True),
        ("a.so", b"\xcf\xfa\xed\xfe", True),
        ("a.dylib", b"\xca\xfe\xba\xbe", True),
        ("a.so", b"\x7fELF", False),
        ("a.py", b"MZ = 1", False),
        ("a.pyd", b"", False),
    ],
)
def test_binaries_are_known_by_name_and_start(path: str, data: bytes, native: bool) -> None:
    assert is_native(path, data) is native


def test_what_was_changed_is_counted() -> None:
    patches = {"a": (Patch(0, "mrs", "reads the TEB: a veneer"),) * 12, "b": (Patch(4, "mrs", "CurrentEL"),)}
    assert describe_patches(patches) == "instructions patched: 1 (CurrentEL), 12 (reads the TEB)"
    assert describe_unresolved({"a": ("K!b", "K!a"), "b": ("K!b",)}) == "2 imports unresolved: K!a, K!b"
    assert describe_unresolved({"a": tuple("abcdefg")}) == "7 imports unresolved: a, b, c, d, e and 2 more"
    assert (describe_patches({}), describe_unresolved({})) == ("", "")


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("python313.dll!PyNo_Such", True),
        ("python3.dll!_PyNo_Such", True),
        ("PyNo_Such", True),
        ("PyErr_SetFromWindowsErr", False),
        ("python313.dll!PyUnicode_EncodeMBCS", False),
        ("KERNEL32.dll!CreateFiber", False),
        ("shiboken.dll!PyObject_Own", False),
        ("python_is_fun", False),
    ],
)
def test_functions_that_no_cpython_has_are_findings(name: str, missing: bool) -> None:
    found = find_missing_python_api({"demo/_c.pyd": (name,)}, "3.13")
    plain = name.rpartition("!")[2]
    wanted = [("demo/_c.pyd", f"demo/_c.pyd: it imports {plain}, which CPython 3.13 doesn't have")]
    assert found == (wanted if missing else [])
