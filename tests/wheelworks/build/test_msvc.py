"""Test how arguments of Microsoft's compiler are translated: by table, in both spellings."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelworks.build import msvc
from wheelworks.core.errors import WheelworksError

TRANSLATED = {
    "DNAME=1": ("-DNAME=1",),
    "Iinclude": ("-Iinclude",),
    "Uname": ("-Uname",),
    "O2": ("-O2",),
    "O1": ("-Os",),
    "Od": ("-O0",),
    "Ox": ("-O2",),
    "std:c11": ("-std=c11",),
    "std:c17": ("-std=c17",),
    "std:clatest": ("-std=c23",),
    "std:c++17": ("-std=c++17",),
    "std:c++latest": ("-std=c++2b",),
    "fp:precise": ("-ffp-model=precise",),
    "fp:fast": ("-ffp-model=fast",),
    "arch:SSE2": ("-msse2",),
    "arch:AVX2": ("-mavx2", "-mfma", "-mbmi", "-mbmi2", "-mlzcnt", "-mf16c", "-mpopcnt"),
    "TC": ("-x", "c"),
    "TP": ("-x", "c++"),
    "GR-": ("-fno-rtti",),
    "J": ("-funsigned-char",),
    "FIconfig.h": ("-include", "config.h"),
    "external:Idir": ("-isystem", "dir"),
    "Zp8": ("-fpack-struct=8",),
}
IGNORED = """
wd4996 wd4068 we4013 w14640 W0 W1 W3 W4 Wall WX MP MP4 MD MDd MT MTd EHsc EHa GL GS GS- Gy GF Gw GA Gd Gm- Zi Z7 ZI Zl
Zc:inline Zc:__cplusplus Zc:preprocessor Zm200 nologo utf-8 source-charset:utf-8 execution-charset:utf-8 bigobj
permissive- sdl sdl- guard:cf guard:ehcont Qspectre Qpar Qvec-report:2 diagnostics:caret experimental:c11atomics
experimental:external external:W0 await favor:blend FC FS Fdx.pdb JMC Oi Ob2 Oy- volatile:iso Wp64 analyze- cgthreads8
d2FH4- link Zs LTCG DEBUG DEBUG:FULL OPT:REF OPT:ICF INCREMENTAL:NO MANIFEST MANIFEST:NO NODEFAULTLIB:libcmt
SUBSYSTEM:WINDOWS NXCOMPAT DYNAMICBASE ltcg Debug opt:ref MACHINE:ARM64 DLL export:PyInit_x
"""
OF_CLANG = """
-O2 -O3 -c -Wall -Wextra -Werror -Wno-unused -DX -Iinclude -std=c11 -fPIC -mavx2 -MD -MMD -MF -MP -g -funroll-loops -E
-pthread -include -xc -UX -Lfolder -lname -w -dM -Wl,-z,now -fvisibility=hidden -fms-extensions -ffp-contract=off
-shared -march=x86-64-v2 -Ofast
"""


def translate(word: str) -> msvc.Words | None:
    return msvc.translate((word,), is_file=lambda path: Path(path).name in ("a.c", "tmp"))


@pytest.mark.parametrize(("option", "expected"), TRANSLATED.items())
def test_options_with_a_meaning_are_translated(option: str, expected: tuple[str, ...]) -> None:
    assert translate(f"/{option}") == expected
    if option[0] not in "DIUJFOZ" and option != "TC":
        assert translate(f"-{option}") == expected


@pytest.mark.parametrize("option", IGNORED.split())
def test_options_without_a_meaning_are_left_out(option: str) -> None:
    assert translate(f"/{option}") is None


@pytest.mark.parametrize(
    "word", ["-wd4996", "-wd4068", "-W3", "-EHsc", "-GL", "-GS-", "-Gy", "-Zi", "-nologo", "-utf-8", "-bigobj"]
)
def test_a_dash_is_as_good_as_a_slash(word: str) -> None:
    assert translate(word) is None


@pytest.mark.parametrize("word", OF_CLANG.split())
def test_clangs_own_options_stay(word: str) -> None:
    assert translate(word) == (word,)


@pytest.mark.parametrize("word", ["/tmp", "/Data/a.c", "/home/me/a.c", "a.c", "", "x"])
def test_files_stay(word: str) -> None:
    assert translate(word) == (word,)


def test_an_argument_with_its_value_stays() -> None:
    assert msvc.translate(("-I", "/Data"), is_file=lambda _: False) == ("-I", "/Data")


@pytest.mark.parametrize("word", ["/clr", "/Gz", "/nonsense", "/std:c++99x", "/arch:VAX"])
def test_an_unknown_option_is_an_error_that_names_it(word: str) -> None:
    with pytest.raises(WheelworksError, match=f"^{word.replace('+', '.')}: an option of Microsoft's compiler"):
        translate(word)


def test_libraries_of_the_linkers_options() -> None:
    assert translate("/DEFAULTLIB:ws2_32.lib") == ("-lws2_32",)
    assert translate("/LIBPATH:deps") == ("-Ldeps",)
    assert translate("/DEF:sample.def") == ("sample.def",)


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_word_is_translated_or_refused(word: str) -> None:
    with contextlib.suppress(WheelworksError):
        translated = translate(word)
        assert translated is None or all(translated) or word == ""


@pytest.mark.parametrize("name", ["-lWs2_32", "Ws2_32.lib", "-lws2_32", "WS2_32.LIB", "-lWs2_32.lib"])
def test_libraries_in_any_case(name: str) -> None:
    assert msvc.plain_library(name) == "-lws2_32"
