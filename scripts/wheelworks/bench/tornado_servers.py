"""The measured servers of Tornado, with the speedups or without: those that echo messages and those of HTTP."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from wheelworks.bench.requests import DOCUMENT, FILE, FILE_NAME, GREETING

MAX_SIZE = 2**26
HANDLERS = ("echo", "deflate", "async", "async-unawaited", "hello", "json", "upload", "static")

Start = Callable[[], Awaitable[int]]


def _make_websocket_handlers() -> dict[str, Any]:
    from tornado.websocket import WebSocketHandler

    class Echo(WebSocketHandler):
        def on_message(self, message: str | bytes) -> Any:
            self.write_message(message, binary=isinstance(message, bytes))

    class Deflated(Echo):
        def get_compression_options(self) -> dict[str, Any]:
            return {}

    class Awaiting(WebSocketHandler):
        async def on_message(self, message: str | bytes) -> None:
            await self.write_message(message, binary=isinstance(message, bytes))

    class Unawaiting(WebSocketHandler):
        async def on_message(self, message: str | bytes) -> None:
            self.write_message(message, binary=isinstance(message, bytes))

    return {"echo": Echo, "deflate": Deflated, "async": Awaiting, "async-unawaited": Unawaiting}


def _make_http_handlers() -> dict[str, Any]:
    from tornado.web import RequestHandler

    class Hello(RequestHandler):
        def get(self) -> None:
            self.write(GREETING)

    class Json(RequestHandler):
        def get(self) -> None:
            self.write(DOCUMENT)

    class Upload(RequestHandler):
        def post(self) -> None:
            self.write(str(len(self.request.body)))

    return {"hello": Hello, "json": Json, "upload": Upload}


async def start_tornado(handler: str) -> int:
    """Start a server with one of the handlers, and return its port."""
    from tornado.web import Application, StaticFileHandler

    if handler == "static":
        rule: Any = ("/(.*)", StaticFileHandler, {"path": make_folder()})
    else:
        rule = ("/", (_make_websocket_handlers() | _make_http_handlers())[handler])
    return listen(Application([rule], websocket_max_message_size=MAX_SIZE))


def listen(application: Any) -> int:
    """Serve an application of Tornado on a free port, and return the port."""
    from tornado.httpserver import HTTPServer
    from tornado.netutil import bind_sockets

    sockets = bind_sockets(0, "127.0.0.1")
    HTTPServer(application).add_sockets(sockets)
    port: int = sockets[0].getsockname()[1]
    return port


def make_folder() -> str:
    """Return a new folder with the file that is asked for, which is deleted when this process ends."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    Path(folder, FILE_NAME).write_bytes(FILE)
    return folder


def install_speedups(zlib: str | None = None) -> None:
    """Install the speedups, with a module in place of zlib. Ends the process if they aren't installed wholly."""
    import tornado_speedups

    options: dict[str, Any] = {"zlib": import_module(zlib)} if zlib else {}  # earlier revisions have no such option
    tornado_speedups.install(**options)
    left = {name: text for name, text in tornado_speedups.status().items() if text.split(" with ")[0] != "installed"}
    if left:
        raise SystemExit(f"the speedups aren't installed: {left}")
