"""Test what is found in native files as such: modules without an entry point, and the halves of universal files."""

from __future__ import annotations

import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from wheelworks.audit import wheel as wheel_module
from wheelworks.audit.extension import check_init_function
from wheelworks.audit.findings import Finding, join_halves, join_members
from wheelworks.audit.inspection import inspect_wheel
from wheelworks.audit.linkage import Linkage
from wheelworks.audit.policy import DEFAULT_POLICY
from wheelworks.audit.wheel import AuditedWheel, list_entries, read_members
from wheelworks.core.wheel import parse_wheel_name

from tests.fixtures import wheels
from tests.fixtures.binaries import elf, elf32, pe
from tests.wheelworks.audit import made
from tests.wheelworks.audit.linked import linked, wheel

MODULE, CODE = "sample/_native.abi3.so", "lib = ffi.dlopen(path)"


def module(*exports: str, symbols: tuple[str, ...] = ("memcpy",), library: str = "libc.so.6") -> Linkage:
    one = linked(MODULE, exports=exports)
    return replace(one, facts=replace(one.facts, imports={"": symbols, library: ()}))


@pytest.mark.parametrize(
    ("one", "code", "found"),
    [
        (module("PyInit__native"), "", []),
        (module("PyModExport__native"), "", []),
        (module("PyInit__other"), "", ["W106"]),
        (module("add"), "", ["W106"]),
        (module("add"), CODE, []),
        (module(), CODE, ["W106"]),
        (module("add", symbols=("PyList_New",)), CODE, ["W106"]),
        (module("add", symbols=("_Py_Dealloc",)), CODE, ["W106"]),
        (module("add", library="python313.dll"), CODE, ["W106"]),
    ],
)
def test_a_module_needs_its_function_unless_code_loads_it_as_a_library(
    one: Linkage, code: str, found: list[str]
) -> None:
    assert [finding.code for finding in check_init_function(wheel(one, code=code))] == found


@pytest.mark.parametrize(("other", "found"), [(module("add"), []), (module("PyInit__native"), ["W106"])])
def test_one_half_of_a_universal_library_may_be_empty(other: Linkage, found: list[str]) -> None:
    """PyCryptodome's for the instructions of one CPU are empty for the other."""
    assert [one.code for one in check_init_function(wheel(other, module(), code=CODE))] == found


@pytest.mark.parametrize(
    ("code", "named"),
    [
        (b"path = HERE / '_native.abi3.so'", True),
        (b"path = f'{HERE}/_native.{abi}.so'", True),
        (b'load("_native.pyd")', True),
        (b"from sample import _native  # _native.so", False),
        (b"load('_other.so', '_native.py')", False),
    ],
)
def test_a_module_that_code_handles_as_a_file_needs_no_such_function(
    code: bytes, *, named: bool, tmp_path: Path
) -> None:
    path = made.wheel(tmp_path, **{"sample/load.py": code, MODULE: b""})
    with zipfile.ZipFile(path) as opened:
        audited = AuditedWheel(path.name, parse_wheel_name(path.name), list_entries(opened), DEFAULT_POLICY)
        found = frozenset[str]().union(*(one.named_files for one in read_members(opened, audited)))
    assert (found & audited.module_names == {"_native"}) == named
    audited.linkages, audited.named_files = [module("add")], set(found)
    assert [one.code for one in check_init_function(audited)] == ([] if named else ["W106"])


def test_hostile_code_is_searched_for_file_names_in_linear_time() -> None:
    start = time.process_time()
    for unit in (b"a", b"a.", b"a.so ", b"{}.", b"a-"):
        assert wheel_module._NAMED_FILE.search(unit * (200_000 // len(unit))) is None
    assert time.process_time() - start < 20


def test_a_library_needs_no_such_function() -> None:
    assert list(check_init_function(wheel(linked("sample/libadd.so", exports=["add"])))) == []


def test_what_both_halves_have_is_one_finding() -> None:
    old = [Finding("W113", f"{machine}: built for macOS 12.0", "a.so") for machine in ("x86_64", "aarch64")]
    other = Finding("W308", "x86_64: /opt/lib", "a.so")
    plain = Finding("W014", "x86_64: y", "b.so")
    machines = {"a.so": {"x86_64", "aarch64"}, "c.so": {"x86_64"}}
    assert list(join_halves([*old, other, plain, plain], machines)) == [
        Finding("W113", "built for macOS 12.0", "a.so"), other, plain,
    ]  # fmt: skip
    assert list(join_halves([Finding("W106", "x86_64: x", "c.so")], machines)) == [Finding("W106", "x", "c.so")]


def test_what_several_members_have_is_one_finding() -> None:
    found = [Finding("W308", "/opt/lib", f"{letter}.so") for letter in "abc"]
    other = Finding("W308", "/usr/local/lib", "a.so")
    assert list(join_members([found[0], other, *found[1:]])) == [
        Finding("W308", "/opt/lib; also in b.so, c.so", "a.so"), other,
    ]  # fmt: skip


@pytest.mark.parametrize(("tag", "code"), [("macosx_11_0_arm64", "W102"), ("manylinux_2_17_aarch64", "W101")])
def test_a_file_of_another_system_or_machine_is_one_error(tag: str, code: str, tmp_path: Path) -> None:
    path = wheels.wheel(tmp_path, f"cp311-abi3-{tag}", {MODULE: elf(b"\xc3" * 16)})
    assert [one.code for one in inspect_wheel(path).findings if one.severity == "error"] == [code]


def test_instruction_sets_that_a_wheel_was_compiled_for_are_one_finding() -> None:
    narrow = Finding("W201", "sse3: 0x10 movddup", "a.so")
    wide = Finding("W201", "sse3: 0x20 movddup, 0x30 movddup; ssse3: 0x40 pshufb", "b.so")
    other, guarded = Finding("W201", "avx2: 0x10 vpaddd", "c.so"), Finding("W202", "sse3: 0x10 movddup", "d.so")
    assert list(join_members([narrow, wide, other, guarded])) == [
        Finding("W201", f"{wide.evidence}; also in a.so", "b.so"), other, guarded,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("attach_amd64.dll", False),
        ("inject-x64.exe", False),
        ("attach_linux_x86_64.so", False),
        ("attach_x86.dll", True),
        ("attach.dll", True),
        ("max64.dll", True),
        ("_native.cp313-win_amd64.pyd", True),
    ],
)
def test_a_helper_for_another_machine_says_so_in_its_name(name: str, *, found: bool, tmp_path: Path) -> None:
    data = pe(b"\xc3" * 16, b"") if not name.endswith(".so") else elf(b"\xc3" * 16)
    tag = "win32" if not name.endswith(".so") else "manylinux_2_17_i686"
    path = wheels.wheel(tmp_path, f"py3-none-{tag}", {f"sample/{name}": data})
    assert ("W101" in {one.code for one in inspect_wheel(path).findings}) == found


@pytest.mark.parametrize(("name", "found"), [("attach_x86.so", False), ("attach_x86_64.so", True)])
def test_a_helper_for_32_bits_says_so_in_its_name(name: str, *, found: bool, tmp_path: Path) -> None:
    path = wheels.wheel(tmp_path, "py3-none-manylinux_2_17_x86_64", {f"sample/{name}": elf32(b"\xc3" * 16, 3)})
    assert ("W101" in {one.code for one in inspect_wheel(path).findings}) == found
