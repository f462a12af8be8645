"""Test that requests for CPU features in GCC's form reach clang, and only the functions that they are for."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from wheelworks.build import cpu_requests, driver
from wheelworks.core.targets import find_target
from wheelworks.core.zig import find_zig, find_zig_cache

from tests.fixtures.settings import settings

ARM = """\
#include "own.h"
#if defined(__x86_64__)
#pragma GCC target("avx2")
#endif
#pragma GCC push_options
#pragma GCC target ("+crc+crypto")
#include <arm_acle.h>
unsigned with_crc(unsigned crc, NUMBER data) { return __crc32cd(crc, data); }
#pragma GCC pop_options
const char *file(void) { return __FILE__; }
"""
X86 = """\
const char *file(void) { return __FILE__; }
#define ATTRIBUTE __attribute__ ((target("sse4.2")))
ATTRIBUTE unsigned with_crc(unsigned crc, unsigned char data) { return __builtin_ia32_crc32qi(crc, data); }
"""
WITHOUT = "unsigned {name}(unsigned crc, unsigned char data) {{ return {intrinsic}(crc, data); }}\n"


@pytest.mark.parametrize(
    ("cpu", "line", "expected"),
    [
        ("aarch64", '#pragma GCC target ("+crc+crypto")', "+crc+crypto"),
        ("aarch64", '  # pragma GCC target "arch=armv8-a+crc"', "arch=armv8-a+crc"),
        ("x86_64", '#pragma GCC target("avx2", "fma")', "avx2,fma,crc32,popcnt,xsave"),
        ("x86", '#pragma GCC target("sse4.2")', "sse4.2,crc32,popcnt"),
        ("x86_64", '#pragma GCC target("sse4.2,no-crc32")', "sse4.2,no-crc32,popcnt"),
        ("x86_64", '#pragma GCC target("ssse3")', "ssse3"),
        ("x86_64", '#pragma GCC target("no-avx")', "no-avx"),
    ],
)
def test_a_pragma_becomes_clangs(cpu: str, line: str, expected: str) -> None:
    found = cpu_requests.translate(f"int a;\n{line}\nint b;\n".encode(), "src/a.c", cpu).decode().splitlines()
    inner = f'#pragma clang attribute (__attribute__((target("{expected}"))), apply_to=function)'
    outer = ["#pragma clang attribute push", '#line 1 "src/a.c"', "int a;", inner, "int b;", ""]
    assert found == [*outer, "#pragma clang attribute pop"]


@pytest.mark.parametrize(
    ("cpu", "text", "expected"),
    [
        ("x86_64", '__attribute__((target("sse4.2")))', '__attribute__((target("sse4.2,crc32,popcnt")))'),
        ("x86_64", '__attribute__((hot, __target__ ("avx2")))', None),
        ("x86_64", '[[gnu::target("avx")]]', '[[gnu::target("avx,crc32,popcnt,xsave")]]'),
        ("x86_64", 'set_target("sse4.2"); target("avx");', 'set_target("sse4.2"); target("avx");'),
        ("aarch64", '__attribute__((target("+crc")))', '__attribute__((target("+crc")))'),
        ("x86_64", "#pragma GCC push_options /* target */", "#pragma GCC push_options /* target */"),
    ],
)
def test_an_attribute_names_what_it_includes(cpu: str, text: str, expected: str | None) -> None:
    wanted = expected or '__attribute__((hot, __target__ ("avx2,crc32,popcnt,xsave")))'
    line = '#line 1 "a.c"\n' if wanted != text else ""
    assert cpu_requests.translate(text.encode(), "a.c", cpu).decode() == line + wanted


def compile_source(folder: Path, target: str, text: str) -> tuple[int, bytes]:
    """Compile a source by the driver, in the folder ``src``; return the exit status and the object file."""
    row, source = find_target(target), folder / "src" / "a.c"
    source.parent.mkdir(exist_ok=True)
    source.write_text(text)
    (source.parent / "own.h").write_text("typedef unsigned long NUMBER;\n")
    chosen = replace(settings(target), zig=find_zig(), work=str(folder), source=str(folder), log=str(folder / "log"))
    made = folder / "a.o"
    chosen = replace(chosen, model=row.model, include=str(folder), allowed=(str(folder),))
    chosen.write(folder / "settings.json")
    status = driver.main(str(folder / "settings.json"), "cc", ["-c", str(source), "-o", str(made)])
    return status, made.read_bytes() if status == 0 else b""


@pytest.mark.integration
@pytest.mark.parametrize(
    ("target", "text", "intrinsic"),
    [("manylinux_2_17_aarch64", ARM, "__crc32cb"), ("win_amd64", X86, "__builtin_ia32_crc32qi")],
)
def test_a_feature_is_had_by_its_functions_alone(
    target: str,
    text: str,
    intrinsic: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(find_zig_cache()))
    status, made = compile_source(tmp_path, target, text)
    assert status == 0, capfd.readouterr().err
    assert re.search(rb"src[/\\]a\.c", made) and b"translated" not in made
    status, _ = compile_source(tmp_path, target, text + WITHOUT.format(name="without", intrinsic=intrinsic))
    assert status == 1
    found = capfd.readouterr().err
    assert f"src/a.c:{len(text.splitlines()) + 1}:" in found
    assert re.search("requires target feature 'crc'|needs target feature crc32", found)
