"""parse_frames, build_frame, build_frame_into, websocket_mask_inplace: C and Python agree and follow RFC 6455."""

from __future__ import annotations

import array
import mmap
import random
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tornado_speedups import _python

MASK = b"\x37\xfa\x21\x3d"
GAPPED = memoryview(bytearray(b"1.2.3.4."))[::2]

# RFC 6455, section 5.7.
HELLO = b"\x81\x05Hello"
MASKED_HELLO = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
LENGTHS = [0, 1, 2, 3, 4, 5, 15, 16, 17, 124, 125, 126, 127, 128, 255, 256, 4096, 65535, 65536, 65537]

CASES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def outcome(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:
        return type(error), str(error)


def bytes_of(length: int) -> bytes:
    return bytes((i * 167 + (i >> 8) * 59 + 13) & 0xFF for i in range(length))


def test_examples_of_the_rfc(speedups: Any) -> None:
    assert speedups.build_frame(0x81, "Hello", None) == HELLO
    assert speedups.build_frame(0x81, b"Hello", MASK) == MASKED_HELLO
    pong = b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
    fragments = b"\x01\x03Hel\x80\x02lo"
    everything = HELLO + MASKED_HELLO + fragments + pong
    frames = [(0x81, b"Hello"), (0x81, b"Hello"), (0x01, b"Hel"), (0x80, b"lo"), (0x8A, b"Hello")]
    assert speedups.parse_frames(everything, 0, 99) == (frames, len(everything), 2)


@pytest.mark.parametrize(("length", "header"), [(256, b"\x82\x7e\x01\x00"), (65536, b"\x82\x7f" + b"\0\0\0\0\0\1\0\0")])
def test_long_examples_of_the_rfc(speedups: Any, length: int, header: bytes) -> None:
    data = bytes_of(length)
    assert speedups.build_frame(0x82, data, None) == header + data
    assert speedups.parse_frames(header + data, 0, 1) == ([(0x82, data)], len(header) + length, 2)


@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("length", LENGTHS)
def test_every_length_there_and_back(speedups: Any, length: int, mask: bytes | None) -> None:
    data = bytes_of(length)
    frame = speedups.build_frame(0x82, data, mask)
    assert frame == _python.build_frame(0x82, data, mask)
    for kind in (bytes, bytearray, memoryview):
        assert speedups.parse_frames(kind(b"??" + frame + b"?"), 2, 5) == ([(0x82, data)], 2 + len(frame), 2)


@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("length", LENGTHS)
def test_build_into_a_buffer(speedups: Any, length: int, mask: bytes | None) -> None:
    """Bytes after the frame stay unchanged, and so does a buffer that is too small."""
    frame = _python.build_frame(0x82, bytes_of(length), mask)
    buffer = bytearray(b"?" * (len(frame) + 40))
    assert speedups.build_frame_into(0x82, bytes_of(length), mask, memoryview(buffer)) == len(frame)
    assert buffer == frame + b"?" * 40
    small = bytearray(len(frame) - 1)
    with pytest.raises(ValueError, match=f"buffer must have {len(frame)} bytes at least, not {len(small)}"):
        speedups.build_frame_into(0x82, bytes_of(length), mask, small)
    assert not any(small)


def test_build_into_a_buffer_of_wider_items(speedups: Any) -> None:
    items = array.array("I", [0, 0, 0])
    assert speedups.build_frame_into(0x81, "Hello", MASK, items) == len(MASKED_HELLO)
    assert items.tobytes() == MASKED_HELLO + bytes(12 - len(MASKED_HELLO))


@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("length", [0, 5, 125, 126, 300, 65536])
def test_the_size_of_what_is_missing(speedups: Any, length: int, mask: bytes | None) -> None:
    frame = speedups.build_frame(0x82, bytes(length), mask)
    known = 2 if length < 126 else 4 if length < 65536 else 10
    for cut in [0, 1, 2, 3, 4, 9, 10, 13, len(frame) - 1]:
        if cut < len(frame):
            size = 2 if cut < 2 else known if cut < known else len(frame)
            assert speedups.parse_frames(frame[:cut], 0, 1) == ([], 0, size), cut


def test_limit(speedups: Any) -> None:
    assert speedups.parse_frames(HELLO * 3, 0, 2) == ([(0x81, b"Hello")] * 2, 14, 7)


@pytest.mark.parametrize("head", [0x88, 0x89, 0x0A, 0xFF])
@pytest.mark.parametrize("code", [126, 127, 254, 255])
def test_long_control_frames_are_none(speedups: Any, head: int, code: int) -> None:
    """The parser leaves them to the caller, which must first handle the frames before them."""
    assert speedups.parse_frames(HELLO + bytes((head, code)) + bytes(200), 0, 9) == ([(0x81, b"Hello")], 7, 2)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, sys.maxsize, sys.maxsize - 10])
