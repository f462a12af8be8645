"""Memory use doesn't grow with the number of connections and messages."""

from __future__ import annotations

import asyncio
import gc
import socket
import tracemalloc
from typing import Any

import pytest
from tornado.iostream import IOStream
from tornado.websocket import WebSocketProtocol13, _WebSocketParams

from tests.speedups.blocks import blocks
from tests.speedups.ends import End
from tornado_speedups._python import build_frame
from tornado_speedups.websocket import LONG, _spare
from tornado_speedups.websocket.protocol import FastWebSocketProtocol13

CONNECTIONS = 100_000
MESSAGES = 100_000
HELLO = build_frame(0x81, "hello", b"mask")


class Forgetful:
    """A handler that records nothing."""

    def __init__(self, answer: Any) -> None:
        self.protocol: Any = None
        self.answer = answer

    def on_message(self, message: Any) -> Any:
        return self.answer(self, message)

    def on_ws_connection_close(self, code: int | None = None, reason: str | None = None) -> None:
        pass


def echo(handler: Any, message: Any) -> None:
    handler.protocol.write_message(message)


async def echo_and_wait(handler: Any, message: Any) -> None:
    await handler.protocol.write_message(message)


def opened(answer: Any) -> tuple[Any, socket.socket, Any]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    handler = Forgetful(answer)
    handler.protocol = FastWebSocketProtocol13(handler, False, _WebSocketParams(max_message_size=4 * LONG))
    handler.protocol.stream = IOStream(ours)
    return handler.protocol, theirs, asyncio.ensure_future(handler.protocol._receive_frame_loop())


async def received(peer: socket.socket, count: int) -> None:
    while count:
        data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(peer, 1 << 20), 10)
        assert data
        count -= len(data)


async def one_connection(number: int) -> None:
    """Open and use a connection, then end it with a close frame, between two frames, or inside a frame."""
    _, peer, task = opened([echo, echo_and_wait][number % 2])
    peer.send(HELLO * 2)
    await received(peer, 14)
    if number % 3 == 0:
        peer.send(build_frame(0x88, b"\x03\xe8", b"mask"))
    elif number % 3 == 1:
        peer.send(HELLO[:4] if number % 2 else build_frame(0x82, bytes(3 * LONG), b"mask")[: LONG + 20])
    peer.shutdown(socket.SHUT_WR)
    await asyncio.wait_for(task, 10)
    peer.close()


@pytest.mark.exhaustive
def test_connections_leave_nothing_behind() -> None:
    async def scenario() -> int:
        for number in range(300):
            await one_connection(number)
        before = blocks()
        for number in range(CONNECTIONS):
            await one_connection(number)
        return blocks() - before

    assert asyncio.run(scenario()) < 500


@pytest.mark.exhaustive
@pytest.mark.parametrize("answer", [echo, echo_and_wait])
def test_messages_leave_nothing_behind(answer: Any) -> None:
    batch = 100

    async def scenario() -> int:
        protocol, peer, task = opened(answer)
        before = 0
        for number in range(MESSAGES // batch):
            if number == 20:
                before = blocks()
            peer.send(HELLO * batch)
            await received(peer, 7 * batch)
        grown = blocks() - before
        peer.close()
        await asyncio.wait_for(task, 10)
        assert protocol._message_bytes_in == 5 * MESSAGES
        return grown

    assert asyncio.run(scenario()) < 500


def test_one_buffer_is_kept_for_long_messages() -> None:
    """Several buffers were in use at once, but only one is kept. It is as large as one frame."""
    size = 3 * LONG
    frame = build_frame(0x81, bytes(size), b"mask")

    async def scenario() -> None:
        ends = [opened(echo) for _ in range(3)]
        for _, peer, _ in ends:
            peer.send(frame[: 2 * LONG])
        await asyncio.sleep(0.01)
        for _, peer, task in ends:
            await asyncio.get_running_loop().sock_sendall(peer, frame[2 * LONG :])
            await received(peer, size + 10)
            peer.close()
            await asyncio.wait_for(task, 10)

    _spare.clear()
    asyncio.run(scenario())
    assert [len(each) - len(frame) < 8 for each in _spare] == [True]  # the payload begins at a word boundary


def measure_idle(protocol: Any) -> float:
    """Return the bytes that Python allocates for an end of a connection that waits, after one message."""

    async def scenario() -> float:
        ends = [End(protocol, echo) for _ in range(10)]
        await exchange(ends)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        more = [End(protocol, echo) for _ in range(50)]
        await exchange(more)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        for end in ends + more:
            end.peer.close()
        await asyncio.gather(*(end.task for end in ends + more))
        return grown / len(more)

    async def exchange(ends: list[End]) -> None:
        for end in ends:
            await asyncio.sleep(0)
            end.peer.send(HELLO)
            assert await end.received(1) == [b"hello"]

    tracemalloc.start()
    try:
        return asyncio.run(scenario())
    finally:
        tracemalloc.stop()


def test_an_idle_connection_takes_little_more_than_tornados() -> None:
    """CPython gives an instance with more than 30 attributes a larger dictionary of its own, of 1.5 KiB."""
    assert measure_idle(FastWebSocketProtocol13) < measure_idle(WebSocketProtocol13) + 1300
