"""Where two binaries differ: by header field and section, in each format."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelworks.reproduce import differences

from tests.fixtures import builds

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
    found = differences.find_regions(binary)
    assert len({region.name for region in found}) > 10
    assert all(region.offset >= 0 and region.offset + region.size <= len(binary) for region in found)


@pytest.mark.integration
def test_a_change_in_each_region_is_placed_there(binary: bytes) -> None:
    for region in differences.find_regions(binary):
        if region.size == 0:
            continue
        changed = bytearray(binary)
        changed[region.offset] ^= 0x40
        assert differences.find_regions(binary), "the original stays readable"
        told = differences.compare_binaries(binary, bytes(changed))
        if differences.find_regions(bytes(changed)):  # what breaks the file has no regions left to compare by
            assert f"{region.offset:#x}" in str(told), (region, told)


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


def test_other_sizes_are_told_first() -> None:
    assert differences.compare_binaries(b"\0abc", b"\0abcd")[0] == ("size of the file", "4 bytes", "5 bytes")


def test_what_is_no_binary_is_compared_by_offset() -> None:
    assert differences.compare_binaries(b"\0\1\2\3", b"\0\1\7\3") == [("data, offset 0x2", "02 03", "07 03")]


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_two_that_differ_have_a_difference(first: bytes, second: bytes) -> None:
    if first != second:
        assert differences.compare_binaries(first, second)


@given(st.sampled_from([b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe"]), st.binary(max_size=300))
def test_damaged_binaries_are_compared_all_the_same(magic: bytes, rest: bytes) -> None:
    assert differences.compare_binaries(magic + rest, magic + rest + b"\1")
