"""The fields of a connection, and the shortest way of a message, in Python: the twins of the types in C.

The shortest way is that of a message that has come alone, in one read, while nothing else goes on, and of an answer
that its handler writes while it is called. protocol.py explains it. The classes of this package derive from the classes
here or from the types in C, and add everything else: the methods that are called here, too. The types in C do the same
where that is fast, and call the same methods for the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tornado_speedups._implementation import build_frame, parse_frames
from tornado_speedups.websocket import BINARY, LONG, MAX_FRAMES, TEXT

if TYPE_CHECKING:
    import asyncio

# Places in the tuple ``shared`` of a Transport: readers and writers, which import this module, need no asyncio.
ASYNCIO, ENTER_TASK, LEAVE_TASK = range(3)

# The size of a frame that isn't masked and has no payload.
EMPTY_FRAME = 2


class ReaderBase:
    """What FrameReader derives from."""

    __slots__ = ("alone", "data", "fragments", "frames", "long_frame", "max_message_size", "wire_bytes")


class WriterBase:
    """What FrameWriter derives from."""

    __slots__ = ("frames", "holds")


class TransportBase:
    """What Transport derives from."""

    __slots__ = (
        "_reader",
        "_turn_bytes",
        "_writer",
        "chunk",
        "deadline",
        "defers",
        "drained",
        "eager",
        "latest",
        "loop",
        "sent",
        "shared",
        "spare",
        "stream",
        "turn_end",
        "writes",
    )

    def resolve_sent(self: Any) -> None:
        """Resolve the futures of what was sent."""
        futures = self.sent
        self.sent = list[Any]()
        for future in futures:
            if not future.done():
                future.set_result(None)


class ConnectionBase:
    """What the protocol derives from."""

    __slots__ = (
        "_alone",
        "_busy",
        "_compressor",
        "_handling",
        "_idle",
        "_message_bytes_in",
        "_message_bytes_out",
        "_run",
        "_task",
        "_transport",
        "_wire_bytes_out",
        "client_terminated",
        "handler",
        "mask_outgoing",
    )

    # From the event loop to the handler

    def _on_event(self: Any) -> None:
        """Handle what was received, or the end: called by the loop, and as the stream's own _handle_read.

        This is the shortest way, for a message that has come alone while nothing else goes on. _on_any_event() does the
        rest.
        """
        if _is_occupied(self):
            self._on_any_event()
            return
        transport = self._transport
        stream, chunk = transport.stream, transport.chunk
        try:
            data = stream.socket.recv(chunk)
        except OSError as error:
            self._note_read_error(error)
            return
        transport.note_drained(len(data), chunk)
        if data:
            _handle_data(self, data)
        else:
            stream.close()

    def _handle_alone(self: Any) -> None:
        """Handle a frame as _handle_in_task() does, while the reader has nothing else."""
        transport = self._transport
        loop, task = transport.loop, self._task
        transport.shared[ENTER_TASK](loop, task)
        pending = None
        try:
            self._handling = transport.defers = True
            transport.turn_end = 0.0
            head, payload = transport._reader.alone
            transport._reader.alone = None
            pending = self._handle_frame(head, payload)
        except BaseException as error:
            self._raise_in_coroutine(error)
        finally:
            self._handling = transport.defers = False
            if transport.sent:
                transport.resolve_sent()
            transport.shared[LEAVE_TASK](loop, task)
        if pending is not None:
            self._await_handler(pending)
        elif not transport.drained or self.client_terminated:
            self._wake(None)

    def _handle_frame(self: Any, head: int, payload: Any, /) -> asyncio.Future[Any] | None:
        """Handle a frame. Return what is to be waited for, if anything."""
        reader = self._transport._reader
        if (head != TEXT and head != BINARY) or reader.fragments is not None or len(payload) > reader.max_message_size:
            return self._handle_other_frame(head, payload)  # type: ignore[no-any-return]
        return self._handle_plain_message(head, payload)  # type: ignore[no-any-return]

    def _handle_plain_message(self: Any, head: int, payload: Any, /) -> asyncio.Future[Any] | None:
        """Handle a message: bytes, or text if the first byte is that of decoded text."""
        self._message_bytes_in += len(payload)
        try:
            message = payload.decode() if head == TEXT else payload
        except UnicodeDecodeError as error:
            return self._refuse_text(error)  # type: ignore[no-any-return]
        on_message = self.handler.on_message  # errors of a property end the connection, as in Tornado
        try:
            result = on_message(message)
        except BaseException as error:
            return self._treat_error(error)  # type: ignore[no-any-return]
        return None if result is None else self._handle_result(result)

    # From the handler to the socket

    def write_message(self: Any, message: str | bytes | dict[str, Any], binary: bool = False) -> asyncio.Future[None]:
        """Send a message to the peer. The future resolves when it has left, never before the caller returns."""
        transport, data = self._transport, message
        stream = transport.stream
        if not (
            transport.writes
            and (type(data) is bytes or (type(data) is str and data.isascii()))
            and len(data) < LONG
            and self._compressor is None
            and not self.mask_outgoing
            and not stream._closed
            and not stream._write_futures
            and "_nest_patched" not in transport.shared[ASYNCIO]
        ):
            return self._write_any_message(message, binary)  # type: ignore[no-any-return]
        frame = build_frame(BINARY if binary else TEXT, data, None)
        self._message_bytes_out += len(data)
        self._wire_bytes_out += len(frame)
        return transport.send_directly(frame)  # type: ignore[no-any-return]


def _is_occupied(connection: Any) -> bool:
    """Return whether something else goes on than waiting for a message."""
    transport = connection._transport
    reader = transport._reader
    return bool(
        connection._run is None  # which implies that there is an idle future
        or connection._busy is not None
        or connection._handling
        or reader.frames
        or reader.data
        or reader.long_frame is not None
        or transport.stream._write_futures
        or "_nest_patched" in transport.shared[ASYNCIO]
        or connection._idle.done()
    )


def _handle_data(connection: Any, data: bytes) -> None:
    frames, end, needed = parse_frames(data, 0, MAX_FRAMES)
    if end != len(data) or len(frames) != 1 or end == EMPTY_FRAME:
        connection._handle_parsed(data, frames, end, needed)
        return
    reader = connection._transport._reader
    reader.alone = frames[0]
    reader.wire_bytes += end
    try:
        connection._run(connection._alone)
    except RuntimeError:  # something else runs in that context, or in a task
        connection._wake_alone()
