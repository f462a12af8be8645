"""How two archives differ: members, places in them, and what the archive says beside them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from wheelworks.build.sdist import write_sdist
from wheelworks.core.archive import Member, build_archive
from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheel import replace_record
from wheelworks.reproduce import differences
from wheelworks.reproduce.differences import ByteDifference

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


def test_a_changed_line_is_told_with_both_values_and_record_is_left_out(tmp_path: Path) -> None:
    other = wheel(tmp_path / "2", {**FILES, "a.py": b"x = 1\ny = 3\n"})
    found = differences.compare_files(wheel(tmp_path / "1", FILES), other)
    assert found == [ByteDifference("a.py", "line 2", r"'y = 2\n'", r"'y = 3\n'")]


def test_line_ends_are_no_other_text(tmp_path: Path) -> None:
    other = wheel(tmp_path / "2", {**FILES, "a.py": b"x = 1\r\ny = 2\r\n"})
    found = differences.compare_files(wheel(tmp_path / "1", FILES), other)
    assert found == [ByteDifference("a.py", "line ends only", "LF", "CRLF")]


def test_a_member_that_only_one_has_is_told(tmp_path: Path) -> None:
    found = differences.compare_files(wheel(tmp_path / "1", FILES), wheel(tmp_path / "2", {**FILES, "b.py": b""}))
    assert found == [ByteDifference("b.py", "the file itself", "(absent)", "present")]


def test_equal_members_are_listed(tmp_path: Path) -> None:
    other = wheel(tmp_path / "2", {**FILES, "a.py": b"", "b.py": b""})
    assert differences.find_equal_members(wheel(tmp_path / "1", FILES), other) == [f"{INFO}/WHEEL"]


def test_another_time_is_the_archives(tmp_path: Path) -> None:
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


def test_a_mode_that_the_umask_left_is_told(tmp_path: Path) -> None:
    first = wheel(tmp_path / "1", FILES)
    found = differences.compare_files(first, again(first, tmp_path / "2", mode=0o100600))
    assert {(one.where, one.first, one.second) for one in found} == {("archive's mode", "100644", "100600")}


def test_another_order_is_told(tmp_path: Path) -> None:
    first = wheel(tmp_path / "1", FILES)
    found = differences.compare_files(first, again(first, tmp_path / "2", reverse=True))
    assert found[0] == ByteDifference("", "order of members, from number 1 on", "a.py", f"{INFO}/RECORD")


def test_another_compressor_is_told(tmp_path: Path) -> None:
    many = {**FILES, "a.py": b"".join(b"%d\n" % (n * n) for n in range(3000))}
    first = wheel(tmp_path / "1", many)
    found = differences.compare_files(first, again(first, tmp_path / "2", level=1))
    assert [one.where for one in found] == ["compressed data"]


def test_an_sdists_time_and_owner_are_told(tmp_path: Path) -> None:
    found = differences.compare_files(sdist(tmp_path / "1"), sdist(tmp_path / "2", 1_700_000_009))
    assert {one.where for one in found} == {"archive's mtime"}
    owned = tmp_path / "3" / "sample-1.0.tar.gz"
    owned.parent.mkdir()
    with tarfile.open(tmp_path / "1" / "sample-1.0.tar.gz") as old, tarfile.open(owned, "w:gz") as new:
        for info in old.getmembers():
            info.uname, info.uid = "builder", 1000
            new.addfile(info, old.extractfile(info) if info.isreg() else None)
    told = differences.compare_files(tmp_path / "1" / "sample-1.0.tar.gz", owned)
    assert ("sample-1.0/pyproject.toml", "archive's user", " (0)", "builder (1000)") in [
        (one.member, one.where, one.first, one.second) for one in told
    ]


@pytest.mark.parametrize("name", ["sample-1.0-py3-none-any.whl", "sample-1.0.tar.gz"])
def test_damage_is_told_of_the_file(name: str, tmp_path: Path) -> None:
    for folder, data in (("1", b"nothing"), ("2", b"nothing at all")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(data)
    with pytest.raises(WheelworksError, match=f"{name}: damaged"):
        differences.compare_files(tmp_path / "1" / name, tmp_path / "2" / name)


def test_an_sdist_that_grows_without_bound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
