"""``python -m wheelworks.bench.servers KIND``: a server that echoes messages or sends a greeting.

It writes its port, then, for each line of its input, the CPU time that it has used in seconds. It ends with its input.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from wheelworks.bench.clients import GREETING

_MAX_SIZE = 2**26

Start = Callable[[], Awaitable[int]]


async def _tornado(handler: str) -> int:
    from tornado.httpserver import HTTPServer
    from tornado.netutil import bind_sockets
    from tornado.web import Application, RequestHandler
    from tornado.websocket import WebSocketHandler

    class Echo(WebSocketHandler):
        def on_message(self, message: str | bytes) -> Any:
            self.write_message(message, binary=isinstance(message, bytes))

    class AsyncEcho(WebSocketHandler):
        async def on_message(self, message: str | bytes) -> None:
            await self.write_message(message, binary=isinstance(message, bytes))

    class Hello(RequestHandler):
        def get(self) -> None:
            self.write(GREETING)

    handlers: dict[str, Any] = {"echo": Echo, "async": AsyncEcho, "hello": Hello}
    server = HTTPServer(Application([("/", handlers[handler])], websocket_max_message_size=_MAX_SIZE))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    port: int = sockets[0].getsockname()[1]
    return port


async def _speedups(handler: str) -> int:
    import tornado_speedups

    tornado_speedups.install()
    left = {name: text for name, text in tornado_speedups.status().items() if text != "installed"}
    if left:
        raise SystemExit(f"the speedups aren't installed: {left}")
    return await _tornado(handler)


async def _aiohttp(handler: str) -> int:
    from aiohttp import WSMsgType, web

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=_MAX_SIZE)
        await socket.prepare(request)
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type == WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        return socket

    async def hello(request: web.Request) -> web.Response:
        return web.Response(body=GREETING, content_type="text/html", charset="utf-8")

    handlers: dict[str, Any] = {"echo": echo, "hello": hello}
    application = web.Application()
    application.router.add_get("/", handlers[handler])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port: int = runner.addresses[0][1]
    return port


async def _websockets() -> int:
    from websockets.asyncio.server import ServerConnection, serve
    from websockets.exceptions import ConnectionClosedError

    async def echo(connection: ServerConnection) -> None:
        with suppress(ConnectionClosedError):  # the clients close without a closing handshake
            async for message in connection:
                await connection.send(message)

    # No pings: Tornado sends none, and the clients, which are plain sockets, answer none.
    server = await serve(echo, "127.0.0.1", 0, compression=None, max_size=_MAX_SIZE, ping_interval=None)
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port


async def _picows() -> int:
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

    class Echo(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY):
                transport.send(frame.msg_type, frame.get_payload_as_bytes())
            elif frame.msg_type == WSMsgType.CLOSE:
                transport.send_close(frame.get_close_code())
                transport.disconnect()

    server = await ws_create_server(lambda request: Echo(), "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    return port


KINDS: dict[str, Start] = {
    "tornado": partial(_tornado, "echo"),
    "speedups": partial(_speedups, "echo"),
    "tornado-async": partial(_tornado, "async"),
    "speedups-async": partial(_speedups, "async"),
    "aiohttp": partial(_aiohttp, "echo"),
    "websockets": _websockets,
    "picows": _picows,
    "tornado-hello": partial(_tornado, "hello"),
    "speedups-hello": partial(_speedups, "hello"),
    "aiohttp-hello": partial(_aiohttp, "hello"),
}


def _report_cpu_time(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    for _ in sys.stdin:
        _write_line(repr(time.process_time()))
    loop.call_soon_threadsafe(stop.set)


def _write_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def _serve(kind: str) -> None:
    stop = asyncio.Event()
    port = await KINDS[kind]()
    threading.Thread(target=_report_cpu_time, args=(asyncio.get_running_loop(), stop), daemon=True).start()
    _write_line(str(port))
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
