"""``python -m wheelworks.bench.servers KIND``: a server that echoes messages or answers requests.

It writes its port, then, for each line of its input, the CPU time that it has used in seconds. It ends with its input.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from typing import Any

from wheelworks.bench.application_servers import APPLICATIONS
from wheelworks.bench.measured_clients import CLIENTS
from wheelworks.bench.requests import DOCUMENT, GREETING
from wheelworks.bench.tornado_servers import HANDLERS, MAX_SIZE, Start, install_speedups, make_folder, start_tornado


async def _speedups(start: Start, zlib: str | None = None) -> int:
    install_speedups(zlib)
    return await start()


def _make_aiohttp_echo(*, compress: bool) -> Any:
    from aiohttp import WSMsgType, web

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=compress, max_msg_size=MAX_SIZE)
        await socket.prepare(request)
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type == WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        return socket

    return echo


def _make_aiohttp_handlers() -> dict[str, Any]:
    from aiohttp import web

    async def hello(request: web.Request) -> web.Response:
        return web.Response(body=GREETING, content_type="text/html", charset="utf-8")

    async def send_document(request: web.Request) -> web.Response:
        return web.json_response(DOCUMENT)

    async def upload(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    echoes = {"echo": _make_aiohttp_echo(compress=False), "deflate": _make_aiohttp_echo(compress=True)}
    return {**echoes, "hello": hello, "json": send_document, "upload": upload}


async def _aiohttp(handler: str) -> int:
    from aiohttp import web

    application = web.Application()
    if handler == "static":
        application.router.add_static("/", make_folder())
    else:
        application.router.add_route("*", "/", _make_aiohttp_handlers()[handler])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port: int = runner.addresses[0][1]
    return port


async def _websockets(compression: str | None) -> int:
    from websockets.asyncio.server import ServerConnection, serve
    from websockets.exceptions import ConnectionClosedError

    async def echo(connection: ServerConnection) -> None:
        with suppress(ConnectionClosedError):  # the clients close without a closing handshake
            async for message in connection:
                await connection.send(message)

    # No pings: Tornado sends none, and the clients, which are plain sockets, answer none.
    server = await serve(echo, "127.0.0.1", 0, compression=compression, max_size=MAX_SIZE, ping_interval=None)
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


def _make_kinds() -> dict[str, Start]:
    """Return what starts each kind of server: an echo is named as its library, another handler LIBRARY-HANDLER."""
    http = ("hello", "json", "upload", "static")
    tornado: dict[str, Start] = {name: partial(start_tornado, name) for name in HANDLERS}
    tornado |= {"client": CLIENTS["tornado"], **APPLICATIONS}
    handlers: dict[str, dict[str, Start]] = {
        "tornado": tornado,
        "speedups": {
            **{name: partial(_speedups, start) for name, start in tornado.items()},
            "deflate-ng": partial(_speedups, tornado["deflate"], "zlib_ng.zlib_ng"),
        },
        "aiohttp": {
            **{name: partial(_aiohttp, name) for name in ("echo", "deflate", *http)},
            "client": CLIENTS["aiohttp"],
        },
        "websockets": {
            "echo": partial(_websockets, None),
            "deflate": partial(_websockets, "deflate"),
            "client": CLIENTS["websockets"],
        },
        "picows": {"echo": _picows},
    }
    return {
        f"{library}-{name}".removesuffix("-echo"): start
        for library, starts in handlers.items()
        for name, start in starts.items()
    }


KINDS = _make_kinds()


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
