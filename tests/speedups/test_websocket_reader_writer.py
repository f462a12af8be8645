"""The WebSocket reader and writer on their own, without a socket, an event loop or Tornado."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tornado_speedups._python import build_frame, parse_frames
from tornado_speedups.websocket import BINARY, DECODED, LONG, TEXT, TURN
from tornado_speedups.websocket.reader import FrameReader, ProtocolError
from tornado_speedups.websocket.writer import FrameWriter

MASK = b"mask"


def make_reader(limit: int = 1 << 20, compression: bool = False) -> FrameReader:
    reader = FrameReader()
    reader.max_message_size, reader.compression = limit, compression
    return reader


def read_all(reader: FrameReader, data: bytes, size: int) -> list[tuple[int, Any]]:
    """Return the frames of data that arrives in pieces of ``size`` bytes. Long frames are read in place."""
    found = []
    while data:
        buffer = reader.get_buffer()
        count = size if buffer is None else min(size, len(buffer))
        piece, data = data[:count], data[count:]
        if buffer is None:
            reader.feed(piece)
        else:
            buffer[: len(piece)] = piece
            reader.buffer_updated(len(piece))
        if not reader.frames:
            reader.parse()
        while reader.frames:
            found.append(reader.frames.pop())
            if not reader.frames:
                reader.parse()
    return found


def test_neither_needs_tornado() -> None:
    code = "import sys, tornado_speedups.websocket.reader, tornado_speedups.websocket.writer\nprint(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert {"tornado", "asyncio", "socket", "ssl"} & set(shown) == set()


@pytest.mark.parametrize("size", [1, 3, 1000, 1 << 20])
def test_frames_come_out_however_they_arrive(size: int) -> None:
    frames = [(TEXT, b"one"), (BINARY, bytes(200)), (0x89, b""), (BINARY, bytes(70_000)), (TEXT, b"last")]
    data = b"".join(build_frame(head, payload, MASK) for head, payload in frames)
    reader = make_reader(compression=True)
    assert read_all(reader, data, size) == frames
    assert not reader.has_input() and not reader.has_frame() and reader.wire_bytes == len(data)


def test_long_text_is_decoded_in_place() -> None:
    text = "é" * LONG
    data = build_frame(TEXT, text, MASK)
    assert read_all(make_reader(), data, 32_768) == [(DECODED, (text, 2 * LONG))]
    assert read_all(make_reader(compression=True), data, 32_768) == [(TEXT, text.encode())]
    wrong = build_frame(TEXT, b"\xff" * 2 * LONG, MASK)
    assert read_all(make_reader(), wrong, 32_768) == [(TEXT, b"\xff" * 2 * LONG)]


def test_a_header_alone_claims_no_memory() -> None:
    reader = make_reader(1 << 62)
    reader.feed(bytes([BINARY, 127]) + (1 << 40).to_bytes(8, "big"))
    reader.parse()
    assert reader.get_buffer() is None and reader.needed == (1 << 40) + 10


def test_no_more_frames_at_once_than_a_turn_is_worth() -> None:
    reader = make_reader()
    reader.feed(build_frame(TEXT, b"", None) * 1000)
    reader.parse()
    assert len(reader.frames) == 256 and TURN <= reader.work < 2 * TURN


def test_fragments_are_joined() -> None:
    reader = make_reader()
    assert reader.join_fragments(0x01, b"a") is None
    assert reader.join_fragments(0x89, b"ping") == (9, b"ping")
    assert reader.join_fragments(0x00, b"b") is None
    assert reader.join_fragments(0x80, b"c") == (1, b"abc")


@pytest.mark.parametrize("heads", [[0x09], [0x80], [0x01, 0x82]])
def test_frames_that_do_not_follow_each_other(heads: list[int]) -> None:
    reader = make_reader()
    with pytest.raises(ProtocolError) as raised:
        [reader.join_fragments(head, b"") for head in heads]
    assert raised.value.code is None


@pytest.mark.parametrize(
    ("header", "compression", "code"),
    [
        (b"\xc1\x01", False, None),  # a reserved bit
        (b"\xa1\x01", True, None),  # a reserved bit other than the compression bit
        (b"\x81\x7d", False, 1009),
        (b"\x82\x7e\x00\x65", False, 1009),
        (b"\x89\x7e", False, None),  # a control frame with an extended length
    ],
)
def test_a_header_is_refused_before_its_payload_comes(header: bytes, compression: bool, code: int | None) -> None:
    reader = make_reader(100, compression)
    reader.feed(header)
    reader.parse()
    with pytest.raises(ProtocolError) as raised:
        reader.check_partial_frame()
    assert raised.value.code == code


@pytest.mark.parametrize("header", [b"", b"\x81", b"\x81\x64", b"\x82\x7e\x00", b"\x82\x7e\x00\x64", b"\x80\x05"])
def test_a_header_that_may_come_is_not_refused(header: bytes) -> None:
    reader = make_reader(100)
    reader.feed(header)
    reader.parse()
    reader.check_partial_frame()
    assert (reader.frames, bytes(reader.data)) == ([], header)  # it waits for the rest


@pytest.mark.parametrize("size", [5, 200, LONG])
@pytest.mark.parametrize("masks", [False, True])
def test_a_frame_is_built(size: int, masks: bool) -> None:
    frame = bytes(FrameWriter(masks).build(BINARY, bytes(size)))
    assert parse_frames(frame, 0, 2) == ([(BINARY, bytes(size))], len(frame), 2)
    assert bool(frame[1] & 0x80) == masks


def test_frames_are_held_back_and_leave_together() -> None:
    writer = FrameWriter(masks=False)
    writer.holds = True
    assert not writer.add(b"a" * 60_000, "first")
    assert not writer.add(b"b", "second")
    assert writer.add(b"c" * 6000, "third")  # exceeds 64 KiB in total
    assert writer.take() == (b"a" * 60_000 + b"b" + b"c" * 6000, ["first", "second", "third"])
    assert writer.frames == [] and writer.take() == (b"", [])
    writer.holds = False
    assert writer.add(b"d", "fourth")
