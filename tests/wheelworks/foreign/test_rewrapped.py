"""Wheels of Windows and macOS under a real CPython: what passes, what is a finding, and what is only a limit here."""

from __future__ import annotations

import platform
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from wheelworks.core.files import get_cache_folder
from wheelworks.core.verdict import Verdict
from wheelworks.core.wheel import open_wheel
from wheelworks.foreign.pythons import Runtime, find_runtimes
from wheelworks.foreign.run import run_wheel

from tests.fixtures import commands
from tests.wheelworks.foreign.leftovers import find_descendants, find_workers
from tests.wheelworks.foreign.made import WheelMaker

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.needs("mmdebstrap", "qemu-user", "namespaces"),
]

LIBRARY = """
#ifdef _WIN32
__declspec(dllexport)
#endif
int helper_add(int a, int b) { return a + b; }
"""
MODULE = """
#ifdef _WIN32
#define EXPORT __declspec(dllexport)
#define IMPORT __declspec(dllimport)
#else
#define EXPORT __attribute__((visibility("default")))
#define IMPORT
#endif
IMPORT int helper_add(int, int); IMPORT int helper_gone(void);
IMPORT void *PyModule_Create2(void *, int); IMPORT void PyErr_Clear(void); IMPORT void PyNo_Such(void);
static struct {
    long long references; void *type, *init; long long index; void *copy;
    const char *name, *doc; long long size; void *methods, *slots, *traverse, *clear, *free;
} module = {1, 0, 0, 0, 0, "_c", 0, -1};
EXPORT void *PyInit__c(void) { PyErr_Clear(); %s return PyModule_Create2(&module, 1013); }
"""
CALLS_LIBRARY = "if (helper_add(40, 2) != 42) *(volatile int *)8 = 1;"
CRASHES = "*(volatile int *)8 = 1;"
HANGS = "for (volatile int i = 0;; i++);"


@dataclass(frozen=True)
class Kind:
    """A system and CPU: the compiler's target, the wheel's tag, and the paths of the module and the library."""

    target: str
    tag: str
    module: str
    library: str


WINDOWS = Kind("aarch64-windows-gnu", "win_arm64", "demo/_c.pyd", "demo.libs/helper-1.dll")
MACOS = Kind("aarch64-macos.11.0", "macosx_11_0_arm64", "demo/_c.abi3.so", "demo/.dylibs/libhelper.1.dylib")
INTEL = Kind("x86_64-macos.11.0", "macosx_11_0_x86_64", "demo/_c.abi3.so", "demo/.dylibs/libhelper.1.dylib")
KINDS = [
    pytest.param(WINDOWS, id="windows"),
    pytest.param(MACOS, id="macos"),
    pytest.param(
        INTEL,
        id="macos-x86_64",
        marks=pytest.mark.skipif(platform.machine() != "x86_64", reason="runs natively on x86-64"),
    ),
]
Maker = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, make_wheel: WheelMaker) -> Maker:
    """Return a function that compiles a module with a statement in its init function, beside a library it may call."""

    def compile_and_pack(kind: Kind, statement: str, files: Mapping[str, bytes] | None = None) -> Path:
        module, library = compile_both(kind, statement, tmp_path)
        members = {"demo/__init__.py": b"", kind.module: module, kind.library: library, **(files or {})}
        members = {path: data for path, data in members.items() if data is not LEFT_OUT}
        return make_wheel(members, tag=f"cp311-abi3-{kind.tag}")

    return compile_and_pack


LEFT_OUT = b"left out"


