"""Behaviour of WebSocket connections beyond the bytes sent: the fast protocol behaves like Tornado's own."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import socket
from typing import Any

import pytest
import tornado
from tornado.websocket import WebSocketProtocol13

from tests.speedups.ends import HELLO, PATIENCE, End, connected, echo, leave_program
from tests.speedups.wires import Handler
from tornado_speedups._python import build_frame
from tornado_speedups.websocket.protocol import FastWebSocketProtocol13


@pytest.mark.parametrize("begins", ["while the loop waits", "before the task runs"])
def test_who_cancels_the_connections_task_does_to_the_handler_what_tornado_does(begins: str) -> None:
    """Tornado 6.5 cancels the handler. Tornado 6.6 lets it finish."""

    async def scenario(protocol: Any) -> list[str]:
        said = []

        async def answer(handler: Handler, message: Any) -> None:
            try:
                await asyncio.sleep(0.02)
                said.append("finished")
            except asyncio.CancelledError:
                said.append("cancelled")
                raise

        end = End(protocol, answer)
        if begins == "while the loop waits":
            await asyncio.sleep(0.01)
        end.peer.send(HELLO)
        await asyncio.sleep(0.01)
        end.task.cancel()
        await asyncio.gather(end.task, return_exceptions=True)
        await asyncio.sleep(0.03)
        end.protocol.stream.close()
        end.peer.close()
        return said

    stock, fast = (asyncio.run(scenario(each)) for each in (WebSocketProtocol13, FastWebSocketProtocol13))
    assert fast == stock != []


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="")


def test_task_and_context_are_those_of_the_connection(protocol: Any) -> None:
    tasks: list[Any] = []

    def answer(handler: Handler, message: Any) -> Any:
        tasks.append(asyncio.current_task())
        variable.set(variable.get() + message)
        handler.protocol.write_message(variable.get())
        return later(handler) if len(tasks) == 2 else None

    async def later(handler: Handler) -> None:
        variable.set("only mine")

    async def scenario() -> None:
        variable.set("opened,")
        async with connected(protocol, answer) as end:
            for said in (b"opened,hello", b"opened,hellohello", b"opened,hellohellohello"):
                end.peer.send(HELLO)
                assert await end.received(1) == [said]
            assert tasks == [end.task] * 3
            assert asyncio.current_task() not in tasks

    asyncio.run(scenario())


def test_the_context_is_one_wherever_messages_are_handled(protocol: Any) -> None:
    """The first and the last message are handled in the socket's callback, the long one in the coroutine."""

    def answer(handler: Handler, message: Any) -> None:
        variable.set(f"{variable.get()}{len(message)},")
        handler.protocol.write_message(variable.get())

    async def scenario() -> None:
        variable.set("")
        async with connected(protocol, answer) as end:
            for length, said in ((1, b"1,"), (70_000, b"1,70000,"), (2, b"1,70000,2,")):
                await asyncio.sleep(0.01)
                end.peer.send(build_frame(0x81, b"x" * length, b"mask"))
                assert await end.received(1) == [said]

    asyncio.run(scenario())


def test_more_frames_than_are_parsed_at_once_while_one_is_waited_for(protocol: Any) -> None:
    async def wait(handler: Handler, message: Any) -> None:
        await asyncio.sleep(0.01)
        handler.protocol.write_message(message)

    def answer(handler: Handler, message: Any) -> Any:
        return wait(handler, message) if message == "0" else echo(handler, message)

    async def scenario() -> None:
        async with connected(protocol, answer) as end:
            await asyncio.sleep(0.01)
            end.peer.send(b"".join(build_frame(0x81, str(number), b"mask") for number in range(600)))
            assert await end.received(600) == [str(number).encode() for number in range(600)]

    asyncio.run(scenario())


def test_a_peer_that_closes_its_half_at_once_is_answered(protocol: Any) -> None:
    """The peer closes its half before the connection first waits for the socket."""

    async def answer(handler: Handler, message: Any) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        await handler.protocol.write_message(message)

    async def scenario() -> list[Any]:
        async with connected(protocol, answer) as end:
            end.peer.send(HELLO * 2)
            end.peer.shutdown(socket.SHUT_WR)
            return await end.received(2)

    assert asyncio.run(scenario()) == [b"hello"] * 2


