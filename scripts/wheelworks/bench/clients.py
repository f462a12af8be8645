"""HTTP and WebSocket clients on raw sockets, which use little CPU time and check every response.

The WebSocket client masks its messages once, sends ASCII payloads as text frames (RFC 6455, section 5.2), and checks
the length of every echo.
"""

from __future__ import annotations

import selectors
import socket
import struct

GREETING = b"Hello, world"
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
BROWSER_REQUEST = START_LINE + BROWSER_HEADERS + b"\r\n"
BARE_REQUEST = START_LINE + b"Host: localhost:8888\r\n\r\n"
_MASK = b"\x11\x22\x33\x44"
_HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_SECONDS = 120


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), _SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def repeat_request(port: int, count: int, request: bytes) -> None:
    """Send a request ``count`` times on one connection, each after the response to the previous one.

    Raises ConnectionError for a response that isn't the greeting with status 200.
    """
    with _connect(port) as connection:
        for _ in range(count):
            connection.sendall(request)
            _receive_greeting(connection)


def _receive_greeting(connection: socket.socket) -> None:
    response = b""
    while not response.endswith(b"\r\n\r\n" + GREETING):
        data = connection.recv(1 << 16)
        response += data
        if not data or not response.startswith(b"HTTP/1.1 200 "):
            raise ConnectionError(f"the server's response isn't the greeting: {response[:200]!r}")


def open_websocket(port: int) -> socket.socket:
    """Return an open WebSocket connection. Raises ConnectionError if the server refuses the handshake."""
    connection = _connect(port)
    connection.sendall(_HANDSHAKE)
    response = b""
    while b"\r\n\r\n" not in response:
        byte = connection.recv(1)
        if not byte:
            raise ConnectionError(f"the server ended the handshake: {response!r}")
        response += byte
    if b" 101 " not in response.split(b"\r\n")[0]:
        raise ConnectionError(f"the server refused the handshake: {response!r}")
    return connection


def make_frame_header(size: int, masked: int) -> bytes:
    """Return the header of a text frame without the masking key. ``masked`` is 0x80 if a key follows, otherwise 0."""
    if size < 126:
        return bytes((0x81, masked | size))
    if size < 65536:
        return struct.pack("!BBH", 0x81, masked | 126, size)
    return struct.pack("!BBQ", 0x81, masked | 127, size)


def make_frame(size: int) -> bytes:
    """Return a masked text frame with a payload of ``size`` bytes."""
    payload = int.from_bytes(b"x" * size, "little")
    mask = int.from_bytes((_MASK * (size // 4 + 1))[:size], "little")
    return make_frame_header(size, 0x80) + _MASK + (payload ^ mask).to_bytes(size, "little")


def echo_pipelined(port: int, count: int, size: int, depth: int) -> None:
    """Send messages ``depth`` at a time on one connection, and wait for all their echoes each time."""
    with open_websocket(port) as connection:
        batch = make_frame(size) * depth
        expected = (len(make_frame_header(size, 0)) + size) * depth
        for _ in range(count // depth):
            connection.sendall(batch)
            _receive_exactly(connection, expected)


def echo_parallel(port: int, count: int, size: int, connections: int) -> None:
    """Keep one message in flight on each of several connections."""
    frame, expected = make_frame(size), len(make_frame_header(size, 0)) + size
    missing: dict[socket.socket, int] = {}
    left: dict[socket.socket, int] = {}
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            connection = open_websocket(port)
            selector.register(connection, selectors.EVENT_READ)
            missing[connection], left[connection] = expected, count // connections
        for connection in left:
            connection.sendall(frame)
        while selector.get_map():
            for key, _ in selector.select(_SECONDS):
                connection = key.fileobj  # type: ignore[assignment]
                missing[connection] -= len(_receive(connection))
                if missing[connection]:
                    continue
                left[connection] -= 1
                if left[connection]:
                    missing[connection] = expected
                    connection.sendall(frame)
                else:
                    selector.unregister(connection)
                    connection.close()


def _receive_exactly(connection: socket.socket, count: int) -> None:
    while count:
        count -= len(_receive(connection))
        if count < 0:
            raise ConnectionError("the server sent more than it was sent")


def _receive(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 20)
    if not data:
        raise ConnectionError("the server ended the connection")
    return data
