"""Whole WebSocket connections by random scripts: a fast end does exactly what Tornado's does.

What the peer receives, when the connection ends, what handlers and clients do and in which order, and what is logged
are compared each time that the end is idle. Time is virtual, and each script comes from a seed. Handlers do what
messages say: they write, wait, fail, close, replace methods of themselves and of the connection. The socket takes and
gives less than it could, or fails, at any byte.

The faults that check that differences are found change what a connection can be asked for from outside. So they work
for any implementation of it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import pytest
from tornado.iostream import StreamClosedError

import tornado_speedups
from tests.speedups.bindings import use_implementation
from tests.speedups.conversations import Step, observed
from tests.speedups.socket_conversations import Talk, Talks
from tests.speedups.socket_judging import FRAMES, LOGS, SocketJudge
from tests.speedups.socket_programs import OPERATIONS
from tests.speedups.socket_scripts import CLIENT_OPTIONS, KINDS, OPTIONS
from tests.speedups.sockets import ERRORS, Limit
from tornado_speedups import _python, eager, patching
from tornado_speedups._python import build_frame
from tornado_speedups.patch import Patch

# What Tornado doesn't await, or closes, is told when it goes.
pytestmark = [
    pytest.mark.usefixtures("stock_tornado"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:Unclosed WebSocketClientConnection:ResourceWarning"),
]

FEATURES = {
    *("send", "turns", "settle", "half", "close", "deaf", "hear", "short buffer", "compression"),
    *(f"server {kind}" for kind in KINDS),
    *(f"client {kind}" for kind in KINDS),
    *(f"option {name}" for options in (*OPTIONS, *CLIENT_OPTIONS) for name in options),
    *(f"error {direction} {error}" for direction in ("in", "out") for error in ERRORS),
    *(f"event {word}" for word in OPERATIONS),
    *("event on_ping", "event on_pong", "event on_close", "event open", "event property", "event awaited"),
    *("event replaced", "event written", "event proxy", "event left the program"),
    *("closed with None", "closed with 1000", "closed with 4999"),
    *LOGS.values(),
    *FRAMES.values(),
}


@pytest.fixture(params=[True, False], ids=["eager", "late"])
def is_eager(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether coroutines start eagerly, as install() asks for."""
    monkeypatch.setattr(eager, "enabled", request.param)
    return bool(request.param)


@pytest.fixture
def patches(native: Any, is_eager: bool, monkeypatch: pytest.MonkeyPatch) -> list[Patch]:
    """All patches, with the implementation under test. None of them is in place."""
    use_implementation(native, monkeypatch)
    tornado_speedups.install(eager=is_eager)
    patches = patching.list_patches()
    for patch in patches:
        patch.undo()
    return patches


@pytest.fixture
def talks(caplog: pytest.LogCaptureFixture) -> Iterator[Talks]:
    with observed():
        talks = Talks()
        yield talks
        talks.loop.close()
        # Connections go here, where what they say then is expected, and not in a later test of another file.
        vars(talks).clear()
        caplog.clear()
        gc.collect()


def check(judge: SocketJudge, seeds: range) -> None:
    for seed, difference in judge.find_differences(seeds):
        pytest.fail(f"seed {seed}: {judge.explain(difference)}")


def choose_seeds(native: Any, is_eager: bool, count: int) -> range:
    """Return the seeds of this many scripts, others for each implementation."""
    start = 0 if native is _python else 1_000_000
    start += 0 if is_eager else 500_000
    return range(start, start + count)


def test_some_connections(native: Any, is_eager: bool, talks: Talks, patches: list[Patch]) -> None:
    judge = SocketJudge(talks, patches)
    check(judge, choose_seeds(native, is_eager, 25))
    assert judge.features["event open"] > 5 and judge.features["event on_close"] > 5


@pytest.mark.exhaustive
def test_many_connections(native: Any, is_eager: bool, talks: Talks, patches: list[Patch]) -> None:
    check(SocketJudge(talks, patches), choose_seeds(native, is_eager, 100))


@pytest.mark.integration
@pytest.mark.release
def test_very_many_connections(native: Any, is_eager: bool, talks: Talks, patches: list[Patch]) -> None:
    judge = SocketJudge(talks, patches)
    check(judge, choose_seeds(native, is_eager, 4_000))
    assert FEATURES - judge.features.keys() == set()


def text(*programs: str) -> tuple[Step, ...]:
    """Return the steps of a peer that sends these messages together."""
    return Step("settle"), Step("send", b"".join(build_frame(0x81, each, b"mask") for each in programs)), Step("settle")


def cut(program: str) -> tuple[Step, ...]:
    """Return the steps of a peer that sends the header and a byte of a message before the rest."""
    start, sent, end = text(program)
    return start, Step("send", sent.data[:7]), end, Step("send", sent.data[7:]), end


