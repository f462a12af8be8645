"""Tornado as what the Autobahn test suite talks to: a server that echoes, or a client that does. Runs the suite, too.

``python peer.py ROLE SPEEDUPS FOLDER CASES SITE PYTHON2``: ROLE is "server" or "client", SPEEDUPS "on" or "off", CASES
a JSON list as the suite takes it; it starts PYTHON2 with the suite from the folder SITE, which leaves its verdicts in
FOLDER/reports. It imports nothing but Tornado and, if on, the package: it runs in their environment.
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

LIMIT = 32 << 20  # bytes: the suite's largest message has 16 MiB
START_LIMIT = 60.0  # seconds
AGENT = "tornado"


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
        with suppress(WebSocketClosedError):  # the suite has closed meanwhile, as some of its cases do
            self.write_message(message, binary=isinstance(message, bytes))


async def be_server(suite: Suite) -> None:
    """Serve until the suite has tried all its cases."""
    [socket] = bind_sockets(0, "127.0.0.1")
    server = HTTPServer(Application([("/", Echo)], websocket_max_message_size=LIMIT))
    server.add_sockets([socket])
    url = f"ws://127.0.0.1:{socket.getsockname()[1]}"
    process = await suite.start("fuzzingclient", servers=[{"agent": AGENT, "url": url}])
    if await process.wait():
        sys.exit("the test suite failed: see its log")


async def be_client(suite: Suite) -> None:
    """Run each case that the suite's server has, then have it write its report."""
    [socket] = bind_sockets(0, "127.0.0.1")
    url = f"ws://127.0.0.1:{socket.getsockname()[1]}"
    socket.close()
    process = await suite.start("fuzzingserver", url=url)
    try:
        for case in range(1, await _count(url, process) + 1):
            await _echo(f"{url}/runCase?case={case}&agent={quote(AGENT)}")
        await _echo(f"{url}/updateReports?agent={quote(AGENT)}")
    finally:
        process.kill()
        await process.wait()


class Suite:
    """The test suite: where it is, what it is to try, and where it writes."""

    def __init__(self, folder: str, cases: str, site: str, python2: str) -> None:
        self._folder, self._cases = Path(folder), json.loads(cases)
        self._site, self._python2 = site, python2

    async def start(self, mode: str, **more: object) -> Process:
        """Start it in one of its modes."""
        nothing: dict[str, list[str]] = {}
        spec = {"outdir": "reports", "cases": self._cases, "exclude-cases": [], "exclude-agent-cases": nothing, **more}
        (self._folder / "spec.json").write_text(json.dumps(spec))
        # No -E, as that is how the suite is found; no port for the web page that it would show as well.
        command = [self._python2, "-m", "autobahntestsuite.wstest", "-m", mode, "-s", "spec.json", "--webport=0"]
        env = {**os.environ, "PYTHONPATH": self._site, "PYTHONUNBUFFERED": "1"}
        with (self._folder / "log").open("wb") as log:
            return await asyncio.create_subprocess_exec(
                *command, cwd=self._folder, env=env, stdin=DEVNULL, stdout=log, stderr=STDOUT
            )


async def _count(url: str, process: Process) -> int:
    """How many cases the suite's server has, once it is there."""
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
    """Send every message back at once: whether a coroutine still could, before an error ends it all, is chance."""
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


def install() -> None:
    """Put the speedups into Tornado, all of them, in C; end the program where that can't be."""
    import tornado_speedups

    tornado_speedups.install()
    wrong = {name: text for name, text in tornado_speedups.status().items() if text != "installed"}
    if not Path(tornado_speedups.__file__).resolve().is_relative_to(Path(sys.prefix).resolve()):
        sys.exit(f"the speedups come from elsewhere: {tornado_speedups.__file__}")
    if wrong or tornado_speedups.implementation != "c":
        sys.exit(f"the speedups aren't all on: {tornado_speedups.implementation}, {wrong}")


def main() -> None:
    """Install the speedups if they are asked for, and run."""
    role, speedups, *suite = sys.argv[1:]
    if speedups == "on":
        install()
    asyncio.run({"server": be_server, "client": be_client}[role](Suite(*suite)))


if __name__ == "__main__":
    main()
