"""Connections leave nothing behind, and the garbage collector sees all that they hold.

A type in C that forgets to visit one of its fields leaks every cycle through it, without any other sign.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from tornado.websocket import _WebSocketParams

from tests.speedups.ends import HELLO, End
from tests.speedups.test_safety import IMMORTAL
from tests.speedups.test_websocket_memory import one_connection
from tests.speedups.wires import Handler
from tornado_speedups._python import build_frame
from tornado_speedups.websocket.protocol import FastWebSocketProtocol13

pytestmark = pytest.mark.usefixtures("quick_collections")


class _Slots:
    __slots__ = ("field",)


# Slots of Python classes and members of types in C, and attributes of types in C with functions to get and set them.
_FIELD_TYPES = {type(vars(_Slots)["field"]), type(vars(type("Any", (), {}))["__dict__"])}


class Held:
    """Something that the garbage collector tracks."""

    def __init__(self) -> None:
        self.owner: Any = None


def make() -> Any:
    return FastWebSocketProtocol13(None, False, _WebSocketParams())


def find_parts() -> dict[str, Callable[[], Any]]:
    """Return what makes a connection, and each of the objects of this package that it holds."""
    found: dict[str, Callable[[], Any]] = {"connection": make}
    for name in ("_transport", "_reader", "_writer"):
        found[name] = lambda name=name: getattr(make(), name)  # type: ignore[misc]
    return found


PARTS = find_parts()


def list_fields(part: Any) -> list[str]:
    """Return the fields that an instance has wherever its classes define them: slots, and members of types in C."""
    found = {name for kind in type(part).__mro__ for name, value in vars(kind).items() if type(value) in _FIELD_TYPES}
    return sorted(found - {"__dict__", "__weakref__"})


def put(part: Any, name: str) -> Held | None:
    """Put something into a field. Return None if it only takes numbers."""
    held = Held()
    try:
        setattr(part, name, held)
    except (TypeError, AttributeError):
        return None
    return held


@pytest.mark.parametrize("name", PARTS)
def test_the_garbage_collector_sees_each_field(name: str) -> None:
    part = PARTS[name]()
    fields = list_fields(part)
    assert len(fields) > 3
    for field in fields:
        held = put(part, field)
        assert held is None or any(each is held for each in gc.get_referents(part)), field
    assert sum(put(part, field) is not None for field in fields) > 3


@pytest.mark.parametrize("name", PARTS)
def test_cycles_through_each_field_are_collected(name: str) -> None:
    for field in list_fields(PARTS[name]()):
        part = PARTS[name]()
        held = put(part, field)
        if held is None:
            continue
        held.owner = part
        reference = weakref.ref(held)
        del part, held
        gc.collect()
        assert reference() is None, field


@pytest.mark.parametrize("name", PARTS)
def test_fields_release_what_they_held(name: str) -> None:
    """When something else is put in its place, when it is deleted, and when the instance goes."""
    part = PARTS[name]()
    for field in list_fields(part):
        references = []
        for _ in range(3):
            held = put(part, field)
            if held is not None:
                references.append(weakref.ref(held))
        del held
        assert sum(each() is not None for each in references) <= 1, field
        if references:
            delattr(part, field)
            assert references[-1]() is None, field
            with pytest.raises(AttributeError):
                delattr(part, field)
            last = put(part, field)
            reference = weakref.ref(last)
            del last
    del part
    gc.collect()
    assert reference() is None


async def _wait(handler: Handler, message: Any) -> None:
    await asyncio.sleep(30)


def _close(handler: Handler, message: Any) -> None:
    handler.protocol.close()


def _echo(handler: Handler, message: Any) -> None:
    handler.protocol.write_message(message)


async def _open(end: End) -> None:
    pass


async def _idle(end: End) -> None:
    for _ in range(2):
        end.peer.send(HELLO)
        await end.received(1)


async def _begin(end: End) -> None:
    await asyncio.sleep(0)
    end.peer.send(HELLO)
    await asyncio.sleep(0.002)


async def _send_half(end: End) -> None:
    await asyncio.sleep(0)
    end.peer.send(HELLO[:4])
    await asyncio.sleep(0.002)


PHASES: dict[str, tuple[Any, Callable[[End], Awaitable[None]]]] = {
    "open": (_echo, _open),
    "idle": (_echo, _idle),
    "inside a frame": (_echo, _send_half),
    "while a coroutine handles a message": (_wait, _begin),
    "closing": (_close, _begin),
}
ENDS: dict[str, Callable[[End], Any]] = {
    "the peer leaves": lambda end: end.peer.close(),
    "aborted": lambda end: end.protocol._abort(),
    "the stream is closed": lambda end: end.protocol.stream.close(),
    "cancelled": lambda end: end.task.cancel(),
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("way", ENDS)
def test_a_connection_goes_when_it_has_ended(phase: str, way: str, protocol: Any) -> None:
    """Its handler holds it, and it holds its handler: only the garbage collector takes them."""
    answer, reach = PHASES[phase]

    async def scenario() -> list[Any]:
        end = End(protocol, answer)
        await reach(end)
        ENDS[way](end)
        await asyncio.sleep(0.002)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.gather(end.task, return_exceptions=True)
        if way != "the peer leaves":
            end.peer.close()
        end.protocol.stream.close()
        waiting = end.protocol._waiting
        if waiting is not None:
            end.protocol.stream.io_loop.remove_timeout(waiting)
        return [weakref.ref(each) for each in (end.protocol, end.handler, end.protocol.stream)]

    async def collect() -> list[Any]:
        references = await scenario()
        for _ in range(5):
            await asyncio.sleep(0)
        gc.collect()
        return [each() for each in references]

    assert asyncio.run(collect()) == [None] * 3


def _count() -> Counter[str]:
    gc.collect()
    return Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())


def _watch() -> list[Any]:
    kinds: list[Any] = [
        FastWebSocketProtocol13,
        Handler,
        asyncio.Future,
        _WebSocketParams,
        weakref,
        asyncio,
        ValueError,
    ]
    kinds += [type(PARTS[name]()) for name in PARTS if name != "connection"]
    kinds += [*(base for kind in kinds if isinstance(kind, type) for base in kind.__mro__), None, True, False, "", b""]
    kinds += ["_nest_patched", "on_message", "write_to_fd", "recv", "_closed", 0x81, 0.0, ()]
    return [each for each in kinds if sys.getrefcount(each) < IMMORTAL]


def few_or_many(few: int, many: int) -> list[Any]:
    return [few, pytest.param(many, marks=pytest.mark.exhaustive)]


@pytest.mark.parametrize("connections", few_or_many(600, 20_000))
def test_connections_leave_no_objects_and_no_references(connections: int) -> None:
    watched = _watch()

    async def scenario() -> tuple[Any, ...]:
        for number in range(60):
            await one_connection(number)
        counts, references = _count(), [sys.getrefcount(each) for each in watched]
        tracemalloc.start()
        sizes = []
        for number in range(connections):
            if number % (connections // 4) == 0:  # what is made once, and kept, may be made in any quarter
                gc.collect()
                sizes.append(tracemalloc.get_traced_memory()[0])
            await one_connection(number)
        tracemalloc.stop()
        memory = min(later - earlier for earlier, later in pairwise(sizes))
        grown = {
            name: count - counts[name] for name, count in _count().items() if count - counts[name] > connections // 10
        }
        more = [sys.getrefcount(each) - count for each, count in zip(watched, references, strict=True)]
        return grown, memory, [(each, count) for each, count in zip(watched, more, strict=True) if abs(count) > 50]

    grown, memory, references = asyncio.run(scenario())
    assert grown == {} and references == []
    assert memory < 20 * connections // 4


def test_a_compressed_connection_goes_too() -> None:
    async def scenario() -> Any:
        end = End(FastWebSocketProtocol13, _echo)
        end.protocol._create_compressors("server", {}, {})
        end.peer.send(build_frame(0x81, "hello", b"mask"))
        await end.received(1)
        end.peer.close()
        await end.task
        return weakref.ref(end.protocol._compressor), weakref.ref(end.protocol)

    references = asyncio.run(scenario())
    gc.collect()
    assert [each() for each in references] == [None, None]
