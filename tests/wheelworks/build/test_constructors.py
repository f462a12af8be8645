"""Test that functions which must run before a module's first do run: constructors, static initialisers of C++."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from wheelworks.core.formats import read_image
from wheelworks.emulator import RunLimits
from wheelworks.emulator.extension import EmulatedModule, read_extensions

from tests.fixtures import projects
from tests.fixtures.commands import wheelworks

pytestmark = pytest.mark.integration

TARGETS = ("win_arm64", "win_amd64", "win32", "macosx_11_0_arm64", "manylinux_2_17_aarch64")
NAMES = [word for target in TARGETS for word in ("--target", target)]

CONSTRUCTORS = """\
static volatile int seen[3], count; /* volatile: clang calls constructors when it compiles, if it can */
__attribute__((constructor(201))) static void second(void) { seen[count++] = 2; }
__attribute__((constructor(101))) static void first(void) { seen[count++] = 1; }
__attribute__((constructor)) static void third(void) { seen[count++] = 3; }
__attribute__((destructor)) static void last(void) { count = 0; }
"""
ORDER = "return PyLong_FromLong(seen[0] * 100 + seen[1] * 10 + seen[2]);"

# Microsoft's compiler lists the functions in these sections.
MICROSOFT = """\
#ifdef _WIN32
static volatile int calls;
static int initialize(void) { calls = 10 * calls + 1; return 0; }
static void construct(void) { calls = 10 * calls + 2; }
__attribute__((section(".CRT$XIU"), used)) static int (*const initializer)(void) = initialize;
__attribute__((section(".CRT$XCU"), used)) static void (*const constructor)(void) = construct;
#else
static volatile int calls = 12;
#endif
"""

DLLMAIN = """\
#ifdef _WIN32
static long reason = -1;
int __stdcall DllMain(void *library, unsigned long why, void *reserved) { reason = (long)why; return library != 0; }
#else
static long reason = 1;
#endif
"""

# For Windows the address of a variable in a DLL is no constant.
STATIC_INITIALIZER = "static PyTypeObject *bases[] = {&PyDict_Type, &PyList_Type};"
COMPARISON = "return PyLong_FromLong((bases[0] == &PyDict_Type) + 2 * (bases[1] == &PyList_Type));"


def build(folder: Path, cache: Path, source: str, file: str = "sample.c") -> dict[str, Any]:
    """Build a project for all targets; return what its function returns on each, by the wheel's first target."""
    setup = projects.setup().replace("sample.c", file)
    project = projects.sample(folder / "p", setup_py=setup, **{file: source})
    ended = wheelworks("cross-arm64", "--no-run", project, "--out", folder / "out", *NAMES, cache=cache, seconds=900)
    assert ended.status == 0, ended.err
    records = json.loads((folder / "out/manifest.json").read_text())["wheels"]
    windows = [record for record in records if record["targets"][0].startswith("win")]
    assert {record["link"] for record in windows} == {"freestanding"}, "a C runtime would call them by itself"
    return {record["targets"][0]: run(folder / "out" / record["file"]) for record in records}


def run(wheel: Path) -> Any:
    """Return what a wheel's function returns on the emulated CPU."""
    [extension] = read_extensions(wheel)
    return EmulatedModule(read_image(extension.data, extension.name), extension, RunLimits()).answer(None)


def test_constructors_run_in_the_order_of_their_priorities(tmp_path: Path, wheelworks_cache: Path) -> None:
    found = build(tmp_path, wheelworks_cache, projects.module(ORDER, CONSTRUCTORS))
    assert found == dict.fromkeys(TARGETS, 123)


def test_static_initialisers_of_cpp_run(tmp_path: Path, wheelworks_cache: Path) -> None:
    found = build(tmp_path, wheelworks_cache, projects.module(COMPARISON, STATIC_INITIALIZER), "sample.cpp")
    assert found == dict.fromkeys(TARGETS, 3)


def test_the_lists_of_microsofts_compiler_are_called(tmp_path: Path, wheelworks_cache: Path) -> None:
    found = build(tmp_path, wheelworks_cache, projects.module("return PyLong_FromLong(calls);", MICROSOFT))
    assert found == dict.fromkeys(TARGETS, 12)


def test_a_dllmain_is_called(tmp_path: Path, wheelworks_cache: Path) -> None:
    found = build(tmp_path, wheelworks_cache, projects.module("return PyLong_FromLong(reason);", DLLMAIN))
    assert found == dict.fromkeys(TARGETS, 1)
