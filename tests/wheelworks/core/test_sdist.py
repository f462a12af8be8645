"""Test unpacking of untrusted sdists: no file leaves the folder, sizes are limited, and errors are WheelworksErrors."""

from __future__ import annotations

import gzip
import os
import tarfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelworks.core.archive import Limits
from wheelworks.core.errors import WheelworksError
from wheelworks.core.sdist import unpack_sdist

from tests.fixtures.archives import TOP, file, header, of_zeros, sdist, special, tar

PROJECT = file(f"{TOP}/setup.py", b"print()")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "sample-1.0.tar.gz"


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "outer" / "into"


def refused(archive: Path, into: Path, finding: str) -> None:
    """Check that unpacking raises an error that names the archive, and that it writes nothing outside the folder."""
    before = set(archive.parent.iterdir())
    with pytest.raises(WheelworksError, match=finding) as caught:
        unpack_sdist(archive, into)
    assert archive.name in caught.value.message
    assert set(archive.parent.iterdir()) - before <= {into.parent}
    assert {path.name for path in into.parent.iterdir()} <= {"into"} if into.parent.exists() else True


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_files_folders_modes_and_the_newest_time(form: int, archive: Path, into: Path) -> None:
    members = (
        special(TOP, tarfile.DIRTYPE),
        file(f"{TOP}/tool", b"#!", mode=0o4755, mtime=1_700_000_000),
        file(f"{TOP}/deep/er/data", b"\0" * 3000, mode=0o600),
        file(f"./{TOP}/dot.c", b"int x;"),
    )
    root, newest = unpack_sdist(sdist(archive, *members, form=form), into)
    assert (root, newest) == (into / TOP, 1_700_000_000)
    assert (root / "deep/er/data").read_bytes() == b"\0" * 3000
    assert (root / "dot.c").read_bytes() == b"int x;"
    if os.name == "posix":
        assert [oct((root / name).stat().st_mode & 0o7777) for name in ("tool", "deep/er/data")] == ["0o755", "0o644"]


ESCAPES = ["../x", "../../x", "/tmp/x", "//server/x", "..\\x", "C:/x", "C:x", "c:\\x", "..", "\\\\server\\x"]


@pytest.mark.parametrize("name", [*ESCAPES, f"{TOP}/../../x", f"{TOP}/a/../../../x", f"{TOP}/a:stream", f"{TOP}/a\\b"])
def test_names_that_escape_are_refused(name: str, archive: Path, into: Path) -> None:
    refused(sdist(archive, PROJECT, file(name, b"x")), into, "would be written outside its folder")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["../../x", "/etc/passwd", "../../../../../../etc/passwd", "C:/x", "..\\..\\x"])
def test_links_that_lead_outside_are_refused(kind: bytes, target: str, archive: Path, into: Path) -> None:
    members = (PROJECT, special(f"{TOP}/link", kind, target))
    refused(sdist(archive, *members), into, "would be written outside its folder|isn't in the archive")


def test_a_file_isnt_written_through_a_link(archive: Path, into: Path, tmp_path: Path) -> None:
    members = (PROJECT, special(f"{TOP}/link", tarfile.SYMTYPE, str(tmp_path)), file(f"{TOP}/link/x", b"x"))
    refused(sdist(archive, *members), into, "would be written outside|isn't in the archive")


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (tarfile.SYMTYPE, "../setup.py"),
        (tarfile.LNKTYPE, f"{TOP}/setup.py"),
        (tarfile.SYMTYPE, f"../../{TOP}/setup.py"),
    ],
)
def test_links_inside_become_copies(kind: bytes, target: str, archive: Path, into: Path) -> None:
    root, _ = unpack_sdist(sdist(archive, PROJECT, special(f"{TOP}/deep/link", kind, target)), into)
    assert not (root / "deep/link").is_symlink()
    assert (root / "deep/link").read_bytes() == b"print()"


@pytest.mark.parametrize("target", ["nowhere", ".", "..", "link"])
def test_links_to_no_file_are_refused(target: str, archive: Path, into: Path) -> None:
    members = (PROJECT, special(f"{TOP}/deep", tarfile.DIRTYPE), special(f"{TOP}/link", tarfile.SYMTYPE, target))
    refused(sdist(archive, *members), into, "isn't in the archive|outside its folder")


