"""HTTP handlers that do what the path of their request says, for servers that are compared.

A path such as ``/async/turn-header1/write5-flush-sleep1-error404`` names the kind of handler, the operations of its
prepare(), and those of its method. Each operation is a word with an optional number, and is noted before it is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tornado import gen
from tornado.iostream import StreamClosedError
from tornado.web import (
    Application,
    FallbackHandler,
    Finish,
    HTTPError,
    RedirectHandler,
    RequestHandler,
    StaticFileHandler,
    stream_request_body,
)
from tornado.websocket import WebSocketHandler

from tests.speedups import delegates
from tests.speedups.delegates import events, split_program


def do(handler: Any, word: str, number: int) -> Any:
    """Do one operation, and return what is to be awaited, if anything."""
    events.append((word, number))
    operation = OPERATIONS.get(word)
    return operation(handler, number) if operation else None


def _raise(error: BaseException) -> Any:
    raise error


def _later(function: Callable[[], Any], seconds: float) -> None:
    """Call a function later, as a callback of the application, which catches its own errors."""

    def call() -> None:
        try:
            function()
        except Exception as error:
            events.append(("later", type(error).__name__, str(error)))

    asyncio.get_running_loop().call_later(seconds, call)


def _describe(handler: Any, _: int) -> None:
    request = handler.request
    headers = sorted(request.headers.get_all())
    seen = (request.method, request.uri, request.version, request.host, request.remote_ip, request.protocol)
    events.append((seen, headers, request.cookies and sorted(request.cookies), sorted(request.arguments.items())))


def _leave_open(handler: Any, number: int) -> None:
    handler._auto_finish = False
    if number:
        _later(lambda: handler.finish("at last"), number / 100)


async def _wait_for(future: Any) -> None:
    """Await a write, whose failure a handler usually wants to know."""
    try:
        await future
    except StreamClosedError:
        events.append("closed while it was written")
        raise


def _cancel(_: Any, number: int) -> None:
    task: Any = asyncio.current_task()
    if number:
        asyncio.get_running_loop().call_later(number / 100, task.cancel)
    else:
        task.cancel()


def _name_coroutine() -> str:
    task: Any = asyncio.current_task()
    return str(task.get_coro().__qualname__)


OPERATIONS: dict[str, Callable[[Any, int], Any]] = {
    "write": lambda handler, number: handler.write(b"x" * number),
    "text": lambda handler, number: handler.write("\u20ac" * number),
    "json": lambda handler, number: handler.write({"number": number}),
    "wrong": lambda handler, number: handler.write(number),
    "flush": lambda handler, _: _wait_for(handler.flush()),
    "headers_only": lambda handler, _: _wait_for(handler.flush(include_footers=False)),
    "forget": lambda handler, _: handler.flush() and None,
    "sleep": lambda _, number: asyncio.sleep(number / 100),
    "turn": lambda _, number: asyncio.sleep(0),
    "header": lambda handler, number: handler.set_header("X-Set", number),
    "add": lambda handler, number: handler.add_header("X-Add", str(number)),
    "vary": lambda handler, _: handler.add_header("Vary", "Cookie"),
    "unset": lambda handler, _: handler.clear_header("Content-Type"),
    "latin": lambda handler, _: handler.set_header("X-Latin", "\xe9"),
    "euro": lambda handler, _: handler.set_header("X-Euro", "\u20ac"),
    "folded": lambda handler, _: handler.set_header("X-Folded", "a\r\nb"),
    "raw": lambda handler, number: handler._headers.add("X-Raw", ["a", "a\nb", "\x00", ""][number % 4]),
    "clear": lambda handler, _: handler.clear(),
    "status": lambda handler, number: handler.set_status(number),
    "reason": lambda handler, number: handler.set_status(number, "Because"),
    "length": lambda handler, number: handler.set_header("Content-Length", number),
    "zipped": lambda handler, _: handler.set_header("Content-Encoding", "gzip"),
    "binary": lambda handler, _: handler.set_header("Content-Type", "application/octet-stream"),
    "error": lambda _, number: _raise(HTTPError(number, "on %s", "purpose")),
    "excuse": lambda _, number: _raise(HTTPError(number, reason="Odd Reason")),
    "fail": lambda _, number: _raise([ValueError, KeyError, OSError, asyncio.TimeoutError][number % 4]("on purpose")),
    "stop": lambda _, number: _raise(Finish("stopped") if number else Finish()),
    "finish": lambda handler, number: handler.finish(b"y" * number) and None,
    "finished": lambda handler, number: _wait_for(handler.finish(b"y" * number)),
    "send_error": lambda handler, number: handler.send_error(number),
    "redirect": lambda handler, number: handler.redirect("/there?a=b", permanent=bool(number)),
    "cookie": lambda handler, number: handler.set_cookie(f"c{number}", str(number)),
    "forget_cookie": lambda handler, number: handler.clear_cookie(f"c{number}"),
    "etag": lambda handler, _: handler.set_etag_header(),
    "own_etag": lambda handler, _: handler.set_header("Etag", '"own"'),
    "check": lambda handler, _: events.append(("checked", handler.check_etag_header())),
    "body": lambda handler, _: handler.write(handler.request.body),
    "args": lambda handler, _: handler.write({key: handler.get_arguments(key) for key in handler.request.arguments}),
    "must": lambda handler, _: handler.write(handler.get_argument("a")),
    "xsrf": lambda handler, _: handler.write(handler.xsrf_token),
    "describe": _describe,
    "cancel": _cancel,
    "cancelled": lambda _, number: _raise(asyncio.CancelledError()),
    "hang_up": lambda handler, _: handler.request.connection.stream.close(),
    "no_more": lambda handler, _: handler.set_header("Connection", "close"),
    "detach": lambda handler, number: delegates.use_stream(handler.detach(), number),
    "open": _leave_open,
    "limit": lambda handler, number: handler.request.connection.set_max_body_size(number),
    "task": lambda handler, _: handler.write(_name_coroutine()),
}


class Program(RequestHandler):
    """A synchronous handler that overrides nothing but what every handler does."""

    def prepare(self) -> Any:
        for word, number in split_program(self.path_args[0]):
            _drop(do(self, word, number))

    def get(self, *programs: str) -> Any:
        for word, number in split_program(programs[1]):
            _drop(do(self, word, number))

    def post(self, *programs: str) -> Any:
        return self.get(*programs)

    head = put = delete = post

    def on_finish(self) -> None:
        events.append(("on_finish", self.get_status()))

    def on_connection_close(self) -> None:
        events.append("on_connection_close")
        super().on_connection_close()


def _drop(result: Any) -> None:
    """Drop a coroutine that a synchronous handler can't await."""
    if asyncio.iscoroutine(result):
        result.close()


