"""Test builds for each version of CPython: names, headers, old setuptools, and the import where that is possible."""

from __future__ import annotations

import platform
import sys
import zipfile
from pathlib import Path

import pytest
from wheelworks.core import interpreters
from wheelworks.core.targets import load_abis
from wheelworks.testing import native_import

from tests.fixtures import projects
from tests.fixtures.commands import Ended, wheelworks
from tests.fixtures.wheels import wheel

pytestmark = pytest.mark.integration

PLAIN = projects.setup("", limited=False)
# Python 3.11 has Py_Version (a variable) and 3.10 doesn't; the limit of the release says which headers were used.
SOURCE = projects.module(
    "\n#if PY_VERSION_HEX >= 0x030b0000\nreturn PyLong_FromUnsignedLong(Py_Version >> 16);\n#else\n"
    "return PyLong_FromLong(PY_VERSION_HEX >> 16);\n#endif\n"
)
METADATA = "Metadata-Version: 2.1\nName: sample\nVersion: {version}\n"
HERE = sys.platform == "linux" and platform.machine() == "x86_64"


def build(project: Path, cache: Path, *words: str) -> tuple[Ended, list[Path]]:
    out = project.parent / "out"
    ended = wheelworks("build-wheels", project, "--out", out, "--no-run", *words, cache=cache)
    return ended, sorted(out.glob("*.whl"))


def strip_name(path: Path) -> str:
    return path.name.removeprefix("sample-1.0-").removesuffix(".whl")


def test_each_version_has_its_own_wheel(tmp_path: Path, wheelworks_cache: Path) -> None:
    project = projects.sample(tmp_path / "p", SOURCE, PLAIN)
    words = [word for version in ("cp311", "cp312", "cp313") for word in ("--abi", version)]
    ended, wheels = build(project, wheelworks_cache, *words, "--target", "win_arm64")
    assert ended.status == 0, ended.err
    assert [strip_name(one) for one in wheels] == [f"cp{v}-cp{v}-win_arm64" for v in (311, 312, 313)]
    for one, version in zip(wheels, (311, 312, 313), strict=True):
        (name,) = [name for name in zipfile.ZipFile(one).namelist() if name.endswith(".pyd")]
        assert name == f"sample.cp{version}-win_arm64.pyd"
        assert f"python{version}.dll".encode() in zipfile.ZipFile(one).read(name)


@pytest.mark.skipif(not HERE, reason="the machine runs no wheels for x86-64 Linux")
def test_wheels_for_this_machine_are_imported_under_each_cpython(tmp_path: Path, wheelworks_cache: Path) -> None:
    installed = {one.label.rpartition(".")[0] for one in interpreters.list_installed()}
    abis = [abi for abi in load_abis() if abi.python in installed and not abi.free_threaded]
    pyproject = projects.PYPROJECT.replace(">=3.11", ">=3.10")
    project = projects.sample(tmp_path / "p", SOURCE, PLAIN, **{"pyproject.toml": pyproject})
    words = [word for abi in abis for word in ("--abi", f"cp{abi.nodot}")]
    _, wheels = build(project, wheelworks_cache, *words, "--target", "manylinux_2_17_x86_64")
    assert len(wheels) == len(abis) > 0
    verdicts = native_import.import_wheels(wheels, tmp_path / "work", lambda *_: None)
    assert [(verdict.outcome, verdict.checks) for verdict in verdicts] == [("passed", 1)] * len(abis), verdicts


@pytest.mark.skipif(not HERE, reason="the machine runs no wheels for x86-64 Linux")
def test_a_wheel_with_the_headers_of_another_version_fails_its_import(tmp_path: Path, wheelworks_cache: Path) -> None:
    oldest = interpreters.list_installed()[0]
    version = f"cp3{oldest.version.split('.')[1]}"
    project = projects.sample(tmp_path / "p", projects.module("return PyLong_FromLong(1);"), PLAIN)
    _, (good,) = build(project, wheelworks_cache, "--abi", version, "--target", "manylinux_2_17_x86_64")
    (name,) = [name for name in zipfile.ZipFile(good).namelist() if name.endswith(".so")]
    data = zipfile.ZipFile(good).read(name).replace(b"\0PyModuleDef_Init\0", b"\0PyModuleDef_Zzzz\0")
    bad = wheel(tmp_path, f"{version}-{version}-manylinux_2_17_x86_64", {"sample/sample.so": data}, metadata=METADATA)
    (verdict,) = native_import.import_wheels([bad], tmp_path / "work", lambda *_: None)
    assert verdict.outcome == "failed" and "PyModuleDef_Zzzz" in verdict.findings[0]


