"""Test which compiler arguments are kept: those that describe the source, and none that describe the host."""

from __future__ import annotations

import contextlib
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelworks.build import arguments
from wheelworks.core import targets
from wheelworks.core.errors import WheelworksError

from tests.fixtures.settings import HOSTS, settings

EVERY_TARGET = [target.id for target in targets.load_targets()]

OF_THE_HOST = """\
-march=native|-mcpu=native|-mtune=native|-mtune=generic|-mtune=skylake|-arch x86_64|-arch arm64|-isysroot /SDKs/Mac.sdk
-mmacosx-version-min=10.9|-target x86_64-linux|--target=x86_64-linux|-I/usr/include|-I /usr/include|-I/usr/local/include
-isystem /usr/include|-L/usr/lib|-L /usr/lib/x86_64-linux-gnu|-L/opt/homebrew/lib|-I/opt/python3.13/include/python3.13
-lpython3.11|-lpython3|-l:libpython3.11.so|-l:libpython3.so|-g|-g3|-ggdb|-flto|-flto=thin|-flto=auto|-pipe
-fuse-ld=lld|-fno-semantic-interposition|-idirafter /usr/include|-iquote /etc"""
OF_THE_SOURCE = """\
-O3|-O2|-Ofast|-std=c99|-Wall|-Wno-unused|-DNAME=1|-D NAME|-UNAME|-funroll-loops|-fno-strict-aliasing|-mavx2
-msse2|-Isrc|-I src|-Iinclude/deep|-Llib|-include config.h|-fopenmp|-ffast-math|-c"""


def words(text: str) -> list[str]:
    return text.replace("\n", "|").split("|")


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("argument", words(OF_THE_HOST))
def test_what_describes_the_host_is_left_out(argument: str, host: str) -> None:
    found = arguments.parse_arguments(["-c", *argument.split(" "), "a.c"], settings(host=host))
    assert (found.flags, found.sources, found.libraries) == (["-c"], ["a.c"], [])
    assert found.dropped == [argument]


@pytest.mark.parametrize("argument", words(OF_THE_SOURCE))
def test_what_describes_the_source_stays(argument: str) -> None:
    found = arguments.parse_arguments([*argument.split(" "), "a.c"], settings())
    assert (found.flags, found.sources, found.dropped) == (argument.split(" "), ["a.c"], [])


@pytest.mark.parametrize(
    ("host", "folder", "stays"),
    [
        ("linux", "/home/me/place/manylinux_2_17_aarch64/source/include", True),
        ("linux", "/home/me/place/env/lib/python3.11/site-packages/numpy/include", True),
        ("linux", "/home/me/place/manylinux_2_17_aarch64/source/../../../../../usr/include", False),
        ("linux", "/home/me/place/manylinux_2_17_aarch64/source-of-another", False),
        ("linux", "/home/me/place/manylinux_2_17_aarch64/source/deep/../include", True),
        ("linux", "/home/me/place/manylinux_2_17_aarch64/source/deep/../../other", False),
        ("windows", r"C:\Users\me\Work Space\env\deep\..\include", True),
        ("macos", "/Users/me/Work Space/env/include", True),
        ("macos", "/Library/Frameworks/Python.framework/Headers", False),
        ("windows", r"C:\Users\me\Work Space\env\include", True),
        ("windows", "C:/Users/me/Work Space/env/include", True),
        ("windows", r"c:\users\ME\work space\ENV\include", True),
        ("windows", r"C:\Program Files\Python311\include", False),
        ("windows", r"D:\Users\me\Work Space\env\include", False),
        ("windows", r"\\server\share\include", False),
        ("windows", r"include\deep", True),
    ],
)
def test_folders_of_the_tree_and_of_its_requirements_stay(host: str, folder: str, stays: bool) -> None:
    for argument in ([f"-I{folder}"], ["-I", folder], [f"-L{folder}"]):
        found = arguments.parse_arguments([*argument, "a.c"], settings(host=host))
        assert (found.flags == argument) is stays
        assert (found.dropped == [" ".join(argument)]) is not stays


