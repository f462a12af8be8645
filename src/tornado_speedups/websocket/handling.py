"""Write messages, and handle the frames that were received: the half of the protocol that doesn't wait for the socket.

protocol.py explains how the halves work together.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

from tornado import gen
from tornado.iostream import IOStream
from tornado.websocket import WebSocketClosedError, WebSocketProtocol13, _DecompressTooLargeError

from tornado_speedups import eager
from tornado_speedups.eager import is_reentrant
from tornado_speedups.websocket import BINARY, DECODED, TEXT
from tornado_speedups.websocket.bases import ConnectionBase
from tornado_speedups.websocket.reader import FrameReader, ProtocolError
from tornado_speedups.websocket.transport import MAX_HELD_SECONDS, Transport
from tornado_speedups.websocket.writer import FrameWriter

# The first byte of a frame that is a whole message, compressed.
_COMPRESSED = 0x40
_PLAIN_COMPRESSED = (TEXT | _COMPRESSED, BINARY | _COMPRESSED)

# Answers are held back when this many handlers in a row have been quicker than that.
_QUICK_HANDLERS = 4


_TORNADOS_ATTRIBUTES = (
    "_compression_options",
    "_decompressor",
    "_final_frame",
    "_fragmented_message_buffer",
    "_fragmented_message_opcode",
    "_frame_compressed",
    "_frame_length",
    "_frame_mask",
    "_frame_opcode",
    "_masked_frame",
    "_pending_pong",
    "_ping_coroutine",
    "_pong_future",
    "_received_pong",
    "_selected_subprotocol",
    "_waiting",
    "close_code",
    "close_reason",
    "params",
    "server_terminated",
)


class HandlingProtocol(ConnectionBase, WebSocketProtocol13):
    """A connection whose frames are handled and whose messages are written here."""

    # All attributes have slots, those of Tornado's class too. Then CPython makes no dictionary, which takes less
    # memory, and finds attributes and methods up to seven times as fast.
    __slots__ = ("_quick", "_reader", "_treated", "_writer", *_TORNADOS_ATTRIBUTES)

    def __init__(self, handler: Any, mask_outgoing: bool, params: Any) -> None:
        self._reader = FrameReader()
        self._writer = FrameWriter(mask_outgoing)
        self._transport = Transport(self._reader, self._writer)
        self._handling = False
        # How many handlers in a row were quick.
        self._quick = 0
        # A future whose errors Tornado's _run_callback() treats.
        self._treated: asyncio.Future[Any] | None = None
        super().__init__(handler, mask_outgoing, params)

    @property
    def stream(self) -> Any:
        """The stream, with everything sent."""
        if self._writer.frames:
            self._transport.flush()
        return self._transport.stream

    @stream.setter
    def stream(self, stream: IOStream | None) -> None:
        if self._transport.stream not in (None, stream):
            self._leave_stream()
        self._transport.attach(stream)

    def _leave_stream(self) -> None:
        """Stop using the stream, which the application replaces while the connection is open."""
        if self._writer.frames:
            self._transport.flush()

    @property
    def _wire_bytes_in(self) -> int:
        return self._reader.wire_bytes

    @_wire_bytes_in.setter
    def _wire_bytes_in(self, count: int) -> None:
        self._reader.wire_bytes = count

    def is_closing(self) -> bool:
        """Return whether either side has begun to close the connection, or the stream is closed."""
        transport = self._transport
        if self.client_terminated or self.server_terminated:
            return True
        closed: bool = transport.stream._closed if transport.loop is not None else transport.stream.closed()
        return closed

    # Writing

    def _write_any_message(self, message: str | bytes | dict[str, Any], binary: bool) -> asyncio.Future[None]:
        """Do what write_message() does, for every message."""
        data: Any = message
        transport = self._transport
        compressor = self._compressor
        if type(data) is str:
            if compressor is not None or not data.isascii():
                data = data.encode()
        elif type(data) is not bytes:
            return WebSocketProtocol13.write_message(self, message, binary)
        if not transport.writes:
            return WebSocketProtocol13.write_message(self, message, binary)
        self._message_bytes_out += len(data)
        head = BINARY if binary else TEXT
        if compressor is not None:
            data = compressor.compress(data)
            head |= _COMPRESSED
        built = self._writer.build(head, data)
        self._wire_bytes_out += len(built)
        stream = transport.stream
        if stream._closed:
            raise WebSocketClosedError()
        if type(built) is bytes and not stream._write_futures and not is_reentrant():
            return transport.send_directly(built)
        return transport.send(built)

    # Handling frames

    def _handle_frames(self) -> asyncio.Future[Any] | None:
        """Handle frames until there are none, or one of them must be waited for: that is returned."""
        writer, transport = self._writer, self._transport
        frames = self._reader.frames
        self._handling = transport.defers = True  # futures stay pending until release(), before this turn ends
        several = len(frames) > 1
        start = 0.0
        if several:
            start = transport.begin_turn()
        else:
            transport.turn_end = 0.0
        try:
            while frames and not self.client_terminated:
                head, payload = frames.pop()
                writer.holds = self._quick >= _QUICK_HANDLERS and bool(frames)
                pending = self._handle_frame(head, payload)
                if pending is not None and not has_succeeded(pending):
                    return pending
                if several:
                    now = monotonic()
                    if now - start >= MAX_HELD_SECONDS:
                        self._quick = 0
                    elif self._quick < _QUICK_HANDLERS:
                        self._quick += 1
                    start = now
                    if now > transport.deadline and writer.frames:
                        transport.flush()
                        transport.deadline = now + MAX_HELD_SECONDS
        finally:
            self._handling = False
            transport.release()
        return None

    def _handle_compressed_message(self, head: int, payload: bytes) -> asyncio.Future[Any] | None:
        """Handle a message that isn't fragmented (RFC 7692). Raises zlib.error."""
        assert self._decompressor is not None
        try:
            data = self._decompressor.decompress(payload)
        except _DecompressTooLargeError:
            self.close(1009, "message too big after decompression")
            self._abort()
            return None
        return self._handle_plain_message(head, data)

    def _refuse_text(self, _: UnicodeDecodeError) -> None:
        self._abort()

    def _treat_error(self, error: BaseException) -> asyncio.Future[Any] | None:
        """Treat the exception of a handler as Tornado does."""
        return self._mark_treated(self._run_callback(_raise, error))

    def _register_started(self, task: asyncio.Task[Any]) -> None:
        eager.register(task, self._transport.stream.io_loop)

    def _handle_result(self, result: Any) -> asyncio.Future[Any] | None:
        """Return what is to be waited for if a handler has returned something else than None."""
        pending: Any = None
        transport = self._transport
        if transport.eager:
            if not transport.turn_end:
                transport.begin_turn()
            pending = eager.start(result, transport.stream.io_loop)
        if pending is None:
            pending = gen.convert_yielded(result)
        if isinstance(pending, asyncio.Future):
            return pending
        return self._mark_treated(self._run_callback(return_result, result))

    def _handle_other_frame(self, head: int, payload: Any) -> asyncio.Future[Any] | None:
        """Handle a fragment, a control frame, a compressed message or decoded text, as Tornado's code does."""
        reader = self._reader
        if head == DECODED:
            text, size = payload
            self._message_bytes_in += size - len(text)
            return self._handle_plain_message(head, text)
        if (
            self._decompressor is not None
            and head in _PLAIN_COMPRESSED
            and reader.fragments is None
            and len(payload) <= reader.max_message_size
        ):
            return self._handle_compressed_message(head & ~_COMPRESSED, payload)
        if self._decompressor is not None and head & 0x0F:
            self._frame_compressed = bool(head & _COMPRESSED)
        try:
            reader.check_header(head, len(payload))
            message = reader.join_fragments(head, payload)
        except ProtocolError as error:
            self._refuse(error)
            return None
        return None if message is None else self._mark_treated(self._handle_message(*message))

    def _refuse_partial_frame(self) -> bool:
        """Return whether the header of the frame that is still arriving has ended the connection."""
        try:
            self._reader.check_partial_frame()
        except ProtocolError as error:
            self._refuse(error)
            return True
        return False

    def _refuse(self, error: ProtocolError) -> None:
        if error.code is not None:
            self.close(error.code, str(error))
        self._abort()

    def _mark_treated(self, pending: asyncio.Future[Any] | None) -> asyncio.Future[Any] | None:
        self._treated = pending
        return pending

    def _treat(self, pending: asyncio.Future[Any]) -> asyncio.Future[Any] | None:
        """Return what to await for an asynchronous handler, so that errors are treated as by this Tornado."""
        return pending if pending is self._treated else self._run_callback(return_result, pending)

    async def _finish(self, pending: asyncio.Future[Any]) -> None:
        treated = self._treat(pending)
        if treated is not None:
            await treated


def has_succeeded(future: asyncio.Future[Any]) -> bool:
    """Return whether the future has a result."""
    return future.done() and not future.cancelled() and future.exception() is None


def _raise(error: BaseException) -> None:
    raise error


def return_result(result: Any) -> Any:
    """Return what an asynchronous handler returned; Tornado's _run_callback() awaits it."""
    return result
