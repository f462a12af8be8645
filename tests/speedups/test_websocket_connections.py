"""Whole WebSocket connections: the fast protocol and Tornado's own have the same observable behaviour.

The peer sends random frames: valid, invalid, fragmented, or in small pieces, with a half-close at the end.
The handlers are synchronous and asynchronous, and some of them raise errors or close the connection.
A few cases of each kind run on every Python; ``--integration`` and ``test-native -- --exhaustive`` run many.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tornado import gen
from tornado.websocket import WebSocketClosedError, WebSocketProtocol13

from tests.speedups.bindings import use_implementation
from tests.speedups.wires import TOO_BIG, Connection, Handler, Piece, seen_in_context, speak
from tornado_speedups import websocket
from tornado_speedups._python import build_frame
from tornado_speedups.websocket.protocol import FastWebSocketProtocol13


def echo(handler: Handler, message: Any) -> None:
    handler.protocol.write_message(message, binary=isinstance(message, bytes))


def echo_twice_with_ping(handler: Handler, message: Any) -> None:
    echo(handler, message)
    handler.protocol.write_ping(b"between")
    echo(handler, message)


async def echo_and_wait(handler: Handler, message: Any) -> None:
    await handler.protocol.write_message(message, binary=isinstance(message, bytes))
    handler.events.append("written")


@gen.coroutine
def echo_and_yield(handler: Handler, message: Any) -> Any:
    yield handler.protocol.write_message(message, binary=isinstance(message, bytes))
    handler.events.append("written")


async def wait_for_some(handler: Handler, message: Any) -> None:
    await gen.sleep(0)
    echo(handler, message)


async def take_many_turns(handler: Handler, message: Any) -> None:
    for _ in range(len(message) % 8):  # for all messages together, fewer turns than a calm peer waits
        await gen.sleep(0)
    echo(handler, message)


def now_and_then_async(handler: Handler, message: Any) -> Any:
    return wait_for_some(handler, message) if len(message) % 2 else echo(handler, message)


def raise_on_empty(handler: Handler, message: Any) -> None:
    echo(handler, message)
    if not message:
        raise ValueError("empty")


async def raise_on_empty_later(handler: Handler, message: Any) -> None:
    await echo_and_wait(handler, message)
    if not message:
        raise ValueError("empty")


def close_on_empty(handler: Handler, message: Any) -> None:
    echo(handler, message)
    if not message:
        handler.protocol.close(4000, "empty")


def abort_on_empty(handler: Handler, message: Any) -> None:
    echo(handler, message)
    if not message:
        handler.protocol.stream.close()
        with pytest.raises(WebSocketClosedError):
            echo(handler, "late")


def write_raw(handler: Handler, message: Any) -> None:
    echo(handler, message)
    handler.protocol.stream.write(b"\x82\x01r")


def leave_traces(handler: Handler, message: Any) -> None:
    echo(handler, seen_in_context.get())
    seen_in_context.set(f"{seen_in_context.get()}+{len(message)}"[-20:])


def refuse_to_exit(handler: Handler, message: Any) -> None:
    echo(handler, message)
    if not message:
        raise GeneratorExit


ANSWERS = [
    echo,
    echo_twice_with_ping,
    echo_and_wait,
    echo_and_yield,
    take_many_turns,
    now_and_then_async,
    raise_on_empty,
    raise_on_empty_later,
    close_on_empty,
    abort_on_empty,
    write_raw,
    leave_traces,
    refuse_to_exit,
]

SYNCHRONOUS = {
    echo,
    echo_twice_with_ping,
    raise_on_empty,
    close_on_empty,
    abort_on_empty,
    write_raw,
    leave_traces,
    refuse_to_exit,
}

payloads = st.one_of(
    st.binary(max_size=12),
    st.text(max_size=8).map(str.encode),
    st.sampled_from([0, 1, 125, 126, TOO_BIG - 1, TOO_BIG, TOO_BIG + 1, 1000]).map(bytes),
)
masks = st.one_of(st.none(), st.binary(min_size=4, max_size=4))
tidy_heads = st.sampled_from([0x81, 0x82, 0x01, 0x00, 0x80, 0x89, 0x8A])
heads = st.one_of(tidy_heads, tidy_heads, tidy_heads, st.integers(0, 255))
frames = st.builds(build_frame, heads, payloads, masks)


@st.composite
def compressed_frames(draw: st.DrawFn) -> bytes:
    """Return a message compressed without context takeover, sometimes with a wrong byte at its end."""
    compressor = zlib.compressobj(wbits=-15)
    data = compressor.compress(draw(payloads)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    head = draw(st.sampled_from([0xC1, 0xC2, 0x41, 0xC9, 0x82]))
    return build_frame(head, data[:-4] + draw(st.sampled_from([b"", b"", b"", b"x"])), draw(masks))


@st.composite
def overlong_frames(draw: st.DrawFn) -> bytes:
    """Return a frame whose length takes more bytes than necessary, or claims far more than the payload."""
    length = draw(st.integers(0, 300))
    size, code = draw(st.sampled_from([(2, 126), (8, 127)]))
    claimed = draw(st.sampled_from([length, length, length, 2**63 if size == 8 else 65535]))
    return bytes((draw(heads), code)) + claimed.to_bytes(size, "big") + bytes(length)


closes = st.builds(
    lambda code, reason, mask: build_frame(0x88, code.to_bytes(2, "big") + reason, mask),
    st.sampled_from([1000, 1001, 4999]),
    st.text(max_size=5).map(str.encode),
    masks,
)
streams = st.lists(
    st.one_of(frames, frames, frames, compressed_frames(), overlong_frames(), closes, st.binary(max_size=3)),
    max_size=12,
).map(b"".join)


@st.composite
def pieces(draw: st.DrawFn) -> list[Piece]:
    """Return a stream of frames, cut at any positions and sometimes truncated."""
    data = draw(streams)
    data = data[: draw(st.sampled_from([len(data), len(data), max(0, len(data) - 1), len(data) // 2]))]
    cuts = draw(st.one_of(st.just([]), st.lists(st.integers(0, len(data)), max_size=8), st.just(range(1, len(data)))))
    ends = [0, *sorted(cuts), len(data)]
    turns = draw(st.sampled_from([0, 1, 2, 5]))
    return [Piece(data[start:end], turns) for start, end in itertools.pairwise(ends) if end > start]


@pytest.fixture
def implementation(native: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    use_implementation(native, monkeypatch)


def few_or_many(few: int, many: int) -> list[Any]:
    """Return two numbers of cases: ``few`` for the fast tests and ``many`` for the exhaustive tests."""
    return [few, pytest.param(many, marks=pytest.mark.exhaustive)]


def cases(stream: st.SearchStrategy[list[Piece]], examples: int) -> Callable[[Any], Callable[[], None]]:
    """Return a decorator that runs a check on random pieces, for clients and servers, with and without compression."""

    def decorate(check: Any) -> Callable[[], None]:
        given_cases = given(pieces=stream, client=st.booleans(), compression=st.booleans())(check)
        tried: Callable[[], None] = settings(deadline=None, max_examples=examples)(given_cases)
        return tried

    return decorate


def compare(connection: Connection, pieces: list[Piece]) -> None:
    stock = speak(WebSocketProtocol13, connection, pieces)
    assert speak(FastWebSocketProtocol13, connection, pieces) == stock


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("examples", few_or_many(20, 300))
def test_as_tornado(answer: Any, examples: int) -> None:
    @cases(pieces(), examples)
    def check(pieces: list[Piece], client: bool, compression: bool) -> None:
        compare(Connection(answer, client, compression, calm=answer not in SYNCHRONOUS), pieces)

    check()


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("answer", [each for each in ANSWERS if each not in SYNCHRONOUS])
@pytest.mark.parametrize("examples", few_or_many(20, 300))
def test_no_less_than_tornado(answer: Any, examples: int) -> None:
    """If a half-close races with slow handlers, they run at least as early as with Tornado.

    All data is sent in one piece. Otherwise the race would depend on how much Tornado reads between two events.
    """

    @cases(pieces(), examples)
    def check(pieces: list[Piece], client: bool, compression: bool) -> None:
        connection = Connection(answer, client, compression)
        whole = [Piece(b"".join(data for data, _ in pieces), pieces[0].turns)] if pieces else []
        stock = speak(WebSocketProtocol13, connection, whole)
        assert speak(FastWebSocketProtocol13, connection, whole).received.startswith(stock.received)

    check()


LONG = 4 * websocket.LONG
long_payloads = st.builds(
    lambda pattern, size: (pattern * (size // len(pattern) + 1))[:size],
    st.sampled_from([b"x", "é".encode(), b"\xff", bytes(range(256))]),
    st.integers(-20, 20).flatmap(
        lambda more: st.sampled_from([each + more for each in (websocket.LONG, 2 * websocket.LONG, LONG, 1000)])
    ),
)
long_frames = st.builds(build_frame, st.one_of(tidy_heads, heads), long_payloads, masks)


@st.composite
def long_pieces(draw: st.DrawFn) -> list[Piece]:
    """Return long and short frames, cut into parts of a random size."""
    data = b"".join(draw(st.lists(st.one_of(long_frames, long_frames, frames), min_size=1, max_size=4)))
    data = data[: draw(st.sampled_from([len(data), len(data), len(data) - 1, len(data) // 2]))]
    size = draw(st.sampled_from([1 << 30, 100_000, websocket.LONG, 16_384, 5000]))
    turns = draw(st.sampled_from([0, 1, 3]))
    return [Piece(data[start : start + size], turns) for start in range(0, len(data), size)]


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("answer", [echo, echo_twice_with_ping, echo_and_wait, now_and_then_async, close_on_empty])
@pytest.mark.parametrize("examples", few_or_many(2, 25))
def test_long_messages_as_tornado(answer: Any, examples: int) -> None:
    @cases(long_pieces(), examples)
    def check(pieces: list[Piece], client: bool, compression: bool) -> None:
        compare_long(Connection(answer, client, compression, calm=True, limit=LONG), pieces)

    check()


def compare_long(connection: Connection, pieces: list[Piece]) -> None:
    """Compare as compare() does, but allow different amounts of answers if the peer ends the connection.

    How much of a long answer is sent before a frame that ends the connection depends on timing.
    """
    stock = speak(WebSocketProtocol13, connection, pieces)
    fast = speak(FastWebSocketProtocol13, connection, pieces)
    if stock.ended_by_peer and fast.received != stock.received:
        shorter, longer = sorted((stock.received, fast.received), key=len)
        assert longer.startswith(shorter)
        stock, fast = (each._replace(received=b"", logged=[]) for each in (stock, fast))
    assert fast == stock


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("answer", [echo, echo_twice_with_ping])
def test_answers_leave_before_the_end(answer: Any) -> None:
    """The message is so long that not all answers are sent at once. The next frame ends the connection."""
    size = 1 << 17
    data = b"".join(bytes([head, 0x7F]) + size.to_bytes(8, "big") + b"x" * size for head in (0x81, 0x00))
    compare(Connection(answer, calm=True, limit=LONG), [Piece(data, 0)])


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("turns", [1, 2, 30])
def test_a_header_that_must_not_come_is_seen_after_an_answer(turns: int) -> None:
    """The handler of the message before the invalid header is slow."""
    compare(Connection(echo_and_wait, calm=True), [Piece(b"\x81", turns), Piece(b"\x00\x81~\xff\xff", turns)])
