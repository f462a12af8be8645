"""The WebSocket clients that are measured: each writes a message and reads the answer, again and again.

A client is told what to do by a line on a connection of its own, "PORT COUNT SIZE", and answers with a line when it is
done: see ``clients.answer_client``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

Exchange = Callable[[int, int, int], Awaitable[None]]

DONE = b"done\n"


async def _exchange_tornado(port: int, count: int, size: int) -> None:
    from tornado.websocket import websocket_connect

    connection, message = await websocket_connect(f"ws://127.0.0.1:{port}/"), "x" * size
    for _ in range(count):
        await connection.write_message(message)
        _check(await connection.read_message(), size)
    connection.close()


async def _exchange_aiohttp(port: int, count: int, size: int) -> None:
    from aiohttp import ClientSession

    message = "x" * size
    async with ClientSession() as session, session.ws_connect(f"ws://127.0.0.1:{port}/") as connection:
        for _ in range(count):
            await connection.send_str(message)
            _check(await connection.receive_str(), size)


async def _exchange_websockets(port: int, count: int, size: int) -> None:
    from websockets.asyncio.client import connect

    message = "x" * size
    options = {"compression": None, "ping_interval": None, "proxy": None}
    async with connect(f"ws://127.0.0.1:{port}/", **options) as connection:  # type: ignore[arg-type]
        for _ in range(count):
            await connection.send(message)
            _check(await connection.recv(), size)


def _check(message: str | bytes | None, size: int) -> None:
    if message is None or len(message) != size:
        raise ConnectionError(f"the message isn't the answer: {message!r}")


async def _listen(exchange: Exchange) -> int:
    async def obey(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port, count, size = map(int, (await reader.readline()).split())
        try:
            await exchange(port, count, size)
            writer.write(DONE)
        finally:
            writer.close()

    server = await asyncio.start_server(obey, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    return port


CLIENTS = {
    "tornado": partial(_listen, _exchange_tornado),
    "aiohttp": partial(_listen, _exchange_aiohttp),
    "websockets": partial(_listen, _exchange_websockets),
}
