"""Handlers that do to their connection what no application should: it may fail, but not crash the process or hang it.

test_sanitizers.py runs these tests, as all others, on an extension that is compiled with sanitizers: there, a use of
memory that was freed fails. The tests of whole connections compare what comes of everything else.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tornado.websocket import _WebSocketParams

from tests.speedups.ends import HELLO, End
from tests.speedups.test_websocket_leaks import PARTS, list_fields
from tests.speedups.wires import Handler
from tornado_speedups._python import build_frame
from tornado_speedups.websocket.protocol import FastWebSocketProtocol13

pytestmark = [
    pytest.mark.usefixtures("quick_collections"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
]

LONG = build_frame(0x82, bytes(70_000), b"mask")
FRAGMENTS = build_frame(0x01, "hel", b"mask") + build_frame(0x89, "", b"mask") + build_frame(0x80, "lo", b"mask")
PIECES = [HELLO, HELLO[:3], HELLO[3:] + HELLO, FRAGMENTS, build_frame(0x8A, "", b"mask"), LONG, HELLO * 20]
Abuse = Callable[[Handler], Any]


def _write(handler: Handler) -> None:
    handler.protocol.write_message("answer")
    handler.protocol.write_message(b"answer" * 20, binary=True)


@contextmanager
def _collecting() -> Iterator[None]:
    """Collect garbage as often as possible: at nearly each object that is made."""
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        yield
    finally:
        gc.set_threshold(*before)


async def _talk(end: End) -> None:
    """Send everything, and end the connection, however far it has come."""
    for piece in PIECES:
        for _ in range(4):
            await asyncio.sleep(0)
        try:
            end.peer.send(piece)
        except OSError:
            break
    for _ in range(10):
        await asyncio.sleep(0)
    end.task.cancel()
    for _ in range(5):
        await asyncio.sleep(0)


def _limit_turns(loop: Any, left: int) -> None:
    """Stop the event loop after so many turns, because what was broken may never end."""
    if left:
        loop.call_soon(_limit_turns, loop, left - 1)
    else:
        loop.stop()


def run(
    abuse: Abuse, protocol: Any = FastWebSocketProtocol13, prepare: Callable[[End], None] = lambda end: None
) -> int:
    """Return how many messages were handled until nothing else came of it."""
    handled = 0

    def answer(handler: Handler, message: Any) -> Any:
        nonlocal handled
        handled += 1
        with contextlib.suppress(Exception):  # the connection no longer can
            _write(handler)
        return abuse(handler)

    async def scenario() -> None:
        end = End(protocol, answer)
        ends.append(end)
        prepare(end)
        await _talk(end)

    ends: list[End] = []
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    _limit_turns(loop, 300)
    try:
        with contextlib.suppress(RuntimeError):  # it was stopped
            loop.run_until_complete(scenario())
    finally:
        for end in ends:
            end.peer.close()
            if end.socket.fileno() >= 0:
                loop.remove_reader(end.socket.fileno())
                loop.remove_writer(end.socket.fileno())
                end.socket.close()
        loop.close()
    return handled


# Without its task, the event loop would take the task of a connection for the running one ever after.
FIELDS = [(name, field) for name, make in PARTS.items() for field in list_fields(make()) if field != "_task"]


def _find(handler: Handler, name: str) -> Any:
    return handler.protocol if name == "connection" else getattr(handler.protocol, name)


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("value", ["deleted", None, "text", 5])
def test_fields_that_change_while_a_message_is_handled(name: str, value: Any) -> None:
    for field in [field for part, field in FIELDS if part == name]:

        def abuse(handler: Handler, field: str = field) -> None:
            if value == "deleted":
                delattr(_find(handler, name), field)
            else:
                setattr(_find(handler, name), field, value)

        run(lambda handler, abuse=abuse: abuse(handler))  # type: ignore[misc]


def _collect(handler: Handler) -> None:
    gc.collect()


def _forget_everything(handler: Handler) -> None:
    """Take from the connection all that may be only held by it."""
    end = handler.protocol
    handler.protocol = None
    end.handler = None
    gc.collect()


def _detach(handler: Handler) -> None:
    stream = handler.protocol.stream
    handler.protocol.stream = None
    stream.close()


def _initialize_again(handler: Handler) -> None:
    handler.protocol.__init__(handler, True, _WebSocketParams())


def _run_a_turn(handler: Handler) -> None:
    """Run a turn of the event loop from inside the handler, as nest_asyncio does."""
    loop: Any = asyncio.get_running_loop()
    task: Any = asyncio.current_task()
    asyncio.tasks._leave_task(loop, task)
    try:
        loop.call_soon(lambda: None)
        loop._run_once()
    finally:
        asyncio.tasks._enter_task(loop, task)


def _receive_again(handler: Handler) -> None:
    handler.protocol._on_event()


async def _wait(handler: Handler) -> None:
    await asyncio.sleep(0)
    _write(handler)


async def _cancel(handler: Handler) -> None:
    task: Any = asyncio.current_task()
    task.cancel()
    await handler.protocol.write_message("more")
    await asyncio.sleep(0)


def _fail(handler: Handler) -> None:
    raise ValueError


ABUSES: dict[str, Abuse] = {
    "collect": _collect,
    "forget everything": _forget_everything,
    "detach the stream": _detach,
    "close the stream": lambda handler: handler.protocol.stream.close(),
    "close the socket": lambda handler: handler.protocol.stream.socket.close(),
    "abort": lambda handler: handler.protocol._abort(),
    "close": lambda handler: handler.protocol.close(),
    "initialize again": _initialize_again,
    "run a turn of the event loop": _run_a_turn,
    "receive again": _receive_again,
    "wait": _wait,
    "cancel": _cancel,
    "fail": _fail,
    "take the frames": lambda handler: handler.protocol._reader.frames.clear(),
    "change the handler's class": lambda handler: setattr(handler, "__class__", type("Other", (), {})),
    "drop the dictionary": lambda handler: vars(handler.protocol).clear(),
}


@pytest.mark.parametrize("name", ABUSES)
@pytest.mark.parametrize("often", [False, True], ids=["", "collecting often"])
def test_handlers_that_do_what_they_should_not(name: str, often: bool) -> None:
    if often:
        with _collecting():
            handled = run(ABUSES[name])
    else:
        handled = run(ABUSES[name])
    assert handled > 0


def test_compressed_messages_whose_compressor_goes() -> None:
    def abuse(handler: Handler) -> None:
        handler.protocol._compressor = handler.protocol._decompressor = None
        gc.collect()

    def prepare(end: End) -> None:
        end.protocol._create_compressors("server", {}, {})

    assert run(abuse, prepare=prepare) > 0


class Awkward:
    """Something in place of a handler, whose attributes have effects."""

    def __init__(self, end: End) -> None:
        self._end = end

    def __getattr__(self, name: str) -> Any:
        self._end.protocol.handler = Awkward(self._end)  # so that nobody holds this one any more
        gc.collect()
        if name == "on_message":
            return self._end.protocol.write_message
        return lambda *arguments: None


def test_a_handler_that_goes_while_it_is_asked(protocol: Any) -> None:
    def prepare(end: End) -> None:
        end.protocol.handler = Awkward(end)

    run(lambda handler: None, protocol, prepare)


@pytest.mark.skipif(not hasattr(sys, "gettotalrefcount"), reason="only a debug build counts all references")
def test_the_total_of_references_stays() -> None:
    def count() -> int:
        for name in ("wait", "close", "collect"):
            run(ABUSES[name])
        gc.collect()
        return int(sys.gettotalrefcount())  # type: ignore[attr-defined,unused-ignore]

    count()
    before = count()
    assert min(count() for _ in range(3)) - before < 300