def compile_both(kind: Kind, statement: str, folder: Path) -> tuple[bytes, bytes]:
    (folder / "module.c").write_text(MODULE % statement)
    (folder / "library.c").write_text(LIBRARY)
    library, module = folder / Path(kind.library).name, folder / "_c"
    if "windows" in kind.target:
        zig("cc", "-target", kind.target, *FREE, "-Wl,--no-entry", folder / "library.c", "-o", library)
        links = [
            make_import_library(folder, "python3.dll", "PyModule_Create2", "PyErr_Clear", "PyNo_Such"),
            make_import_library(folder, library.name, "helper_add", "helper_gone"),
        ]
        options: list[str | Path] = ["-Wl,--no-entry", *links]
    else:
        name = f"-Wl,-install_name,@rpath/{library.name}"
        zig("cc", "-target", kind.target, *FREE, name, folder / "library.c", "-o", library)
        options = [library, "-Wl,-rpath,@loader_path/.dylibs", "-Wl,-undefined,dynamic_lookup"]
    zig("cc", "-target", kind.target, *FREE, folder / "module.c", *options, "-o", module)
    return module.read_bytes(), library.read_bytes()


FREE = ("-shared", "-nostdlib", "-O1", "-fno-sanitize=undefined", "-fno-stack-protector")


def make_import_library(folder: Path, dll: str, *names: str) -> Path:
    definition = folder / f"{dll}.def"
    definition.write_text("\n".join([f"LIBRARY {dll}", "EXPORTS", *names]) + "\n")
    library = folder / f"{dll}.lib"
    zig("dlltool", "-d", definition, "-m", "arm64", "-l", library)
    return library


def zig(*words: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "ziglang", *map(str, words)], check=True, timeout=300)


def run(path: Path, limit: float | None = None) -> Verdict:
    wheel = open_wheel(path)
    [runtime] = [one for one in find_runtimes(wheel.name, ["3.13"]) if one.python == "3.13"]
    return run_wheel(wheel, runtime, tests="smoke", time_limit=limit)


@pytest.mark.parametrize("kind", KINDS)
def test_a_module_and_its_bundled_library_run(kind: Kind, make: Maker) -> None:
    verdict = run(make(kind, CALLS_LIBRARY))
    assert (verdict.outcome, verdict.findings, verdict.checks) == ("passed", (), 2), verdict
    assert "rewrapped" in verdict.how and ("qemu" in verdict.how) == (kind is not INTEL)


@pytest.mark.usefixtures("no_files_left")
@pytest.mark.parametrize("kind", KINDS)
def test_a_crash_is_a_finding_with_its_traceback(kind: Kind, make: Maker) -> None:
    verdict = run(make(kind, CRASHES))
    assert verdict.outcome == "failed", verdict.why
    assert "SIGSEGV during import demo._c" in verdict.findings[0]
    assert "Fatal Python error: Segmentation fault" in verdict.findings[0] and "smoke.py" in verdict.findings[0]


@pytest.mark.usefixtures("no_files_left")
@pytest.mark.parametrize("kind", KINDS)
def test_a_hang_is_a_finding_with_its_traceback(kind: Kind, make: Maker) -> None:
    verdict = run(make(kind, HANGS), limit=12.0)
    assert verdict.outcome == "failed", verdict.why
    assert "the worker did not end within 12 s during import demo._c" in verdict.findings[0]
    assert "Timeout (" in verdict.findings[0] and "smoke.py" in verdict.findings[0]


