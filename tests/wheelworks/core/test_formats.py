"""Binaries with wrong headers give a clear error, in bounded time and memory."""

from __future__ import annotations

import struct
from collections.abc import Callable

import lief
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelworks.core.errors import Unsupported
from wheelworks.core.formats import read_image
from wheelworks.core.image import BadImage, Image, Rebase, Segment, check_image

from tests.fixtures.builds import PLATFORMS, build

HEADS = (b"MZ", b"\x7fELF\x02\x01\x01", b"\x7fELF\x01\x01\x01", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")


@given(st.sampled_from(HEADS), st.binary(max_size=4096))
def test_random_bytes_under_a_right_magic(head: bytes, rest: bytes) -> None:
    with pytest.raises((BadImage, Unsupported)):
        read_image(head + rest, "x")


@given(st.binary(max_size=64))
def test_random_bytes(data: bytes) -> None:
    with pytest.raises((BadImage, Unsupported)):
        read_image(data, "x")


def image(*segments: Segment, rebases: tuple[Rebase, ...] = (), exports: dict[str, int] | None = None) -> Image:
    return Image("linux", "aarch64", segments, rebases, (), exports or {}, ())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (image(), "no segments"),
        (image(Segment(0, 100, b"", True, False), Segment(50, 10, b"", True, False)), "segments overlap at 0x32"),
        (image(Segment(-4096, 100, b"", True, False)), "claims"),
        (image(Segment(0, 100, b"", True, False), rebases=(Rebase(96, 0),)), "a relocation at 0x60, outside"),
        (image(Segment(0, 100, b"", True, False), exports={"PyInit_x": 5000}), "refers to 0x1388, beyond"),
        (image(Segment(0, 100, b"", True, False), exports={"PyInit_x": -1}), "refers to"),
    ],
)
def test_an_image_that_lies(wrong: Image, message: str) -> None:
    with pytest.raises(BadImage, match=message):
        check_image(wrong, "x")


def test_an_image_that_is_too_large_for_this_program() -> None:
    with pytest.raises(Unsupported, match="claims 0x10000000000 bytes: too large"):
        check_image(image(Segment(0, 1 << 40, b"", True, False)), "x")


def pe(change: Callable[[bytearray, int], None]) -> bytes:
    """Return a real DLL with changed headers. ``change`` gets the data and the offset of the PE header."""
    data = bytearray(build("faults/kept_reference.c", "win_arm64").read_bytes())
    change(data, struct.unpack_from("<I", data, 0x3C)[0])
    return bytes(data)


def section(data: bytearray, start: int, index: int) -> int:
    """Return the offset of a section's header."""
    (optional_header,) = struct.unpack_from("<H", data, start + 20)
    return start + 24 + int(optional_header) + 40 * index


@pytest.mark.integration
def test_a_dll_cut_in_half() -> None:
    data = pe(lambda data, start: None)
    with pytest.raises(BadImage):
        read_image(data[: len(data) // 2], "x.pyd")


@pytest.mark.integration
def test_sections_that_overlap() -> None:
    def change(data: bytearray, start: int) -> None:
        first = struct.unpack_from("<I", data, section(data, start, 0) + 12)
        struct.pack_into("<I", data, section(data, start, 1) + 12, *first)

    with pytest.raises(BadImage, match="overlap"):
        read_image(pe(change), "x.pyd")


@pytest.mark.integration
@pytest.mark.parametrize(("field", "value"), [(20, 0x7FFF0000), (16, 0x7FFFFFFF), (8, 0xF0000000)])
def test_a_section_beyond_the_file_or_of_absurd_size(field: int, value: int) -> None:
    def change(data: bytearray, start: int) -> None:
        struct.pack_into("<I", data, section(data, start, 0) + field, value)

    with pytest.raises((BadImage, Unsupported)):
        read_image(pe(change), "x.pyd")


@pytest.mark.integration
def test_an_import_by_ordinal() -> None:
    plain = pe(lambda data, start: None)
    parsed = lief.PE.parse(plain)
    assert isinstance(parsed, lief.PE.Binary)
    entry = parsed.imports[0].entries[0]
    changed = plain.replace(struct.pack("<Q", entry.data), struct.pack("<Q", 1 << 63 | 7))
    found = read_image(changed, "x.pyd")
    assert ("#7", "python3.dll") in {(bind.name, bind.library) for bind in found.binds}


@pytest.mark.integration
def test_the_wrong_half() -> None:
    data = build("faults/kept_reference.c", "macosx_11_0_arm64").read_bytes()
    with pytest.raises(BadImage, match="no code for x86_64, only for aarch64"):
        read_image(data, "x.so", "x86_64")
    with pytest.raises(BadImage, match="code for x86_64, not for aarch64"):
        read_image(build("faults/kept_reference.c", "linux_x86_64").read_bytes(), "x.so", "aarch64")


def test_every_platform_of_the_fixtures_has_a_suffix_that_python_imports() -> None:
    assert {platform.suffix for platform in PLATFORMS.values()} == {".pyd", ".abi3.so"}
