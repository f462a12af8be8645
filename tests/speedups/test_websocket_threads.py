"""Connections in the event loops of several threads at once, while another thread looks at all of them.

An event loop and its connections belong to one thread. What they share is the package: its modules, its spare buffer,
and the types of the extension.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.speedups.ends import End, connected
from tests.speedups.wires import Handler
from tornado_speedups._python import build_frame
from tornado_speedups.websocket import LONG
from tornado_speedups.websocket.protocol import FastWebSocketProtocol13

THREADS = 4
ROUNDS = 15


def answer(handler: Handler, message: Any) -> Any:
    """Answer at once, or in a coroutine, by the length of the message."""
    if len(message) % 2:
        return answer_later(handler, message)
    handler.protocol.write_message(message, binary=isinstance(message, bytes))
    return None


async def answer_later(handler: Handler, message: Any) -> None:
    await asyncio.sleep(0)
    await handler.protocol.write_message(message, binary=isinstance(message, bytes))


async def exchange(end: End, number: int) -> None:
    messages = [b"%d" % number, b"x" * number, b"", b"y" * 200, bytes(LONG + number)]
    sent = b"".join(build_frame(0x82, message, b"mask") for message in messages)
    await asyncio.get_running_loop().sock_sendall(end.peer, sent)
    assert await end.received(len(messages)) == messages


async def talk(seen: list[Any]) -> int:
    for _ in range(ROUNDS):
        async with connected(FastWebSocketProtocol13, answer) as end:
            seen.append(end.protocol)
            for number in range(4):
                await exchange(end, number)
            count: int = end.protocol._message_bytes_in
        end.protocol.stream.close()
    return count


def look(seen: list[Any], over: threading.Event) -> int:
    """Read every attribute of every connection, again and again. Return how many were read."""
    count = 0
    names = [name for name in dir(FastWebSocketProtocol13) if name != "stream"]  # which sends what is held back
    while not over.is_set():
        for connection in list(seen)[-THREADS:]:
            for part in (connection, connection._transport, connection._reader, connection._writer):
                count += sum(getattr(part, name, None) is not None for name in names)
                gc.get_referents(part)
                repr(part)
    return count


def test_threads_with_an_event_loop_each() -> None:
    seen: list[Any] = []
    over = threading.Event()
    with ThreadPoolExecutor(THREADS + 1) as pool:
        looking = pool.submit(look, seen, over)
        try:
            talking = [pool.submit(asyncio.run, talk(seen)) for _ in range(THREADS)]
            counts = [each.result(60) for each in talking]
        finally:
            over.set()
    assert len(seen) == THREADS * ROUNDS and len(set(counts)) == 1 and looking.result() > 0
