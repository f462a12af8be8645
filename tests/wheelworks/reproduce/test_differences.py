"""The location of differences between archives and binaries: members, sections and header fields."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelworks.build.sdist import write_sdist
from wheelworks.core.archive import Member, build_archive
from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheel import replace_record
from wheelworks.reproduce import differences, regions
from wheelworks.reproduce.differences import ByteDifference

from tests.fixtures import builds

INFO = "sample-1.0.dist-info"
FILES = {"a.py": b"x = 1\ny = 2\n", f"{INFO}/WHEEL": b"Wheel-Version: 1.0\n"}


def wheel(folder: Path, files: dict[str, bytes], epoch: int = 1_700_000_000) -> Path:
    members = {name: Member(data) for name, data in files.items()}
    folder.mkdir(exist_ok=True)
    path = folder / "sample-1.0-py3-none-any.whl"
    path.write_bytes(build_archive(replace_record(members, INFO), epoch))
    return path


def sdist(folder: Path, epoch: int = 1_700_000_000) -> Path:
    tree = folder / "sample-1.0"
    tree.mkdir(parents=True)
    (tree / "pyproject.toml").write_text("")
    return write_sdist(tree, epoch, folder / "sample-1.0.tar.gz")


def test_equal_files_have_no_difference(tmp_path: Path) -> None:
    assert differences.compare_files(wheel(tmp_path / "1", FILES), wheel(tmp_path / "2", FILES)) == []


def test_a_changed_line_is_reported_with_both_values_and_without_record(tmp_path: Path) -> None:
    other = wheel(tmp_path / "2", {**FILES, "a.py": b"x = 1\ny = 3\n"})
    found = differences.compare_files(wheel(tmp_path / "1", FILES), other)
    assert found == [ByteDifference("a.py", "line 2", r"'y = 2\n'", r"'y = 3\n'")]


def test_different_line_ends_are_not_different_text(tmp_path: Path) -> None:
    other = wheel(tmp_path / "2", {**FILES, "a.py": b"x = 1\r\ny = 2\r\n"})
    found = differences.compare_files(wheel(tmp_path / "1", FILES), other)
    assert found == [ByteDifference("a.py", "line ends only", "LF", "CRLF")]


def test_a_member_of_only_one_archive_is_reported(tmp_path: Path) -> None:
    found = differences.compare_files(wheel(tmp_path / "1", FILES), wheel(tmp_path / "2", {**FILES, "b.py": b""}))
    assert found == [ByteDifference("b.py", "the file itself", "(absent)", "present")]


def test_equal_members_are_listed(tmp_path: Path) -> None:
    other = wheel(tmp_path / "2", {**FILES, "a.py": b"", "b.py": b""})
    assert differences.find_equal_members(wheel(tmp_path / "1", FILES), other) == [f"{INFO}/WHEEL"]


def test_a_different_time_belongs_to_the_archive(tmp_path: Path) -> None:
    found = differences.compare_files(wheel(tmp_path / "1", FILES), wheel(tmp_path / "2", FILES, 1_700_000_100))
    assert {one.where for one in found} == {"archive's date"}
    assert found[0].first == "2023-11-14 22:13:20" and found[0].second == "2023-11-14 22:15:00"


def again(path: Path, place: Path, *, reverse: bool = False, level: int = 6, mode: int = 0o100644) -> Path:
    place.mkdir()
    copy = place / path.name
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for info in old.infolist()[:: -1 if reverse else 1]:
            fresh = zipfile.ZipInfo(info.filename, info.date_time)
            fresh.create_system, fresh.external_attr = 3, mode << 16
            fresh.compress_type = info.compress_type
            new.writestr(fresh, old.read(info), compresslevel=level)
    return copy


def test_a_different_file_mode_is_reported(tmp_path: Path) -> None:
    first = wheel(tmp_path / "1", FILES)
    found = differences.compare_files(first, again(first, tmp_path / "2", mode=0o100600))
    assert {(one.where, one.first, one.second) for one in found} == {("archive's mode", "100644", "100600")}


def test_a_different_order_is_reported(tmp_path: Path) -> None:
    first = wheel(tmp_path / "1", FILES)
    found = differences.compare_files(first, again(first, tmp_path / "2", reverse=True))
    assert found[0] == ByteDifference("", "order of members, from number 1 on", "a.py", f"{INFO}/RECORD")


def test_another_compressor_is_reported(tmp_path: Path) -> None:
    many = {**FILES, "a.py": b"".join(b"%d\n" % (n * n) for n in range(3000))}
    first = wheel(tmp_path / "1", many)
    found = differences.compare_files(first, again(first, tmp_path / "2", level=1))
    assert [one.where for one in found] == ["compressed data"]


def test_time_and_owner_of_an_sdist_are_reported(tmp_path: Path) -> None:
    found = differences.compare_files(sdist(tmp_path / "1"), sdist(tmp_path / "2", 1_700_000_009))
    assert {one.where for one in found} == {"archive's mtime"}
    owned = tmp_path / "3" / "sample-1.0.tar.gz"
    owned.parent.mkdir()
    with tarfile.open(tmp_path / "1" / "sample-1.0.tar.gz") as old, tarfile.open(owned, "w:gz") as new:
        for info in old.getmembers():
            info.uname, info.uid = "builder", 1000
            new.addfile(info, old.extractfile(info) if info.isreg() else None)
    found = differences.compare_files(tmp_path / "1" / "sample-1.0.tar.gz", owned)
    assert ("sample-1.0/pyproject.toml", "archive's user", " (0)", "builder (1000)") in [
        (one.member, one.where, one.first, one.second) for one in found
    ]


@pytest.mark.parametrize("name", ["sample-1.0-py3-none-any.whl", "sample-1.0.tar.gz"])
def test_damage_is_reported_with_the_file_name(name: str, tmp_path: Path) -> None:
    for folder, data in (("1", b"nothing"), ("2", b"nothing at all")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(data)
    with pytest.raises(WheelworksError, match=f"{name}: damaged"):
        differences.compare_files(tmp_path / "1" / name, tmp_path / "2" / name)


def test_an_sdist_that_unpacks_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differences, "_MAX_UNPACKED", 1000)
    paths = []
    for folder in ("1", "2"):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / "sample-1.0.tar.gz")
        with tarfile.open(paths[-1], "w:gz") as tar:
            info = tarfile.TarInfo(f"sample-1.0/{folder}")
            info.size = 5000
            tar.addfile(info, io.BytesIO(bytes(5000)))
    with pytest.raises(WheelworksError, match="refused"):
        differences.compare_files(*paths)


PLATFORMS = {
    "win_arm64": "section .rdata",
    "win32": "section .rdata",
    "linux_aarch64": "section .rodata",
    "linux_armv7l": "section .rodata",
    "macosx_11_0_arm64": "section __TEXT,__cstring",
}


@pytest.fixture(scope="module", params=PLATFORMS)
def platform(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def binary(platform: str) -> bytes:
    return builds.build("slots.c", platform).read_bytes()


@pytest.mark.integration
def test_the_regions_lie_within_the_file_and_have_names(binary: bytes) -> None:
    found = regions.find_regions(binary)
    assert len({region.name for region in found}) > 10
    assert all(region.offset >= 0 and region.offset + region.size <= len(binary) for region in found)


@pytest.mark.integration
def test_a_change_in_each_region_is_placed_there(binary: bytes) -> None:
    for region in regions.find_regions(binary):
        if region.size == 0:
            continue
        changed = bytearray(binary)
        changed[region.offset] ^= 0x40
        assert regions.find_regions(binary), "the original stays readable"
        found = differences.compare_binaries(binary, bytes(changed))
        if regions.find_regions(bytes(changed)):  # a change may make the file unreadable
            assert f"{region.offset:#x}" in str(found), (region, found)


@pytest.mark.integration
def test_a_string_is_shown_as_text(binary: bytes, platform: str) -> None:
    at = binary.index(b"fixture\0")
    changed = binary[:at] + b"Fixture" + binary[at + 7 :]
    (found,) = differences.compare_binaries(binary, changed)
    assert found[0].startswith(("section", "LIEF"))
    assert "fixture" in found[1] and "Fixture" in found[2]


@pytest.mark.integration
def test_the_time_of_a_windows_binary_is_named() -> None:
    data = builds.build("slots.c", "win_arm64").read_bytes()
    (start,) = struct.unpack_from("<I", data, 0x3C)
    changed = bytearray(data)
    struct.pack_into("<I", changed, start + 8, 0x12345678)
    (found,) = differences.compare_binaries(data, bytes(changed))
    assert found[0] == f"header field TimeDateStamp, offset {start + 8:#x}"
    assert found[2] == "0x12345678"


def test_different_sizes_are_reported_first() -> None:
    assert differences.compare_binaries(b"\0abc", b"\0abcd")[0] == ("size of the file", "4 bytes", "5 bytes")


def test_unknown_data_is_compared_by_offset() -> None:
    assert differences.compare_binaries(b"\0\1\2\3", b"\0\1\7\3") == [("data, offset 0x2", "02 03", "07 03")]


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_two_that_differ_have_a_difference(first: bytes, second: bytes) -> None:
    if first != second:
        assert differences.compare_binaries(first, second)


@given(st.sampled_from([b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe"]), st.binary(max_size=300))
def test_damaged_binaries_are_compared(magic: bytes, rest: bytes) -> None:
    assert differences.compare_binaries(magic + rest, magic + rest + b"\1")


def test_without_diffoscope_there_is_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert differences.run_diffoscope(tmp_path / "1", tmp_path / "2") == ""


def test_diffoscope_is_limited_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "diffoscope"
    program.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(differences, "_DIFFOSCOPE_SECONDS", -59.5)
    assert "did not end within 0.5 s" in differences.run_diffoscope(tmp_path / "1", tmp_path / "2")
