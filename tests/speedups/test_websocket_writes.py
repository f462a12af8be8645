"""Writes to WebSocket connections: order, futures, limits and full sockets are as with Tornado's own protocol."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any
from unittest.mock import Mock

import pytest
import tornado.iostream
from tornado.iostream import IOStream
from tornado.websocket import WebSocketClosedError, WebSocketProtocol13, _WebSocketParams

from tests.speedups.ends import HELLO, connected, echo
from tests.speedups.wires import Handler
from tornado_speedups._python import build_frame, parse_frames
from tornado_speedups.websocket import transport
from tornado_speedups.websocket.protocol import FastWebSocketProtocol13


def test_on_windows_a_long_message_is_not_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_MAX_WRITE", 1000)
    written = []

    async def scenario() -> bytes:
        async with connected(FastWebSocketProtocol13, echo) as end:
            write = end.protocol.stream.write_to_fd

            def note(data: Any) -> Any:
                written.append(len(data))
                return write(data)

            end.protocol.stream.write_to_fd = note
            end.protocol.write_message("x" * 200_000)
            end.protocol.write_message(b"y", binary=True)
            return await end.until(b"\x82\x01y")

    received = asyncio.run(scenario())
    assert received[10:-3] == b"x" * 200_000
    assert written[0] == 1000 and len(written) > 1


def test_the_future_of_a_write(protocol: Any) -> None:
    """The future is pending when it is returned. It is resolved soon after, even if nothing awaits it."""

    async def scenario() -> None:
        futures: list[Any] = []

        def answer(handler: Handler, message: Any) -> None:
            futures.append(handler.protocol.write_message(message))
            assert not futures[-1].done()

        async with connected(protocol, answer) as end:
            end.peer.send(HELLO * 3)
            assert await end.received(3) == [b"hello"] * 3
            outside = end.protocol.write_message("more")
            assert not outside.done()
            for _ in range(3):
                await asyncio.sleep(0)
            assert [future.result() for future in [*futures, outside]] == [None] * 4

    asyncio.run(scenario())


def test_a_cancelled_write_harms_nobody(protocol: Any) -> None:
    async def scenario() -> None:
        async with connected(
            protocol, lambda handler, message: handler.protocol.write_message(message).cancel() and None
        ) as end:
            end.peer.send(HELLO * 2)
            assert await end.received(2) == [b"hello"] * 2

    asyncio.run(scenario())


def test_a_write_never_overtakes_another(protocol: Any) -> None:
    """The socket can accept data again before the stream notices it."""

    async def scenario() -> None:
        async with connected(protocol, echo) as end:
            end.protocol.write_message("x" * 1_000_000)
            taken = end.peer.recv(400_000)
            for small in "abc":
                end.protocol.write_message(small)
            rest = await end.until(b"\x81\x01c")
            frames, _, _ = parse_frames(taken + rest, 0, 9)
            assert [payload for _, payload in frames] == [b"x" * 1_000_000, b"a", b"b", b"c"]

    asyncio.run(scenario())


def test_answers_do_not_wait_for_slow_messages(protocol: Any) -> None:
    """One segment holds several slow messages. The first answers arrive before the last message is handled."""
    before: list[int] = []

    async def scenario() -> None:
        def answer(handler: Handler, message: Any) -> None:
            try:
                before.append(len(end.peer.recv(65536, socket.MSG_PEEK)))
            except BlockingIOError:
                before.append(0)
            handler.protocol.write_message(message)
            time.sleep(0.003)

        async with connected(protocol, answer) as end:
            end.peer.send(HELLO * 5)
            assert await end.received(5) == [b"hello"] * 5

    asyncio.run(scenario())
    frames = [length // 7 for length in before]
    assert all(sent >= handled - 1 for handled, sent in enumerate(frames)), frames


def test_back_pressure() -> None:
    """If the peer doesn't read, both classes stop after the same message. When it reads, all arrive in order."""

    async def blocked_after(protocol: Any) -> int:
        written = 0
        async with connected(protocol, echo) as end:

            async def produce() -> None:
                nonlocal written
                for number in range(2000):
                    await end.protocol.write_message(str(number) * 50)
                    written += 1

            producing = asyncio.ensure_future(produce())
            async with asyncio.timeout(60):
                while not end.protocol.stream.writing():
                    await asyncio.sleep(0)
            for _ in range(10):
                await asyncio.sleep(0)
            stopped = written
            assert not producing.done()
            assert await end.received(2000) == [(str(number) * 50).encode() for number in range(2000)]
            await producing
            return stopped

    assert asyncio.run(blocked_after(FastWebSocketProtocol13)) == asyncio.run(blocked_after(WebSocketProtocol13)) > 10


def test_answers_to_many_messages_survive_a_full_socket(protocol: Any) -> None:
    """The answers exceed what the socket accepts at once. The rest is sent in order when the peer reads."""
    frames = [str(number) * 1000 for number in range(60)]
    data = b"".join(build_frame(0x81, frame, b"mask") for frame in frames)

    async def scenario() -> None:
        futures: list[Any] = []

        def answer(handler: Handler, message: Any) -> None:
            futures.extend(handler.protocol.write_message(message) for _ in range(10))

        async with connected(protocol, answer) as end:
            end.protocol.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
            await asyncio.get_running_loop().sock_sendall(end.peer, data)
            expected = [frame.encode() for frame in frames for _ in range(10)]
            assert await end.received(600) == expected
            await asyncio.gather(*futures)
            assert len(futures) == 600

    asyncio.run(scenario())


@pytest.mark.parametrize("size", [10, 200_000])
def test_writes_to_a_peer_that_has_gone(protocol: Any, size: int) -> None:
    async def scenario() -> None:
        async with connected(protocol, echo) as end:
            await asyncio.sleep(0)
            end.peer.close()
            with pytest.raises(WebSocketClosedError):
                await end.protocol.write_message("x" * size)
            with pytest.raises(WebSocketClosedError):
                end.protocol.write_message("x")
            assert end.protocol.is_closing()

    asyncio.run(scenario())


def test_streams_with_a_limit_keep_it(protocol: Any) -> None:
    """max_write_buffer_size is checked before anything is written to the socket."""

    async def scenario() -> None:
        ours, theirs = socket.socketpair()
        end = protocol(Mock(), False, _WebSocketParams())
        end.stream = IOStream(ours, max_write_buffer_size=100)
        with pytest.raises(tornado.iostream.StreamBufferFullError):
            end.write_message("x" * 200)
        end.stream.close()
        theirs.close()

    asyncio.run(scenario())
