"""Test the search for paths of the build machine: example paths in texts that people write are not reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheelworks.audit.inspection import inspect_wheel

from tests.wheelworks.audit import made


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("sample/docs.py", b"open('/home/giampaolo/monit.py')"),
        ("sample/notes.txt", b"docker run -v .:/io/project/x, https://example.org/project/psutil/#files"),
        ("sample/x.pc", b"prefix=/usr\nlibdir=${prefix}/build/x/lib\nincludedir=/usr/include/x"),
        ("sample/x.cmake", b'include("${CMAKE_CURRENT_LIST_DIR}/../build/x/y.cmake")'),
        ("sample/__config__.py", b"python = '/usr/bin/python3'  # see https://example.org/build/x/y"),
    ],
)
def test_a_path_of_no_builder_is_none(name: str, data: bytes, tmp_path: Path) -> None:
    assert inspect_wheel(made.wheel(tmp_path, **{name: data})).findings == ()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("sample/notes.txt", b"made in /home/runner/_work/sample/sample/x.py"),
        ("sample/__config__.py", b"args = '-I/build/sample/include'"),
        ("sample/x.la", b"libdir='/project/x/lib'"),
        ("sample/x.pc", b"prefix=/Users/me/prefix"),
        ("sample/long.cmake", b" " * ((1 << 20) - 4) + b"/io/sample/lib"),
    ],
)
def test_a_path_of_a_builder_is_reported(name: str, data: bytes, tmp_path: Path) -> None:
    [found] = inspect_wheel(made.wheel(tmp_path, **{name: data})).findings
    assert (found.code, found.member) == ("W024", name) and found.evidence[:3] in data.decode()