def test_links_may_come_before_their_targets_and_lead_to_links(archive: Path, into: Path) -> None:
    """PEP 721 asks for no order."""
    links = [("first", "second"), ("second", "deep/file"), ("folder", "deep"), ("of_a_link", "folder/file")]
    members = (special(f"{TOP}/{name}", tarfile.SYMTYPE, target) for name, target in links)
    root, _ = unpack_sdist(sdist(archive, *members, PROJECT, file(f"{TOP}/deep/file", b"x")), into)
    for name in ("first", "second", "folder/file", "of_a_link"):
        assert (root / name).read_bytes() == b"x" and not (root / name).is_symlink()
    assert not (root / "folder").is_symlink()


@pytest.mark.parametrize("links", [{"a": "b", "b": "a"}, {"deep/a": "../deep"}, {"a/x": "../b", "b/y": "../a"}])
def test_a_loop_of_links_is_refused_at_once(links: dict[str, str], archive: Path, into: Path) -> None:
    members = (special(f"{TOP}/{name}", tarfile.SYMTYPE, target) for name, target in links.items())
    folders = (special(f"{TOP}/{name}", tarfile.DIRTYPE) for name in ("deep",))
    refused(sdist(archive, PROJECT, *folders, *members), into, "isn't in the archive or contains it")


def test_links_to_folders_of_links_count_towards_the_size(archive: Path, into: Path) -> None:
    """Each level doubles the one before: 2 ** 40 files if no limit applied."""
    levels = [special(f"{TOP}/{n}/{side}", tarfile.SYMTYPE, f"../{n - 1}") for n in range(1, 41) for side in "ab"]
    sdist(archive, file(f"{TOP}/0/big", bytes(1000)), *levels)
    with pytest.raises(WheelworksError, match="more than"):
        unpack_sdist(archive, into, Limits(1_000_000))


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"])
def test_devices_and_unknown_kinds_are_refused(kind: bytes, archive: Path, into: Path) -> None:
    refused(sdist(archive, PROJECT, special(f"{TOP}/x", kind)), into, f"{TOP}/x is no file, folder or link")


def test_one_top_folder(archive: Path, into: Path) -> None:
    refused(sdist(archive, PROJECT, file("another/x")), into, "one top folder, this has 2: another, sample-1.0")


@pytest.mark.parametrize("members", [(), (file("setup.py"),)])
def test_no_top_folder(members: tuple[tuple[tarfile.TarInfo, bytes], ...], archive: Path, into: Path) -> None:
    refused(sdist(archive, *members), into, "one top folder")


@pytest.mark.parametrize(
    "members",
    [
        (file(f"{TOP}/a"), file(f"{TOP}/a/b")),
        (file(f"{TOP}/a/b"), file(f"{TOP}/a")),
        (file(f"{TOP}/a"), special(f"{TOP}/a", tarfile.DIRTYPE)),
        (file(f"{TOP}/a"), file(f"{TOP}/b"), special(f"{TOP}/a/link", tarfile.SYMTYPE, "../b")),
        (file(f"{TOP}/a/b"), file(f"{TOP}/c"), special(f"{TOP}/a", tarfile.SYMTYPE, "c")),
    ],
)
def test_a_file_where_a_folder_is_needed(
    members: tuple[tuple[tarfile.TarInfo, bytes], ...], archive: Path, into: Path
) -> None:
    refused(sdist(archive, *members), into, "both a file and a folder")


@pytest.mark.parametrize("name", ["x" * 300, "/".join(["deep"] * 2000)])
def test_a_name_that_is_too_long(name: str, archive: Path, into: Path) -> None:
    refused(sdist(archive, file(f"{TOP}/{name}")), into, "too long")


@pytest.mark.parametrize("mtime", [-1, 1 << 33, (1 << 36) - 1])
def test_any_time_is_taken(mtime: int, archive: Path, into: Path) -> None:
    _, newest = unpack_sdist(sdist(archive, file(f"{TOP}/a", mtime=mtime)), into)
    assert newest >= 0


@pytest.mark.parametrize("mtime", ["nan", "inf", "-inf", "1e400", "x"])
def test_a_time_that_is_no_number(mtime: str, archive: Path, into: Path) -> None:
    member, data = file(f"{TOP}/a")
    member.pax_headers = {"mtime": mtime}
    member.mtime = 5
    survives(sdist(archive, PROJECT, (member, data)), into)


