"""Test writing wheels: their bytes depend only on their contents, and every zip reader accepts them."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.tags import parse_tag
from wheelworks.core.archive import Member, build_archive
from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheel import (
    find_dist_info,
    format_wheel_name,
    parse_wheel_name,
    read_members,
    replace_record,
    replace_tags,
)

INFO = "x-1.dist-info"
PART = st.text(
    st.characters(exclude_characters="/\\:", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12
).filter(lambda part: part not in (".", ".."))
NAMES = st.lists(PART, min_size=1, max_size=3).map("/".join)
MEMBERS = st.dictionaries(NAMES, st.builds(Member, st.binary(max_size=300), st.booleans()), max_size=8)
EPOCHS = st.integers(315_532_800, 4_354_819_198)


@given(MEMBERS, EPOCHS)
def test_reads_back_what_was_written(members: dict[str, Member], epoch: int) -> None:
    with zipfile.ZipFile(io.BytesIO(build_archive(members, epoch))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == list(members)
        for info in archive.infolist():
            member = members[info.filename]
            assert archive.read(info) == member.data
            assert info.external_attr >> 16 == (0o100755 if member.executable else 0o100644)
            assert info.date_time == (*time.gmtime(epoch)[:5], time.gmtime(epoch)[5] // 2 * 2)
            assert info.compress_size <= info.file_size


@given(MEMBERS)
def test_our_reader_reads_what_we_write(tmp_path_factory: pytest.TempPathFactory, members: dict[str, Member]) -> None:
    path = tmp_path_factory.mktemp("wheel") / "x-1-py3-none-any.whl"
    path.write_bytes(build_archive(members, 1_000_000_000))
    assert read_members(path) == members


@given(MEMBERS, EPOCHS, st.randoms(use_true_random=False))
def test_the_order_of_creation_doesnt_show(members: dict[str, Member], epoch: int, chance: object) -> None:
    shuffled = dict(reversed(members.items()))
    first, second = (build_archive(replace_record(one, INFO), epoch) for one in (members, shuffled))
    assert first == second


@given(MEMBERS, MEMBERS)
def test_record_is_right_and_last(members: dict[str, Member], metadata: dict[str, Member]) -> None:
    whole = {**members, **{f"{INFO}/{name}": member for name, member in metadata.items()}}
    made = replace_record(whole, INFO)
    names = list(made)
    assert names[-1] == f"{INFO}/RECORD"
    inside = [name.startswith(f"{INFO}/") for name in names]
    assert inside == sorted(inside), "metadata stands behind everything else"
    rows = list(csv.reader(io.StringIO(made[f"{INFO}/RECORD"].data.decode(), newline="")))
    assert [row[0] for row in rows] == names
    assert rows[-1][1:] == ["", ""]
    for name, digest, size in rows[:-1]:
        sha = base64.urlsafe_b64encode(hashlib.sha256(made[name].data).digest()).rstrip(b"=").decode()
        assert (digest, int(size)) == (f"sha256={sha}", len(made[name].data))


def test_record_is_made_anew() -> None:
    stale = {"a.py": Member(b"a"), f"{INFO}/RECORD": Member(b"stale"), f"{INFO}/WHEEL": Member(b"")}
    once = replace_record(stale, INFO)
    assert b"stale" not in once[f"{INFO}/RECORD"].data
    assert replace_record(once, INFO) == once


def test_tags_are_expanded_and_sorted() -> None:
    members = {f"{INFO}/WHEEL": Member(b"Wheel-Version: 1.0\r\nTag: old-old-old\r\nRoot-Is-Purelib: false\r\n\r\n")}
    made = replace_tags(members, parse_tag("cp311-abi3-manylinux_2_17_aarch64.musllinux_1_2_aarch64"), INFO)
    assert made[f"{INFO}/WHEEL"].data.decode().splitlines() == [
        "Wheel-Version: 1.0",
        "Root-Is-Purelib: false",
        "Tag: cp311-abi3-manylinux_2_17_aarch64",
        "Tag: cp311-abi3-musllinux_1_2_aarch64",
    ]


def test_a_wheel_without_a_wheel_file_is_refused() -> None:
    with pytest.raises(WheelworksError, match="WHEEL"):
        replace_tags({}, parse_tag("py3-none-any"), INFO)


def test_names_are_parsed_and_formatted() -> None:
    name = parse_wheel_name("x-1.0-2b-cp311-abi3-manylinux2014_aarch64.manylinux_2_17_aarch64.whl")
    assert (name.distribution, name.version, name.build, name.abi) == ("x", "1.0", "2b", "cp311-abi3")
    assert name.platforms == {"manylinux2014_aarch64", "manylinux_2_17_aarch64"}
    assert format_wheel_name(name, parse_tag("py3-none-any")) == "x-1.0-2b-py3-none-any.whl"


@pytest.mark.parametrize(
    "name", ["", "x.whl", "x-1.whl", "x-1-py3-none-any.zip", "x-1-py3-none-any", "../x-1-a-b-c.whl"]
)
def test_what_is_no_wheels_name_is_refused(name: str) -> None:
    with pytest.raises(WheelworksError, match="not a wheel's file name"):
        parse_wheel_name(name)


@pytest.mark.parametrize("names", [[], ["a.dist-info/x", "b.dist-info/x"]])
def test_a_wheel_has_one_dist_info(names: list[str]) -> None:
    with pytest.raises(WheelworksError, match=f"has one .dist-info folder, this one has {len(names)}"):
        find_dist_info(dict.fromkeys(names, Member(b"")), "x.whl")


def test_the_bytes_are_those_that_were_published(tmp_path: Path) -> None:
    """The compressor is pinned, because a change of these bytes changes every wheel."""
    data = build_archive({"a.py": Member(b"print(1)\n" * 40), "tool": Member(b"\x7fELF", True)}, 1_600_000_000)
    assert hashlib.sha256(data).hexdigest() == "d603107eeafb723f46f0efaf2dec1ff60ab6e52c2cc05a7e1368579573d6af32"