@pytest.mark.usefixtures("no_files_left")
def test_an_interrupted_run_leaves_nothing(make: Maker) -> None:
    """No process of the guest's either, and no manifest beside the wheel."""
    wheel = make(MACOS, HANGS)
    words = ("test-foreign", wheel, "--how", "cpython", "--python", "3.13")
    process = commands.start(*words, cache=get_cache_folder())
    commands.wait_for(lambda: any(".smoke" in words for words in find_workers().values()))
    commands.wait_for(lambda: bool(find_descendants(set(find_workers()))))
    guests = find_descendants(set(find_workers()))
    ended = commands.interrupt(process, signal.SIGINT)
    assert ended.status == 130 and "interrupted; partial output removed" in ended.err, ended
    commands.wait_for(lambda: not any(Path(f"/proc/{guest}").exists() for guest in guests), seconds=5)
    assert not list(wheel.parent.glob("*.json")) and not list(wheel.parent.glob("*.html"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_function_that_no_cpython_has_is_a_finding(kind: Kind, make: Maker) -> None:
    verdict = run(make(kind, "if (!helper_add(0, 0)) ; else PyNo_Such();"))
    assert verdict.outcome == "failed", verdict.why
    assert verdict.findings[0] == f"{kind.module}: it imports PyNo_Such, which CPython 3.13 doesn't have"


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_of_a_function_that_is_not_here_is_a_limit(kind: Kind, make: Maker) -> None:
    verdict = run(make(kind, "helper_gone();"))
    assert (verdict.outcome, verdict.findings) == ("unsupported", ()), verdict
    assert "helper_gone" in verdict.why


@pytest.mark.parametrize("kind", KINDS)
def test_null_without_an_exception_is_a_finding(kind: Kind, make: Maker) -> None:
    verdict = run(make(kind, "return 0;"))
    assert verdict.outcome == "failed" and "import demo._c failed:\nSystemError" in verdict.findings[0]


# The library's own helper_add is forwarded to another one's `sum`; that one has a helper_add that isn't meant.
FORWARDING = """
__declspec(dllexport) int helper_one(void) { return 1; }
"""
FORWARDED = """
__declspec(dllimport) int helper_one(void);
__declspec(dllexport) int sum(int a, int b) { return a + b + helper_one() - 1; }
__declspec(dllexport) int helper_add(int a, int b) { return a - b; }
"""


def test_a_forwarded_export_is_the_function_of_the_other_library(make: Maker, tmp_path: Path) -> None:
    """The two libraries also load each other."""
    for name, text in (("forwarding.c", FORWARDING), ("forwarded.c", FORWARDED)):
        (tmp_path / name).write_text(text)
    first, second, exports = tmp_path / "first.dll", tmp_path / "second-2.dll", tmp_path / "exports.def"
    exports.write_text("LIBRARY helper-1.dll\nEXPORTS\nhelper_one\nhelper_add=second-2.sum\n")
    compiler = ("cc", "-target", WINDOWS.target, *FREE, "-Wl,--no-entry")
    zig(*compiler, tmp_path / "forwarding.c", exports, "-o", first)
    linked = make_import_library(tmp_path, "helper-1.dll", "helper_one")
    zig(*compiler, tmp_path / "forwarded.c", linked, "-o", second)
    libraries = {WINDOWS.library: first.read_bytes(), "demo.libs/second-2.dll": second.read_bytes()}
    verdict = run(make(WINDOWS, CALLS_LIBRARY, libraries))
    assert (verdict.outcome, verdict.findings, verdict.checks) == ("passed", (), 2), verdict


@pytest.mark.skipif(platform.machine() != "x86_64", reason="runs natively on x86-64")
def test_a_library_has_the_functions_of_those_that_it_reexports(make: Maker, tmp_path: Path) -> None:
    compiler = ("cc", "-target", INTEL.target, *FREE)
    (tmp_path / "other.c").write_text(LIBRARY)
    zig(*compiler, "-Wl,-install_name,@rpath/libother.dylib", tmp_path / "other.c", "-o", tmp_path / "libother.dylib")
    (tmp_path / "empty.c").write_text("int helper_add(int, int); int helper_use(void) { return helper_add(1, 2); }")
    name = "-Wl,-install_name,@rpath/libhelper.1.dylib"
    zig(*compiler, name, tmp_path / "empty.c", tmp_path / "libother.dylib", "-o", tmp_path / "empty.dylib")
    libraries = {INTEL.library: reexport((tmp_path / "empty.dylib").read_bytes(), b"@rpath/libother.dylib")}
    libraries["demo/.dylibs/libother.dylib"] = (tmp_path / "libother.dylib").read_bytes()
    verdict = run(make(INTEL, CALLS_LIBRARY, libraries))
    assert (verdict.outcome, verdict.findings, verdict.checks) == ("passed", (), 2), verdict


def reexport(data: bytes, library: bytes) -> bytes:
    """Turn the LC_LOAD_DYLIB command of a library into LC_REEXPORT_DYLIB: zig's linker makes none."""
    start = data.index(library + b"\0") - 24
    assert data[start : start + 4] == struct.pack("<I", 0xC)
    return data[:start] + struct.pack("<I", 0x8000001F) + data[start + 4 :]


def test_a_missing_library_is_named(make: Maker) -> None:
    verdict = run(make(MACOS, CALLS_LIBRARY, {MACOS.library: LEFT_OUT}))
    assert (verdict.outcome, verdict.findings) == ("unsupported", ())
    assert "it loads @rpath/libhelper.1.dylib, which neither macOS nor the wheel has" in verdict.why


def test_python_code_for_the_other_system_is_no_fault(make: Maker) -> None:
    """Its module is imported without it."""
    verdict = run(make(WINDOWS, CALLS_LIBRARY, {"demo/__init__.py": b"import sys\nassert sys.platform == 'win32'\n"}))
    assert (verdict.outcome, verdict.checks) == ("passed", 1), verdict
    assert "its Python code doesn't run on Linux: AssertionError" in verdict.why


def test_the_code_that_delvewheel_adds_finds_what_it_calls(make: Maker) -> None:
    added = b"import os\nwith os.add_dll_directory(os.path.join(os.path.dirname(__file__), '../demo.libs')): pass\n"
    verdict = run(make(WINDOWS, CALLS_LIBRARY, {"demo/__init__.py": added}))
    assert (verdict.outcome, verdict.checks) == ("passed", 2), verdict


def test_modules_import_each_other_and_python_code(make: Maker) -> None:
    code = b"from demo import values\nfrom demo._c import __name__ as name\nassert (values.x, name) == (1, 'demo._c')\n"
    files = {"demo/__init__.py": code, "demo/values.py": b"from . import _c\nx = 1\n"}
    verdict = run(make(MACOS, CALLS_LIBRARY, files))
    assert (verdict.outcome, verdict.checks) == ("passed", 2), verdict


def test_a_damaged_binary_is_a_finding(make: Maker) -> None:
    verdict = run(make(WINDOWS, CALLS_LIBRARY, {WINDOWS.module: b"MZ" + bytes(500)}))
    assert verdict.outcome == "failed" and "demo/_c.pyd" in verdict.findings[0]


def test_each_half_of_a_universal_binary_runs(make: Maker, make_wheel: WheelMaker, tmp_path: Path) -> None:
    """The second half is refused by name where only the first is there."""
    thin = run_for(make(MACOS, CALLS_LIBRARY), "macosx_11_0_universal2")
    assert thin["aarch64"].outcome == "passed", thin
    assert "has code for aarch64, none for x86_64" in thin["x86_64"].why or "not for x86_64" in thin["x86_64"].why


def run_for(path: Path, tag: str) -> dict[str, Verdict]:
    """Run a wheel under another tag, on each CPU that it names."""
    renamed = path.rename(path.with_name(f"demo-1.0-cp311-abi3-{tag}.whl"))
    wheel = open_wheel(renamed)
    runtimes: list[Runtime] = find_runtimes(wheel.name, ["3.13"])
    return {one.cpu.name: run_wheel(wheel, one, tests="smoke") for one in runtimes}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="runs natively on x86-64")
def test_native_code_sees_no_more_of_this_machine_than_it_needs(make: Maker, tmp_path: Path) -> None:
    """No home folders, no installed packages, no network; and nothing that it can write to."""
    probe = f"""
import os, socket, subprocess, sys
assert not os.path.exists({str(tmp_path)!r}), "the host's files"
assert os.getuid() == 1000 and not os.path.exists("/etc/shadow")
for name in ("numpy", "pytest", "pip"):
    try: __import__(name)
    except ModuleNotFoundError: continue
    raise AssertionError(name)
assert [name for _, name in socket.if_nameindex()] == ["lo"]
for path in ("/x", "/etc/x", "/usr/x", "/site/x", sys.prefix + "/x"):
    try: open(path, "w")
    except OSError: continue
    raise AssertionError(path)
isolated = [sys.executable, "-Ic", "import wheelworks_workers"]
assert subprocess.run(isolated).returncode == 0, "python -I doesn't see /site"
"""
    verdict = run(make(INTEL, CALLS_LIBRARY, {"demo/__init__.py": probe.encode()}))
    assert (verdict.outcome, verdict.checks) == ("passed", 2), verdict
