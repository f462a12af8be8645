"""HTTP and WebSocket clients on raw sockets, which use little CPU time and check every response.

The WebSocket client masks its messages once, sends ASCII payloads as text frames (RFC 6455, section 5.2), and checks
the length of every echo, or the text itself where it was compressed (RFC 7692).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import selectors
import socket
import struct
import zlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import cycle

from wheelworks.bench.measured_clients import DONE
from wheelworks.bench.requests import GREETING

FIN_TEXT, COMPRESSED, MASKED = 0x81, 0x40, 0x80
_DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
_TAIL = b"\0\0\xff\xff"  # which both sides leave out: RFC 7692, section 7.2.1
_MASK = b"\x11\x22\x33\x44"
_HANDSHAKE = (
    b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n"
)
_KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_CLOSE = b"\x88\x02\x03\xe8"
_SECONDS = 120


def _make_text(step: int) -> str:
    values = ((n + step) ** 3 % 997 if (n + step) % 5 == 0 else n for n in range(120))
    return json.dumps([{"sensor": n, "unit": "kWh", "value": value} for n, value in enumerate(values)])[:4096]


# States of an application. Each differs from the one before in two of five values.
TEXTS = tuple(_make_text(step) for step in range(16))


def connect(port: int) -> socket.socket:
    """Return a connection to a server on this machine that sends at once what it is given."""
    connection = socket.create_connection(("127.0.0.1", port), _SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def repeat_request(port: int, count: int, request: bytes, body: bytes = GREETING) -> None:
    """Send a request ``count`` times on one connection, each after the response to the previous one.

    Raises ConnectionError for a response that hasn't this body and status 200.
    """
    with connect(port) as connection:
        for _ in range(count):
            connection.sendall(request)
            _receive_body(connection, body)


def _receive_body(connection: socket.socket, body: bytes) -> None:
    response = b""
    while not response.endswith(b"\r\n\r\n" + body):
        data = connection.recv(1 << 16)
        response += data
        if not data or not response.startswith(b"HTTP/1.1 200 "):
            raise ConnectionError(f"the server's response isn't {body[:40]!r}: {response[:200]!r}")


def open_websocket(port: int, headers: bytes = b"", path: str = "/") -> socket.socket:
    """Return an open WebSocket connection. Raises ConnectionError if the server refuses the handshake or an extension.

    ``headers`` are added to those of the handshake.
    """
    connection = connect(port)
    connection.sendall(_HANDSHAKE % (path.encode(), headers))
    response = b""
    while b"\r\n\r\n" not in response:
        byte = connection.recv(1)
        if not byte:
            raise ConnectionError(f"the server ended the handshake: {response!r}")
        response += byte
    if b" 101 " not in response.split(b"\r\n")[0] or (_DEFLATE in headers) != (b"permessage-deflate" in response):
        raise ConnectionError(f"the server refused the handshake: {response!r}")
    return connection


def make_frame_header(size: int, masked: int, first: int = FIN_TEXT) -> bytes:
    """Return the header of a frame without the masking key. ``masked`` is 0x80 if a key follows, otherwise 0."""
    if size < 126:
        return bytes((first, masked | size))
    if size < 65536:
        return struct.pack("!BBH", first, masked | 126, size)
    return struct.pack("!BBQ", first, masked | 127, size)


def make_frame(size: int) -> bytes:
    """Return a masked text frame with a payload of ``size`` bytes."""
    return mask_frame(b"x" * size, FIN_TEXT)


def make_deflated_frame(text: str) -> bytes:
    """Return a masked text frame whose payload is compressed without a reference to earlier ones."""
    compressor = zlib.compressobj(wbits=-15)
    payload = compressor.compress(text.encode()) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return mask_frame(payload.removesuffix(_TAIL), FIN_TEXT | COMPRESSED)


def mask_frame(payload: bytes, first: int = FIN_TEXT) -> bytes:
    """Return a masked frame."""
    size = len(payload)
    mask = int.from_bytes((_MASK * (size // 4 + 1))[:size], "little")
    masked = (int.from_bytes(payload, "little") ^ mask).to_bytes(size, "little")
    return make_frame_header(size, MASKED, first) + _MASK + masked


def take_payload(buffer: bytearray) -> bytes | None:
    """Remove the first unmasked frame from the buffer, and return its payload; None if the frame isn't whole."""
    if len(buffer) < 2:
        return None
    size, start = buffer[1], 2
    if size > 125:
        start = 4 if size == 126 else 10
        size = int.from_bytes(buffer[2:start])
    if len(buffer) < start + size:
        return None
    payload = bytes(buffer[start : start + size])
    del buffer[: start + size]
    return payload