@pytest.mark.parametrize("setuptools", ["70.0.0", "71.1.0", "75.8.0", "80.9.0", "83.0.0", "84.0.0"])
def test_old_setuptools_make_wheels_of_any_version(setuptools: str, tmp_path: Path, wheelworks_cache: Path) -> None:
    pinned = projects.PYPROJECT.replace('["setuptools"]', f'["setuptools=={setuptools}", "wheel==0.43.0"]')
    project = projects.sample(tmp_path / "p", SOURCE, PLAIN, **{"pyproject.toml": pinned})
    words = ("--abi", "cp313", "--abi", "cp314t", "--target", "win_arm64", "--target", "macosx_10_9_x86_64")
    ended, wheels = build(project, wheelworks_cache, *words)
    assert ended.status == 0, ended.err
    assert [strip_name(one) for one in wheels] == [
        "cp313-cp313-macosx_10_13_x86_64",
        "cp313-cp313-win_arm64",
        "cp314-cp314t-macosx_10_15_x86_64",
        "cp314-cp314t-win_arm64",
    ]


@pytest.mark.parametrize("setuptools", ["70.0.0", "80.9.0", "84.2.0"])
def test_the_stable_abi_of_a_later_python(setuptools: str, tmp_path: Path, wheelworks_cache: Path) -> None:
    pyproject = projects.PYPROJECT.replace(">=3.11", ">=3.12")
    pyproject = pyproject.replace('["setuptools"]', f'["setuptools=={setuptools}", "wheel==0.43.0"]')
    setup = projects.setup(projects.LIMITED.replace("0x030b0000", "0x030c0000")).replace("cp311", "cp312")
    project = projects.sample(tmp_path / "p", projects.module(), setup, **{"pyproject.toml": pyproject})
    ended, wheels = build(project, wheelworks_cache, "--target", "win_arm64")
    assert ended.status == 0, ended.err
    assert [strip_name(one) for one in wheels] == ["cp312-abi3-win_arm64"]
    listed = wheelworks("build-wheels", project, "--list", "--target", "win_arm64", cache=wheelworks_cache)
    assert "cp312-abi3-" in listed.out and "1 wheels, built from sample-1.0.tar.gz" in listed.out, listed.err


def test_the_settings_of_cibuildwheel_reach_the_build(tmp_path: Path, wheelworks_cache: Path) -> None:
    text = projects.PYPROJECT + (
        '[tool.cibuildwheel]\nbuild = "cp31{1,2}-*"\nenvironment = { ANSWER = "$BASE.7" }\n'
        'config-settings = { "--build-option" = "--verbose" }\n'
        '[[tool.cibuildwheel.overrides]]\nselect = "cp312-*"\nenvironment = { ANSWER = "8" }\n'
    )
    setup = (
        "import os\nfrom setuptools import Extension, setup\n"
        "macros = [('ANSWER', os.environ.get('ANSWER', '0'))]\n"
        "setup(ext_modules=[Extension('sample', ['sample.c'], define_macros=macros)])\n"
    )
    source = projects.module("return PyLong_FromLong(1);", "const char *marker = STRING(ANSWER);")
    source = source.replace("#include", '#define TEXT(x) #x\n#define STRING(x) "answer=" TEXT(x)\n#include', 1)
    project = projects.sample(tmp_path / "p", source, setup, **{"pyproject.toml": text})
    ended, wheels = build(project, wheelworks_cache, "--target", "win_arm64", "--env", "BASE=3")
    assert ended.status == 0, ended.err
    assert [strip_name(one) for one in wheels] == ["cp311-cp311-win_arm64", "cp312-cp312-win_arm64"]
    files = (f"sample.cp{version}-win_arm64.pyd" for version in (311, 312))
    answers = [zipfile.ZipFile(one).read(file) for one, file in zip(wheels, files, strict=True)]
    assert b"answer=3.7\0" in answers[0] and b"answer=8\0" in answers[1]
