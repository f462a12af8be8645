"""Tornado as the one that the Autobahn test suite talks to: a server that echoes, or a client that does.

``python peer.py server SPEEDUPS`` serves on a free port of 127.0.0.1, prints it, and ends when its input does.
``python peer.py client SPEEDUPS URL AGENT`` runs every case that the suite's server at URL has.
SPEEDUPS is "on" or "off". It imports nothing but Tornado and, if on, the package: it runs in their environment.
"""

from __future__ import annotations

import asyncio
import sys
from urllib.parse import quote

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketClosedError, WebSocketHandler, websocket_connect

LIMIT = 32 << 20  # bytes: the suite's largest message has 16 MiB
CASE_SECONDS = 300.0


class Echo(WebSocketHandler):
    """Sends every message back as it came, compressed if the peer asks for it."""

    def get_compression_options(self) -> dict[str, object]:
        """Compression with its defaults."""
        return {}

    def check_origin(self, origin: str) -> bool:
        """Take any: only this machine can connect."""
        return True

    def on_message(self, message: str | bytes) -> None:
        """Send it back."""
        try:
            self.write_message(message, binary=isinstance(message, bytes))
        except WebSocketClosedError:
            pass  # the suite has closed meanwhile, as some of its cases do


async def serve() -> None:
    """Serve until standard input ends."""
    [socket] = bind_sockets(0, "127.0.0.1")
    server = HTTPServer(Application([("/", Echo)], websocket_max_message_size=LIMIT))
    server.add_sockets([socket])
    print(socket.getsockname()[1], flush=True)  # noqa: T201
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def run_cases(url: str, agent: str) -> None:
    """Run each case of the suite's server, then have it write its report."""
    count = int(await _only_message(f"{url}/getCaseCount"))
    for case in range(1, count + 1):
        await asyncio.wait_for(_echo(f"{url}/runCase?case={case}&agent={quote(agent)}"), CASE_SECONDS)
        print(f"case {case} of {count}", flush=True)  # noqa: T201
    await _echo(f"{url}/updateReports?agent={quote(agent)}")


async def _only_message(url: str) -> str:
    connection = await websocket_connect(url)
    message = await connection.read_message()
    connection.close()
    if not isinstance(message, str):
        raise RuntimeError(f"{url} sent {message!r}, not a text")
    return message


async def _echo(url: str) -> None:
    connection = await websocket_connect(url, compression_options={}, max_message_size=LIMIT)
    while (message := await connection.read_message()) is not None:
        try:
            await connection.write_message(message, binary=isinstance(message, bytes))
        except WebSocketClosedError:
            pass


def main() -> None:
    """Install the speedups if they are asked for, and run."""
    role, speedups, *arguments = sys.argv[1:]
    if speedups == "on":
        import tornado_speedups

        tornado_speedups.install()
        wrong = {name: text for name, text in tornado_speedups.status().items() if text != "installed"}
        if wrong or tornado_speedups.implementation != "c":
            sys.exit(f"the speedups aren't all on: {tornado_speedups.implementation}, {wrong}")
    asyncio.run(serve() if role == "server" else run_cases(*arguments))


if __name__ == "__main__":
    main()