def echo_pipelined(port: int, count: int, size: int, depth: int) -> None:
    """Send messages ``depth`` at a time on one connection, and wait for all their echoes each time."""
    with open_websocket(port) as connection:
        batch = make_frame(size) * depth
        expected = (len(make_frame_header(size, 0)) + size) * depth
        for _ in range(count // depth):
            connection.sendall(batch)
            _receive_exactly(connection, expected)


def echo_parallel(port: int, count: int, size: int, connections: int) -> None:
    """Keep one message in flight on each of several connections. Raises ConnectionError for a wrong echo."""
    frames = [make_frame(size)]
    lines = [_Line(open_websocket(port), frames, lambda payload: len(payload) == size) for _ in range(connections)]
    _keep_in_flight(lines, count // connections)


def echo_deflated(port: int, count: int, connections: int) -> None:
    """Do the same with compressed texts of 4 KiB."""
    frames = [make_deflated_frame(text) for text in TEXTS]
    lines = [_Line(open_websocket(port, _DEFLATE), frames, _check_texts()) for _ in range(connections)]
    _keep_in_flight(lines, count // connections)


def _check_texts() -> Callable[[bytes], bool]:
    inflater, expected = zlib.decompressobj(-15), cycle(TEXTS)
    return lambda payload: inflater.decompress(payload + _TAIL).decode() == next(expected)


class _Line:
    """A connection with one message in flight, the frames to send in turns, and a check of the next echo."""

    def __init__(self, connection: socket.socket, frames: Sequence[bytes], is_echo: Callable[[bytes], bool]) -> None:
        self.connection, self._is_echo = connection, is_echo
        self._buffer = bytearray()
        self._next = cycle(frames)

    def send(self) -> None:
        self.connection.sendall(next(self._next))

    def receive(self) -> bool:
        """Return whether the echo is whole. Raises ConnectionError if it is wrong."""
        self._buffer += receive(self.connection)
        payload = take_payload(self._buffer)
        if payload is not None and (self._buffer or not self._is_echo(payload)):
            raise ConnectionError("the server's message isn't the echo")
        return payload is not None


def _keep_in_flight(lines: Sequence[_Line], count: int) -> None:
    left = dict.fromkeys(lines, count)
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for line in lines:
            selector.register(stack.enter_context(line.connection), selectors.EVENT_READ, line)
            line.send()
        while selector.get_map():
            for line in [key.data for key, _ in selector.select(_SECONDS)]:
                if not line.receive():
                    continue
                left[line] -= 1
                if left[line]:
                    line.send()
                else:
                    selector.unregister(line.connection)
                    line.connection.close()


def answer_client(port: int, count: int, size: int) -> None:
    """Be the server of a measured client (``measured_clients``), and answer each message of ``size`` bytes by one.

    Raises ConnectionError if the client doesn't send and receive all of them.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener, connect(port) as control:
        control.sendall(b"%d %d %d\n" % (listener.getsockname()[1], count, size))
        listener.settimeout(_SECONDS)
        connection, _ = listener.accept()
        with connection:
            _answer_messages(connection, count, size)
        if receive(control) != DONE:
            raise ConnectionError("the client isn't done")


def _answer_messages(connection: socket.socket, count: int, size: int) -> None:
    connection.settimeout(_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _accept_handshake(connection)
    expected, answer = len(make_frame(size)), make_frame_header(size, 0) + b"x" * size
    for _ in range(count):
        _receive_exactly(connection, expected)
        connection.sendall(answer)
    receive(connection)  # its closing frame
    connection.sendall(_CLOSE)


def _accept_handshake(connection: socket.socket) -> None:
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += receive(connection)
    [key] = re.findall(rb"(?i)\r\nSec-WebSocket-Key: *(\S+)", request)
    accept = base64.b64encode(hashlib.sha1(key + _KEY_SUFFIX).digest())
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept
    )


def _receive_exactly(connection: socket.socket, count: int) -> None:
    while count:
        count -= len(receive(connection))
        if count < 0:
            raise ConnectionError("the other side sent more than was expected")


def receive(connection: socket.socket) -> bytes:
    """Return what arrives next. Raises ConnectionError if the connection ends."""
    data = connection.recv(1 << 20)
    if not data:
        raise ConnectionError("the other side ended the connection")
    return data
