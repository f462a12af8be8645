"""Run the fast tests on an extension compiled with sanitizers, to find invalid memory accesses and undefined behaviour.

Among them are whole connections: random ones (test_websocket_connection_fuzz.py), and those of handlers that misbehave
(test_websocket_abuse.py).

Seeded faults check that the sanitizers and test_safety.py detect such errors.

AddressSanitizer comes from GCC, because Zig doesn't include it. Its runtime must be loaded before Python.
PYTHONMALLOC=malloc replaces Python's allocator with malloc, which AddressSanitizer tracks.
UndefinedBehaviorSanitizer comes from Clang, with Zig's runtime, which ends the process at the first error.
Leak detection is off, because CPython doesn't free all memory at exit. test_safety.py detects leaks instead.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SOURCES = ROOT / "src/tornado_speedups"

COMPILERS = {
    "none": ["gcc"],
    "address": ["gcc", "-fsanitize=address"],
    "undefined": [sys.executable, "-m", "ziglang", "cc", "-fsanitize=undefined", "-fno-sanitize-trap=undefined"],
}

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="the runtimes are loaded in Linux's way"),
    pytest.mark.needs("gcc"),
]


def package(folder: Path, sanitizer: str, *options: str) -> Path:
    """Compile the extension with a sanitizer, and return a folder from which the package can be imported."""
    place = folder / "tornado_speedups"
    shutil.copytree(SOURCES, place, ignore=shutil.ignore_patterns("_speedups", "__pycache__"))
    flags = ["-shared", "-fPIC", "-O1", "-g", "-fno-omit-frame-pointer", "-Wall", "-Werror", *options]
    paths = [f"-I{sysconfig.get_path('include')}", str(SOURCES / "_speedups/module.c")]
    command = [*COMPILERS[sanitizer], *flags, "-DPy_LIMITED_API=0x030b0000", *paths, "-o"]
    subprocess.run([*command, str(place / "_speedups.abi3.so")], check=True, timeout=300)
    return folder


def variables(folder: Path, sanitizer: str) -> dict[str, str]:
    found = {**os.environ, "PYTHONPATH": str(folder), "TORNADO_SPEEDUPS_EXTENSION": "1"}
    if sanitizer == "address":
        asked = ["gcc", "-print-file-name=libasan.so"]
        runtime = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
        found |= {"LD_PRELOAD": runtime, "PYTHONMALLOC": "malloc", "ASAN_OPTIONS": "detect_leaks=0"}
    return found


def run_tests(folder: Path, sanitizer: str, *tests: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run tests with an extension; ``more`` are variables of the environment."""
    # With pytest's default capture, the sanitizer's report would be lost when the process aborts.
    options = ["-q", "-p", "no:cacheprovider", "--capture=sys", f"--basetemp={folder / 'tests'}"]
    command = [sys.executable, "-m", "pytest", *options, *map(str, tests)]
    env = {**variables(folder, sanitizer), **more}
    return subprocess.run(command, cwd=ROOT, env=env, check=False, capture_output=True, text=True, timeout=900)


@pytest.mark.parametrize("sanitizer", ["address", "undefined"])
def test_all_tests_pass(sanitizer: str, tmp_path: Path) -> None:
    folder = package(tmp_path, sanitizer)
    asked = "import tornado_speedups._speedups as found; print(found.__file__)"
    command = [sys.executable, "-c", asked]
    said = subprocess.run(command, env=variables(folder, sanitizer), check=True, capture_output=True, text=True).stdout
    assert Path(said.strip()).is_relative_to(folder)
    ended = run_tests(folder, sanitizer, HERE)
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-4000:]


CONNECTIONS = [
    HERE / f"test_websocket_{name}.py" for name in ("abuse", "leaks", "surface", "threads", "direct", "connection_fuzz")
]


@pytest.mark.release
def test_connections_pass_with_checked_memory(tmp_path: Path) -> None:
    """CPython's debug allocator finds writes beyond what was allocated, and uses of what was freed, without GCC's."""
    folder = package(tmp_path, "none")
    ended = run_tests(folder, "none", *CONNECTIONS, PYTHONMALLOC="debug", PYTHONFAULTHANDLER="1")
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-4000:]


FAULTS = [
    ("address", "heap.h", "test_websocket_mask.py", "AddressSanitizer: heap-buffer-overflow"),
    ("address", "heap.h", "test_websocket_connection_fuzz.py", "AddressSanitizer: heap-buffer-overflow"),
    ("undefined", "overflow.h", "test_websocket_frames.py", "signed integer overflow"),
]


@pytest.mark.parametrize(("sanitizer", "header", "tests", "words"), FAULTS)
def test_a_fault_is_caught(sanitizer: str, header: str, tests: str, words: str, tmp_path: Path) -> None:
    folder = package(tmp_path, sanitizer, "-include", str(HERE / "faults" / header))
    ended = run_tests(folder, sanitizer, HERE / tests)
    assert ended.returncode != 0 and words in ended.stderr, (ended.stdout + ended.stderr)[-4000:]


def test_leaks_are_caught(tmp_path: Path) -> None:
    folder = package(tmp_path, "none", "-include", str(HERE / "faults/leaks.h"))
    ended = run_tests(folder, "none", HERE / "test_safety.py")
    kinds = set(re.findall(r"^FAILED \S+::(\w+)\[c-", ended.stdout, re.MULTILINE))
    wanted = {"test_reference_counts_stay", "test_memory_stays", "test_buffers_are_released"}
    assert wanted <= kinds, ended.stdout[-4000:]
