"""Test which libraries of a wheel each loader finds: one defect and one good twin for each way of searching."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelworks.audit import loading
from wheelworks.audit.linkage import Library, Linkage, Need, Symbol

from tests.wheelworks.audit.linked import LINUX, MACOS, MUSL, WINDOWS, check, codes, linked, wheel

HELPER = "libhelper-1234.so"
MODULE = "sample/_native.so"
DYLIB = "libhelper.dylib"


def elf(*, paths: tuple[str, ...] = (), inherits: bool = False, needs: str = HELPER) -> list[str]:
    module = linked(MODULE, needs, "libc.so.6", paths=paths, inherits=inherits)
    return codes(wheel(module, linked(f"sample.libs/{HELPER}", "libc.so.6", name=HELPER)))


@pytest.mark.parametrize(
    ("paths", "good"),
    [
        ((), False),
        (("$ORIGIN",), False),
        (("$ORIGIN/../sample.libs",), True),
        (("${ORIGIN}/../sample.libs",), True),
        (("/opt/lib", "$ORIGIN/../sample.libs"), True),
        (("sample.libs",), False),
        (("$ORIGIN/../../sample.libs",), False),
    ],
)
def test_elf_searches_the_paths_of_the_binary(paths: tuple[str, ...], *, good: bool) -> None:
    assert elf(paths=paths) == elf(paths=paths, inherits=True) == ([] if good else ["W121"])


def test_a_library_name_with_a_folder_is_not_searched_for() -> None:
    assert elf(needs=f"build/{HELPER}", paths=("$ORIGIN/../sample.libs",)) == ["W121"]
    assert elf(needs=f"$ORIGIN/../sample.libs/{HELPER}") == []


@pytest.mark.parametrize(("inherits", "tag", "good"), [(True, LINUX, True), (False, LINUX, False), (False, MUSL, True)])
def test_a_library_inherits_rpath_and_on_musl_runpath(tag: str, *, inherits: bool, good: bool) -> None:
    libc = "libc.so.6" if tag == LINUX else "libc.musl-x86_64.so.1"
    module = linked(MODULE, "liba.so", libc, tag=tag, paths=("$ORIGIN/lib",), inherits=inherits)
    below = linked("sample/lib/liba.so", HELPER, libc, tag=tag, name="liba.so", inherits=True)
    found = codes(wheel(module, below, linked(f"sample/lib/{HELPER}", libc, tag=tag, name=HELPER), tag=tag))
    assert found == ([] if good else ["W121"])


def test_a_library_that_the_module_loaded_before_is_found_by_its_soname() -> None:
    first = linked(MODULE, HELPER, "liba.so", paths=("$ORIGIN/lib",))
    below = linked("sample/lib/liba.so", HELPER, name="liba.so")
    assert codes(wheel(first, below, linked(f"sample/lib/{HELPER}", name=HELPER))) == []
    second = linked("sample/_other.so", HELPER)
    assert codes(wheel(first, second, below, linked(f"sample/lib/{HELPER}", name=HELPER))) == ["W122"]


def test_each_missing_library_is_reported_once_with_all_that_need_it() -> None:
    modules = [linked(f"sample/_m{number}.so", HELPER) for number in range(3)]
    (finding,) = check(wheel(*modules, linked(f"sample/libs/{HELPER}", name=HELPER)))
    assert finding.code == "W121" and finding.member == "sample/_m0.so"
    assert "sample/_m1.so" in finding.evidence and "sample/_m2.so" in finding.evidence
    assert "sample/libs" in finding.evidence and "no folder of the wheel" in finding.evidence


def test_libraries_in_one_folder_that_is_not_searched_are_one_finding() -> None:
    module = linked(MODULE, *(f"lib{letter}.so" for letter in "abd"))
    parts = [linked(f"sample.libs/lib{letter}.so", name=f"lib{letter}.so") for letter in "abd"]
    (finding,) = check(wheel(module, *parts))
    assert finding.code == "W121" and "liba.so, libb.so, libd.so, in sample.libs" in finding.evidence


@pytest.mark.parametrize(
    ("path", "place", "good"),
    [
        ("$ORIGIN/../../..", "data/lib", True),
        ("$ORIGIN/../../..", "purelib", False),
        ("$ORIGIN/..", "purelib", True),
        ("$ORIGIN/..", "data/lib", False),
    ],
)
def test_files_in_data_folders_lie_where_they_are_installed(path: str, place: str, *, good: bool) -> None:
    module = linked("sample-1.0.data/platlib/sample/_native.so", HELPER, paths=(path,))
    assert codes(wheel(module, linked(f"sample-1.0.data/{place}/{HELPER}", name=HELPER))) == ([] if good else ["W121"])


@pytest.mark.parametrize(
    ("name", "paths", "good"),
    [
        (f"@rpath/{DYLIB}", (), False),
        (f"@rpath/{DYLIB}", ("@loader_path/libs",), True),
        (f"@rpath/{DYLIB}", ("@executable_path/../lib",), False),
        (f"@rpath/{DYLIB}", ("/opt/local/lib",), False),
        (f"@loader_path/libs/{DYLIB}", (), True),
        (f"@loader_path/{DYLIB}", (), False),
        (f"@executable_path/{DYLIB}", (), False),
        (f"/opt/local/lib/{DYLIB}", ("@loader_path/libs",), False),
        (DYLIB, ("@loader_path/libs",), False),
    ],
)
def test_dyld_expands_the_install_name(name: str, paths: tuple[str, ...], *, good: bool) -> None:
    module = linked(MODULE, name, tag=MACOS, paths=paths, inherits=True)
    made = wheel(module, linked(f"sample/libs/{DYLIB}", tag=MACOS, name=f"/DLC/{DYLIB}"), tag=MACOS)
    assert codes(made) == ([] if good else ["W121"])


def test_dyld_passes_rpaths_on_and_accepts_a_missing_weak_library() -> None:
    module = linked(MODULE, "@rpath/liba.dylib", tag=MACOS, paths=("@loader_path/libs",), inherits=True)
    below = linked("sample/libs/liba.dylib", f"@rpath/{DYLIB}", Library("@rpath/libweak.dylib", Need.WEAK), tag=MACOS)
    assert codes(wheel(module, below, linked(f"sample/libs/{DYLIB}", tag=MACOS), tag=MACOS)) == []


@pytest.mark.parametrize(
    "name", ["/Library/Frameworks/Python.framework/Versions/3.13/Python", "@rpath/libpython3.13.dylib"]
)
def test_a_module_for_macos_is_linked_to_no_python(name: str) -> None:
    assert codes(wheel(linked(MODULE, name, tag=MACOS), tag=MACOS)) == ["W109"]


def windows(place: str, *, need: Need = Need.REQUIRED, code: str = "") -> list[str]:
    module = linked("sample/_native.pyd", Library("Helper.dll", need), tag=WINDOWS)
    return codes(wheel(module, linked(f"{place}/helper.dll", tag=WINDOWS), tag=WINDOWS, code=code))


def test_windows_searches_the_modules_folder_and_those_that_code_adds() -> None:
    assert windows("sample") == []
    assert windows("sample.libs") == ["W121"]
    assert windows("sample.libs", code="os.add_dll_directory(os.path.join(here, 'sample.libs'))") == []
    assert windows("sample.libs", code="ctypes.CDLL(find('helper.dll'))") == []
    assert windows("sample.libs", code="os.add_dll_directory(somewhere)") == ["W122"]


def test_windows_searches_the_modules_folder_for_the_dlls_of_a_dll() -> None:
    module = linked("sample/_native.pyd", "a.dll", tag=WINDOWS)
    below = linked("sample/a.dll", "b.dll", tag=WINDOWS)
    assert codes(wheel(module, below, linked("sample/b.dll", tag=WINDOWS), tag=WINDOWS)) == []
    assert codes(wheel(module, below, linked("sample/sub/b.dll", tag=WINDOWS), tag=WINDOWS)) == ["W121"]


def test_a_delayed_dll_is_only_reported_as_information() -> None:
    assert windows("sample.libs", need=Need.DELAYED) == ["W122"]
    module = linked("sample/_native.pyd", Library("nothere.dll", Need.DELAYED), tag=WINDOWS)
    assert codes(wheel(module, tag=WINDOWS)) == ["W122"]
    runtime = linked("sample/_native.pyd", Library("MSVCP140.dll", Need.DELAYED), tag=WINDOWS)
    assert codes(wheel(runtime, tag=WINDOWS)) == ["W122"]
    system = linked("sample/_native.pyd", Library("KERNEL32.dll", Need.DELAYED), tag=WINDOWS)
    assert codes(wheel(system, tag=WINDOWS)) == []


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("api-ms-win-crt-runtime-l1-1-0.dll", True),
        ("api-ms-win-core-synch-l1-2-9.dll", True),  # the last number doesn't count
        ("api-ms-win-core-nothere-l1-1-0.dll", False),
        ("RstrtMgr.DLL", True),
    ],
)
def test_api_sets_are_known_by_name(name: str, *, good: bool) -> None:
    assert codes(wheel(linked("sample/_native.pyd", name, tag=WINDOWS), tag=WINDOWS)) == ([] if good else ["W108"])


@pytest.mark.parametrize(
    ("abi", "name", "good"),
    [
        ("pp311-pypy311_pp73", "libpypy3.11-c.dll", True),
        ("graalpy312-graalpy250_312_native", "python-native.dll", True),
        ("cp313-cp313", "libpypy3.11-c.dll", False),
        ("cp313-cp313", "python-native.dll", False),
        ("pp311-pypy311_pp73", "python-native.dll", False),
    ],
)
def test_the_dll_of_another_python_is_promised_to_its_wheels_only(abi: str, name: str, *, good: bool) -> None:
    made = wheel(linked("sample/_native.pyd", name, tag=WINDOWS), tag=WINDOWS, abi=abi)
    assert codes(made) == ([] if good else ["W108"])


def test_a_library_of_a_required_project_is_information() -> None:
    there = linked(MODULE, "libother.so.1", paths=("$ORIGIN/../other/lib",))
    assert codes(wheel(there, requires="other-cu13")) == ["W122"]
    assert codes(wheel(there)) == ["W108"]
    assert codes(wheel(linked(MODULE, "libtorch_cpu.so"), requires="torch")) == ["W122"]
    assert codes(wheel(linked(MODULE, "libtorch_cpu.so"), requires="torch; extra == 'gpu'")) == ["W108"]


def test_a_library_that_was_not_read_is_found_but_unknown() -> None:
    module = linked(MODULE, HELPER, "libc.so.6", paths=("$ORIGIN",))
    made = wheel(module)
    made.__dict__["names"] = frozenset({MODULE, f"sample/{HELPER}"})
    assert codes(made) == []


def test_a_circle_of_libraries_ends() -> None:
    parts = [linked(f"sample/lib{one}.so", f"lib{other}.so", paths=("$ORIGIN",)) for one, other in ("ab", "bc", "ca")]
    assert codes(wheel(linked(MODULE, "liba.so", paths=("$ORIGIN",)), *parts)) == []


def test_a_wheel_that_would_take_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "MOST_STEPS", 50)
    parts = [linked(f"sample/_m{one}.so", *(f"_m{other}.so" for other in range(20))) for one in range(20)]
    assert "W122" in codes(wheel(*parts))


def test_many_libraries_of_a_wheel_with_many_files_and_requirements_take_linear_time() -> None:
    parts = [linked(f"sample/_m{one}.so", f"lib{one}.so", paths=("$ORIGIN/../other",)) for one in range(200)]
    made = wheel(*parts, requires="other\n" + "Requires-Dist: x\n" * 20_000)
    made.__dict__["names"] = made.names | {f"sample/{one}/x" for one in range(20_000)}
    assert codes(made) == ["W122"]


NAMES = st.sampled_from(
    ["liba.so", "libb.so", "", ".", "..", "/", "@rpath/liba.so", "@loader_path/../../../../../liba.so", "@rpath",
     "$ORIGIN", "$ORIGIN/../liba.so", "${LIB}/liba.so", "@executable_path/x", "kernel32.dll", "A.DLL", "\udcff",
     "api-ms-win-crt-x"]
)  # fmt: skip
MEMBERS = st.sampled_from(["liba.so", "sample/liba.so", "a.dll", "s-1.data/platlib/x.so", "s-1.data/x.so", "x.pyd"])


@st.composite
def linkages(draw: st.DrawFn, tag: str) -> Linkage:
    symbols = [Symbol(draw(NAMES), draw(NAMES), draw(st.sampled_from(["", "GLIBC_2.17"])))]
    return linked(
        draw(MEMBERS), *draw(st.lists(NAMES)), tag=tag, name=draw(NAMES), paths=draw(st.lists(NAMES)),
        inherits=draw(st.booleans()), symbols=symbols, exports=draw(st.lists(NAMES)),
        forwards={draw(NAMES): (draw(NAMES), draw(NAMES))},
    )  # fmt: skip


@pytest.mark.parametrize("tag", [LINUX, MUSL, MACOS, WINDOWS])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_names_make_the_checks_fail(tag: str, data: st.DataObject) -> None:
    found = check(wheel(*data.draw(st.lists(linkages(tag))), tag=tag, code=data.draw(st.sampled_from(["", "CDLL"]))))
    assert {one.code for one in found} <= {"W108", "W109", "W110", "W111", "W112", "W116", "W118", "W121", "W122"}
    assert all(one.evidence.isprintable() for one in found)
