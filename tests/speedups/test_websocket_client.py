"""WebSocket clients read messages as Tornado's do, and their tasks run as soon as a message has come."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from typing import Any

import pytest
from tornado import gen
from tornado.queues import Queue

import tornado_speedups
from tests.speedups.clients import Peer, compare, run, settle
from tornado_speedups._python import build_frame
from tornado_speedups.websocket import transport

EAGER = sys.version_info >= (3, 12)
needs_eager_tasks = pytest.mark.skipif(not EAGER, reason="this Python has no eager tasks")
pytestmark = pytest.mark.usefixtures("stock_tornado")

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")


async def read(client: Any, count: int) -> list[Any]:
    return [await client.read_message() for _ in range(count)]


NUMBERS = [str(number) for number in range(100)]


def test_writing_and_reading_in_turns() -> None:
    async def scenario(client: Any, peer: Peer) -> Any:
        seen = []
        for number in NUMBERS:
            await client.write_message(number)
            peer.send(*[payload.decode() for _, payload in await peer.receive()])
            seen.append(await client.read_message())
        return seen

    assert compare(scenario) == NUMBERS


@pytest.mark.parametrize("delay", [0, 0.01])
def test_messages_that_come_together(delay: float) -> None:
    """Before anyone reads, or while a task waits for the first one."""

    async def scenario(client: Any, peer: Peer) -> Any:
        reading = asyncio.ensure_future(read(client, 1 if delay else 0))
        await asyncio.sleep(delay)
        peer.send(*NUMBERS)
        await settle()
        waiting = client.read_queue.qsize(), len(client.read_queue._putters)
        return waiting, await reading + await read(client, 100 - len(await reading))

    assert compare(scenario) == ((1, 1), NUMBERS)


def test_several_readers_get_messages_in_the_order_of_their_calls() -> None:
    async def scenario(client: Any, peer: Peer) -> Any:
        seen: list[Any] = []

        async def note(name: str) -> None:
            for _ in range(2):
                seen.append((name, await client.read_message()))

        tasks = [asyncio.ensure_future(note(name)) for name in "abc"]
        await asyncio.sleep(0)
        for number in NUMBERS[:6]:
            peer.send(number)
            await settle()
        await asyncio.gather(*tasks)
        return seen

    assert compare(scenario) == [(name, number) for name, number in zip("abcabc", NUMBERS, strict=False)]


@pytest.mark.parametrize("how", ["eof", "frame", "client"])
def test_the_end_while_a_task_waits(how: str) -> None:
    async def scenario(client: Any, peer: Peer) -> Any:
        reading = asyncio.ensure_future(read(client, 2))
        await asyncio.sleep(0)
        peer.send("last")
        if how == "eof":
            peer.writer.close()
        elif how == "frame":
            peer.writer.write(build_frame(0x88, b"\x0f\xa1bye", None))
        else:
            await settle()
            client.close(4001, "enough")
            peer.writer.write(build_frame(0x88, (await peer.receive())[0][1], None))
        return await reading, client.close_reason

    assert compare(scenario)[0] == ["last", None]


def test_a_task_that_closes_the_connection_gets_what_came_before() -> None:
    async def scenario(client: Any, peer: Peer) -> Any:
        async def read_and_close() -> Any:
            first = await client.read_message()
            client.close()
            return [first, *await read(client, 3)]

        reading = asyncio.ensure_future(read_and_close())
        await asyncio.sleep(0)
        peer.send("1", "2", "3")
        frames = await peer.receive()
        peer.writer.close()
        return await reading, frames

    assert compare(scenario) == (["1", "2", "3", None], [(0x88, b"")])


def test_callbacks() -> None:
    async def scenario(client: Any, peer: Peer) -> Any:
        seen: list[Any] = []
        futures = [client.read_message(callback=lambda future: seen.append(future.result())) for _ in range(2)]
        peer.send(*NUMBERS[:3])
        await asyncio.gather(*futures)
        return seen, await client.read_message(), client.read_message(lambda future: None).done()

    assert compare(scenario) == (["0", "1"], "2", False)


def test_a_callback_gets_every_message() -> None:
    seen: list[Any] = []

    async def scenario(client: Any, peer: Peer) -> Any:
        seen.clear()
        waiting = client.read_message()
        peer.send(*NUMBERS)
        await settle()
        peer.writer.close()
        await settle()
        return [*seen], waiting.done()

    assert compare(scenario, on_message_callback=seen.append) == ([*NUMBERS, None], False)


@pytest.mark.parametrize("how", ["timeout", "task", "future"])
def test_a_cancelled_read_takes_no_message(how: str) -> None:
    async def scenario(client: Any, peer: Peer) -> Any:
        for _ in range(3):
            waiting = client.read_message() if how == "future" else asyncio.ensure_future(read(client, 1))
            if how == "timeout":
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(client.read_message(), 0.001)
            await asyncio.sleep(0.001)
            waiting.cancel()
        peer.send(*NUMBERS[:4])
        return await read(client, 4)

    assert compare(scenario) == NUMBERS[:4]


def test_other_ways_to_wait() -> None:
    """Tornado's decorated coroutines, a queue's methods, and functions of asyncio."""

    async def scenario(client: Any, peer: Peer) -> Any:
        @gen.coroutine
        def decorated() -> Any:
            message = yield client.read_message()
            return message

        async def wait_for_same(future: Any) -> Any:
            return await future

        same = client.read_message()
        ways = [
            asyncio.gather(wait_for_same(same), wait_for_same(same), wait_for_same(same)),
            decorated(),
            client.read_queue.get(),
            asyncio.gather(client.read_message(), client.read_message()),
            asyncio.wait_for(client.read_message(), 10),
            asyncio.wait([client.read_message()], timeout=10),
            asyncio.shield(client.read_message()),
        ]
        waiting = asyncio.gather(*ways)
        await settle()
        peer.send(*NUMBERS[:8])
        *results, done, shielded = await waiting
        return results, [future.result() for future in done[0]], shielded

    seen = compare(scenario)
    assert seen == ([["0"] * 3, "1", "2", ["3", "4"], "7"], ["5"], "6") or seen[0][0] == ["0"] * 3


def test_another_queue_of_the_application() -> None:
    class Last(Queue):  # type: ignore[type-arg]
        def _get(self) -> Any:
            return self._queue.pop()

    async def scenario(client: Any, peer: Peer) -> Any:
        client.read_queue = Last()
        peer.send(*NUMBERS[:5])
        await settle()
        size = client.read_queue.qsize()
        client.read_queue.task_done()
        return size, await read(client, 5), client.read_queue._unfinished_tasks

    assert compare(scenario) == (5, NUMBERS[4::-1], 4)


def test_unfinished_tasks_are_counted() -> None:
    async def scenario(client: Any, peer: Peer) -> Any:
        counts = []
        for number in range(3):
            waiting = asyncio.ensure_future(read(client, 1))
            await asyncio.sleep(0)
            peer.send("hello", "more")
            await waiting
            await client.read_message()
            if number == 1:
                for _ in range(4):
                    client.read_queue.task_done()
            counts.append((client.read_queue._unfinished_tasks, client.read_queue._finished.is_set()))
        return counts

    assert compare(scenario) == [(2, False), (0, True), (2, False)]


def test_pings_and_long_messages() -> None:
    async def scenario(client: Any, peer: Peer) -> Any:
        reading = asyncio.ensure_future(read(client, 3))
        await asyncio.sleep(0)
        peer.send("1")
        peer.send("ping", head=0x89)
        peer.send("2" * 100_000)
        peer.send("\xe9")
        return await reading, await peer.receive()

    messages, frames = compare(scenario)
    assert messages == ["1", "2" * 100_000, "\xe9"] and frames[0][0] == 0x8A


# The task that reads


def test_it_keeps_its_task_and_its_context() -> None:
    async def scenario(client: Any, peer: Peer) -> Any:
        seen: list[Any] = []

        async def note(name: str) -> None:
            task = asyncio.current_task()
            variable.set(name)
            for _ in range(3):
                seen.append(await client.read_message())
                assert variable.get() == name and asyncio.current_task() is task
            await client.write_message(name)

        tasks = [asyncio.ensure_future(note(name)) for name in "ab"]
        await asyncio.sleep(0)
        peer.send(*NUMBERS[:6])
        await asyncio.gather(*tasks)
        assert not asyncio.all_tasks() & {*tasks}
        return sorted(seen), variable.get(), sorted(await peer.receive(2))

    messages, outside, received = compare(scenario)
    assert outside == "nothing" and messages == NUMBERS[:6] and received == [(0x81, b"a"), (0x81, b"b")]


def test_tasks_may_share_a_context() -> None:
    async def scenario(client: Any, peer: Peer) -> Any:
        context = contextvars.copy_context()
        tasks = [asyncio.get_running_loop().create_task(read(client, 2), context=context) for _ in range(2)]
        await settle()
        peer.send(*NUMBERS[:4])
        first, second = await asyncio.gather(*tasks)
        return sorted(first + second)

    assert compare(scenario) == NUMBERS[:4]


def test_a_task_that_hands_a_message_on() -> None:
    """A task of the application that runs inside of the handling of a message gives one to another task."""

    async def scenario(client: Any, peer: Peer) -> Any:
        async def hand_on() -> Any:
            message = await client.read_message()
            client.on_message("handed on")
            return message, asyncio.current_task() is tasks[0]

        tasks: list[Any] = [asyncio.ensure_future(hand_on()), asyncio.ensure_future(read(client, 2))]
        await settle()
        peer.send("1")
        await settle()
        peer.send("2")
        return await asyncio.gather(*tasks)

    assert compare(scenario) == [("1", True), ["handed on", "2"]]


def test_its_errors_leave_the_connection_alone() -> None:
    async def scenario(client: Any, peer: Peer) -> Any:
        async def fail() -> None:
            await client.read_message()
            raise RuntimeError("of the application")

        failing = asyncio.ensure_future(fail())
        await settle()
        peer.send(*NUMBERS[:3])
        outcome = await asyncio.gather(failing, return_exceptions=True)
        return repr(outcome), await read(client, 2)

    assert compare(scenario) == ("[RuntimeError('of the application')]", ["1", "2"])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("exception", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("installed", [False, True])
def test_leaving_the_program(exception: type[BaseException], installed: bool) -> None:
    async def scenario(client: Any, peer: Peer) -> None:
        async def leave() -> None:
            await client.read_message()
            raise exception

        leaving = asyncio.ensure_future(leave())
        await settle()
        peer.send("go")
        await asyncio.sleep(10)
        assert not leaving.done()

    if installed:
        tornado_speedups.install()
    with pytest.raises(exception):
        run(scenario)


# Turns of the event loop


class Clock:
    """A clock that moves when it is read."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 1000.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def count_turns(size: int, count: int, **options: Any) -> int:
    """Return how many turns others get while a task reads so many messages of this size that came together."""

    async def scenario(client: Any, peer: Peer) -> int:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async def count_while_reading() -> int:
            await client.read_message()
            before = turns
            await read(client, count - 1)
            return turns - before

        reading = asyncio.ensure_future(count_while_reading())
        await settle()
        peer.send(*["x" * size] * count)
        counting = asyncio.ensure_future(others())
        result = await reading
        counting.cancel()
        return result

    return int(run(scenario, **options))


@needs_eager_tasks
@pytest.mark.parametrize(
    ("step", "size", "least", "most"), [(0.0, 10, 0, 0), (0.0003, 10, 20, 90), (0.002, 10, 30, 200)]
)
def test_a_task_that_reads_stops_for_others(
    step: float, size: int, least: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a millisecond: it reads 100 messages that came together."""
    tornado_speedups.install()
    monkeypatch.setattr(transport, "monotonic", Clock(step))
    assert least <= count_turns(size, 100) <= most


@needs_eager_tasks
def test_a_task_that_reads_much_stops_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """After 64 KiB, here after 200 bytes."""
    tornado_speedups.install()
    monkeypatch.setattr(transport, "monotonic", Clock(0))
    monkeypatch.setattr(transport, "_TURN_BYTES", 200)
    assert 10 <= count_turns(50, 100) <= 60


@pytest.mark.parametrize("how", ["not eager", "debug", "nested"])
def test_where_it_does_not_run_at_once(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tornado_speedups.install(eager=how != "not eager")
    if how == "nested":
        monkeypatch.setattr(asyncio, "_nest_patched", True, raising=False)
    assert count_turns(10, 30, debug=how == "debug") >= 5
