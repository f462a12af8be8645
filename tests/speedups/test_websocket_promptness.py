"""What a handler sends while it goes on, and handlers that run the event loop, as with nest_asyncio."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from tornado.websocket import WebSocketClosedError

from tests.speedups.ends import HELLO, End, connected
from tests.speedups.wires import Handler
from tornado_speedups.websocket.protocol import FastWebSocketProtocol13

ANSWER = b"\x81\x05hello"


def peek(end: End) -> bytes:
    """Return what has reached the peer so far."""
    try:
        return end.peer.recv(1 << 20, socket.MSG_PEEK)
    except BlockingIOError:
        return b""


def exchange(protocol: Any, frames: int, handle: Callable[[End, Any], Any]) -> None:
    """Send frames together, and receive as many answers."""

    async def scenario() -> None:
        async with connected(protocol, lambda handler, message: handle(end, message)) as end:
            await asyncio.sleep(0.01)
            end.peer.send(HELLO * frames)
            assert len(await end.received(frames)) == frames

    asyncio.run(scenario())


def test_the_first_answer_leaves_while_its_handler_goes_on(protocol: Any) -> None:
    """Two messages arrive together. A handler reports that it has begun, and works for long."""
    seen: list[bytes] = []

    def handle(end: End, message: Any) -> None:
        end.protocol.write_message(message)
        seen.append(peek(end))

    exchange(protocol, 2, handle)
    assert seen == [ANSWER, ANSWER * 2]


def test_a_report_leaves_with_the_next_one_at_the_latest(protocol: Any) -> None:
    """The handlers before were quick, so the first report may be held back; after a millisecond, the second isn't."""
    handled = 0
    seen: list[bytes] = []

    def handle(end: End, message: Any) -> None:
        nonlocal handled
        handled += 1
        if handled == 20:
            end.protocol.write_message("begun")
            time.sleep(0.002)
            end.protocol.write_message("working")
            seen.append(peek(end))
        end.protocol.write_message(message)

    exchange(protocol, 30, handle)
    assert seen[0] == ANSWER * 19 + b"\x81\x05begun\x81\x07working"


def test_nothing_is_held_back_after_a_slow_handler(protocol: Any) -> None:
    handled = 0
    seen: list[int] = []

    def handle(end: End, message: Any) -> None:
        nonlocal handled
        handled += 1
        if handled == 20:
            time.sleep(0.002)
        end.protocol.write_message(message)
        if handled == 21:
            seen.append(len(peek(end)))

    exchange(protocol, 30, handle)
    assert seen == [21 * len(ANSWER)]


def test_answers_of_quick_handlers_leave_together() -> None:
    sizes: list[int] = []

    def handle(end: End, message: Any) -> None:
        if not sizes:
            sizes.append(0)
            stream: Any = end.protocol.stream
            write = stream.write_to_fd

            def note(data: Any) -> Any:
                sizes.append(len(data))
                return write(data)

            stream.write_to_fd = note
        end.protocol.write_message(message)

    exchange(FastWebSocketProtocol13, 60, handle)
    assert sum(sizes) == 60 * len(ANSWER) and len(sizes) < 60


def test_each_write_outside_of_handlers_leaves_before_the_next(protocol: Any) -> None:
    """A coroutine may work for long after any of its writes, awaited or not, without a turn of the event loop."""
    seen: list[bytes] = []

    async def report(end: End) -> None:
        for _ in range(20):
            await end.protocol.write_message("hello")
            seen.append(peek(end))
            end.protocol.write_message("hello")
            seen.append(peek(end))

    async def scenario() -> None:
        async with connected(protocol, lambda handler, message: None) as end:
            await asyncio.sleep(0.01)
            await asyncio.create_task(report(end))

    asyncio.run(scenario())
    assert seen == [ANSWER * count for count in range(1, 41)]


def test_the_futures_of_writes_outside_of_handlers_resolve_with_the_next_turn(protocol: Any) -> None:
    """Also if nothing awaits them, and after the connection was closed in between."""

    async def scenario() -> list[Any]:
        async with connected(protocol, lambda handler, message: None) as end:
            await asyncio.sleep(0.01)
            futures = [end.protocol.write_message("hello") for _ in range(3)]
            assert not any(future.done() for future in futures) and peek(end) == ANSWER * 3
            end.protocol.stream.close()
            with pytest.raises(WebSocketClosedError):
                end.protocol.write_message("hello")
            return await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), 10)

    assert asyncio.run(scenario()) == [None] * 3


# Event loops that run inside of themselves


def run_inside(waited: asyncio.Future[Any]) -> None:
    """Run the event loop until a future is done, from inside a callback or a task, as nest_asyncio lets one do."""
    loop: Any = waited.get_loop()
    task = asyncio.current_task()
    if task is not None:
        asyncio.tasks._leave_task(loop, task)
    try:
        deadline = time.monotonic() + 10
        while not waited.done() and time.monotonic() < deadline:
            loop.call_later(0.01, lambda: None)  # so that the selector doesn't wait for long
            loop._run_once()
    finally:
        if task is not None:
            asyncio.tasks._enter_task(loop, task)
    assert waited.done(), "the handler would wait forever"


@pytest.mark.parametrize("begins", ["before the first message", "in the first handler"])
@pytest.mark.parametrize("more", [False, True])
def test_a_handler_waits_for_its_write_once_loops_are_reentrant(
    protocol: Any, begins: str, more: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """nest_asyncio becomes active after the connection was opened. Meanwhile, more messages may arrive."""

    def begin() -> None:
        monkeypatch.setattr(asyncio, "_nest_patched", True, raising=False)

    async def scenario() -> None:
        def answer(handler: Handler, message: Any) -> None:
            begin()
            writing = asyncio.ensure_future(handler.protocol.write_message(message))
            if more and len(handler.events) < 4:
                end.peer.send(HELLO)
            run_inside(writing)
            run_inside(asyncio.ensure_future(asyncio.sleep(0.02)))

        async with connected(protocol, answer) as end:
            await asyncio.sleep(0.01)
            if begins == "before the first message":
                begin()
            end.peer.send(HELLO * 2)
            count = 5 if more else 2
            assert await end.received(count) == [b"hello"] * count
            assert len(end.handler.events) == count

    caplog.set_level(logging.WARNING)
    asyncio.run(scenario())
    assert caplog.messages == []