def test_a_bomb_of_ten_gigabytes_is_refused_soon(archive: Path, into: Path) -> None:
    of_zeros(archive, header(f"{TOP}/bomb", 10 << 30), 10 << 30)
    start = time.process_time()
    refused(archive, into, "unpacks to more than 1024 MiB or 50000 members")
    assert time.process_time() - start < 5
    assert not (into / TOP / "bomb").exists()


def test_a_bomb_within_a_header_is_refused_soon(archive: Path, into: Path) -> None:
    of_zeros(archive, header("././@LongLink", 9 << 30, tarfile.GNUTYPE_LONGNAME), 1 << 31)
    start = time.process_time()
    refused(archive, into, "unpacks to more than|a header of")
    assert time.process_time() - start < 5


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_giant_pax_header_is_refused_soon(kind: bytes, archive: Path, into: Path) -> None:
    of_zeros(archive, header("pax", 1 << 31, kind), 1 << 31)
    start = time.process_time()
    refused(archive, into, "unpacks to more than|a header of|damaged")
    assert time.process_time() - start < 5


def test_headers_upon_headers_are_refused(archive: Path, into: Path) -> None:
    chain = (header("././@LongLink", 512, tarfile.GNUTYPE_LONGNAME) + b"x".ljust(512, b"\0")) * 5000
    archive.write_bytes(gzip.compress(chain + tar([PROJECT]), 1))
    refused(archive, into, "damaged|unpacks to more than")


def test_a_name_that_is_no_utf8_is_refused(archive: Path, into: Path) -> None:
    plain = tar([file(f"{TOP}/aaaa")], tarfile.USTAR_FORMAT)
    archive.write_bytes(gzip.compress(plain.replace(b"/aaaa", b"/\xff\xfea"), 1))
    refused(archive, into, "damaged|outside its folder")


def test_too_many_members_are_refused(archive: Path, into: Path) -> None:
    sdist(archive, *(file(f"{TOP}/{number}") for number in range(30)))
    with pytest.raises(WheelworksError, match="or 10 members"):
        unpack_sdist(archive, into, Limits(members=10))


def test_copies_of_links_count_towards_the_size(archive: Path, into: Path) -> None:
    links = (special(f"{TOP}/{number}", tarfile.SYMTYPE, "big") for number in range(30))
    sdist(archive, file(f"{TOP}/big", bytes(100_000)), *links)
    with pytest.raises(WheelworksError, match="unpacks to more than"):
        unpack_sdist(archive, into, Limits(size=1 << 20))


@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04", b"\x1f\x8b", b"\x1f\x8b\x08\0" + bytes(6), b"text", gzip.compress(b"x", mtime=0)]
)
def test_what_is_no_sdist(data: bytes, archive: Path, into: Path) -> None:
    archive.write_bytes(data)
    refused(archive, into, "damaged or not|one top folder")


def test_truncated_at_every_tenth_byte(archive: Path, into: Path, tmp_path: Path) -> None:
    whole = sdist(archive, PROJECT, file(f"{TOP}/noise", os.urandom(1500))).read_bytes()
    for length in range(0, len(whole) - 1, 10):
        archive.write_bytes(whole[:length])
        with pytest.raises(WheelworksError, match="damaged or not"):
            unpack_sdist(archive, tmp_path / str(length))


def test_a_damaged_byte_anywhere(archive: Path, tmp_path: Path) -> None:
    plain = bytearray(tar([PROJECT, file(f"{TOP}/b", b"b" * 600)]))
    for place in range(0, 2 * 512 + 8, 3):
        damaged = bytes(plain[:place]) + bytes([plain[place] ^ 0x55]) + bytes(plain[place + 1 :])
        archive.write_bytes(gzip.compress(damaged, 1))
        survives(archive, tmp_path / str(place))


@given(st.binary(max_size=1500))
def test_random_headers(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    place = tmp_path_factory.mktemp("sdist")
    (place / "x.tar.gz").write_bytes(gzip.compress(header(f"{TOP}/a", 512) + data, 1))
    survives(place / "x.tar.gz", place / "into")


def survives(archive: Path, into: Path) -> None:
    try:
        unpack_sdist(archive, into)
    except WheelworksError as error:
        assert archive.name in error.message  # noqa: PT017
