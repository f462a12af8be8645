"""Test that parts hold every segment's bytes, share no page, and get the protection that the image asks for."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelworks.core.image import PAGE, Image, Segment
from wheelworks.foreign.rewrap.elf import Part, Rights
from wheelworks.foreign.rewrap.layout import MAX_PARTS, CannotRewrap, lay_out, protect

R, RW, RX, RWX = Rights.READ, Rights.READ | Rights.WRITE, Rights.READ | Rights.EXECUTE, Rights(7)


def make_image(*segments: Segment, header: bytes = b"", read_only: tuple[tuple[int, int], ...] = ()) -> Image:
    return Image("macos", "aarch64", segments, (), (), {}, (), header=header, read_only_after_binding=read_only)


@st.composite
def images(draw: st.DrawFn) -> Image:
    address, segments = 0, []
    for _ in range(draw(st.integers(1, 8))):
        address += draw(st.integers(0, 3 * PAGE))
        data = draw(st.binary(max_size=40)) + bytes(draw(st.sampled_from([0, 1, PAGE])))
        size = max(1, len(data)) + draw(st.integers(0, 2 * PAGE))
        segments.append(Segment(address, size, data, draw(st.booleans()), draw(st.booleans())))
        address += size
    return make_image(*draw(st.permutations(segments)), header=draw(st.binary(max_size=20)))


@settings(deadline=None)
@given(images())
def test_every_byte_is_where_it_was(image: Image) -> None:
    parts = lay_out(image, "demo")
    assert all(part.address % PAGE == 0 and len(part.data) % PAGE == 0 for part in parts)
    assert all(first.end <= second.address for first, second in pairwise(parts))
    for segment in image.segments:
        (part,) = (part for part in parts if part.address <= segment.address < part.address + part.size)
        offset = segment.address - part.address
        assert part.data[offset : offset + len(segment.data)] == segment.data
        assert not any(part.data[offset + len(segment.data) : offset + segment.size])
        assert segment.address + segment.size <= part.address + part.size
        assert bool(part.rights & Rights.WRITE) >= segment.writable
        assert bool(part.rights & Rights.EXECUTE) >= segment.executable


def test_segments_that_share_a_page_share_their_rights() -> None:
    image = make_image(Segment(0x1000, 0x200, b"a", False, True), Segment(0x1200, 0x1000, b"b", True, False))
    (part,) = lay_out(image, "demo")
    assert (part.address, part.size, part.rights) == (0x1000, 0x1200, RWX)
    assert part.data[0:1] == b"a" and part.data[0x200:0x201] == b"b"


def test_headers_are_mapped_read_only_before_the_first_section() -> None:
    parts = lay_out(make_image(Segment(0x1000, 0x1000, b"x", True, False), header=b"MZ" * 0x900), "demo.pyd")
    assert [(part.address, part.rights, bytes(part.data[:2])) for part in parts] == [
        (0, R, b"MZ"),
        (0x1000, RW, b"x\0"),
    ]


def test_too_many_segments_and_large_gaps_are_refused() -> None:
    many = [Segment(2 * PAGE * n, 1, b"", False, False) for n in range(MAX_PARTS + 1)]
    with pytest.raises(CannotRewrap, match="65 segments"):
        lay_out(make_image(*many), "demo")
    assert len(lay_out(make_image(*many[1:]), "demo")) == MAX_PARTS
    large = Segment(0, (100 << 20) + 1, b"", True, False)
    with pytest.raises(CannotRewrap, match="last page of a large one"):
        lay_out(make_image(large, Segment(large.size, 1, b"x", False, False)), "demo")


def parts_of(*rights: Rights, gap: int = 0) -> list[Part]:
    return [Part(n * (PAGE + gap), bytearray(PAGE), PAGE, one) for n, one in enumerate(rights)]


NO_IMAGE = make_image(Segment(0, 1, b"", False, False))


@pytest.mark.parametrize(
    ("parts", "relocated", "rights", "read_only", "text"),
    [
        (parts_of(RX, R, RW), [2 * PAGE], [RX, R, RW], (0, 0), False),
        (parts_of(RX, R, RW), [PAGE + 8], [RX, RW, RW], (PAGE, PAGE), False),
        (parts_of(RX, R, R, RW), [PAGE, 2 * PAGE], [RX, RW, RW, RW], (PAGE, 2 * PAGE), False),
        (parts_of(R, RX, R), [0, 2 * PAGE], [R, RX, R], (0, 0), True),
        (parts_of(R, R, gap=PAGE), [0, 2 * PAGE], [R, R], (0, 0), True),
        (parts_of(RX, RW), [8], [RX, RW], (0, 0), True),
        (parts_of(RX, R, RW), [2 * PAGE - 4], [RX, RW, RW], (PAGE, PAGE), False),
    ],
)
def test_read_only_data_is_writable_only_while_it_is_relocated(
    parts: list[Part], relocated: list[int], rights: list[Rights], read_only: tuple[int, int], text: bool
) -> None:
    found = protect(parts, NO_IMAGE, relocated)
    assert [part.rights for part in found.parts] == rights
    assert (found.read_only, found.text_relocations) == (read_only, text)


def test_data_const_is_read_only_afterwards() -> None:
    image = replace(NO_IMAGE, read_only_after_binding=((PAGE, PAGE - 8),))
    found = protect(parts_of(RX, RW, RW), image, [PAGE, 2 * PAGE])
    assert found.read_only == (PAGE, PAGE) and [part.rights for part in found.parts] == [RX, RW, RW]
    apart = replace(NO_IMAGE, read_only_after_binding=((0, PAGE), (2 * PAGE, PAGE)))
    found = protect(parts_of(RW, RX, RW), apart, [0])
    assert found.text_relocations and [part.rights for part in found.parts] == [R, RX, R]
