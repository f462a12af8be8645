"""Test that names of Windows' headers are found in any case."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelworks.build import windows_names
from wheelworks.build.windows_names import read_sources, write_forwarding_headers

from tests.fixtures import projects


@pytest.fixture
def zig(tmp_path: Path) -> str:
    """Return the program of a compiler with two of Windows' headers."""
    headers = tmp_path / "zig/lib/libc/include/any-windows-any"
    projects.write(headers, {"windows.h": "", "sys/types.h": "", "GL/gl.h": ""})
    return str(tmp_path / "zig/zig")


def forwarded(tmp_path: Path, zig: str, **files: str) -> dict[str, str]:
    tree = projects.write(tmp_path / "tree", files)
    into = tmp_path / "into"
    folder = write_forwarding_headers(read_sources(tree).names, tree, zig, into)
    assert folder == (into if into.exists() else None)
    made = [path for path in into.rglob("*") if path.is_file()]
    return {path.relative_to(into).as_posix(): path.read_text().strip() for path in made}


def test_windows_headers_in_any_case(tmp_path: Path, zig: str) -> None:
    text = "#include <Windows.h>\n#include <windows.h>\n#if __has_include(<SYS\\\\Types.h>)\n#include <GL/gl.h>\n"
    found = forwarded(tmp_path, zig, **{"a.c": text.replace("\\\\", "\\"), "b.pyx": 'cdef extern from "WINDOWS.H":'})
    assert found["Windows.h"] == "#include <windows.h>" and found["SYS/Types.h"] == "#include <sys/types.h>"
    assert set(found) == {"Windows.h", "SYS/Types.h"}


def test_the_projects_own_headers(tmp_path: Path, zig: str) -> None:
    files = {"a.c": '#include "Own.h"\n#include "Twice.h"\n#include "Exact.h"\n#include "Nowhere.h"\n'}
    files |= {"deep/own.h": "", "x/twice.h": "", "y/twice.h": "", "x/Exact.h": ""}
    found = forwarded(tmp_path, zig, **files)
    assert found == {"Own.h": f'#include "{tmp_path.as_posix()}/tree/deep/own.h"'}


def test_no_header_is_written_outside(tmp_path: Path, zig: str) -> None:
    text = '#include "a/../../../../GL/GL.h"\n#include "..\\\\Windows.h"\n'
    forwarded(tmp_path, zig, **{"a.c": text})
    assert {path.name for path in tmp_path.iterdir()} <= {"zig", "tree", "into"}


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_text_is_read(data: bytes) -> None:
    assert all(name.decode().isprintable() for name in windows_names._HEADER_NAME.findall(data))
