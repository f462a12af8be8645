"""Test CPython's headers for an ABI: where they are found, their release, and that all releases give the same files."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import lief
import pytest
from wheelworks.build import headers
from wheelworks.core import targets, zig
from wheelworks.core.errors import WheelworksError

PATCHLEVEL = """\
#define PY_MAJOR_VERSION        3
#define PY_MINOR_VERSION        {minor}
#define PY_MICRO_VERSION        {micro}
#define PY_RELEASE_LEVEL        PY_RELEASE_LEVEL_FINAL
#define PY_RELEASE_SERIAL       0
#define PY_VERSION              "3.{minor}.{micro}"
#define PYTHON_API_VERSION 1013
"""
FREE = targets.find_abi("cp314t")
PYCONFIG = Path(headers.__file__).with_name("pyconfig.h").as_posix()
THREAD = """
#ifdef __cplusplus
extern "C"
#endif
unsigned long long get_thread(void) { return __getReg(18); }
"""


def installed(folder: Path, minor: int = 14, micro: int = 2) -> Path:
    (folder / "cpython").mkdir(parents=True)
    (folder / "Python.h").write_text("a")
    (folder / "cpython" / "object.h").write_text("b")
    (folder / "pyconfig.h").write_text("the host's")
    (folder / "patchlevel.h").write_text(PATCHLEVEL.format(minor=minor, micro=micro))
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEELWORKS_CACHE", str(tmp_path / "cache"))


def test_headers_are_copied_with_our_configuration(tmp_path: Path) -> None:
    theirs = installed(tmp_path / "include", 11, 9)
    found = headers.adapt_headers(theirs, targets.get_build_abi())
    ours = Path(headers.__file__).with_name("pyconfig.h").read_text(encoding="utf-8")
    assert {path.relative_to(found.folder).as_posix(): path.read_text() for path in found.folder.rglob("*.h")} == {
        "Python.h": "a",
        "cpython/object.h": "b",
        "patchlevel.h": PATCHLEVEL.format(minor=11, micro=0),
        "pyconfig.h": ours,
    }
    assert found.release == "3.11.9" and found.sha256[:16] in found.folder.name
    (theirs / "pyconfig.h").write_text("another host's")
    again = headers.adapt_headers(theirs, targets.get_build_abi())
    assert again == found, "the host's pyconfig.h isn't used"


def test_another_release_gives_the_same_headers(tmp_path: Path) -> None:
    two, nine = (headers.adapt_headers(installed(tmp_path / str(micro), 14, micro), FREE) for micro in (2, 19))
    assert (two.sha256, two.folder) == (nine.sha256, nine.folder)
    assert (two.release, nine.release) == ("3.14.2", "3.14.19")


def test_without_the_gil_the_configuration_says_so(tmp_path: Path) -> None:
    theirs = installed(tmp_path / "include")
    assert (
        (headers.adapt_headers(theirs, FREE).folder / "pyconfig.h")
        .read_text()
        .startswith("#define Py_GIL_DISABLED 1\n")
    )


@pytest.mark.parametrize("text", ["", '#define PY_VERSION "3.15.0rc1"', '#define PY_VERSION "3.15.0b2+"'])
def test_what_is_no_final_release_is_passed_over(text: str, tmp_path: Path) -> None:
    folder = installed(tmp_path / "include")
    (folder / "patchlevel.h").write_text(text)
    assert headers.read_release(folder) == ""


def test_a_folder_without_headers_is_passed_over(tmp_path: Path) -> None:
    assert headers.read_release(tmp_path) == ""


def test_the_newest_release_on_the_machine_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    installed(tmp_path / "uv" / "cpython-3.14.9-linux" / "include" / "python3.14", 14, 9)
    installed(tmp_path / "pyenv" / "versions" / "3.14.20" / "include" / "python3.14t", 14, 20)
    installed(tmp_path / "pyenv" / "versions" / "3.15.30" / "include" / "python3.15", 15, 30)
    found = set(headers.list_header_folders("3.14"))
    assert {tmp_path / "pyenv/versions/3.14.20/include/python3.14t"} <= found
    monkeypatch.setattr(
        headers, "list_header_folders", lambda version: iter(one for one in found if tmp_path in one.parents)
    )
    assert headers.find_headers(FREE).release == "3.14.20"


@pytest.mark.parametrize(
    ("variable", "folder"),
    [
        ("PYENV_ROOT", "versions/3.14.0t/include/python3.14t"),
        ("UV_PYTHON_INSTALL_DIR", "cpython-3.14.0+freethreaded-linux-x86_64-gnu/include/python3.14t"),
        ("APPDATA", "uv/data/python/cpython-3.14.0+freethreaded-windows-x86_64-none/include"),
        ("LOCALAPPDATA", "Programs/Python/Python314-arm64/Include"),
        ("RUNNER_TOOL_CACHE", "Python/3.14.0/x64-freethreaded/include/python3.14t"),
        ("RUNNER_TOOL_CACHE", "Python/3.14.0/x64/include"),
        ("AGENT_TOOLSDIRECTORY", "Python/3.14.0/arm64-freethreaded/include/python3.14t"),
    ],
)
def test_each_installer_has_its_place(
    variable: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AGENT_TOOLSDIRECTORY", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "root"))
    ours, other = tmp_path / "root" / folder, tmp_path / "root" / folder.replace("14", "13")
    installed(ours, 14, 99)
    installed(other, 13, 99)
    found = [headers.read_release(place) for place in headers.list_header_folders("3.14") if tmp_path in place.parents]
    assert "3.14.99" in found and headers.find_headers(FREE).release == "3.14.99"


def test_where_there_are_none_the_ways_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "list_header_folders", lambda version: iter(()))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(WheelworksError, match=r"no headers of CPython 3\.14 on this machine") as caught:
        headers.find_headers(FREE)
    for way in ("uv python install 3.14", "pyenv install", "libpython3.14-dev", "brew", "winget", "mmdebstrap"):
        assert way in caught.value.hint


@pytest.mark.integration
@pytest.mark.needs("mmdebstrap")
def test_debian_has_them(wheelworks_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEELWORKS_CACHE", str(wheelworks_cache))
    monkeypatch.setattr(headers, "list_header_folders", lambda version: iter(()))
    found = headers.find_headers(FREE)
    assert found.release.startswith("3.14.")
    assert {"Python.h", "object.h", "pyconfig.h"} <= {path.name for path in found.folder.iterdir()}
    assert not [
        path for path in (wheelworks_cache / "debian-headers/3.14").iterdir() if path.suffix in (".tar", ".deb")
    ]


@pytest.mark.integration
@pytest.mark.parametrize("language", ["c", "c++"])
@pytest.mark.parametrize("dialect", [[], ["-fms-extensions"]], ids=["gnu", "microsoft"])
def test_a_thread_is_told_by_its_register_in_every_dialect(language: str, dialect: list[str], tmp_path: Path) -> None:
    """Python.h without the GIL calls __getReg on Windows, which clang knows only in Microsoft's C."""
    source, made = tmp_path / "a.c", tmp_path / "a.o"
    source.write_text(f'#define Py_GIL_DISABLED 1\n#include "{PYCONFIG}"\n' + THREAD)
    flags = [
        "-target",
        "aarch64-windows-gnu",
        "-O2",
        "-g0",
        "-x",
        language,
        *dialect,
        "-c",
        str(source),
        "-o",
        str(made),
    ]
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(tmp_path / "zig")}
    subprocess.run([zig.find_zig(), "cc", *flags], check=True, env=environment)
    parsed = lief.COFF.parse(made)
    assert parsed is not None
    [code] = [bytes(section.content) for section in parsed.sections if section.name == ".text"]
    assert code == bytes.fromhex("e00312aa c0035fd6"), "mov x0, x18; ret"
