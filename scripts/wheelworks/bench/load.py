"""A WebSocket client on a raw socket: it costs little, masks once, and checks that every answer is as long as it is.

Frames are as RFC 6455 has them (section 5.2); the payload is ASCII, sent as text.
"""

from __future__ import annotations

import selectors
import socket
import struct

_MASK = b"\x11\x22\x33\x44"
_REQUEST = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_SECONDS = 120


def connect(port: int) -> socket.socket:
    """An open connection. Raises ConnectionError for a server that doesn't switch to WebSockets."""
    connection = socket.create_connection(("127.0.0.1", port), _SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(_REQUEST)
    answer = b""
    while b"\r\n\r\n" not in answer:
        byte = connection.recv(1)
        if not byte:
            raise ConnectionError(f"the server ended the handshake: {answer!r}")
        answer += byte
    if b" 101 " not in answer.split(b"\r\n")[0]:
        raise ConnectionError(f"the server refused the handshake: {answer!r}")
    return connection


def header(size: int, masked: int) -> bytes:
    """The header of a text frame, without a mask; ``masked`` is 0x80 if one follows."""
    if size < 126:
        return bytes((0x81, masked | size))
    if size < 65536:
        return struct.pack("!BBH", 0x81, masked | 126, size)
    return struct.pack("!BBQ", 0x81, masked | 127, size)


def message(size: int) -> bytes:
    """A masked text frame with a payload of ``size`` bytes."""
    payload = int.from_bytes(b"x" * size, "little")
    mask = int.from_bytes((_MASK * (size // 4 + 1))[:size], "little")
    return header(size, 0x80) + _MASK + (payload ^ mask).to_bytes(size, "little")


def pipelined(port: int, count: int, size: int, depth: int) -> None:
    """Send messages ``depth`` at a time on one connection, and wait for all their echoes each time."""
    with connect(port) as connection:
        batch = message(size) * depth
        expected = (len(header(size, 0)) + size) * depth
        for _ in range(count // depth):
            connection.sendall(batch)
            _receive(connection, expected)


def parallel(port: int, count: int, size: int, connections: int) -> None:
    """Keep one message in flight on each of several connections."""
    frame, expected = message(size), len(header(size, 0)) + size
    missing: dict[socket.socket, int] = {}
    left: dict[socket.socket, int] = {}
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            connection = connect(port)
            selector.register(connection, selectors.EVENT_READ)
            missing[connection], left[connection] = expected, count // connections
        for connection in left:
            connection.sendall(frame)
        while selector.get_map():
            for key, _ in selector.select(_SECONDS):
                connection = key.fileobj  # type: ignore[assignment]
                missing[connection] -= len(_some(connection))
                if missing[connection]:
                    continue
                left[connection] -= 1
                if left[connection]:
                    missing[connection] = expected
                    connection.sendall(frame)
                else:
                    selector.unregister(connection)
                    connection.close()


def _receive(connection: socket.socket, count: int) -> None:
    while count:
        count -= len(_some(connection))
        if count < 0:
            raise ConnectionError("the server sent more than it was sent")


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 20)
    if not data:
        raise ConnectionError("the server ended the connection")
    return data
