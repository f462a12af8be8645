"""Test reading untrusted wheels: errors are reported, and time and memory are limited."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelworks.core.archive import Limits, Member, build_archive
from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheel import read_members

from tests.fixtures import archives

WHOLE = build_archive({"a.py": Member(b"a" * 500), "b/c.py": Member(b"\x01\x02\x03")}, 1_000_000_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x-1-py3-none-any.whl"


NAMES = ["../../a", "/abc/def", "ab/../cd", r"ab\..\cd", "C:/abcd", "C:abcde", "a//bcde", r"\\srv\ab", "abc\0def"]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_escape_are_refused(name: str, path: Path) -> None:
    stand_in = "N" * len(name)
    archives.renamed(archives.wheel(path, **{stand_in: b""}), stand_in.encode(), name.encode())
    with pytest.raises(WheelworksError, match=r"x-1-py3-none-any\.whl: "):
        read_members(path)


def test_two_members_of_one_name_are_refused(path: Path) -> None:
    archives.renamed(archives.wheel(path, aaaa=b"1", bbbb=b"2"), b"bbbb", b"aaaa")
    with pytest.raises(WheelworksError, match="two files with the same name"):
        read_members(path)


def test_a_bomb_is_refused_before_it_is_unpacked(path: Path) -> None:
    archives.wheel(path, bomb=bytes(50 << 20))
    tracemalloc.start()
    with pytest.raises(WheelworksError, match="holds more than 10 MiB or 50000 files"):
        read_members(path, Limits(size=10 << 20))
    assert tracemalloc.get_traced_memory()[1] < 5 << 20
    tracemalloc.stop()


def test_a_bomb_that_lies_of_its_size_is_not_unpacked(path: Path) -> None:
    archives.lying(archives.wheel(path, bomb=bytes(50 << 20)), lambda _: 10)
    tracemalloc.start()
    with pytest.raises(WheelworksError, match="damaged"):
        read_members(path)
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


def test_a_member_that_claims_too_much_is_refused(path: Path) -> None:
    archives.lying(archives.wheel(path, small=b"abc"), lambda size: size + 1)
    with pytest.raises(WheelworksError, match="damaged"):
        read_members(path)


def test_members_on_top_of_each_other_are_bounded(path: Path) -> None:
    """Many directory entries may name one compressed member, so the limit is on the sum of their declared sizes."""
    archives.wheel(path, bomb=bytes(1 << 20))
    data = path.read_bytes()
    place = data.index(b"PK\x01\x02")
    entry, end = data[place : data.index(b"PK\x05\x06")], data[data.index(b"PK\x05\x06") :]
    entries = b"".join(entry.replace(b"bomb", b"%04d" % number) for number in range(2000))
    counts = struct.pack("<HHI", 2000, 2000, len(entries))
    path.write_bytes(data[:place] + entries + end[:8] + counts + end[16:])
    with pytest.raises(WheelworksError, match="holds more than"):
        read_members(path)


def test_too_many_members_are_refused(path: Path) -> None:
    archives.wheel(path, **{f"f{number}": b"" for number in range(20)})
    with pytest.raises(WheelworksError, match="or 10 files"):
        read_members(path, Limits(members=10))


def test_an_encrypted_wheel_is_refused(path: Path) -> None:
    data = bytearray(WHOLE)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(WheelworksError, match="encrypted"):
        read_members(path)


@pytest.mark.parametrize("method", [1, 9, 12, 14, 93, 97])
def test_an_unknown_compression_is_refused(method: int, path: Path) -> None:
    data = bytearray(WHOLE)
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        struct.pack_into("<H", data, data.index(signature) + offset, method)
    path.write_bytes(data)
    with pytest.raises(WheelworksError, match="damaged, or not a wheel"):
        read_members(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_any_standard_compression_is_read(method: int, path: Path) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.py", b"a" * 1000)
        archive.mkdir("folder")
    assert read_members(path) == {"a.py": Member(b"a" * 1000)}


def test_a_wrong_checksum_is_found(path: Path) -> None:
    path.write_bytes(WHOLE.replace(b"\x01\x02\x03", b"\x01\x02\x04"))
    with pytest.raises(WheelworksError, match="damaged"):
        read_members(path)


def test_every_truncation_is_refused(path: Path) -> None:
    for length in range(len(WHOLE)):
        path.write_bytes(WHOLE[:length])
        with pytest.raises(WheelworksError, match="damaged"):
            read_members(path)


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    survives(tmp_path_factory.mktemp("wheel") / "x.whl", b"PK\x03\x04" + data)


@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.sampled_from([b"\0", b"\xff", b"\xff" * 4, b"PK\x05\x06"])))
)
def test_mutated_wheels(tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(WHOLE)
    for place, value in changes:
        data[place : place + len(value)] = value
    survives(tmp_path_factory.mktemp("wheel") / "x.whl", bytes(data))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_mutated_members_of_other_compressions(method: int, path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        archive.writestr("a.py", b"abc" * 100)
    for place in range(34, len(made.getvalue())):
        data = bytearray(made.getvalue())
        data[place] ^= 0xFF
        survives(path, bytes(data))


def survives(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    start = time.process_time()
    with suppress(WheelworksError):  # any other exception is a fault
        read_members(path)
    assert time.process_time() - start < 1