class AsyncProgram(Program):
    async def prepare(self) -> None:
        for word, number in split_program(self.path_args[0]):
            result = do(self, word, number)
            if result is not None:
                await result

    async def get(self, *programs: str) -> None:
        for word, number in split_program(programs[1]):
            result = do(self, word, number)
            if result is not None:
                await result


class GenProgram(Program):
    @gen.coroutine
    def get(self, *programs: str) -> Any:
        for word, number in split_program(programs[1]):
            result = do(self, word, number)
            if result is not None:
                yield result


class OverridingProgram(AsyncProgram):
    """A handler that overrides what Tornado calls on the way."""

    def initialize(self) -> None:
        events.append("initialize")

    def set_default_headers(self) -> None:
        events.append("set_default_headers")
        self.set_header("X-Default", "yes")
        self.clear_header("Server")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        events.append(("write_error", status_code, sorted(kwargs)))
        self.finish(f"error {status_code}")

    def log_exception(self, *args: Any) -> None:
        events.append(("log_exception", args[0].__name__, str(args[1])))

    def compute_etag(self) -> str | None:
        events.append("compute_etag")
        return '"computed"'

    def flush(self, include_footers: bool = False) -> Any:
        events.append(("flush", include_footers))
        return super().flush(include_footers)

    def finish(self, chunk: Any = None) -> Any:
        events.append(("finish", chunk))
        return super().finish(chunk)

    def data_received(self, chunk: bytes) -> None:
        raise AssertionError("it isn't streamed")


@stream_request_body
class StreamProgram(Program):
    def data_received(self, chunk: bytes) -> Any:
        events.append(("data", bytes(chunk)))


@stream_request_body
class SlowStreamProgram(AsyncProgram):
    async def data_received(self, chunk: bytes) -> None:
        events.append(("data", bytes(chunk)))
        await asyncio.sleep(0)
        events.append("taken")
        if chunk.endswith(b"!"):
            raise ValueError("a bad end")


class Socket(WebSocketHandler):
    """An echo of messages on an upgraded connection."""

    def open(self, *_: str) -> None:
        events.append("open")

    async def on_message(self, message: str | bytes) -> None:
        events.append(("message", message))
        await self.write_message(message, binary=isinstance(message, bytes))

    def on_close(self) -> None:
        events.append(("on_close", self.close_code, self.close_reason))


def note_request(handler: RequestHandler) -> None:
    """Note a request as an application's own log_function does."""
    events.append(("request", handler.request.method, handler.get_status()))


def make_application(static: str, **settings: Any) -> Application:
    """Return the application of all programs. ``static`` is a folder of files to serve."""
    programs = r"/([^/?]*)/([^/?]*)"
    return Application(
        [
            ("/sync" + programs, Program),
            ("/async" + programs, AsyncProgram),
            ("/gen" + programs, GenProgram),
            ("/overriding" + programs, OverridingProgram),
            ("/stream" + programs, StreamProgram),
            ("/slow" + programs, SlowStreamProgram),
            ("/socket", Socket),
            ("/static/(.*)", StaticFileHandler, {"path": static, "default_filename": "short.txt"}),
            ("/moved/(.*)", RedirectHandler, {"url": "/sync/{0}/write3", "permanent": False}),
            ("/callback.*", FallbackHandler, {"fallback": delegates.answer_request}),
        ],
        **settings,
    )
