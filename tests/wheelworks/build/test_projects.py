"""Test projects with C errors, without extensions, with calls to libc, and with symbols outside the stable ABI."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import lief
import pytest
from wheelworks.emulator.wheel_tests import smoke_test

from tests.fixtures import projects
from tests.fixtures.commands import Ended, wheelworks

pytestmark = pytest.mark.integration

LIBC = projects.module(
    "char text[40]; void *block = malloc(9);"
    ' int length = snprintf(text, 40, "%d %p", (int)PyLong_AsLong(arg), block); free(block);'
    " return PyLong_FromSize_t(strlen(text) + (size_t)length);",
    "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n",
)


def build(project: Path, cache: Path, *words: str) -> tuple[Ended, list[Path]]:
    out = project.parent / "out"
    ended = wheelworks("cross-arm64", "--no-run", project, "--out", out, *words, cache=cache)
    return ended, sorted(out.glob("*.whl"))


def test_a_c_error_is_shown_with_file_and_line(tmp_path: Path, wheelworks_cache: Path) -> None:
    project = projects.sample(tmp_path / "p", "#include <Python.h>\n\nint wrong = no_such_thing;\n")
    ended, wheels = build(project, wheelworks_cache)
    assert (ended.status, wheels) == (1, [])
    assert "sample.c:3:13: error:" in ended.err and "no_such_thing" in ended.err
    for target in ("win_arm64", "macosx_11_0_arm64", "manylinux_2_17_aarch64"):
        assert f"error: {target}: compile of sample.c failed" in ended.err


def test_an_error_for_one_target_leaves_the_others(tmp_path: Path, wheelworks_cache: Path) -> None:
    project = projects.sample(tmp_path / "p", projects.module(before="#ifdef _WIN32\n#error not for you\n#endif"))
    ended, wheels = build(project, wheelworks_cache)
    assert ended.status == 1 and len(wheels) == 2
    assert "win_arm64: compile of sample.c failed" in ended.err and "not for you" in ended.err
    record = json.loads((tmp_path / "out/manifest.json").read_text())
    assert [wheel["file"] for wheel in record["wheels"]] == [wheel.name for wheel in wheels]


def test_an_optional_extension_is_not_optional(tmp_path: Path, wheelworks_cache: Path) -> None:
    setup = projects.setup(f"{projects.LIMITED}, optional=True")
    project = projects.sample(tmp_path / "p", "int wrong = 1 +;\n", setup)
    ended, wheels = build(project, wheelworks_cache)
    assert (ended.status, wheels) == (1, [])
    assert "sample.c:1:16: error: expected expression" in ended.err


@pytest.mark.parametrize(
    "target",
    [
        "manylinux_2_17_aarch64",
        "musllinux_1_2_aarch64",
        "macosx_11_0_arm64",
        pytest.param("win_arm64", marks=pytest.mark.release),  # compiles the C runtime in an empty cache
    ],
)
def test_a_link_error_names_the_symbol(target: str, tmp_path: Path, wheelworks_cache: Path) -> None:
    source = projects.module("return PyLong_FromLong(nowhere());", "long nowhere(void);")
    ended, wheels = build(projects.sample(tmp_path / "p", source), wheelworks_cache, "--target", target)
    assert (ended.status, wheels) == (1, [])
    assert f"{target}: link of " in ended.err and "nowhere" in ended.err


def test_a_project_without_extension(tmp_path: Path, wheelworks_cache: Path) -> None:
    files = {
        "pyproject.toml": projects.PYPROJECT,
        "sample.py": "",
        "setup.py": "from setuptools import setup\nsetup()\n",
    }
    ended, wheels = build(projects.write(tmp_path / "p", files), wheelworks_cache)
    assert (ended.status, wheels) == (1, [])
    assert "builds a wheel for any platform: it has no extension module" in ended.err


def test_a_symbol_that_isnt_stable_is_refused_by_name(tmp_path: Path, wheelworks_cache: Path) -> None:
    source = projects.module("return PyUnicode_New(3, 127);")
    project = projects.sample(tmp_path / "p", source, projects.setup("py_limited_api=True"))
    ended, wheels = build(project, wheelworks_cache)
    assert (ended.status, wheels) == (1, [])
    assert "calls PyUnicode_New, which is not in the stable ABI of 3.11" in ended.err
    assert "define Py_LIMITED_API as 0x030b0000" in ended.err


def test_a_symbol_of_a_later_stable_abi_is_refused(tmp_path: Path, wheelworks_cache: Path) -> None:
    source = projects.module(
        "return PyList_GetItemRef(arg, 0);", "PyObject *PyList_GetItemRef(PyObject *, Py_ssize_t);"
    )
    ended, wheels = build(projects.sample(tmp_path / "p", source), wheelworks_cache)
    assert (ended.status, wheels) == (1, [])
    assert "PyList_GetItemRef" in ended.err


def test_a_version_specific_wheel(tmp_path: Path, wheelworks_cache: Path) -> None:
    source = projects.module("return PyUnicode_New(3, 127);")
    project = projects.sample(tmp_path / "p", source, projects.setup("", limited=False))
    ended, wheels = build(project, wheelworks_cache)
    assert ended.status == 0, ended.err
    assert [re.sub(r"-[a-z]+_?.*", "", wheel.name.removeprefix("sample-1.0-")) for wheel in wheels] == ["cp311"] * 3
    binary = extension(next(wheel for wheel in wheels if "win_arm64" in wheel.name))
    parsed = lief.PE.parse(binary)
    assert parsed is not None and [str(one.name) for one in parsed.imports] == ["python311.dll"]


def test_a_project_that_calls_libc_gets_a_wheel_for_each(tmp_path: Path, wheelworks_cache: Path) -> None:
    words = ("--target", "manylinux_2_17_aarch64", "--target", "musllinux_1_2_aarch64")
    ended, wheels = build(projects.sample(tmp_path / "p", LIBC), wheelworks_cache, *words)
    assert ended.status == 0, ended.err
    assert [wheel.name for wheel in wheels] == [
        "sample-1.0-cp311-abi3-manylinux2014_aarch64.manylinux_2_17_aarch64.whl",
        "sample-1.0-cp311-abi3-musllinux_1_2_aarch64.whl",
    ]
    glibc, musl = (lief.ELF.parse(extension(wheel)) for wheel in wheels)
    assert glibc is not None and musl is not None
    assert "libc.so.6" in glibc.libraries and list(musl.libraries) == ["libc.so"]
    versions = [str(one.name) for need in glibc.symbols_version_requirement for one in need.get_auxiliary_symbols()]
    assert versions and all(tuple(map(int, v.removeprefix("GLIBC_").split("."))) <= (2, 17) for v in versions)
    assert list(musl.symbols_version_requirement) == []
    records = json.loads((tmp_path / "out/manifest.json").read_text())["wheels"]
    assert [record["link"] for record in records] == ["libc", "libc"]
    assert {"malloc", "free", "snprintf", "strlen"} & set(records[0]["libc_calls"])


def test_one_libc_alone(tmp_path: Path, wheelworks_cache: Path) -> None:
    """The first target of the family is compiled to detect calls to libc, but its wheel was not requested."""
    _, wheels = build(projects.sample(tmp_path / "p", LIBC), wheelworks_cache, "--target", "musllinux_1_2_aarch64")
    assert [wheel.name for wheel in wheels] == ["sample-1.0-cp311-abi3-musllinux_1_2_aarch64.whl"]


def test_a_static_library_within_the_project(tmp_path: Path, wheelworks_cache: Path) -> None:
    setup = """\
