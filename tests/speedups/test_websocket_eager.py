"""Coroutines that handle messages begin at once, and behave as Tornado's tasks do otherwise (Python 3.12)."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import pytest
from tornado.websocket import WebSocketProtocol13

import tornado_speedups
from tests.speedups.ends import HELLO, End, connected, leave_program
from tests.speedups.wires import Handler
from tornado_speedups.websocket import transport, writes
from tornado_speedups.websocket.protocol import FastWebSocketProtocol13

EAGER = sys.version_info >= (3, 12)
needs_eager_tasks = pytest.mark.skipif(not EAGER, reason="this Python has no eager tasks")

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")


def run(protocol: Any, answer: Callable[[Handler, Any], Any], frames: int = 2, each: int = 1) -> End:
    """Exchange frames that arrive together for ``each`` answers to each of them."""

    async def scenario() -> End:
        async with connected(protocol, answer) as end:
            await asyncio.sleep(0.01)
            end.peer.send(HELLO * frames)
            assert len(await end.received(frames * each)) == frames * each
            await asyncio.sleep(0.01)
        return end

    return asyncio.run(scenario())


def count_turns(protocol: Any, prepare: Callable[[Any], Any] = lambda loop: None, **options: Any) -> list[int]:
    """Return how many turns after the first the coroutine of each of three messages began."""
    turns: list[int] = []

    async def answer(handler: Handler, message: Any) -> None:
        turns.append(now[0])
        handler.protocol.write_message(message)

    now = [0]

    async def scenario() -> None:
        async def count() -> None:
            while True:
                now[0] += 1
                await asyncio.sleep(0)

        prepare(asyncio.get_running_loop())
        counting = asyncio.ensure_future(count())
        async with connected(protocol, answer) as end:
            await asyncio.sleep(0.01)
            end.peer.send(HELLO * 3)
            assert len(await end.received(3)) == 3
        counting.cancel()

    asyncio.run(scenario(), **options)
    return [turn - turns[0] for turn in turns]


@needs_eager_tasks
def test_coroutines_that_wait_for_nothing_take_no_turn() -> None:
    assert count_turns(FastWebSocketProtocol13) == [0, 0, 0]
    assert count_turns(WebSocketProtocol13)[2] >= 2


def use_factory(loop: Any) -> None:
    loop.set_task_factory(lambda loop, coroutine, **options: asyncio.Task(coroutine, loop=loop, **options))


def patch_loop(loop: Any) -> None:
    """Replace a method of the event loop by one that makes tasks as before, as tools for tracing do."""
    loop.create_task = partial(loop.create_task)


@pytest.mark.parametrize(
    ("prepare", "options"), [(use_factory, {}), (patch_loop, {}), (lambda loop: None, {"debug": True})]
)
def test_others_who_make_tasks_or_watch_them_get_each_coroutine(prepare: Any, options: Any) -> None:
    assert count_turns(FastWebSocketProtocol13, prepare, **options)[2] >= 2


def test_a_factory_that_is_set_later_makes_the_tasks_from_then_on(protocol: Any) -> None:
    made: list[str] = []

    async def answer(handler: Handler, message: Any) -> None:
        asyncio.get_running_loop().set_task_factory(note)
        handler.protocol.write_message(message)

    def note(loop: Any, coroutine: Any, **options: Any) -> Any:
        made.append(coroutine.__name__)
        return asyncio.Task(coroutine, loop=loop, **options)

    run(protocol, answer, 3)
    assert made.count("answer") == 2


@pytest.mark.parametrize("name", ["ensure_future", "Task"])
def test_replaced_functions_of_asyncio_are_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool that replaces them before the connection begins sees every coroutine."""
    original = getattr(asyncio, name)
    replacement = type("Task", (original,), {}) if name == "Task" else partial(original)
    monkeypatch.setattr(asyncio, name, replacement)
    assert count_turns(FastWebSocketProtocol13)[2] >= 2


@pytest.mark.parametrize("eager", [False, True])
def test_install_switches_it(eager: bool) -> None:
    try:
        tornado_speedups.install(eager=eager)
        assert (count_turns(FastWebSocketProtocol13)[2] < 2) == (eager and EAGER)
    finally:
        tornado_speedups.uninstall()
    assert (count_turns(FastWebSocketProtocol13)[2] < 2) == EAGER


