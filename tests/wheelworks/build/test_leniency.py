"""Test that code which GCC 10 or Microsoft's compiler accepts is accepted, unless the module would be wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from wheelworks.build import driver, leniency
from wheelworks.build.log import read_log
from wheelworks.core.zig import find_zig

from tests.fixtures.settings import settings

OLD_C = """\
int number = (void *)0;
long wide;
int *narrow = &wide;
int early(void) { return; }
static untyped = 3;
void call(void (*back)(void));
static int back(int given) { return given + untyped; }
void pass(void) { call(back); }
"""
UNDECLARED = "int get(void) { return _getpid(); }\n"
LOST = "char *get(void) {\n  char *found =\n    find_name(1);\n  return found;\n}\n"
CAST = "char *get(void) { return (char *)find_name(1); }\n"
REMOVED = "int get(void *list) { return _PyList_Extend(list); }\n"
LINUX, MUSL, WINDOWS, MACOS = "manylinux_2_17_aarch64", "musllinux_1_2_aarch64", "win_arm64", "macosx_11_0_arm64"


def compile_source(text: str, target: str, folder: Path, *flags: str) -> tuple[int, str]:
    """Compile a source by the driver; return the exit status and the error that it logs."""
    (folder / "a.c").write_text(text)
    log = folder / "log"
    made = replace(settings(target), zig=find_zig(), source=str(folder), work=str(folder), log=str(log))
    made.write(folder / "settings.json")
    words = ["-c", str(folder / "a.c"), "-o", str(folder / "a.o"), *flags]
    status = driver.main(str(folder / "settings.json"), "cc", words)
    return status, str(read_log(log)[-1]["error"])


@pytest.mark.parametrize(
    ("source", "target", "error"),
    [
        (OLD_C, LINUX, ""),
        (OLD_C, MUSL, ""),
        (OLD_C, WINDOWS, ""),
        (OLD_C, MACOS, "error: incompatible pointer to integer conversion"),
        (UNDECLARED, WINDOWS, ""),
        (UNDECLARED, LINUX, "error: call to undeclared function '_getpid'"),
        (LOST, WINDOWS, "a.c:3:5: error: find_name isn't declared, so that half of the pointer"),
        (CAST, WINDOWS, "a.c:1:34: error: find_name isn't declared"),
        (REMOVED, WINDOWS, "a.c:1:30: error: CPython's headers don't declare _PyList_Extend"),
    ],
)
def test_code_is_accepted_as_by_the_platforms_compiler(
    source: str, target: str, error: str, tmp_path: Path, may_spawn: None
) -> None:
    status, said = compile_source(source, target, tmp_path)
    assert status == int(bool(error)), said
    assert error in said


@pytest.mark.parametrize("flags", [("-std=gnu89", "-Wall"), ("-Wno-error=implicit-function-declaration",)])
def test_a_project_that_calls_undeclared_functions_may(flags: tuple[str, ...], tmp_path: Path, may_spawn: None) -> None:
    assert compile_source(UNDECLARED, LINUX, tmp_path, *flags)[0] == 0
    status, said = compile_source(REMOVED, LINUX, tmp_path, *flags)
    assert status == 1 and "CPython's headers don't declare _PyList_Extend" in said


def test_an_int_that_another_line_converts_is_no_lost_pointer() -> None:
    warnings = (
        "a.c:1:5: warning: call to undeclared function '_getpid'; ISO C99 [-W]\n    1 | int x = _getpid();\n"
        "a.c:2:7: warning: incompatible integer to pointer conversion [-W]\n    2 | char *p = 5;\n      |       ^   ~\n"
    )
    assert leniency.find_wrong_call(warnings) == ""
    assert "_getpid isn't declared" in leniency.find_wrong_call(warnings.replace("= 5", "= _getpid()"))