from setuptools import Extension, setup
helper = ("helper", {"sources": ["helper.c"]})
made = Extension("sample", ["sample.c"], define_macros=[("Py_LIMITED_API", "0x030b0000")], py_limited_api=True)
setup(py_modules=[], libraries=[helper], ext_modules=[made], options={"bdist_wheel": {"py_limited_api": "cp311"}})
"""
    source = projects.module("return PyLong_FromLong(helper());", "long helper(void);")
    project = projects.sample(tmp_path / "p", source, setup, **{"helper.c": "long helper(void) { return 4; }\n"})
    ended, wheels = build(project, wheelworks_cache)
    assert ended.status == 0, ended.err
    assert len(wheels) == 3, "the library is linked in, and calls no libc"


@pytest.mark.release
def test_an_object_file_that_a_project_ships_is_linked(tmp_path: Path, wheelworks_cache: Path) -> None:
    """As greenlet ships the objects of Microsoft's assembler, which isn't here."""
    setup = projects.setup(f"{projects.LIMITED}, extra_objects=['helper.obj']")
    source = projects.module("return PyLong_FromLong(helper());", "long helper(void);")
    project = projects.sample(tmp_path / "p", source, setup, **{"MANIFEST.in": "include helper.obj\n"})
    (tmp_path / "helper.c").write_text("long helper(void) { return 4; }\n")
    command = [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-windows-gnu", "-c", "-O2", "helper.c"]
    subprocess.run([*command, "-fno-sanitize=undefined", "-o", str(project / "helper.obj")], cwd=tmp_path, check=True)
    ended, wheels = build(project, wheelworks_cache, "--target", "win_arm64")
    assert ended.status == 0, ended.err
    assert len(wheels) == 1
    (tmp_path / "out").rename(tmp_path / "made")
    ended, _ = build(project, wheelworks_cache, "--target", "win_amd64")
    assert ended.status == 1 and "helper" in ended.err, "an object for another CPU can't be linked"


def extension(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith((".so", ".pyd"))]
        return archive.read(name)


@pytest.mark.parametrize(
    ("requires", "name"),
    [
        ("meson-python>=0.15", "Meson (meson-python)"),
        ("scikit_build_core", "CMake (scikit-build-core)"),
        ("maturin>=1,<2", "Rust (maturin)"),
        ('setuptools", "setuptools-rust', "Rust (setuptools-rust)"),
    ],
)
def test_other_build_systems_are_refused_by_name(
    requires: str, name: str, tmp_path: Path, wheelworks_cache: Path
) -> None:
    pyproject = projects.PYPROJECT.replace('requires = ["setuptools"]', f'requires = ["{requires}"]')
    ended, wheels = build(projects.sample(tmp_path / "p", **{"pyproject.toml": pyproject}), wheelworks_cache)
    assert (ended.status, wheels) == (1, [])
    assert f"p: it is built by {name}, which can't be cross-built here" in " ".join(ended.err.split())


def test_programs_of_the_build_requirements_are_on_path(tmp_path: Path, wheelworks_cache: Path) -> None:
    setup = f"import shutil\nassert shutil.which('cython')\n{projects.setup()}"
    pyproject = projects.PYPROJECT.replace('["setuptools"]', '["setuptools", "cython"]')
    project = projects.sample(tmp_path / "p", setup_py=setup, **{"pyproject.toml": pyproject})
    ended, wheels = build(project, wheelworks_cache, "--target", "win_arm64")
    assert ended.status == 0, ended.err
    assert len(wheels) == 1


def test_a_library_with_a_modules_name_needs_no_entry_point(tmp_path: Path, wheelworks_cache: Path) -> None:
    setup = projects.setup('py_limited_api=True, define_macros=[("Py_LIMITED_API", "0x030b0000")]')
    source = "#ifdef _WIN32\n__declspec(dllexport)\n#endif\nint answer(void) { return 42; }\n"
    ended, wheels = build(projects.sample(tmp_path / "p", source, setup), wheelworks_cache)
    assert ended.status == 0, ended.err
    assert len(wheels) == 3


def test_a_modules_name_beyond_ascii(tmp_path: Path, wheelworks_cache: Path) -> None:
    """PEP 489: PyInitU_ and the name in Punycode."""
    setup = projects.setup().replace('Extension("sample"', 'Extension("süß"')
    source = projects.module().replace("PyInit_sample", "PyInitU_s_qfa0g")
    assert "süß".encode("punycode") == b"s-qfa0g"
    ended, wheels = build(projects.sample(tmp_path / "p", source, setup), wheelworks_cache)
    assert ended.status == 0, ended.err
    assert [smoke_test(wheel).outcome for wheel in wheels] == ["passed"] * 3