@pytest.mark.parametrize("frames", [HELLO, build_frame(0x01, "hel", b"mask") + build_frame(0x80, "lo", b"mask")])
def test_an_error_of_an_asynchronous_handler_is_reported_once(
    protocol: Any, frames: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(handler: Handler, message: Any) -> None:
        await asyncio.sleep(0)
        raise ValueError("only once")

    async def scenario() -> list[Any]:
        end = End(protocol, answer)
        end.peer.send(frames)
        await asyncio.gather(asyncio.wait_for(end.task, 5), return_exceptions=True)
        await asyncio.sleep(0.01)
        end.protocol._abort()
        end.peer.close()
        return [event for event in end.handler.events if event[0] == "exception"]

    reported = len(asyncio.run(scenario()))
    gc.collect()
    written = sum("only once" in str(record.exc_info) for record in caplog.records)
    assert (reported, written) in ((1, 0), (0, 1)), caplog.text


def test_a_flood_on_one_connection_leaves_turns_to_another(protocol: Any) -> None:
    if tornado.version_info < (6, 6) and protocol is WebSocketProtocol13:
        pytest.skip("Tornado 6.5 has no turns")

    async def scenario() -> int:
        handled = 0

        def count(handler: Handler, message: Any) -> None:
            nonlocal handled
            handled += 1
            end.peer.send(HELLO)  # ensures that there is always more to read

        async with connected(protocol, count) as end:
            end.peer.send(HELLO * 2)
            for _ in range(10):
                await asyncio.sleep(0)
            end.handler.answer = echo
            return handled

    assert asyncio.run(asyncio.wait_for(scenario(), PATIENCE)) <= 10 * 300


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("exception", [SystemExit, KeyboardInterrupt])
def test_leaving_the_program_from_a_handler(protocol: Any, exception: type[BaseException]) -> None:
    """The exception leaves the event loop, and the answer written before it is sent."""

    def answer(handler: Handler, message: Any) -> None:
        handler.protocol.write_message(message)
        raise exception

    leave_program(protocol, answer, exception, delay=0)


def test_cancelling_the_connection_from_its_handler(protocol: Any) -> None:
    async def scenario() -> list[Any]:
        def answer(handler: Handler, message: Any) -> None:
            handler.protocol.write_message(message)
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

        end = End(protocol, answer)
        end.peer.send(HELLO)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(end.task, PATIENCE)
        assert await end.received(1) == [b"hello"]
        end.protocol._abort()
        end.peer.close()
        return end.handler.events

    events = asyncio.run(scenario())
    assert [event[0] for event in events] in (["message"], ["message", "close"])


TOO_BIG = b"\x88\x11\x03\xf1message too big"
REFUSED = {
    "reserved bits": ([b"\xf1\x05"], b""),
    "a long ping": ([b"\x89\x7e"], b""),
    "a message beyond the limit": ([b"\x82\x7e\x03\xe9"], TOO_BIG),
    "a length of 64 bits": ([b"\x82\xff" + b"\xff" * 8], TOO_BIG),
    "fragments beyond the limit": ([build_frame(0x01, bytes(600), None), b"\x80\x7e\x01\x91"], TOO_BIG),
    "a ping on top of fragments": ([build_frame(0x01, bytes(990), None), b"\x89\x14"], TOO_BIG),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_header_that_ends_the_connection_does_so_at_once(protocol: Any, name: str) -> None:
    """The connection doesn't wait for the payload, and it has answered the message before the header."""
    pieces, answer = REFUSED[name]

    async def scenario() -> bytes:
        end = End(protocol, echo)
        end.protocol.params.max_message_size = 1000
        end.peer.send(HELLO)
        for piece in pieces:
            for byte in piece:
                end.peer.send(bytes((byte,)))
                await asyncio.sleep(0)
        await asyncio.wait_for(end.task, PATIENCE)
        with end.peer:
            return end.peer.recv(100)

    assert asyncio.run(scenario()) == b"\x81\x05hello" + answer


def test_messages_of_a_peer_that_has_closed_its_half_are_answered(protocol: Any) -> None:
    """The connection handles all messages that have arrived before it checks for the end of the stream."""

    async def answer(handler: Handler, message: Any) -> None:
        if len(handler.events) < 3:
            for _ in range(20):
                await asyncio.sleep(0)
        await handler.protocol.write_message(message)

    async def scenario() -> list[Any]:
        async with connected(protocol, answer) as end:
            for _ in range(5):  # until the connection waits for the socket
                await asyncio.sleep(0)
            end.peer.send(HELLO * 3)
            end.peer.shutdown(socket.SHUT_WR)
            return await end.received(3)

    assert asyncio.run(scenario()) == [b"hello"] * 3
