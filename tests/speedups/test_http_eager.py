"""Handlers of requests begin at once, and behave as Tornado's tasks do otherwise (Python 3.12)."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import re
import socket
import sys
from typing import Any

import pytest
import tornado
from tornado.httpserver import HTTPServer
from tornado.web import Application, Finish, HTTPError, RequestHandler

import tornado_speedups
from tests.speedups.serving import serving

pytestmark = pytest.mark.usefixtures("stock_tornado")
needs_eager_tasks = pytest.mark.skipif(sys.version_info < (3, 12), reason="this Python has no eager tasks")
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")


class Behaviors(RequestHandler):
    """A handler of many behaviours, a method each."""

    def prepare(self) -> Any:
        kind = self.path_args[0]
        if kind == "prepared":
            self.finish("prepared")
        return asyncio.sleep(0) if kind == "waits_first" else None

    async def get(self, kind: str) -> None:
        await getattr(self, f"do_{kind}", self.do_plain)()

    async def do_plain(self) -> None:
        self.write("hello")

    async def do_slow(self) -> None:
        await asyncio.sleep(0.01)
        self.write("slow")

    async def do_http_error(self) -> None:
        raise HTTPError(418)

    async def do_error(self) -> None:
        raise ValueError("on purpose")

    async def do_late_error(self) -> None:
        self.finish("finished")
        raise ValueError("late")

    async def do_finish(self) -> None:
        raise Finish("finished")

    async def do_cancelled(self) -> None:
        raise asyncio.CancelledError

    async def do_cancels_itself(self) -> None:
        get_task().cancel()
        await asyncio.sleep(0)

    async def do_flushes(self) -> None:
        self.write("one")
        await self.flush()
        self.write("two")

    async def do_unfinished(self) -> None:
        self._auto_finish = False
        asyncio.get_running_loop().call_later(0.01, self.finish, "later")

    async def do_hang_up(self) -> None:
        connection: Any = self.request.connection
        connection.stream.close()
        await asyncio.sleep(0)
        logging.getLogger("tornado.test").warning("after a turn")

    async def do_context(self) -> None:
        self.write(variable.get())
        variable.set(variable.get() + "again")

    async def do_task(self) -> None:
        task = get_task()
        assert task.get_name().startswith("Task-")
        self.write(task.get_coro().__name__)

    def on_connection_close(self) -> None:
        logging.getLogger("tornado.test").warning("closed")

    def on_finish(self) -> None:
        logging.getLogger("tornado.test").warning("finished")


KINDS = [name.removeprefix("do_") for name in vars(Behaviors) if name.startswith("do_")] + ["prepared", "waits_first"]
KINDS.remove("hang_up")
if tornado.version_info < (6, 6):  # it never answers a handler that was cancelled
    KINDS = [kind for kind in KINDS if "cancel" not in kind]


def get_task() -> Any:
    """Return the task that runs the handler."""
    task = asyncio.current_task()
    assert task is not None
    return task


async def serve(requests: bytes) -> bytes:
    async with serving(HTTPServer(Application([(r"/(.*)", Behaviors)]))) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(requests)
        received = await asyncio.wait_for(reader.read(-1), 30)
        writer.close()
        await writer.wait_closed()
        # A handler that is still running after its connection has closed would be cancelled, sooner or later.
        if others := asyncio.all_tasks() - {get_task()}:
            await asyncio.wait(others, timeout=5)
    return re.sub(rb"Date: [^\r]+", b"Date: now", received)


def run(kinds: list[str], caplog: pytest.LogCaptureFixture) -> tuple[bytes, list[str]]:
    """Return the answers to pipelined requests, and what was logged."""
    gc.collect()  # asyncio logs when a task of the run before goes that nobody has asked for its exception
    caplog.clear()
    heads = [f"GET /{kind} HTTP/1.1\r\nHost: h\r\n\r\n" for kind in kinds]
    last = "GET /plain HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    received = asyncio.run(serve("".join([*heads, last]).encode()))
    return received, [re.sub(r"0x\w+|[\d.]+ms|Task-\d+|:\d+", "-", text) for text in caplog.messages]


@pytest.mark.parametrize("kind", KINDS)
def test_a_handler_is_answered_and_logged_as_by_tornado(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    expected = run([kind, kind], caplog)
    tornado_speedups.install()
    assert run([kind, kind], caplog) == expected
    assert expected[0].count(b"HTTP/1.1 ") >= 1


def test_all_of_them_on_one_connection(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    kinds = [kind for kind in KINDS if "cancel" not in kind] * 2
    expected = run(kinds, caplog)
    tornado_speedups.install()
    assert run(kinds, caplog) == expected
    assert expected[0].count(b"HTTP/1.1 ") == len(kinds) + 1


@pytest.mark.parametrize("kinds", [["hang_up"], ["plain", "hang_up"], ["hang_up", "plain", "slow", "hang_up"]])
def test_a_handler_that_closes_its_connection(kinds: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """It is told so, before it goes on. Requests that have been read already are handled nevertheless."""
    caplog.set_level(logging.INFO)
    expected = run(kinds, caplog)
    tornado_speedups.install()
    assert run(kinds, caplog) == expected
    assert "closed" in expected[1] and len(expected[1]) > 3 * len(kinds)


def count_turns() -> int:
    """Return how many turns pass between the parsing of a request and the handler's first line."""
    turns: list[int] = []
    now = [0]

    class Noting(RequestHandler):
        def initialize(self) -> None:
            turns.append(now[0])

        async def get(self) -> None:
            turns.append(now[0])

    async def scenario() -> None:
        async def count() -> None:
            while True:
                now[0] += 1
                await asyncio.sleep(0)

        async with serving(HTTPServer(Application([("/", Noting)]))) as port:
            counting = asyncio.ensure_future(count())
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            await reader.read(-1)
            counting.cancel()
            writer.close()
            await writer.wait_closed()

    asyncio.run(scenario())
    return turns[1] - turns[0]


@needs_eager_tasks
def test_the_handler_begins_in_the_same_turn() -> None:
    assert count_turns() == 1
    tornado_speedups.install()
    assert count_turns() == 0


def test_install_without_it() -> None:
    tornado_speedups.install(eager=False)
    assert count_turns() == 1
    assert set(tornado_speedups.status().values()) == {"installed"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("installed", [False, True])
@pytest.mark.parametrize("exception", [SystemExit, KeyboardInterrupt])
def test_leaving_the_program_from_a_handler(
    installed: bool, exception: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    class Leaving(RequestHandler):
        def get(self) -> None:
            raise exception

    async def scenario() -> None:
        with socket.socket() as peer:
            async with serving(HTTPServer(Application([("/", Leaving)]))) as port:
                peer.connect(("127.0.0.1", port))
                peer.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                await asyncio.sleep(10)

    if installed:
        tornado_speedups.install()
    with pytest.raises(exception):
        asyncio.run(scenario())
    assert "Uncaught exception" not in caplog.text
