"""The shortest ways in and out: messages that come alone, and answers that go to the socket at once."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from tornado.websocket import WebSocketProtocol13

from tests.speedups.ends import HELLO, End, connected, echo
from tests.speedups.wires import Handler
from tornado_speedups._python import build_frame
from tornado_speedups.websocket.protocol import FastWebSocketProtocol13
from tornado_speedups.websocket.transport import Transport

MESSAGES = 5
WINDOW = {"server_max_window_bits": "9", "client_max_window_bits": "9"}
FORGETFUL = {"server_no_context_takeover": None, "client_no_context_takeover": None}


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a message was handled alone, something else happened, or an answer was sent on either way."""
    counts: Counter[str] = Counter()
    for owner, names in {
        FastWebSocketProtocol13: ["_handle_alone", "_on_any_event", "write_message"],
        Transport: ["send"],
    }.items():
        for name in names:
            monkeypatch.setattr(owner, name, count(getattr(owner, name), counts))
    return counts


def count_direct(ways: Counter[str]) -> int:
    """Return how many answers went to the socket at once."""
    return ways["write_message"] - ways["send"]


def count(method: Any, counts: Counter[str]) -> Callable[..., Any]:
    def counted(*arguments: Any, **options: Any) -> Any:
        counts[method.__name__] += 1
        return method(*arguments, **options)

    return counted


def exchange(
    answer: Any, frame: bytes = HELLO, together: int = 1, prepare: Callable[[End], Any] = lambda _: None
) -> None:
    """Exchange five times as many messages as come together, each time after the answers to the ones before."""

    async def scenario() -> None:
        async with connected(FastWebSocketProtocol13, answer) as end:
            prepare(end)
            for _ in range(MESSAGES):
                await asyncio.sleep(0.01)
                end.peer.send(frame * together)
                assert len(await end.received(together)) == together

    asyncio.run(scenario())


async def echo_and_wait(handler: Handler, message: Any) -> None:
    await handler.protocol.write_message(message)


def compress(end: End) -> None:
    end.protocol._create_compressors("server", {}, {})


@pytest.mark.parametrize("answer", [echo, echo_and_wait])
@pytest.mark.parametrize("frame", [HELLO, build_frame(0x82, bytes(200), b"mask")])
def test_messages_that_come_alone_take_the_shortest_way(answer: Any, frame: bytes, ways: Counter[str]) -> None:
    """Not the first: the connection doesn't know yet in which context it waits."""
    exchange(answer, frame)
    assert ways["_handle_alone"] == MESSAGES - 1 and ways["_on_any_event"] == 1
    assert count_direct(ways) == MESSAGES and not ways["send"]


def test_answers_to_messages_that_come_together_are_direct_too(ways: Counter[str]) -> None:
    exchange(echo, together=3)
    assert not ways["_handle_alone"] and count_direct(ways) == 3 * MESSAGES and not ways["send"]


def test_compressed_messages_take_it_too(ways: Counter[str]) -> None:
    deflated = zlib.compressobj(wbits=-15)
    data = (deflated.compress(b"hello") + deflated.flush(zlib.Z_FULL_FLUSH))[:-4]
    exchange(echo, build_frame(0xC1, data, b"mask"), prepare=compress)
    assert ways["_handle_alone"] == MESSAGES - 1 and count_direct(ways) == MESSAGES


def test_answers_outside_of_handlers_take_it_too(ways: Counter[str]) -> None:
    def later(handler: Handler, message: Any) -> None:
        asyncio.get_running_loop().call_soon(handler.protocol.write_message, message)

    exchange(later)
    assert count_direct(ways) == MESSAGES and not ways["send"]


def test_a_message_in_two_pieces_waits_for_the_second(protocol: Any) -> None:
    async def scenario() -> None:
        async with connected(protocol, echo) as end:
            for _ in range(3):
                for piece in (HELLO, HELLO[:4], HELLO[4:] + HELLO[:1], HELLO[1:]):
                    end.peer.send(piece)
                    await asyncio.sleep(0.005)
                assert await end.received(3) == [b"hello"] * 3

    asyncio.run(scenario())


def test_connections_have_no_dictionary() -> None:
    """An attribute of Tornado without a slot makes each access to any of them slow."""

    async def scenario() -> dict[str, Any]:
        async with connected(FastWebSocketProtocol13, echo) as end:
            end.peer.send(HELLO)
            await end.received(1)
            return dict(vars(end.protocol))

    assert asyncio.run(scenario()) == {}


@pytest.mark.parametrize("agreed", [{}, WINDOW, FORGETFUL])
def test_compressed_answers_are_the_same_bytes(agreed: dict[str, Any]) -> None:
    """Also where the messages aren't compressed, and where one is written by the application."""
    rows = [json.dumps([{"number": number * each} for each in range(50)]) for number in range(4)]

    async def scenario(protocol: Any) -> bytes:
        def answer(handler: Handler, message: Any) -> None:
            handler.protocol.write_message(message)
            handler.protocol.write_message(message.encode(), binary=True)

        async with connected(protocol, answer) as end:
            end.protocol._create_compressors("server", agreed, {"compression_level": 9})
            received = b""
            for row in rows:
                await end.protocol.write_message("ä" + row)
                await asyncio.sleep(0.005)
                end.peer.send(build_frame(0x81, row, b"mask"))
                await asyncio.sleep(0.01)
                received += end.peer.recv(1 << 20)
        return received

    assert asyncio.run(scenario(FastWebSocketProtocol13)) == asyncio.run(scenario(WebSocketProtocol13))
