"""Handlers and clients of WebSockets that do what each message says, for connections that are compared.

A message such as ``write5-sleep1-fail`` names operations, each with an optional number, which are noted before they are
done. Other messages are noted only. How a handler runs the operations is its kind: ``KINDS``.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Generator
from typing import Any

from tornado import gen
from tornado.web import Application
from tornado.websocket import WebSocketHandler, websocket_connect

from tests.speedups.delegates import events, split_program
from tornado_speedups._python import build_frame

# Tasks that nobody else holds.
_tasks: set[asyncio.Future[Any]] = set()


class Text(str):
    """Text that isn't exactly a str."""

    __slots__ = ()


class Data(bytes):
    """Data that isn't exactly bytes."""

    __slots__ = ()


class Waiting:
    """Something that can be awaited and is neither a coroutine nor a future."""

    def __init__(self, awaited: Any) -> None:
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, Any]:
        result: Any = yield from self._awaited.__await__()
        return result


class Proxy:
    """Another handler in place of a connection's, as a tool puts it there that watches all messages."""

    def __init__(self, handler: Any) -> None:
        self._handler = handler

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handler, name)

    def on_message(self, message: Any) -> Any:
        events.append("proxy")
        return self._handler.on_message(message)


def _raise(error: BaseException) -> Any:
    raise error


def _hold(task: asyncio.Future[Any]) -> None:
    """Hold a task until it is done, and note its end as a careful application does."""
    _tasks.add(task)
    task.add_done_callback(_note)


def _note(task: asyncio.Future[Any]) -> None:
    _tasks.discard(task)
    error = None if task.cancelled() else task.exception()
    events.append(("ended", task.cancelled(), repr(error)))


