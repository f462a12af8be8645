"""The clients of the applications that are measured, on raw sockets as the others (``clients``)."""

from __future__ import annotations

import json
import math
import socket
import uuid
from collections.abc import Iterator
from contextlib import ExitStack

from wheelworks.bench.application_servers import CHANGES, KERNEL_ID, MEMBERS
from wheelworks.bench.clients import mask_frame, open_websocket, receive, take_payload

DISPLAYS = 50  # messages that one execution displays
_BINARY = 0x82


class Messages:
    """An open WebSocket connection, and the messages that arrive on it."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._buffer = bytearray()

    def send(self, *texts: str) -> None:
        """Send messages of text together."""
        self.connection.sendall(b"".join(mask_frame(text.encode()) for text in texts))

    def take(self) -> bytes:
        """Return the next message, when it has arrived. Raises ConnectionError if the connection ends before it."""
        while (payload := take_payload(self._buffer)) is None:
            self._buffer += receive(self.connection)
        return payload


def chat(port: int, count: int) -> None:
    """Enter a room of 100 members, and say something ``count`` times, each time as another member.

    Raises ConnectionError if a member doesn't receive it.
    """
    with ExitStack() as stack:
        members = [Messages(stack.enter_context(open_websocket(port))) for _ in range(MEMBERS)]
        for number in range(count):
            text = f"message {number} of a conversation, which is about as long as what people write"
            said = {"name": f"member {number % MEMBERS}", "text": text}
            members[number % MEMBERS].send(json.dumps(said))
            if any(json.loads(member.take()) != {**said, "members": MEMBERS} for member in members):
                raise ConnectionError("a member received something else")


def burst_bokeh(port: int, count: int) -> None:
    """Open a session of a Bokeh document, and let the application change 50 of its models, ``count`` times.

    Raises ConnectionError if there isn't a message for each change.
    """
    from bokeh.util.token import generate_jwt_token, generate_session_id

    token = generate_jwt_token(generate_session_id())
    with open_websocket(port, f"Sec-WebSocket-Protocol: bokeh, {token}\r\n".encode(), "/ws") as connection:
        messages = Messages(connection)
        _expect(_take_bokeh_kinds(messages, 1), ["ACK"])
        for step in range(count):
            event = {"kind": "MessageSent", "msg_type": "burst", "msg_data": step}
            header = {"msgid": str(step), "msgtype": "PATCH-DOC"}
            messages.send(json.dumps(header), "{}", json.dumps({"events": [event]}))
            _expect(_take_bokeh_kinds(messages, CHANGES + 1), ["OK", *["PATCH-DOC"] * CHANGES])


def _take_bokeh_kinds(messages: Messages, count: int) -> Iterator[str]:
    """Yield the types of Bokeh's next messages. Each comes as three WebSocket messages: header, metadata, content."""
    for _ in range(count):
        header, _, _ = messages.take(), messages.take(), messages.take()
        yield json.loads(header)["msgtype"]


def _expect(kinds: Iterator[str], expected: list[str]) -> None:
    found = sorted(kinds)
    if found != expected:
        raise ConnectionError(f"the server sent {found}, not {expected}")


def display_jupyter(port: int, count: int) -> None:
    """Let a kernel display ``count`` messages, or a few more, 50 in an execution.

    Raises ConnectionError if one is missing.
    """
    path = f"/api/kernels/{KERNEL_ID}/channels"
    with open_websocket(port, b"Sec-WebSocket-Protocol: v1.kernel.websocket.jupyter.org\r\n", path) as connection:
        messages = Messages(connection)
        for _ in range(math.ceil(count / DISPLAYS)):
            connection.sendall(mask_frame(_make_execution(), _BINARY))
            _expect(_take_displays(messages), ["display_data"] * DISPLAYS)


def _make_execution() -> bytes:
    """Return the request in the protocol that JupyterLab uses: the number of offsets, the offsets, and the parts."""
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "version": "5.3"}
    header |= {"username": "", "session": "bench", "date": "2026-01-01T00:00:00Z"}
    content = {"code": str(DISPLAYS), "silent": False}
    parts = [b"shell", *(json.dumps(one).encode() for one in (header, {}, {}, content))]
    offsets = [8 * (2 + len(parts))]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return b"".join([*(one.to_bytes(8, "little") for one in (len(offsets), *offsets)), *parts])


def _take_displays(messages: Messages) -> Iterator[str]:
    """Return the types of the messages that display something, up to the end of the execution and its reply."""
    left = 2  # the reply, and that the kernel is idle
    while left:
        message = messages.take()
        left -= b'"execution_state":"idle"' in message.replace(b": ", b":") and b'"execute_request"' in message
        left -= b'"execute_reply"' in message
        if b'"display_data"' in message:
            yield "display_data"
