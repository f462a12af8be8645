"""Run the Autobahn test suite against Tornado as a server or client that echoes every message.

``python autobahn_peer.py ROLE SPEEDUPS FOLDER CASES SUITE PYTHON2``: ROLE is "server" or "client", SPEEDUPS "on" or
"off", CASES a JSON list in the suite's format. PYTHON2 runs the suite from the folder SUITE, which writes its report to
FOLDER/reports. This program runs in an environment with Tornado and the package, and imports nothing else.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, WebSocketHandler, websocket_connect

ROLE, SPEEDUPS, FOLDER, CASES, SUITE, PYTHON2 = sys.argv[1:]
LIMIT = 32 << 20  # bytes: the suite's largest message has 16 MiB
START_LIMIT = 60.0  # seconds
AGENT = "tornado"


class Echo(WebSocketHandler):
    """A server that sends every message back, compressed if the peer asks for it."""

    def get_compression_options(self) -> dict[str, object]:
        """Enable compression with its defaults."""
        return {}

    def check_origin(self, origin: str) -> bool:
        """Accept any origin: only this machine can connect."""
        return True

    def on_message(self, message: str | bytes) -> None:
        """Send the message back."""
        with suppress(WebSocketClosedError):  # some cases of the suite close the connection early
            self.write_message(message, binary=isinstance(message, bytes))


async def run_server() -> None:
    """Serve until the suite has run all its cases."""
    [socket] = bind_sockets(0, "127.0.0.1")
    server = HTTPServer(Application([("/", Echo)], websocket_max_message_size=LIMIT))
    server.add_sockets([socket])
    url = f"ws://127.0.0.1:{socket.getsockname()[1]}"
    process = await start_suite("fuzzingclient", servers=[{"agent": AGENT, "url": url}])
    if await process.wait():
        sys.exit("the test suite failed: see its log")


async def run_client() -> None:
    """Run each case of the suite's server, then let it write its report."""
    [socket] = bind_sockets(0, "127.0.0.1")
    url = f"ws://127.0.0.1:{socket.getsockname()[1]}"
    socket.close()
    process = await start_suite("fuzzingserver", url=url)
    try:
        for case in range(1, await _count_cases(url, process) + 1):
            await _echo(f"{url}/runCase?case={case}&agent={quote(AGENT)}")
        await _echo(f"{url}/updateReports?agent={quote(AGENT)}")
    finally:
        process.kill()
        await process.wait()


async def start_suite(mode: str, **options: object) -> Process:
    """Start the suite in one of its modes."""
    spec = {"outdir": "reports", "cases": json.loads(CASES), "exclude-cases": [], "exclude-agent-cases": {}, **options}
    Path(FOLDER, "spec.json").write_text(json.dumps(spec))
    # No -E, since PYTHONPATH is how the suite is found. --webport=0 turns off its web page.
    command = [PYTHON2, "-m", "autobahntestsuite.wstest", "-m", mode, "-s", "spec.json", "--webport=0"]
    env = {**os.environ, "PYTHONPATH": SUITE, "PYTHONUNBUFFERED": "1"}
    with Path(FOLDER, "log").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            *command, cwd=FOLDER, env=env, stdin=DEVNULL, stdout=log, stderr=STDOUT
        )


async def _count_cases(url: str, process: Process) -> int:
    """Return the number of cases of the suite's server, as soon as it answers."""
    deadline = asyncio.get_running_loop().time() + START_LIMIT
    while True:
        try:
            connection = await websocket_connect(f"{url}/getCaseCount")
            break
        except OSError:
            if process.returncode is not None or asyncio.get_running_loop().time() > deadline:
                sys.exit("the test suite's server doesn't answer: see its log")
            await asyncio.sleep(0.1)
    message = await connection.read_message()
    connection.close()
    return int(message or 0)


async def _echo(url: str) -> None:
    """Send every message back from the callback: a coroutine may come too late, when an error has closed all."""
    ended = asyncio.Event()
    connections: list[WebSocketClientConnection] = []

    def on_message(message: str | bytes | None) -> None:
        if message is None:
            ended.set()
        else:
            with suppress(WebSocketClosedError):
                connections[0].write_message(message, binary=isinstance(message, bytes))

    connections.append(
        await websocket_connect(url, on_message_callback=on_message, compression_options={}, max_message_size=LIMIT)
    )
    await ended.wait()


def install_speedups() -> None:
    """Install all speedups, in C. Exit if that isn't possible."""
    import tornado_speedups

    tornado_speedups.install()
    wrong = {name: text for name, text in tornado_speedups.status().items() if text != "installed"}
    if not Path(tornado_speedups.__file__).resolve().is_relative_to(Path(sys.prefix).resolve()):
        sys.exit(f"the speedups come from elsewhere: {tornado_speedups.__file__}")
    if wrong or tornado_speedups.implementation != "c":
        sys.exit(f"the speedups aren't all on: {tornado_speedups.implementation}, {wrong}")


if __name__ == "__main__":
    if SPEEDUPS == "on":
        install_speedups()
    asyncio.run({"server": run_server, "client": run_client}[ROLE]())
