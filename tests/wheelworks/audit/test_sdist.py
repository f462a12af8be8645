"""Test that the defects of sdists are found, and that a good sdist has no finding."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelworks.audit import sdist, upload
from wheelworks.core.archive import Limits

from tests.fixtures import archives
from tests.fixtures.archives import file, special
from tests.fixtures.commands import wheelworks

NAME = "sample-1.0.tar.gz"
INFO = b"Metadata-Version: 2.4\nName: sample\nVersion: 1.0\nLicense-File: LICENSE\n"
Member = tuple[tarfile.TarInfo, bytes]


def members(info: bytes = INFO, licence: str = "LICENSE") -> list[Member]:
    return [file("sample-1.0/PKG-INFO", info), file(f"sample-1.0/{licence}", b"free"), file("sample-1.0/a.py")]


def codes(path: Path) -> set[str]:
    return {one.code for one in sdist.inspect_sdist(path).findings}


def test_a_good_sdist_has_no_finding(tmp_path: Path) -> None:
    more = [special("sample-1.0", tarfile.DIRTYPE), special("sample-1.0/b.py", tarfile.SYMTYPE, "a.py")]
    assert codes(archives.sdist(tmp_path / NAME, *members(), *more, file("sample-1.0/.gitignore"))) == set()


def a(*more: Member, **parts: str) -> Callable[[], list[Member]]:
    return lambda: [*members(**parts), *more]  # type: ignore[arg-type]


DEFECTS = {
    "climbs": ("W004", a(file("sample-1.0/../../x"))),
    "absolute": ("W004", a(file("/etc/x"))),
    "link-out": ("W004", a(special("sample-1.0/x", tarfile.SYMTYPE, "../../etc/passwd"))),
    "hard-link-out": ("W004", a(special("sample-1.0/x", tarfile.LNKTYPE, "other/y"))),
    "twice": ("W005", a(file("sample-1.0/A.py"))),
    "device": ("W006", a(special("sample-1.0/x", tarfile.FIFOTYPE))),
    "everyone-writes": ("W007", a(file("sample-1.0/x", mode=0o666))),
    "bytecode": ("W013", a(file("sample-1.0/x.pyc"))),
    "stray": ("W014", a(file("sample-1.0/.DS_Store"))),
    "no-metadata": ("W017", lambda: members()[1:]),
    "bad-metadata": ("W017", lambda: members(INFO + b"Requires-Python: three\n")),
    "other-version": ("W018", lambda: members(INFO.replace(b"1.0", b"1.1"))),
    "no-such-licence": ("W021", lambda: members(licence="COPYING")),
    "no-licence": ("W022", lambda: members(INFO.replace(b"License-File: LICENSE\n", b""), "readme")),
    "newer-field": ("W027", lambda: members(INFO.replace(b"2.4", b"2.2"))),
    "direct-requirement": ("W032", lambda: members(INFO + b"Requires-Dist: x @ https://example.org/x.tar.gz\n")),
    "classifier": ("W033", lambda: members(INFO + b"Classifier: Topic :: Nonsense\n")),
    "description": ("W036", lambda: members(INFO + b"Description-Content-Type: text/x-rst\n\n.. nonsense:: x\n")),
    "second-top": ("W028", a(file("other/x"))),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_found(name: str, tmp_path: Path) -> None:
    code, made = DEFECTS[name]
    found = codes(archives.sdist(tmp_path / NAME, *made()))
    assert code in found and found <= {code, "W028"}  # a member that escapes is also outside the top folder


def test_a_file_that_is_too_large_for_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "_LARGEST_FILE", 10)
    assert codes(archives.sdist(tmp_path / NAME, *members())) == {"W037"}


def test_another_projects_folder(tmp_path: Path) -> None:
    made = [file("other-1.0/PKG-INFO", INFO), file("other-1.0/LICENSE")]
    assert codes(archives.sdist(tmp_path / NAME, *made)) == {"W028"}


def test_a_name_that_is_no_sdists(tmp_path: Path) -> None:
    assert codes(archives.sdist(tmp_path / "sample.tar.gz", *members())) == {"W003"}


@pytest.mark.parametrize(
    "data", [b"", b"PK", gzip.compress(b"no tar", mtime=0), gzip.compress(bytes(600), mtime=0)[:-9]]
)
def test_what_is_no_archive(data: bytes, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(data)
    assert codes(tmp_path / NAME) & {"W001", "W017"}


def test_more_than_the_limits_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archives.sdist(tmp_path / NAME, *members(), file("sample-1.0/big", bytes(1 << 20)))
    for limits in (Limits(size=1000, members=10), Limits(members=2)):
        monkeypatch.setattr(sdist, "LIMITS", limits)
        assert codes(path) == {"W002"}


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=4)), max_size=8), st.integers(0, 9000))
def test_mutated_archives(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, bytes]], length: int
) -> None:
    data = bytearray(archives.tar(members()))
    for place, value in changes:
        data[place : place + len(value)] = value
    path = tmp_path_factory.mktemp("mutated") / NAME
    path.write_bytes(gzip.compress(bytes(data[: length or None])))
    sdist.inspect_sdist(path)


def test_an_sdist_beside_wheels_is_audited(tmp_path: Path) -> None:
    archives.sdist(tmp_path / NAME, *members(), file("sample-1.0/x.pyc"))
    ended = wheelworks("audit", tmp_path, cache=tmp_path)
    assert ended.status == 1 and "error W013" in ended.out and "1 file," in ended.out