def test_each_coroutine_is_a_task_of_its_own(protocol: Any) -> None:
    tasks: list[Any] = []

    async def answer(handler: Handler, message: Any) -> None:
        task = asyncio.current_task()
        assert task is not None and task.get_name().startswith("Task-")
        tasks.append(task)
        await handler.protocol.write_message(message)
        assert asyncio.current_task() is task
        await asyncio.sleep(0)
        assert asyncio.current_task() is task and task in asyncio.all_tasks()

    end = run(protocol, answer)
    assert len({*tasks, end.task}) == 3 and all(task.done() and not task.cancelled() for task in tasks)


def test_each_coroutine_has_a_copy_of_the_context(protocol: Any) -> None:
    seen: list[str] = []

    async def answer(handler: Handler, message: Any) -> None:
        seen.append(variable.get())
        variable.set("of one message")
        await handler.protocol.write_message(message)
        seen.append(variable.get())

    variable.set("of the connection")
    try:
        run(protocol, answer)
    finally:
        variable.set("nothing")
    assert seen == ["of the connection", "of one message"] * 2


def test_a_waiting_handler_survives_garbage_collection(protocol: Any) -> None:
    """Only weak references of asyncio hold a task; Tornado holds it as well."""

    async def answer(handler: Handler, message: Any) -> None:
        future: asyncio.Future[None] = asyncio.Future()
        asyncio.get_running_loop().call_later(0.01, gc.collect)
        asyncio.get_running_loop().call_later(0.02, future.set_result, None)
        await future
        handler.protocol.write_message(message)

    run(protocol, answer)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_handler_that_cancels_itself(when: str) -> None:
    def scenario(protocol: Any) -> list[Any]:
        async def answer(handler: Handler, message: Any) -> None:
            task = asyncio.current_task()
            assert task is not None
            if when == "before":
                task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)

        async def exchange() -> list[Any]:
            end = End(protocol, answer)
            await asyncio.sleep(0.01)
            end.peer.send(HELLO)
            await asyncio.sleep(0.02)
            end.peer.close()
            outcome = await asyncio.gather(end.task, return_exceptions=True)
            end.protocol.stream.close()
            return [repr(outcome), [event[0] for event in end.handler.events]]

        return asyncio.run(exchange())

    assert scenario(FastWebSocketProtocol13) == scenario(WebSocketProtocol13)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("exception", [SystemExit, KeyboardInterrupt])
def test_leaving_the_program_from_a_coroutine(protocol: Any, exception: type[BaseException]) -> None:
    async def answer(handler: Handler, message: Any) -> None:
        await handler.protocol.write_message(message)
        raise exception

    leave_program(protocol, answer, exception, delay=0.01)


# Awaiting writes


def test_an_awaited_write_has_its_result(protocol: Any) -> None:
    results: list[Any] = []

    async def answer(handler: Handler, message: Any) -> None:
        future = handler.protocol.write_message(message)
        results.append(await future)
        results.append(future.result())
        results.append(await asyncio.wait_for(handler.protocol.write_message("more"), 5))
        results.append(await asyncio.gather(handler.protocol.write_message("more")))

    run(protocol, answer, 3, each=3)
    assert results == [None, None, None, [None]] * 3


def count_while_writing(protocol: Any, size: int, count: int) -> int:
    """Return how many turns others get while a loop awaits its writes."""

    async def scenario() -> int:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with connected(protocol, lambda handler, message: None) as end:
            loop = asyncio.get_running_loop()
            counting = asyncio.ensure_future(others())
            for _ in range(count):
                await end.protocol.write_message(b"x" * size, binary=True)
                await drain(loop, end)
            counting.cancel()
        return turns

    async def drain(loop: Any, end: End) -> None:
        try:
            while end.peer.recv(1 << 20):
                pass
        except BlockingIOError:
            return

    return asyncio.run(scenario())


class Clock:
    """A clock that moves when it is read."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 1000.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@needs_eager_tasks
@pytest.mark.parametrize(
    ("step", "size", "least", "most"), [(0.0, 1000, 15, 16), (0.0003, 10, 200, 400), (0.002, 10, 1000, 1001)]
)
def test_a_loop_that_awaits_its_writes_stops_for_others(
    step: float, size: int, least: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 64 KiB, or a millisecond."""
    clock = Clock(step)
    for module in (transport, writes):
        monkeypatch.setattr(module, "monotonic", clock)
    assert least <= count_while_writing(FastWebSocketProtocol13, size, 1000) <= most


def test_without_eager_tasks_it_stops_at_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("tornado_speedups.eager"), "enabled", False)
    assert count_while_writing(FastWebSocketProtocol13, 10, 100) >= 100