async def _write_later(talker: Any, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await talker.say("later")


# Handlers sleep for hundredths of a second. What else happens comes in between: two things at the same time may come in
# either order.


def _cancel(talker: Any, number: int) -> None:
    task: Any = asyncio.current_task()
    asyncio.get_running_loop().call_later((number + 0.75) / 100, task.cancel)


def _look(talker: Any, _: int) -> None:
    """Note everything of a connection that doesn't depend on how many frames are parsed at once."""
    connection = talker.connection
    names = ("client_terminated", "server_terminated", "close_code", "close_reason", "selected_subprotocol")
    seen = [getattr(connection, name) for name in names]
    counts = connection._message_bytes_in, connection._message_bytes_out, connection._wire_bytes_out
    closed = connection.stream.closed()
    events.append(("seen", *seen, counts, connection.is_closing(), closed, connection.mask_outgoing))


def _replace_on_message(talker: Any, _: int) -> None:
    on_message = talker.handler.on_message

    def replaced(message: Any) -> Any:
        events.append("replaced")
        return on_message(message)

    talker.handler.on_message = replaced


def _replace_write_message(talker: Any, _: int) -> None:
    write_message = talker.connection.write_message

    def replaced(message: Any, binary: bool = False) -> Any:
        events.append(("written", message, binary))
        return write_message(message, binary)

    talker.connection.write_message = replaced


def _put_proxy(talker: Any, _: int) -> None:
    talker.connection.handler = Proxy(talker.connection.handler)


def _set_stream(talker: Any, _: int) -> None:
    talker.connection.stream = talker.connection.stream


def _terminate(talker: Any, _: int) -> None:
    talker.connection.client_terminated = True


OPERATIONS: dict[str, Callable[[Any, int], Any]] = {
    "write": lambda talker, number: talker.say("x" * number),
    "text": lambda talker, number: talker.say("\u20ac" * number),
    "binary": lambda talker, number: talker.say(b"\xff" * number, binary=True),
    "bytes": lambda talker, number: talker.say(b"y" * number),
    "json": lambda talker, number: talker.say({"a": "b" * number}),
    "own": lambda talker, number: talker.say(Text("o" * number)),
    "data": lambda talker, number: talker.say(Data(b"d" * number), binary=bool(number % 2)),
    "wrong": lambda talker, number: talker.say([None, 5, bytearray(b"a"), "\ud800"][number % 4]),
    "unasked": lambda talker, number: talker.say("u" * number) and None,
    "direct": lambda talker, number: talker.connection.write_message("z" * number, binary=bool(number % 2)),
    "ping": lambda talker, number: talker.connection.write_ping(b"p" * number),
    "raw": lambda talker, number: talker.connection.stream.write(build_frame(0x81, b"r" * number, None)),
    "close": lambda talker, number: talker.close(4000 + number, "reason"),
    "end": lambda talker, _: talker.close(),
    "bad_close": lambda talker, _: talker.close(1000, "x" * 200),
    "abort": lambda talker, _: talker.connection._abort(),
    "hang_up": lambda talker, _: talker.connection.stream.close(),
    "turn": lambda talker, _: asyncio.sleep(0),
    "sleep": lambda talker, number: asyncio.sleep(number / 100),
    "fail": lambda talker, _: _raise(ValueError("on purpose")),
    "stop": lambda talker, number: _raise(StopIteration(number)),
    "stop_async": lambda talker, number: _raise(StopAsyncIteration()),
    "exit": lambda talker, _: _raise(SystemExit("on purpose")),
    "interrupt": lambda talker, _: _raise(KeyboardInterrupt()),
    "cancelled": lambda talker, _: _raise(asyncio.CancelledError()),
    "cancel": _cancel,
    "look": _look,
    "replace": _replace_on_message,
    "wrap": _replace_write_message,
    "proxy": _put_proxy,
    "set_stream": _set_stream,
    "terminate": _terminate,
    "nodelay": lambda talker, number: talker.connection.set_nodelay(bool(number)),
    "later": lambda talker, number: _hold(asyncio.ensure_future(_write_later(talker, (number + 0.5) / 100))),
    "callback": lambda talker, number: asyncio.get_running_loop().call_later(
        (number + 0.25) / 100, talker.connection._abort
    ),
    "collect": lambda talker, _: gc.collect() and None,
}


def _do(talker: Any, word: str, number: int) -> Any:
    events.append((word, number))
    return OPERATIONS[word](talker, number) if word in OPERATIONS else None


def _split(message: Any) -> list[tuple[str, int]]:
    return list(split_program(message)) if isinstance(message, str) else []


def _note_message(message: Any) -> None:
    events.append((type(message).__name__, message))


def run_at_once(talker: Any, message: Any) -> None:
    """Do what a message says, and wait for nothing."""
    _note_message(message)
    for word, number in _split(message):
        result = _do(talker, word, number)
        if asyncio.iscoroutine(result):
            result.close()


async def run_and_wait(talker: Any, message: Any) -> None:
    """Do what a message says, and await what can be."""
    _note_message(message)
    for word, number in _split(message):
        result = _do(talker, word, number)
        if result is not None and word != "callback":
            await result
            events.append("awaited")


@gen.coroutine
def run_and_yield(talker: Any, message: Any) -> Any:
    """Do what a message says, in a coroutine as before ``async def``."""
    _note_message(message)
    for word, number in _split(message):
        result = _do(talker, word, number)
        if result is not None and word != "callback":
            yield result


async def _call_back(talker: Any, message: Any) -> Any:
    """Let a coroutine end with an exception that a task treats in its own way."""
    await run_and_wait(talker, message)
    return talker


def run_by_length(talker: Any, message: Any) -> Any:
    """Return something else for each message: None, a coroutine, a future, a list, and what isn't allowed."""
    ways: list[Callable[[], Any]] = [
        lambda: run_at_once(talker, message),
        lambda: _call_back(talker, message),
        lambda: Waiting(run_and_wait(talker, message)),
        lambda: asyncio.ensure_future(run_and_wait(talker, message)),
        lambda: [run_and_wait(talker, message), asyncio.sleep(0.01)],
        lambda: {"a": run_and_wait(talker, message)},
        lambda: asyncio.gather(run_and_wait(talker, message), asyncio.sleep(0.01)),
        lambda: gen.moment,
        lambda: 5,
    ]
    return ways[len(message) % len(ways)]()


RUN: dict[str, Callable[[Any, Any], Any]] = {
    "sync": run_at_once,
    "async": run_and_wait,
    "gen": run_and_yield,
    "mixed": run_by_length,
}


class Talker(WebSocketHandler):
    """A handler of one kind."""

    def initialize(self, kind: str, options: dict[str, Any]) -> None:
        self.run, self.chosen, self.handler = RUN[kind], options, self

    @property
    def connection(self) -> Any:
        return self.ws_connection

    def say(self, message: Any, binary: bool = False) -> Any:
        return self.write_message(message, binary)

    def get_compression_options(self) -> dict[str, Any] | None:
        compression: dict[str, Any] | None = self.chosen.get("compression")
        return compression

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return subprotocols[0] if subprotocols else None

    def open(self, *_: str) -> Any:
        events.append("open")
        self.set_nodelay(True)
        return self.run(self, self.chosen.get("open", ""))

    def on_message(self, message: str | bytes) -> Any:
        return self.run(self, message)

    def on_ping(self, data: bytes) -> None:
        events.append(("on_ping", data))

    def on_pong(self, data: bytes) -> None:
        events.append(("on_pong", data))

    def on_close(self) -> None:
        events.append(("on_close", self.close_code, self.close_reason))


class PropertyTalker(Talker):
    """A handler whose method is found by a property, which may fail."""

    @property
    def on_message(self) -> Any:
        events.append("property")
        if events.count("property") % 4 == 0:
            raise AttributeError("on purpose")
        return lambda message: self.run(self, message)

    @on_message.setter
    def on_message(self, value: Any) -> None:
        raise AttributeError("it cannot be set")


class Client:
    """A client that does what each message says, which it reads, or gets by a callback."""

    def __init__(self, kind: str, options: dict[str, Any]) -> None:
        self.run = RUN[kind]
        reads = options.pop("reads", True)
        connected: Any = websocket_connect("ws://h/", on_message_callback=None if reads else self._call, **options)
        connected.add_done_callback(self._begin)
        self._reads = reads
        self.handler: Any = None
        self.connection: Any = None

    def say(self, message: Any, binary: bool = False) -> Any:
        return self.handler.write_message(message, binary)

    def close(self, *arguments: Any) -> None:
        self.handler.close(*arguments)

    def _begin(self, connected: Any) -> None:
        self.handler = connected.result()
        self.connection = self.handler.protocol
        if self._reads:
            _hold(asyncio.ensure_future(self._read()))

    def _call(self, message: Any) -> None:
        if message is None:
            events.append(("on_close", self.handler.close_code, self.handler.close_reason))
            return
        result: Any = self.run(self, message)
        if result is not None and result != 5:
            _hold(asyncio.ensure_future(gen.convert_yielded(result)))

    async def _read(self) -> None:
        while True:
            message = await self.handler.read_message()
            if message is None:
                break
            result: Any = self.run(self, message)
            if result is not None:
                await gen.convert_yielded(result)
        events.append(("on_close", self.handler.close_code, self.handler.close_reason))


def make_application(kind: str, options: dict[str, Any]) -> Application:
    """Return a server's application with one handler, of one kind, with these options."""
    talker = PropertyTalker if options.get("property") else Talker
    settings = {name: value for name, value in options.items() if name.startswith("websocket_")}
    return Application([("/", talker, {"kind": kind, "options": options})], **settings)
