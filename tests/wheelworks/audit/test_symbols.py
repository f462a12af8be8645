"""Test which undefined symbols are found to be defined nowhere: one defect and one good twin for each list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from wheelworks.audit import symbol_lists
from wheelworks.audit.linkage import Library, Symbol
from wheelworks.core.errors import WheelworksError

from tests.wheelworks.audit.linked import LINUX, MACOS, MUSL, WINDOWS, check, codes, linked, wheel

MODULE = "sample/_native.so"
LIBSYSTEM = "/usr/lib/libSystem.B.dylib"
LIBC = {LINUX: "libc.so.6", MUSL: "libc.musl-x86_64.so.1"}


def elf(symbol: str, *more: str, tag: str = LINUX, version: str = "", library: str = "") -> list[str]:
    needed = Symbol(symbol, library, version)
    return codes(wheel(linked(MODULE, LIBC[tag], *more, tag=tag, symbols=[needed]), tag=tag))


@pytest.mark.parametrize(
    ("symbol", "tag", "found"),
    [
        ("memcpy", LINUX, []),
        ("pow", LINUX, []),  # of libm, which Python has loaded
        ("__tls_get_addr", LINUX, []),
        ("environ", LINUX, []),
        ("PyList_New", LINUX, []),
        ("PyPyList_New", LINUX, []),
        ("GraalPyTuple_GET_ITEM", LINUX, []),
        ("forgotten_function", LINUX, ["W118"]),
        ("arc4random", LINUX, ["W112"]),  # glibc 2.36
        ("memcpy", MUSL, []),
        ("arc4random", MUSL, ["W118"]),
        ("__memcpy_chk", LINUX, []),
        ("__memcpy_chk", MUSL, ["W118"]),
        ("backtrace", LINUX, []),
        ("backtrace", MUSL, ["W118"]),
    ],
)
def test_a_symbol_must_be_in_the_libc_of_the_tag(symbol: str, tag: str, found: list[str]) -> None:
    assert elf(symbol, tag=tag) == found


def test_a_wheel_for_both_libcs_may_use_only_what_both_have() -> None:
    tag = f"{LINUX}.{MUSL}"
    module = linked(MODULE, "libc.so.6", tag=LINUX, symbols=[Symbol("__memcpy_chk")])
    both = wheel(linked(MODULE, tag=LINUX), tag=tag).platforms
    object.__setattr__(module, "platforms", both)
    assert "W118" in codes(wheel(module, tag=tag))


def test_libraries_without_a_list_may_have_any_symbol() -> None:
    assert elf("XOpenDisplay", "libX11.so.6") == []
    assert elf("_ZSt4cout", "libstdc++.so.6") == []
    assert elf("_ZSt4cout", "libstdc++.so.6", version="GLIBCXX_3.4", library="libstdc++.so.6") == []
    assert elf("_ZGVbN2v_exp", "libmvec.so.1", version="GLIBC_2.22", library="libmvec.so.1") == []
    assert elf("forgotten_function", "libstdc++.so.6") == ["W118"]  # its linker would have recorded a version
    assert elf("forgotten_function", version="GLIBC_2.17", library="libc.so.6") == ["W118"]


def test_symbols_of_bundled_libraries_count_over_the_whole_load() -> None:
    module = linked(MODULE, "liba.so", paths=("$ORIGIN",), symbols=[Symbol("from_b")])
    a = linked("sample/liba.so", "libb.so", "libc.so.6", paths=("$ORIGIN",), symbols=[Symbol("from_module")])
    b = linked("sample/libb.so", "libc.so.6", exports=["from_b"])
    assert codes(wheel(module, a, b)) == ["W118"]
    exporting = linked(
        MODULE, "liba.so", paths=("$ORIGIN",), symbols=[Symbol("from_b")], exports=["from_module", "PyInit__native"]
    )
    assert codes(wheel(exporting, a, b)) == []


def test_a_library_of_many_modules_is_reported_once() -> None:
    modules = [linked(f"sample/_m{one}.so", "liba.so", "libc.so.6", paths=("$ORIGIN",)) for one in range(3)]
    a = linked("sample/liba.so", "libc.so.6", symbols=[Symbol("forgotten_function")])
    (finding,) = check(wheel(*modules, a))
    assert finding.code == "W118" and finding.member == "sample/liba.so"


def test_another_binary_may_be_loaded_before_by_python_code() -> None:
    module = linked(MODULE, "libc.so.6", symbols=[Symbol("from_b")])
    b = linked("sample/libb.so", "libc.so.6", exports=["from_b"])
    assert codes(wheel(module, b)) == ["W118"]
    assert codes(wheel(module, b, code="ctypes.CDLL(path, ctypes.RTLD_GLOBAL)")) == []


def test_a_library_that_nothing_loads_may_use_the_symbols_of_a_program_that_will() -> None:
    plugin = linked("sample/libplugin.so", "libc.so.6", symbols=[Symbol("from_the_host")])
    assert codes(wheel(linked(MODULE, "libc.so.6"), plugin)) == []


def macho(symbol: str, library: str = "", *libraries: str | Library) -> list[str]:
    needed = Symbol(symbol, library)
    module = linked(MODULE, LIBSYSTEM, *libraries, tag=MACOS, inherits=True, symbols=[needed])
    return codes(wheel(module, tag=MACOS))


@pytest.mark.parametrize(
    ("symbol", "library", "found"),
    [
        ("PyList_New", "", []),
        ("memcpy", "", []),
        ("_ZNSt3__112basic_stringIcE", "", []),
        ("_Znwm", "", []),
        ("CFRelease", "", []),
        ("__CFConstantStringClassReference", "", []),
        ("__CXConstant", "", ["W118"]),
        ("forgotten_function", "", ["W118"]),
        ("_ZN6sample9forgottenEv", "", ["W118"]),
        ("memcpy", LIBSYSTEM, []),
        ("dyld_stub_binder", LIBSYSTEM, []),
        ("__memcpy_chk", LIBSYSTEM, []),
        ("_forgotten", LIBSYSTEM, ["W118"]),
        ("anything", "/usr/lib/libc++.1.dylib", []),
    ],
)
def test_a_symbol_on_macos_must_be_in_its_library_or_in_the_process(
    symbol: str, library: str, found: list[str]
) -> None:
    assert macho(symbol, library, "/usr/lib/libc++.1.dylib") == found


def test_dynamic_lookup_may_find_symbols_of_libraries_without_a_list() -> None:
    assert macho("cblas_dgemm") == ["W118"]
    assert macho("cblas_dgemm", "", "/System/Library/Frameworks/Accelerate.framework/Versions/A/Accelerate") == []


def test_a_bundled_dylib_must_export_the_symbol_or_re_export_a_library_that_may() -> None:
    name = "@loader_path/liba.dylib"
    module = linked(MODULE, name, tag=MACOS, symbols=[Symbol("here", name), Symbol("below", name)])
    a = linked("sample/liba.dylib", Library("@loader_path/libb.dylib", reexported=True), tag=MACOS, exports=["here"])
    b = linked("sample/libb.dylib", tag=MACOS, exports=["below"])
    empty = linked("sample/libb.dylib", tag=MACOS)
    assert codes(wheel(module, a, b, tag=MACOS)) == []
    (finding,) = check(wheel(module, a, empty, tag=MACOS))
    assert finding.code == "W118" and "below" in finding.evidence and "here" not in finding.evidence


@pytest.mark.parametrize(
    ("symbol", "library", "found"),
    [
        ("GetTickCount64", "KERNEL32.dll", []),
        ("GetTickCount128", "KERNEL32.dll", ["W118"]),
        ("memcpy", "VCRUNTIME140.dll", []),
        ("strlen", "api-ms-win-crt-string-l1-1-0.dll", []),
        ("btowc", "api-ms-win-crt-convert-l1-1-0.dll", []),
        ("str_len", "api-ms-win-crt-string-l1-1-0.dll", ["W118"]),
        ("WaitOnAddress", "api-ms-win-core-synch-l1-2-0.dll", []),
        ("NoSuchThing", "api-ms-win-core-synch-l1-2-0.dll", ["W118"]),
        ("PyList_New", "python313.dll", []),
        ("WsCreateHeap", "webservices.dll", []),
        ("CryptXmlDigest", "nothere.dll", ["W108"]),
    ],
)
def test_a_symbol_on_windows_must_be_in_its_dll(symbol: str, library: str, found: list[str]) -> None:
    module = linked("sample/_native.pyd", library, tag=WINDOWS, symbols=[Symbol(symbol, library)])
    assert codes(wheel(module, tag=WINDOWS)) == found


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (("KERNEL32.dll", "HeapAlloc"), []),
        (("KERNEL32.dll", "HeapAllot"), ["W118"]),
        (("b.dll", "real"), []),
        (("b.dll", "gone"), ["W118"]),
        (("a.dll", "function"), ["W118"]),  # a circle
    ],
)
def test_a_forwarder_leads_to_a_function_that_exists(target: tuple[str, str], found: list[str]) -> None:
    module = linked("sample/_native.pyd", "a.dll", tag=WINDOWS, symbols=[Symbol("function", "a.dll")])
    a = linked("sample/a.dll", "b.dll", tag=WINDOWS, exports=["function"], forwards={"function": target})
    b = linked("sample/b.dll", tag=WINDOWS, exports=["real"])
    assert codes(wheel(module, a, b, tag=WINDOWS)) == found


@pytest.mark.parametrize(
    ("symbol", "found"),
    [("PyList_New", []), ("PyType_GetModuleByDef", []), ("PyModExport_Nothing", ["W116"]), ("PyList_GetItemRef", [])],
)
def test_python3_dll_has_the_stable_abi_of_the_tags_version(symbol: str, found: list[str]) -> None:
    module = linked("sample/_native.pyd", "python3.dll", tag=WINDOWS, symbols=[Symbol(symbol, "python3.dll")])
    assert codes(wheel(module, tag=WINDOWS)) == found


def test_python3_dll_of_an_older_python_lacks_newer_symbols() -> None:
    module = linked(
        "sample/_native.pyd", "python3.dll", tag=WINDOWS, symbols=[Symbol("PyList_GetItemRef", "python3.dll")]
    )
    assert codes(wheel(module, tag=WINDOWS, abi="cp312-cp312")) == ["W116"]


# -- the lists


def test_the_lists_say_since_when_glibc_has_a_symbol() -> None:
    lists = {cpu: symbol_lists.load_glibc(cpu) for cpu in ("x86_64", "aarch64", "s390x", "i686", "armv7l", "ppc64le")}
    assert all(one and one["gettid"] == (2, 30) and one["stderr"] <= (2, 17) for one in lists.values())
    assert symbol_lists.load_glibc("sparc64") is None


@pytest.mark.parametrize(
    "load", [lambda: symbol_lists.load_glibc.__wrapped__("x86_64"), symbol_lists.load_musl.__wrapped__]
)
def test_without_the_compiler_there_is_a_clear_error(
    load: Callable[[], object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(symbol_lists, "find_zig", lambda: str(tmp_path / "zig"))
    with pytest.raises(WheelworksError, match="the compiler has no"):
        load()


def test_a_definition_follows_its_includes_and_macros() -> None:
    found = symbol_lists.load_dll("ucrtbase.dll")
    assert found is not None and {"malloc", "strtod", "isascii", "__isascii", "_wfopen"} <= found
    assert symbol_lists.load_dll("nothere.dll") is None
