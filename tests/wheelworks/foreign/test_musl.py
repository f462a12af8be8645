"""Wheels of musl under a CPython of glibc: what is changed in their files, and what their failures prove."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import lief
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelworks.core.image import BadImage
from wheelworks.core.verdict import Verdict
from wheelworks.core.wheel import open_wheel, parse_wheel_name
from wheelworks.foreign.cpus import find_cpu
from wheelworks.foreign.musl import find_limits, is_alike, relink, relink_files, rename
from wheelworks.foreign.pythons import find_runtimes
from wheelworks.foreign.run import run_wheel

from tests.wheelworks.foreign.made import WheelMaker

LIBRARY = "libc.musl-x86_64.so.1"
CODE = "extern int %s(void *); int PyErr_Clear(void); void *PyInit_bad(void) { PyErr_Clear(); %s }"
LOAD = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"


def compile_musl(folder: Path, target: str = "x86_64-linux-musl", calls: str = "strlen", body: str = "") -> bytes:
    """Compile a module that names musl's library. It is linked with a stub of that library."""
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", target, "-shared", "-nostdlib", "-O1", "-w"]
    (folder / "libc.c").write_text(f"int {calls}(void *p) {{ return 0; }}")
    (folder / "bad.c").write_text(CODE % (calls, body or f"{calls}((void *)0); return 0;"))
    stub, module = str(folder / "stub.so"), folder / "bad.so"
    words = ["-fno-builtin", "-fno-sanitize=undefined"]
    subprocess.run([*compiler, str(folder / "libc.c"), f"-Wl,-soname,{LIBRARY}", "-o", stub, *words], check=True)
    words += ["-Wl,--allow-shlib-undefined", stub]
    subprocess.run([*compiler, str(folder / "bad.c"), "-o", str(module), *words], check=True)
    return module.read_bytes()


def list_libraries(data: bytes) -> list[str]:
    binary = lief.ELF.parse(data)
    assert binary is not None
    return [str(name) for name in binary.libraries]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/_c.cpython-313-x86_64-linux-musl.so", "a/_c.cpython-313-x86_64-linux-gnu.so"),
        ("_c.cpython-314t-arm-linux-musleabihf.so", "_c.cpython-314t-arm-linux-gnueabihf.so"),
        ("_c.cpython-313-powerpc64le-linux-musl.so", "_c.cpython-313-powerpc64le-linux-gnu.so"),
        ("_c.abi3.so", "_c.abi3.so"),
        ("linux-musl.so", "linux-musl.so"),
    ],
)
def test_a_module_gets_the_name_that_glibcs_cpython_imports(path: str, expected: str) -> None:
    assert rename(path) == expected


@pytest.mark.integration
@pytest.mark.parametrize("target", ["x86_64-linux-musl", "arm-linux-musleabihf", "s390x-linux-musl"])
def test_the_name_of_the_library_alone_is_changed(target: str, tmp_path: Path) -> None:
    data = compile_musl(tmp_path, target)
    assert list_libraries(data) == [LIBRARY]
    made = relink(data=data, path="bad.so")
    assert list_libraries(made) == []
    assert len(made) == len(data) and 0 < sum(a != b for a, b in zip(data, made, strict=True)) <= 8
    assert relink("bad.so", made) == made


@pytest.mark.integration
@pytest.mark.skipif(
    (platform.system(), platform.machine(), platform.libc_ver()[0]) != ("Linux", "x86_64", "glibc"),
    reason="it is loaded by glibc's loader on x86-64",
)
def test_glibcs_loader_takes_it(tmp_path: Path) -> None:
    plain, made = tmp_path / "plain.so", tmp_path / "made.so"
    plain.write_bytes(compile_musl(tmp_path))
    made.write_bytes(relink("bad.so", plain.read_bytes()))
    command = [sys.executable, "-c", LOAD]
    refused = subprocess.run([*command, str(plain)], capture_output=True, text=True, check=False)
    assert LIBRARY in refused.stderr
    subprocess.run([*command, str(made)], check=True)