EMPTY = Step("send", build_frame(0x81, "", None))
FULL = (Step("settle"), Step("send", build_frame(0x81, "fail", None)), Step("settle"), EMPTY, Step("settle"), EMPTY)
BROKEN = (Limit("out", 0, 104),)  # the socket fails at the first answer
PING = build_frame(0x89, b"", b"mask")
DIFFERED = {
    "the exception of a handler that has closed the stream itself": Talk(False, "gen", text("write5"), limits=BROKEN),
    "the same, as a coroutine": Talk(False, "async", text("write5"), limits=BROKEN),
    "messages after one whose answer failed": Talk(False, "gen", text("write5", "look", "write5"), limits=BROKEN),
    "a wrong result after an answer that failed": Talk(
        False, "mixed", (Step("settle"), Step("send", PING + build_frame(0x81, "abcdefgh", b"mask"))), limits=BROKEN
    ),
    "a handler that ends the connection without closing it": Talk(False, "sync", text("terminate")),
    "the peer ends its half while a handler waits": Talk(False, "async", (*text("sleep2-write5"), Step("half"))),
    "the same, in the same turn": Talk(False, "gen", (*text("sleep2-write5")[:2], Step("half"))),
    "the same, while an answer leaves": Talk(False, "gen", (Step("deaf"), *text("write300000"), Step("half"))),
    "the end is noticed after a long answer": Talk(
        False, "async", (Step("deaf"), *text("write300000-sleep2-write5"), Step("half"), Step("settle"), Step("hear"))
    ),
    "the end is noticed after the payload has come alone": Talk(False, "async", (*cut("sleep2-write5"), Step("half"))),
    "the end behind an empty message for which a client has no room": Talk(True, "async", (*FULL, Step("half"))),
    "the socket fails during open()": Talk(
        False, "mixed", (Step("send", bytes(10)), Step("settle")), (("open", "write5"),), limits=(Limit("in", 9, 32),)
    ),
    "on_message cannot be found": Talk(False, "sync", text("1", "2", "3", "4"), (("property", True),)),
}


@pytest.mark.parametrize("name", DIFFERED)
def test_what_has_differed_before(name: str, talks: Talks, patches: list[Patch]) -> None:
    judge = SocketJudge(talks, patches)
    difference = judge.compare(DIFFERED[name])
    assert difference is None, judge.explain(difference)


def test_the_same_connection_is_always_the_same(
    native: Any, is_eager: bool, talks: Talks, patches: list[Patch]
) -> None:
    check(SocketJudge(talks, []), choose_seeds(native, is_eager, 8))


class Damaged:
    """A handler in whose place a method is another one."""

    def __init__(self, handler: Any, name: str, method: Callable[..., Any]) -> None:
        self._handler = handler
        self._name, self._method = name, method

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._handler, name)
        return _wrap(found, self._method) if name == self._name else found


def _wrap(found: Any, method: Callable[..., Any]) -> Any:
    @wraps(found)
    def damaged(*arguments: Any, **options: Any) -> Any:
        return method(found, *arguments, **options)

    return damaged


def in_handler(name: str, method: Callable[..., Any]) -> Callable[[Any], None]:
    """Return a fault in what a connection calls."""

    def damage(connection: Any) -> None:
        connection.handler = Damaged(connection.handler, name, method)

    return damage


def in_connection(name: str, method: Callable[..., Any]) -> Callable[[Any], None]:
    """Return a fault in what a connection is called for."""

    def damage(connection: Any) -> None:
        setattr(connection, name, _wrap(getattr(connection, name), method))

    return damage


def _ignore_errors(on_message: Any, message: Any) -> Any:
    try:
        return on_message(message)
    except Exception:
        return None


def _raise_other(write_message: Any, *arguments: Any) -> Any:
    try:
        return write_message(*arguments)
    except Exception:
        raise StreamClosedError from None


def _limit(connection: Any) -> None:
    connection.params.max_message_size = 120


FAULTS: dict[str, Callable[[Any], None]] = {
    "a message is lost": in_handler("on_message", lambda call, message: call(message) if message != "" else None),
    "a message comes twice": in_handler("on_message", lambda call, message: (call(message), call(message))[1]),
    "text comes as bytes": in_handler("on_message", lambda call, message: call(getattr(message, "encode", bytes)())),
    "exceptions are lost": in_handler("on_message", _ignore_errors),
    "nothing is awaited": in_handler("on_message", lambda call, message: call(message) and None),
    "the close code is lost": in_handler("on_ws_connection_close", lambda call, *_: call(None, None)),
    "pongs are lost": in_handler("on_pong", lambda call, data: None),
    "exceptions aren't logged": in_handler("log_exception", lambda call, *_: None),
    "text leaves as binary": in_connection("write_message", lambda call, message, binary=False: call(message, True)),
    "an empty answer is lost": in_connection("write_message", lambda call, *rest: call(*rest) if rest[0] else None),
    "another exception is raised": in_connection("write_message", _raise_other),
    "no close frame": in_connection("close", lambda call, *_: None),
    "not closing": in_connection("is_closing", lambda call: False),
    "not aborted": in_connection("_abort", lambda call: None),
    "a lower limit": _limit,
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found(name: str, talks: Talks, patches: list[Patch]) -> None:
    for patch in patches:
        if patch.name == "get_websocket_protocol":
            patch.replacement = _plant(patch.replacement, FAULTS[name])
    _, difference = next(SocketJudge(talks, patches).find_differences(range(1000)))
    assert difference.stock != difference.fast


def _plant(get_websocket_protocol: Any, fault: Callable[[Any], None]) -> Any:
    def damaged(handler: Any) -> Any:
        connection = get_websocket_protocol(handler)
        fault(connection)
        return connection

    return damaged