def test_lengths_beyond_memory(speedups: Any, length: int) -> None:
    frame = b"\x82\xff" + length.to_bytes(8, "big") + b"abcdrest"
    frames, end, size = speedups.parse_frames(frame, 0, 1)
    assert (frames, end) == ([], 0) and size in (sys.maxsize, (1 << 31) - 1)  # sys.maxsize of a 32-bit CPU


@CASES
@given(data=st.data())
def test_c_parses_as_python(c_extension: Any, data: st.DataObject) -> None:
    heads = st.sampled_from([0x81, 0x82, 0x01, 0x00, 0x88, 0xC1])
    sizes = st.sampled_from([0, 1, 5, 125, 126, 130, 300])
    masks = st.sampled_from([None, MASK])
    frames = st.lists(st.builds(_python.build_frame, heads, sizes.map(bytes_of), masks), max_size=4).map(b"".join)
    buffer = bytearray(data.draw(frames) + data.draw(st.binary(max_size=15)))
    for place in data.draw(st.lists(st.integers(0, max(0, len(buffer) - 1)), max_size=3)):
        buffer[place : place + 1] = b"\x7e"
    start = data.draw(st.integers(-1, len(buffer) + 1))
    limit = data.draw(st.integers(0, 5))
    for end in {len(buffer), len(buffer) // 2}:
        given = outcome(c_extension.parse_frames, buffer[:end], start, limit)
        assert given == outcome(_python.parse_frames, buffer[:end], start, limit)


STRANGE: list[Any] = [
    b"abcd",
    b"abc",
    "abcd",
    "é",
    "\ud800",
    None,
    3,
    2**70,
    -1,
    256,
    1.5,
    True,
    bytearray(b"abcd"),
    GAPPED,
]
FUNCTIONS = [("parse_frames", 3), ("build_frame", 3), ("build_frame_into", 4), ("websocket_mask_inplace", 3)]


def buffers_copied(arguments: list[Any]) -> list[Any]:
    return [bytearray(each) if isinstance(each, bytearray) else each for each in arguments]


@pytest.mark.parametrize(("name", "most"), FUNCTIONS)
def test_c_refuses_as_python(c_extension: Any, name: str, most: int) -> None:
    chosen = random.Random(4)
    for _ in range(4000):
        arguments = [chosen.choice(STRANGE) for _ in range(chosen.randrange(most + 2))]
        of_c, of_python = buffers_copied(arguments), buffers_copied(arguments)
        assert outcome(getattr(c_extension, name), *of_c) == outcome(getattr(_python, name), *of_python), arguments
        assert of_c == of_python  # the buffers have the same content too


@pytest.mark.parametrize(
    "kind", [bytearray, lambda data: array.array("B", data), lambda data: memoryview(bytearray(data))]
)
def test_mask_in_place(speedups: Any, kind: Any) -> None:
    for length in LENGTHS:
        buffer = kind(bytes_of(length))
        assert speedups.websocket_mask_inplace(MASK, buffer) is None
        assert bytes(buffer) == _python.websocket_mask(MASK, bytes_of(length)), length


def test_mask_in_place_by_parts(speedups: Any) -> None:
    """Each part of a payload is masked according to its offset in the payload."""
    whole = bytearray(bytes_of(1000))
    for start, end in [(0, 3), (3, 3), (3, 4), (4, 130), (130, 999), (999, 1000)]:
        with memoryview(whole)[start:end] as part:
            speedups.websocket_mask_inplace(MASK, part, start)
    assert bytes(whole) == _python.websocket_mask(MASK, bytes_of(1000))


@pytest.mark.parametrize("offset", [2**31 + 1, 2**63 - 1, 2**63 + 1, 2**70 + 2])
def test_mask_in_place_far_into_a_payload(speedups: Any, offset: int) -> None:
    buffer = bytearray(bytes_of(9))
    speedups.websocket_mask_inplace(MASK, buffer, offset)
    assert bytes(buffer) == _python.websocket_mask(MASK, bytes(offset % 4) + bytes_of(9))[offset % 4 :]


@pytest.mark.parametrize(
    ("name", "arguments", "wrong"),
    [
        ("parse_frames", (b"", "0", 1), "start must be an int, not str"),
        ("parse_frames", (b"", 0, None), "limit must be an int, not NoneType"),
        ("build_frame", (1.5, b"", None), "head must be an int, not float"),
        ("build_frame_into", (b"\x81", b"", None, bytearray(9)), "head must be an int, not bytes"),
        ("websocket_mask_inplace", (MASK, bytearray(9), "1"), "offset must be an int, not str"),
    ],
)
def test_numbers_that_are_none_are_named(speedups: Any, name: str, arguments: tuple[Any, ...], wrong: str) -> None:
    with pytest.raises(TypeError) as caught:
        getattr(speedups, name)(*arguments)
    assert str(caught.value) == wrong


def test_mask_in_place_of_itself(speedups: Any) -> None:
    buffer = bytearray(b"abcdabcd")
    with memoryview(buffer)[:4] as mask:
        speedups.websocket_mask_inplace(mask, buffer)
    assert buffer == bytes(8)


def test_mask_in_place_of_items_wider_than_bytes(speedups: Any) -> None:
    items = array.array("I", [1, 2, 3])
    speedups.websocket_mask_inplace(b"\0\0\0\0", items)
    speedups.websocket_mask_inplace(MASK, items)
    speedups.websocket_mask_inplace(MASK, items)
    assert list(items) == [1, 2, 3]


def test_what_cannot_be_written_is_refused(speedups: Any) -> None:
    with mmap.mmap(-1, 10, access=mmap.ACCESS_READ) as readonly:
        for buffer in (b"bytes", memoryview(b"view"), "text", readonly):
            with pytest.raises(TypeError, match="buffer must be a writable bytes-like object, not"):
                speedups.websocket_mask_inplace(MASK, buffer)
            with pytest.raises(TypeError, match="buffer must be a writable bytes-like object, not"):
                speedups.build_frame_into(0x81, b"", None, buffer)
    with pytest.raises(BufferError, match="buffer must be contiguous"):
        speedups.websocket_mask_inplace(MASK, GAPPED)
    with pytest.raises(BufferError, match="buffer must be contiguous"):
        speedups.build_frame_into(0x81, b"", None, GAPPED)


def test_reference_counts_and_memory_stay(native: Any) -> None:
    data = _python.build_frame(0x81, b"x" * 40, MASK) * 50
    arguments = [[data, 0, 99], [bytearray(data), 1, 3], [data, -1, 1], [data, 0, 0], ["\ud800", 0, 1], [data, 0]]

    buffer = bytearray(len(data))

    def call_all(times: int) -> None:
        for _ in range(times):
            for each in arguments:
                outcome(native.parse_frames, *each)
            for mask in (None, MASK, b"abc", 3):
                outcome(native.build_frame, 0x81, data, mask)
                outcome(native.build_frame_into, 0x81, data, mask, buffer)
                outcome(native.build_frame_into, 0x81, data, mask, data)
            outcome(native.websocket_mask_inplace, MASK, bytearray(data))
            outcome(native.websocket_mask_inplace, MASK, data)

    call_all(20)
    # None and 129 are immortal in later interpreters (PEP 683), but code compiled for 3.11 counts their references.
    counted = [each for each in (data, MASK, None, 0x81) if sys.getrefcount(each) < 1 << 28]
    counts = [sys.getrefcount(each) for each in counted]
    blocks = sys.getallocatedblocks()
    call_all(500)
    assert sys.getallocatedblocks() - blocks < 300
    grown = [sys.getrefcount(each) - old for each, old in zip(counted, counts, strict=True)]
    assert [growth for growth in grown if growth > 100] == []