@pytest.mark.parametrize(
    "name", ["memcpy", "strtod", "__errno_location", "log2f", "__memcpy_chk", "PyList_New", "_Py_Dealloc"]
)
def test_functions_that_are_alike(name: str) -> None:
    assert is_alike(name)


@pytest.mark.parametrize("name", ["pthread_mutex_lock", "setjmp", "strsignal", "stat", "only_musl_has_it", "Pyxis"])
def test_functions_that_may_differ(name: str) -> None:
    assert not is_alike(name)


@pytest.mark.integration
@pytest.mark.parametrize(("calls", "limited"), [("memchr", False), ("pthread_mutex_lock", True)])
def test_a_structure_of_the_library_is_a_limit(calls: str, limited: bool, tmp_path: Path) -> None:
    found = find_limits(
        relink_files({"demo/bad.cpython-313-x86_64-linux-musl.so": compile_musl(tmp_path, calls=calls)})
    )
    assert list(found) == (["demo.bad"] if limited else [])
    assert all(calls in reason for reason in found.values())


def test_other_files_stay() -> None:
    files = {"demo/__init__.py": b"x = 1", "demo/data.bin": b"libc.musl-x86_64.so.1"}
    assert relink_files(files) == files
    assert find_limits(files) == {}


@pytest.mark.integration
def test_any_damage_is_refused_or_left_to_the_loader(tmp_path: Path) -> None:
    """The size stays, and nothing else is raised; most changes don't touch what is read."""
    data = compile_musl(tmp_path)

    @settings(max_examples=100, deadline=None)
    @given(st.integers(0, len(data)), st.lists(st.tuples(st.integers(0, 0x400), st.integers(0, 255)), max_size=4))
    def damage(end: int, changes: list[tuple[int, int]]) -> None:
        changed = bytearray(data)
        for at, value in changes:
            changed[at] = value
        content = b"\x7fELF" + bytes(changed[4:end])
        size, message = len(content), "demo/bad.so: "
        try:
            made = relink_files({"demo/bad.so": content})
            find_limits(made)
            size = len(made["demo/bad.so"])
        except BadImage as error:
            message = error.message
        assert message.startswith("demo/bad.so: ") and size == len(content)

    damage()


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("cp313-cp313-musllinux_1_2_aarch64", [("musl", "3.13")]),
        ("cp313-cp313-manylinux_2_17_aarch64.musllinux_1_2_aarch64", [("linux", "3.13")]),
        ("cp313-cp313-musllinux_1_2_ppc64le", [("musl", "3.13")]),
    ],
)
def test_a_wheel_for_both_is_run_as_it_is(tags: str, expected: list[tuple[str, str]]) -> None:
    found = find_runtimes(parse_wheel_name(f"demo-1.0-{tags}.whl"))
    assert [(one.system, one.python) for one in found] == expected


@pytest.mark.integration
@pytest.mark.needs("mmdebstrap", "namespaces")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="this machine's CPython loads code for x86-64")
@pytest.mark.parametrize(
    ("calls", "body", "outcome", "why"),
    [
        ("strlen", "return 0;", "failed", "SystemError"),
        ("strlen", "*(volatile int *)8 = 1;", "failed", "SIGSEGV"),
        ("only_musl_has_it", "", "unsupported", "it calls only_musl_has_it, for which glibc stands in"),
    ],
)
def test_a_failure_speaks_against_the_wheel_unless_glibc_is_the_limit(
    calls: str, body: str, outcome: str, why: str, make_wheel: WheelMaker, tmp_path: Path
) -> None:
    module = compile_musl(tmp_path, calls=calls, body=f"{body} return 0;" if body else "")
    wheel = make_wheel({"bad.abi3.so": module}, name="bad", tag="cp311-abi3-musllinux_1_2_x86_64")
    verdict = run_here(wheel)
    assert verdict.outcome == outcome and why in "\n".join([verdict.why, *verdict.findings]), verdict
    assert "code of musl Linux with glibc" in verdict.how


def run_here(wheel: Path) -> Verdict:
    runtime = next(one for one in find_runtimes(open_wheel(wheel).name) if one.cpu == find_cpu("x86_64"))
    assert runtime.system == "musl"
    return run_wheel(open_wheel(wheel), runtime, tests="smoke")
