"""A small client for ``--compare``: it sends requests or messages over a few connections, each after the last answer.

It runs in the process of the command and without the speedups. Only the server's CPU time is measured, so it needn't be
fast.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import NamedTuple
from urllib.parse import SplitResult

from tornado_speedups.commands.server import CompareError, find_port

# What a browser sends.
HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Connection": "keep-alive",
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-User": "?1",
    "Priority": "u=0, i",
}
WEBSOCKET_SCHEMES = ("ws", "wss")
_LIMIT = 30.0  # seconds that an answer may take


class Load(NamedTuple):
    """What is sent: to which addresses, over how many connections, with which headers or messages."""

    urls: Sequence[SplitResult]
    connections: int
    headers: Mapping[str, str]
    message: str

    def send(self, seconds: float) -> int:
        """Send for some seconds, and return the number of answers. Raises CompareError if one is an error."""
        until = time.monotonic() + seconds
        websockets = self.urls[0].scheme in WEBSOCKET_SCHEMES
        try:
            return asyncio.run(self._send_messages(until)) if websockets else self._send_requests(until)
        except (OSError, HTTPException) as error:
            raise CompareError(f"{self.urls[0].geturl()}: {type(error).__name__}: {error}") from error

    def _send_requests(self, until: float) -> int:
        with ThreadPoolExecutor(self.connections) as pool:
            return sum(pool.map(lambda _: self._send_in_turns(until), range(self.connections)))

    def _send_in_turns(self, until: float) -> int:
        """Ask for each address in turn, at least once, over one connection."""
        connection, count = _connect(self.urls[0]), 0
        while count < len(self.urls) or time.monotonic() < until:
            url = self.urls[count % len(self.urls)]
            connection.request(
                "GET", url._replace(scheme="", netloc="", fragment="").geturl() or "/", headers=self.headers
            )
            response = connection.getresponse()
            response.read()
            if response.status >= 400:
                raise CompareError(f"{url.geturl()} was answered with status {response.status} {response.reason}")
            count += 1
        connection.close()
        return count

    async def _send_messages(self, until: float) -> int:
        tasks = (self._exchange(self.urls[n % len(self.urls)].geturl(), until) for n in range(self.connections))
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return sum(result for result in results if isinstance(result, int))

    async def _exchange(self, url: str, until: float) -> int:
        from tornado.httpclient import HTTPError, HTTPRequest
        from tornado.websocket import WebSocketError, websocket_connect

        try:
            connection = await websocket_connect(HTTPRequest(url, headers=dict(self.headers), validate_cert=False))
        except (HTTPError, WebSocketError) as error:
            raise CompareError(f"{url} doesn't open a WebSocket: {error}") from error
        count = 0
        while not count or time.monotonic() < until:
            try:
                await connection.write_message(self.message)
                answer = await asyncio.wait_for(connection.read_message(), _LIMIT)
            except TimeoutError:
                raise CompareError(f"{url} doesn't answer the message {self.message!r}; --message sets it") from None
            except WebSocketError:
                answer = None
            if answer is None:
                raise CompareError(f"{url} closed the connection after the message {self.message!r}; --message sets it")
            count += 1
        connection.close()
        return count


def _connect(url: SplitResult) -> HTTPConnection:
    if url.scheme == "http":
        return HTTPConnection(url.hostname or "", find_port(url), timeout=_LIMIT)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is the user's own program
    return HTTPSConnection(url.hostname or "", find_port(url), timeout=_LIMIT, context=context)