def test_an_invocation_is_parsed() -> None:
    found = arguments.parse_arguments(
        ["-shared", "-s", "-pthread", "-o", "x.so", "a.o", "b.a", "-lm", "-l", "z"], settings()
    )
    assert (found.step, found.output) == ("link", "x.so")
    assert (found.objects, found.libraries, found.flags) == (["a.o", "b.a"], ["-lm", "-lz"], [])


@pytest.mark.parametrize(
    ("line", "step"),
    [
        *((f"{flag} a.c", "compile") for flag in ("-c", "-S", "-E", "-M", "-fsyntax-only")),
        ("-E -", "compile"),
        *((f"{flag} a.o -o x.so", "link") for flag in ("-shared", "-bundle", "-dynamiclib")),
        ("a.c -o probe -lm", "program"),
        ("conftest.o", "program"),
        *((flag, "query") for flag in ("--version", "-dumpmachine", "-v")),
    ],
)
def test_what_an_invocation_does(line: str, step: str) -> None:
    assert arguments.parse_arguments(line.split(" "), settings()).step == step


@pytest.mark.parametrize("argument", words(OF_THE_HOST))
def test_the_reason_for_leaving_an_argument_out_is_true(argument: str) -> None:
    reason = arguments.explain_dropped(argument)
    expected = {
        "-g": "debug information", "-flto": "how to link", "-fuse": "how to link", "-I": "folder", "-L": "folder",
        "-i": "folder", "-march": "CPU", "-mcpu": "CPU", "-mtune": "CPU", "-lpy": "CPython", "-l:": "CPython",
    }  # fmt: skip
    words_of_it = next((word for start, word in expected.items() if argument.startswith(start)), "")
    assert words_of_it in reason or "-isysroot" in argument


def test_a_macos_link_line_is_translated() -> None:
    line = ["-bundle", "-undefined", "dynamic_lookup", "-shared", "-install_name", "/opt/x.so", "a.o", "-o", "x.so"]
    found = arguments.parse_arguments(line, settings("macosx_11_0_arm64"))
    assert (found.flags, found.objects, found.dropped) == ([], ["a.o"], [])


@pytest.mark.parametrize("path", ["/Data/a.c", "/Images/b.c", "/MTest/a.c", "/Docs/x.o", "/Git/a.c", "/Workspace/a.c"])
def test_a_path_is_no_argument_of_microsofts(path: str) -> None:
    found = arguments.parse_arguments(["-c", path], settings("win_arm64"))
    assert found.sources + found.objects == [path]


@pytest.mark.parametrize("target", [name for name in EVERY_TARGET if not name.startswith("win")])
def test_microsofts_arguments_are_for_windows_alone(target: str) -> None:
    assert arguments.parse_arguments(["/DNAME", "a.c"], settings(target)).flags == ["/DNAME"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (r"C:\a", PureWindowsPath(r"C:\a")),
        ("C:/a", PureWindowsPath(r"C:\a")),
        (r"\\server\a", PureWindowsPath(r"\\server\a")),
        ("/a", PurePosixPath("/a")),
        ("a/b", PurePosixPath("a/b")),
    ],
)
def test_a_path_shows_its_system(path: str, expected: object) -> None:
    assert arguments.parse_host_path(path) == expected


@given(st.lists(st.sampled_from(["-I", "-o", "-D", "-O2", "-c", "a.c", "a.o", "-lz", "-arch", "-shared", "x", ""])))
def test_no_word_is_lost_or_doubled(line: list[str]) -> None:
    flat = [word for argument in arguments.iter_arguments(line) for word in argument]
    assert flat[: len(line)] == line
    assert flat[len(line) :] in ([], [""])


@given(st.lists(st.text(max_size=12)), st.sampled_from(EVERY_TARGET))
def test_any_words_can_be_parsed(line: list[str], target: str) -> None:
    with contextlib.suppress(WheelworksError):  # an option of Microsoft's that has no translation
        arguments.parse_arguments(line, settings(target))
