"""Connections over each implementation of the types that they derive from: Python, C, and the C of wheels."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from tornado.websocket import WebSocketClosedError

from tests.speedups.ends import HELLO, End, connected, echo
from tests.speedups.engines import make_protocol
from tests.speedups.wires import Handler
from tornado_speedups._python import build_frame


@pytest.fixture(scope="session")
def connection(speedups: Any) -> Any:
    """The class of connections over one implementation."""
    return make_protocol(speedups)


async def echo_and_wait(handler: Handler, message: Any) -> None:
    await handler.protocol.write_message(message, binary=isinstance(message, bytes))


def exchange(connection: Any, answer: Any, *frames: bytes, count: int = 1) -> list[Any]:
    """Send frames one after the other; return the payloads of the answers, ``count`` of them for each."""

    async def scenario() -> list[Any]:
        async with connected(connection, answer) as end:
            received = []
            for frame in frames:
                await asyncio.sleep(0.005)
                end.peer.send(frame)
                received += await end.received(count)
            return received

    return asyncio.run(scenario())


@pytest.mark.parametrize("answer", [echo, echo_and_wait])
def test_messages_come_back(connection: Any, answer: Any) -> None:
    texts = [b"hello", b"", "\xe9\u20ac".encode(), b"x" * 300]
    frames = [HELLO, *(build_frame(0x81, text, b"mask") for text in texts)]
    assert exchange(connection, answer, *frames) == [b"hello", *texts]


def test_bytes_come_back(connection: Any) -> None:
    frames = [build_frame(0x82, bytes(range(size)), b"mask") for size in (0, 5, 200)]
    assert exchange(connection, echo_and_wait, *frames) == [bytes(range(size)) for size in (0, 5, 200)]


@pytest.mark.parametrize("answer", [echo, echo_and_wait])
def test_several_come_in_one_read(connection: Any, answer: Any) -> None:
    assert exchange(connection, answer, HELLO * 5, HELLO * 5, count=5) == [b"hello"] * 10


def test_other_messages_take_the_long_way(connection: Any) -> None:
    """Fragments, a control frame between them, a long message."""
    parts = ((0x01, b"hel"), (0x89, b"ping"), (0x80, b"lo"))
    fragments = b"".join(build_frame(head, payload, b"mask") for head, payload in parts)

    async def scenario() -> list[Any]:
        async with connected(connection, echo) as end:
            end.peer.send(HELLO)
            received = await end.received(1)
            end.peer.send(fragments)
            received += await end.received(2)
            await asyncio.get_running_loop().sock_sendall(end.peer, build_frame(0x81, b"y" * 70_000, b"mask"))
            return received + await end.received(1)

    assert asyncio.run(scenario()) == [b"hello", b"ping", b"hello", b"y" * 70_000]


def test_counts(connection: Any) -> None:
    async def scenario() -> tuple[int, ...]:
        async with connected(connection, echo) as end:
            for _ in range(3):
                end.peer.send(HELLO)
                await end.received(1)
            protocol = end.protocol
            counted = protocol._message_bytes_in, protocol._message_bytes_out
            return *counted, protocol._wire_bytes_in, protocol._wire_bytes_out

    assert asyncio.run(scenario()) == (15, 15, 33, 21)


def test_the_future_of_a_write_is_pending_in_the_handler_and_resolved_after_it(connection: Any) -> None:
    """Whether it was kept or not, waited for or not: a kept one is never given away a second time."""
    futures: list[Any] = []

    def answer(handler: Handler, message: Any) -> None:
        handler.protocol.write_message("forgotten")
        futures.append(handler.protocol.write_message(message))
        assert not futures[-1].done()

    async def scenario() -> None:
        async with connected(connection, answer) as end:
            for _ in range(4):
                end.peer.send(HELLO)
                assert await end.received(2) == [b"forgotten", b"hello"]
                await asyncio.sleep(0)
                assert futures[-1].done() and futures[-1].result() is None

    asyncio.run(scenario())
    assert len(set(map(id, futures))) == 4


@pytest.mark.parametrize("how", ["callback", "weak", "attribute"])
def test_a_future_that_something_watches_is_resolved(connection: Any, how: str) -> None:
    """Only one that nobody can know of is used again."""
    called: list[Any] = []
    known: Any = weakref.WeakSet()

    def answer(handler: Handler, message: Any) -> None:
        future = handler.protocol.write_message(message)
        if how == "callback":
            future.add_done_callback(called.append)
        elif how == "weak":
            assert future not in known
            known.add(future)
        else:
            called.append(future)

    async def scenario() -> None:
        async with connected(connection, answer) as end:
            for number in range(4):
                end.peer.send(HELLO)
                await end.received(1)
                await asyncio.sleep(0.005)
                assert how == "weak" or (len(called) == number + 1 and called[-1].done())

    asyncio.run(scenario())
    assert not list(known)


def test_a_failing_handler_ends_the_connection(connection: Any) -> None:
    def answer(handler: Handler, message: Any) -> None:
        raise ValueError(message)

    async def scenario() -> list[Any]:
        end = End(connection, answer)
        await asyncio.sleep(0.005)
        end.peer.send(HELLO)
        await asyncio.wait_for(end.task, 10)
        end.peer.close()
        return end.handler.events

    assert asyncio.run(scenario())[-1][0] == "close"


def test_text_that_is_not_utf_8_ends_the_connection(connection: Any) -> None:
    async def scenario() -> list[Any]:
        end = End(connection, echo)
        end.peer.send(HELLO)
        await end.received(1)
        end.peer.send(build_frame(0x81, b"\xff", b"mask"))
        await asyncio.wait_for(end.task, 10)
        end.peer.close()
        return end.handler.events

    assert asyncio.run(scenario())[-1][0] == "close"


def test_a_socket_that_takes_a_part(connection: Any) -> None:
    """And one that takes nothing: the stream writes the rest, in the right order."""

    def answer(handler: Handler, message: Any) -> None:
        for number in range(60):
            handler.protocol.write_message(bytes([number]) * 8000, binary=True)

    async def scenario() -> None:
        async with connected(connection, answer) as end:
            end.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            for _ in range(2):
                end.peer.send(HELLO)
                assert await end.received(60) == [bytes([number]) * 8000 for number in range(60)]

    asyncio.run(scenario())


class OtherSocket(socket.socket):
    """A socket that an application has replaced."""

    def __init__(self, original: socket.socket, kind: Callable[[bytes], Any]) -> None:
        super().__init__(fileno=original.detach())
        self.kind = kind

    def recv(self, size: int, flags: int = 0) -> Any:
        return self.kind(super().recv(size, flags))


@pytest.mark.parametrize("kind", [bytearray, memoryview, type("Bytes", (bytes,), {})])
def test_a_socket_that_receives_other_bytes(connection: Any, kind: Any) -> None:
    async def scenario() -> None:
        async with connected(connection, echo) as end:
            await asyncio.sleep(0.005)
            end.protocol.stream.socket = OtherSocket(end.socket, kind)
            for _ in range(2):
                end.peer.send(HELLO)
                assert await end.received(1) == [b"hello"]

    asyncio.run(scenario())


def test_arguments_of_write_message(connection: Any) -> None:
    async def scenario() -> None:
        async with connected(connection, echo) as end:
            write: Any = end.protocol.write_message
            for arguments, named in (
                ((), {}),
                (("a", True, 1), {}),
                (("a",), {"text": "b"}),
                (("a",), {"message": "b"}),
            ):
                with pytest.raises(TypeError):
                    write(*arguments, **named)
            await write("a")
            await write(b"b", True)
            await write(message="c", binary=False)
            await write("d", binary=1)
            assert await end.received(4) == [b"a", b"b", b"c", b"d"]

    asyncio.run(scenario())


def test_a_closed_connection_refuses_messages(connection: Any) -> None:
    async def scenario() -> None:
        async with connected(connection, echo) as end:
            end.protocol.stream.close()
            with pytest.raises(WebSocketClosedError):
                await end.protocol.write_message("late")

    asyncio.run(scenario())


def test_fields_can_be_deleted_and_replaced(connection: Any) -> None:
    """Python code may do anything with them: there are exceptions then, and no crash."""

    async def scenario() -> None:
        async with connected(connection, echo) as end:
            protocol, transport = end.protocol, end.protocol._transport
            del protocol._transport
            with pytest.raises(AttributeError):
                protocol.write_message("a")
            protocol._transport = object()
            with pytest.raises((AttributeError, TypeError)):
                protocol.write_message("a")
            protocol._transport = transport
            await protocol.write_message("b")
            assert await end.received(1) == [b"b"]

    asyncio.run(scenario())


def test_garbage_is_collected(native: Any) -> None:
    """A connection is part of cycles, through the handler and through its own methods."""
    connection = make_protocol(native)

    async def scenario() -> Any:
        async with connected(connection, echo_and_wait) as end:
            for _ in range(3):
                end.peer.send(HELLO)
                await end.received(1)
            return weakref.ref(end.protocol)

    found = asyncio.run(scenario())
    gc.collect()
    assert found() is None
