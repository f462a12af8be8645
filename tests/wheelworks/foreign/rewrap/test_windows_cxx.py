"""Test C++ exceptions of Windows modules: thrown, cleaned up after, and caught by the shim's unwinder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wheelworks.foreign.rewrap.windows_modules import (
    compile_module,
    make_import_library,
    rewrap_module,
    run_python,
)

pytestmark = [pytest.mark.integration, pytest.mark.needs("mmdebstrap", "qemu-user")]

HERE = Path(__file__).parent
RUNTIME = ("_CxxThrowException", "__CxxFrameHandler3")
CASES = {
    "an int": 3007,
    "a derived class by a reference to its second base": 3020,
    "catch (...)": 3099,
    "nothing thrown": -3000,
    "thrown again": 3021,
    "within a catch block": 277,
    "a copy": 40,
    "all objects are destroyed": 0,
    "often": 19647,
}
UNHANDLED = 9


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the module ``cxx``, rewrapped."""
    path = tmp_path_factory.mktemp("cxx")
    library = make_import_library(path, "VCRUNTIME140.dll", RUNTIME)
    module = compile_module(path, HERE / "windows_cxx_module.c", HERE / "windows_cxx.cpp", link=[library])
    assert rewrap_module(module, path, "cxx").unresolved == ()
    return path


def test_exceptions_are_caught(folder: Path) -> None:
    ended = run_python(folder, "-c", f"import cxx; print(*map(cxx.run, range({len(CASES)})))")
    assert ended.returncode == 0, ended.stderr
    assert dict(zip(CASES, map(int, ended.stdout.split()), strict=True)) == CASES


def test_an_exception_that_nobody_catches_is_a_limit_of_ours(folder: Path) -> None:
    ended = run_python(folder, "-c", f"import cxx; cxx.run({UNHANDLED})")
    assert ended.returncode == 98
    assert "wheelworks: unsupported: C++ exception on Windows" in ended.stderr
