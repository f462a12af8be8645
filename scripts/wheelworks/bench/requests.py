"""An HTTP client on a raw socket, with the requests that it makes: a browser's, and the shortest that is valid."""

from __future__ import annotations

import socket

HELLO = b"Hello, world"
START_LINE = b"GET / HTTP/1.1\r\n"
BROWSER_HEADERS = (
    b"Host: localhost:8888\r\n"
    b"Connection: keep-alive\r\n"
    b"Cache-Control: max-age=0\r\n"
    b'sec-ch-ua: "Chromium";v="124", "Google Chrome";v="124", "Not-A.Brand";v="99"\r\n'
    b"Upgrade-Insecure-Requests: 1\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0"
    b" Safari/537.36\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    b"application/signed-exchange;v=b3;q=0.7\r\n"
    b"Sec-Fetch-Site: none\r\n"
    b"Sec-Fetch-Mode: navigate\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Accept-Language: en-US,en;q=0.9,de;q=0.8\r\n"
    b"Cookie: session=2|1:0|10:1713900000|7:session|24:ZGVhZGJlZWZkZWFkYmVlZg==|abcdef0123456789; theme=dark;"
    b" _ga=GA1.1.123456789.1713900000\r\n"
)
BROWSER = START_LINE + BROWSER_HEADERS + b"\r\n"
BARE = START_LINE + b"Host: localhost:8888\r\n\r\n"
_SECONDS = 120


def repeated(port: int, count: int, request: bytes) -> None:
    """Send a request this many times on one connection, each after the answer to the one before it.

    Raises ConnectionError for an answer that isn't the greeting with status 200.
    """
    with socket.create_connection(("127.0.0.1", port), _SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            connection.sendall(request)
            _greeted(connection)


def _greeted(connection: socket.socket) -> None:
    answer = b""
    while not answer.endswith(b"\r\n\r\n" + HELLO):
        data = connection.recv(1 << 16)
        answer += data
        if not data or not answer.startswith(b"HTTP/1.1 200 "):
            raise ConnectionError(f"the server doesn't greet: {answer[:200]!r}")
