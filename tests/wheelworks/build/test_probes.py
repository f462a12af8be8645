"""Test a project's tests of the compiler and the target, and that no extension vanishes because one failed."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures import projects
from tests.fixtures.commands import Ended, wheelworks

pytestmark = pytest.mark.integration

TARGETS = ("win_arm64", "macosx_11_0_arm64", "manylinux_2_17_aarch64", "musllinux_1_2_aarch64")

SETUP = """\
import json, os, shlex, struct, subprocess, sys
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
def look_for(function, *steps):
    with open("conftest.c", "w") as file:
        file.write("char " + function + "(void); int main(void) {{ return " + function + "(); }}")
    compiler = [*shlex.split(os.environ["CC"]), "-fno-builtin"]
    return all(subprocess.run([*compiler, *step.split()]).returncode == 0 for step in steps)
class own(build_ext):
{body}
extensions = [
    Extension("sample", ["sample.c"], define_macros=[("Py_LIMITED_API", "0x030b0000")], py_limited_api=True){more}
]
setup(
    py_modules=[], ext_modules=extensions, cmdclass={{"build_ext": own}},
    options={{"bdist_wheel": {{"py_limited_api": "cp311"}}}},
)
"""

PROBES = """\
    def build_extensions(self):
        found = {name: self.compiler.has_function(name) for name in ("fork", "getrandom", "nowhere_at_all", "malloc")}
        found["sqrt"] = self.compiler.has_function("sqrt", libraries=["m"])
        found["missing library"] = self.compiler.has_function("malloc", libraries=["no_such_library"])
        for name in ("cos", "no_such_cosine"):
            found["autoconf: " + name] = look_for(name, "conftest.c -o conftest -lm")
            found["CMake: " + name] = look_for(name, "-c conftest.c -o CMakeC.o", "CMakeC.o -o CMakeC -lm")
        os.makedirs(self.build_lib, exist_ok=True)
        with open(os.path.join(self.build_lib, "sample_probes.json"), "w") as file:
            json.dump(found, file)
        super().build_extensions()
"""

TRY_RUN = """\
    def build_extensions(self):
        with open("probe.c", "w") as file:
            file.write("int main(void) { return 7; }")
        self.compiler.link_executable(self.compiler.compile(["probe.c"]), "probe")
        try:
            status = subprocess.run(["./probe"]).returncode
        except Exception:
            status = "it doesn't run: then the target has no such thing"
        os.makedirs(self.build_lib, exist_ok=True)
        with open(os.path.join(self.build_lib, "sample_probes.json"), "w") as file:
            json.dump(status, file)
        super().build_extensions()
"""

# As Cython does: the extension's C is no file of the source.
GENERATED = """\
    def build_extension(self, ext):
        if ext.name == "deep._b":
            os.makedirs(self.build_temp, exist_ok=True)
            ext.sources = [os.path.join(self.build_temp, "_b.c")]
            with open(ext.sources[0], "w") as file:
                file.write("#include <Python.h>\\nint wrong = 1 +;\\n")
        super().build_extension(ext)
"""

CAUGHT = """\
    def run(self):
        self.compiler_was_bad = True
        try:
            super().run()
        except Exception:
            self.extensions = self.distribution.ext_modules = self.extensions[:1]
            super().run()
