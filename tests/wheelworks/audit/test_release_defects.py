"""Test the defects that pip, the index or users meet: each is found under its own code, and its good twin is silent."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import IO, Any

import pytest
from wheelworks.audit import upload
from wheelworks.audit.inspection import inspect_wheel

from tests.fixtures import archives
from tests.fixtures.drafts import draft
from tests.fixtures.release_defects import DEFECTS, GOOD
from tests.fixtures.spoilers import Defect
from tests.wheelworks.audit import made


@pytest.mark.parametrize("defect", DEFECTS, ids=str)
def test_a_defect_is_found_and_nothing_else(defect: Defect, tmp_path: Path) -> None:
    one = draft(made.wheel(tmp_path))
    defect.spoil(one)
    assert [finding.code for finding in inspect_wheel(one.write(tmp_path)).findings] == [defect.code]


@pytest.mark.parametrize("name", GOOD)
def test_a_good_twin_is_silent(name: str, tmp_path: Path) -> None:
    one = draft(made.wheel(tmp_path))
    GOOD[name](one)
    assert inspect_wheel(one.write(tmp_path)).findings == ()


def test_a_file_that_is_too_large_for_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made.wheel(tmp_path)
    monkeypatch.setattr(upload, "_LARGEST_FILE", path.stat().st_size)
    assert inspect_wheel(path).findings == ()
    monkeypatch.setattr(upload, "_LARGEST_FILE", path.stat().st_size - 1)
    assert [one.code for one in inspect_wheel(path).findings] == ["W037"]


def test_a_description_that_docutils_fails_at_is_not_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr("readme_renderer.rst.render", fail)
    assert list(upload.render_description("text")) == ["docutils failed: RecursionError: too deep"]


def test_an_empty_archive_is_read(tmp_path: Path) -> None:
    path = archives.wheel(tmp_path / made.NAME)
    assert [one.code for one in inspect_wheel(path).findings] == ["W008", "W017", "W020", "W022", "W046"]


def test_sizes_after_the_data_are_part_of_the_archive(tmp_path: Path) -> None:
    path = tmp_path / made.NAME
    with open(path, "wb") as file, zipfile.ZipFile(Unseekable(file), "w") as archive:
        for name, member in made.members().items():
            with archive.open(name, "w", force_zip64=True) as out:
                out.write(member.data)
    assert {one.code for one in inspect_wheel(path).findings} == {"W007", "W052"}  # `open` gives the mode 600


def test_the_records_of_large_archives_are_part_of_the_archive(tmp_path: Path) -> None:
    path = made.wheel(tmp_path)
    data = path.read_bytes()
    start, end = data.index(b"PK\1\2"), data.rindex(b"PK\5\6")
    count = len(made.members())
    record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, end - start, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
    path.write_bytes(data[:end] + record + locator + b"PK\5\6" + bytes(4) + b"\xff" * 12 + bytes(2))
    assert inspect_wheel(path).findings == ()


class Unseekable(io.RawIOBase):
    """A file that can only be written to at its end, for which `zipfile` writes the sizes after the data."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self.file.write(data)