"""


def build(folder: Path, cache: Path, setup: str, *words: str, **more: str) -> tuple[Ended, list[Path]]:
    project = projects.sample(folder / "p", setup_py=setup, **more)
    ended = wheelworks("cross-arm64", "--no-run", project, "--out", folder / "out", *words, cache=cache, seconds=900)
    return ended, sorted((folder / "out").glob("*.whl"))


def read_probes(wheel: Path) -> Any:
    with zipfile.ZipFile(wheel) as archive:
        return json.loads(archive.read("sample_probes.json"))


@pytest.mark.parametrize(
    "target",
    [*TARGETS[:-1], pytest.param(TARGETS[-1], marks=pytest.mark.release)],  # a minute to compile musl
)
def test_functions_are_looked_for_in_the_targets_libc(target: str, tmp_path: Path, wheelworks_cache: Path) -> None:
    ended, wheels = build(tmp_path, wheelworks_cache, SETUP.format(body=PROBES, more=""), "--target", target)
    assert ended.status == 0, ended.err
    expected = {"fork": target != "win_arm64", "getrandom": "musl" in target, "nowhere_at_all": False, "malloc": True}
    expected |= {"sqrt": True, "missing library": False, "autoconf: cos": True, "autoconf: no_such_cosine": False}
    expected |= {"CMake: cos": True, "CMake: no_such_cosine": False}
    assert [read_probes(wheel) for wheel in wheels] == [expected]


@pytest.mark.parametrize("target", ["win_arm64", "manylinux_2_17_s390x"])
def test_a_program_of_the_target_is_not_run(target: str, tmp_path: Path, wheelworks_cache: Path) -> None:
    ended, wheels = build(tmp_path, wheelworks_cache, SETUP.format(body=TRY_RUN, more=""), "--target", target)
    assert (ended.status, wheels) == (1, [])
    assert f"error: {target}: a program that was compiled for {target} can't be run on this machine" in ended.err


def test_a_program_of_this_machine_is_run(tmp_path: Path, wheelworks_cache: Path) -> None:
    words = ("--target", "manylinux_2_17_x86_64")
    ended, wheels = build(tmp_path, wheelworks_cache, SETUP.format(body=TRY_RUN, more=""), *words)
    assert ended.status == 0, ended.err
    assert [read_probes(wheel) for wheel in wheels] == [7]


OPTIONAL = ', Extension("deep._b", ["sample.c"], optional=True)'
WINDOWS = ("--target", "win_arm64")


@pytest.mark.parametrize(
    ("body", "more", "sources"),
    [
        (GENERATED, OPTIONAL, {}),
        (CAUGHT, ', Extension("deep._b", ["b.c"])', {"b.c": "#include <Python.h>\nint wrong = 1 +;\n"}),
    ],
    ids=["generated", "caught"],
)
def test_an_extension_that_is_declared_does_not_vanish(
    body: str, more: str, sources: dict[str, str], tmp_path: Path, wheelworks_cache: Path
) -> None:
    setup = SETUP.format(body=body, more=more)
    ended, wheels = build(tmp_path, wheelworks_cache, setup, *WINDOWS, **sources)
    assert (ended.status, wheels) == (1, [])
    assert "b.c:2:16: error: expected expression" in ended.err and "error: win_arm64: " in ended.err


def test_an_extension_may_be_missing_where_the_user_says_so(tmp_path: Path, wheelworks_cache: Path) -> None:
    setup = SETUP.format(body=GENERATED, more=OPTIONAL)
    ended, wheels = build(tmp_path, wheelworks_cache, setup, *WINDOWS, "--allow-missing", "deep._b")
    assert ended.status == 0, ended.err
    assert [wheel.name for wheel in wheels] == ["sample-1.0-cp311-abi3-win_arm64.whl"]
    ended, _ = build(tmp_path / "b", wheelworks_cache, setup, *WINDOWS, "--allow-missing", "deep")
    assert ended.status == 1 and "the wheel lacks deep._b, which the project declares" in ended.err
    assert "--allow-missing deep._b" in ended.err


def test_the_message_names_what_failed_and_no_probe(tmp_path: Path, wheelworks_cache: Path) -> None:
    source = projects.module(before='#include "no_such_header.h"')
    ended, wheels = build(
        tmp_path, wheelworks_cache, SETUP.format(body=PROBES, more=""), *WINDOWS, **{"sample.c": source}
    )
    assert (ended.status, wheels) == (1, [])
    assert "error: win_arm64: compile of sample.c failed:" in ended.err
    assert "fatal error: 'no_such_header.h' file not found" in ended.err
    assert "nowhere_at_all" not in ended.err.partition("error: ")[2], "no probe, and nothing before it: progress"


def test_a_header_that_the_sdist_lacks_is_named(tmp_path: Path, wheelworks_cache: Path) -> None:
    files = {
        "sample.c": projects.module(before='#include "include/own.h"'),
        "include/own.h": "#define OWN 1\n",
        "MANIFEST.in": "",
    }
    ended, _ = build(tmp_path, wheelworks_cache, projects.setup(), *WINDOWS, **files)
    assert ended.status == 1 and "include/own.h is in the project's folder but not in its sdist" in ended.err
    assert "add `include include/own.h` to MANIFEST.in" in ended.err


BYTE_ORDER = """\
import struct, sys
from setuptools import Extension, setup
macros = [("BIG", int(sys.byteorder == "big")), ("WORD", struct.calcsize("P")), ("LONG", struct.calcsize("l"))]
made = Extension("sample", ["sample.c"], define_macros=[*macros, ("Py_LIMITED_API", "0x030b0000")], py_limited_api=True)
setup(py_modules=[], ext_modules=[made], options={"bdist_wheel": {"py_limited_api": "cp311"}})
"""
ASSERTIONS = """\
_Static_assert(WORD == sizeof(void *), "the word");
_Static_assert(LONG == sizeof(long), "long");
_Static_assert(BIG == (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__), "the byte order");
"""


@pytest.mark.parametrize("target", ["manylinux_2_17_s390x", "manylinux_2_17_i686", "win32", "win_amd64"])
def test_setup_py_sees_the_targets_words(target: str, tmp_path: Path, wheelworks_cache: Path) -> None:
    source = projects.module(before=ASSERTIONS)
    ended, wheels = build(tmp_path, wheelworks_cache, BYTE_ORDER, "--target", target, **{"sample.c": source})
    assert ended.status == 0, ended.err
    assert len(wheels) == 1


PRAGMA = """\
#ifdef _WIN32
#include <WinSock2.h>
#pragma comment(lib, "Ws2_32.lib")
static long ask(void) { return WSAGetLastError(); }
#else
static long ask(void) { return 0; }
#endif
"""


@pytest.mark.parametrize("target", ["win_arm64", pytest.param("win32", marks=pytest.mark.release)])
def test_a_library_that_the_source_names_is_linked(target: str, tmp_path: Path, wheelworks_cache: Path) -> None:
    source = projects.module("return PyLong_FromLong(ask());", PRAGMA)
    ended, _ = build(tmp_path, wheelworks_cache, projects.setup(), "--target", target, **{"sample.c": source})
    assert ended.status == 0, ended.err
    [record] = json.loads((tmp_path / "out/manifest.json").read_text())["wheels"]
    assert any(name.lower() == "ws2_32.dll" for name in record["extensions"][0]["imports"])
