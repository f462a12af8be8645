"""Write to the socket of a Tornado stream beneath the stream, by private fields of IOStream.

receiving.py has the other half. This module imports Tornado: install() uses it only where it knows its code.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import _enter_task, _leave_task
from functools import partial
from time import monotonic
from types import CoroutineType
from typing import Any
from weakref import getweakrefcount

from tornado.iostream import IOStream
from tornado.log import gen_log
from tornado.websocket import WebSocketClosedError

from tornado_speedups import eager
from tornado_speedups.eager import is_reentrant
from tornado_speedups.websocket import release_buffer
from tornado_speedups.websocket.reader import FrameReader
from tornado_speedups.websocket.receiving import Receiver, is_known
from tornado_speedups.websocket.writer import FrameWriter
from tornado_speedups.websocket.writes import WriteFuture, pass_on, resolve

# Windows fails when it gets more at once than it can take; Tornado's streams write no more there either.
_MAX_WRITE = 128 * 1024 if sys.platform == "win32" else sys.maxsize

# Frames are held back no longer than this. A coroutine that awaits its writes lets others run after this time, or after
# this many bytes.
MAX_HELD_SECONDS = 0.001
_TURN_BYTES = 64 * 1024

# What the methods of the types need, as calls.h and plain.py name it.
_SHARED = (
    *(vars(asyncio), _enter_task, _leave_task, WriteFuture, IOStream),
    *(sys.getrefcount, getweakrefcount, CoroutineType, asyncio.Task, monotonic),
)


class Transport(Receiver):
    """The socket of one connection, with its reader and its writer."""

    __slots__ = ()

    def __init__(self, reader: FrameReader, writer: FrameWriter) -> None:
        self.shared = _SHARED
        super().__init__(reader)
        self._writer = writer
        self.loop: Any = None
        # Whether messages are written here, or by Tornado.
        self.writes = False
        # Futures of frames that have left. While a handler that was called by the event loop is running, they are
        # deferred, and what has called it resolves them.
        self.defers = False
        # When the frames that are held back must leave, on the clock of time.monotonic().
        self.deadline = 0.0
        # Whether coroutines start eagerly. Then awaiting what has left takes no turn of the event loop until this time,
        # and until this many more bytes have been sent: a loop that only awaits its writes lets others run. The time is
        # 0.0 if the turn begins with the next coroutine.
        self.eager = False
        self.turn_end = 0.0
        self._turn_bytes = 0
        self.sent: list[WriteFuture] = []
        # The first of these futures, where C has sent its frame.
        self.latest: WriteFuture | None = None
        # A future that nobody has kept, for the next frame.
        self.spare: WriteFuture | None = None

    def attach(self, stream: Any) -> None:
        """Use this stream from now on."""
        self.stream = stream
        if is_known(stream):
            self.loop = stream.io_loop.asyncio_loop
            self.chunk = stream.read_chunk_size
            self.eager = eager.is_possible(self.loop)
            self.writes = stream.max_write_buffer_size is None

    def begin_turn(self) -> float:
        """Note that others have just had their turn of the event loop. Return the time."""
        now = monotonic()
        self.deadline = self.turn_end = now + MAX_HELD_SECONDS
        self._turn_bytes = _TURN_BYTES
        return now

    def has_turn(self) -> bool:
        """Return whether a coroutine that awaits a write may go on without letting others run."""
        return self._turn_bytes > 0 and monotonic() < self.turn_end

    def take_turn(self, size: int) -> bool:
        """Return whether a coroutine that awaits a message of this size may run without letting others run."""
        if not self.turn_end:
            self.begin_turn()
        elif not self.has_turn():
            return False
        self._turn_bytes -= size
        return True

    def send_directly(self, frame: bytes) -> WriteFuture:
        """Do what send() does, for a frame of bytes that isn't long, while the stream has nothing to write."""
        # The event loop that runs is found faster than given. Outside of handlers, it needn't run.
        future = WriteFuture() if self.defers else self.make_future()
        future.sender = self if self.eager else None
        size = len(frame)
        self._turn_bytes -= size
        writer = self._writer
        if writer.holds or writer.frames:
            self.hold(frame, future)
            return future
        try:
            sent = self.stream.write_to_fd(frame)
        except OSError as error:
            self.keep_unsent(frame, 0, future, error)
            return future
        if sent == size:
            if not self.defers:
                self.resolve_later(future)
            self.sent.append(future)
        else:
            self.keep_unsent(frame, sent, future, None)
        return future

    def make_future(self) -> WriteFuture:
        """Return a future of the connection's event loop."""
        return WriteFuture(loop=self.loop)

    def resolve_later(self, future: WriteFuture) -> None:
        """Have the event loop resolve a future of what was sent outside of handlers; ``sent`` doesn't hold it yet."""
        if not self._listens and self.stream._close_callback is not None:
            self.stream._maybe_add_error_listener()
        self._resolve_soon([future])

    def hold(self, frame: bytes, future: WriteFuture) -> None:
        """Hold a frame back, or send it with those that are held back."""
        if self._writer.add(frame, future) or monotonic() > self.deadline:
            self.flush()

    def keep_unsent(self, frame: bytes, sent: int, future: WriteFuture, error: OSError | None) -> None:
        """Leave the rest of a frame to the stream. The socket has taken ``sent`` bytes of it."""
        if error is not None:
            self._note_write_error(error)
        self._keep_rest(frame, sent, [future])

    def send(self, frame: bytes | memoryview) -> WriteFuture:
        """Send a frame to the socket, behind everything that was sent before, and return its future."""
        future = self.make_future()
        if self.eager:
            future.sender = self
            self._turn_bytes -= len(frame)
        else:
            future.sender = None
        writer, stream = self._writer, self.stream
        if type(frame) is memoryview:
            if writer.frames:
                self.flush()
            if self._transmit(frame, [future]):
                release_buffer(frame.obj)  # type: ignore[arg-type]
        elif stream._write_futures:
            self._leave_to_stream(frame, [future])
        elif writer.holds or writer.frames:
            self.hold(frame, future)
            if writer.frames and is_reentrant():
                self.flush()
        else:
            self._transmit(frame, [future])
        return future

    def release(self) -> None:
        """Send what was held back, and resolve the futures of what was sent."""
        self._writer.holds = self.defers = False
        if self._writer.frames:
            self.flush()
        if self.sent or self.latest is not None:
            self.resolve_sent()

    def flush(self) -> None:
        """Send what was held back."""
        self._transmit(*self._writer.take())

    def _transmit(self, data: bytes | memoryview, futures: list[WriteFuture]) -> bool:
        """Write to the socket, and leave to the stream what it doesn't take. Return whether it took everything."""
        stream = self.stream
        sent = 0
        if not stream._closed and not stream._write_futures:
            try:
                sent = stream.write_to_fd(data if len(data) <= _MAX_WRITE else memoryview(data)[:_MAX_WRITE])
            except OSError as error:
                self._note_write_error(error)
        if sent == len(data):
            self._note_sent(futures)
            return True
        self._keep_rest(data, sent, futures)
        return False

    def _keep_rest(self, data: bytes | memoryview, sent: int, futures: list[WriteFuture]) -> None:
        """Leave to the stream what the socket hasn't taken."""
        if self.stream._closed:
            resolve(futures, WebSocketClosedError())
        else:
            self._leave_to_stream(memoryview(data)[sent:], futures)

    def _leave_to_stream(self, data: bytes | memoryview, futures: list[WriteFuture]) -> None:
        if self.is_blind():
            self.stop_listening()
        self._listens = False
        if self._writer.frames:
            self.flush()
        for future in futures:
            future.sender = None
        self.stream.write(data).add_done_callback(partial(pass_on, futures))

    def _note_write_error(self, error: OSError) -> None:
        """Close the stream if it is broken, as its _handle_write does."""
        stream = self.stream
        if isinstance(error, BlockingIOError):
            return
        if not stream._is_connreset(error):
            gen_log.warning("Write error on %s: %s", stream.fileno(), error)
        stream.close(exc_info=error)

    def _note_sent(self, futures: list[WriteFuture]) -> None:
        """Resolve futures when the application has returned, so that a loop that awaits its writes yields to others."""
        if self.stream._close_callback is not None:
            self.stream._maybe_add_error_listener()
        if not self.defers or is_reentrant():
            self._resolve_soon(futures)
        self.sent += futures

    def _resolve_soon(self, futures: list[WriteFuture]) -> None:
        if self.defers and self._listens:  # a callback that runs the event loop cannot be called from it
            self.suspend()
        for future in futures:
            future.sender = future.sender or True
        if not self.sent:
            self.loop.call_soon(self.resolve_sent)


def find_context(task: Any, idle: Any) -> Any:
    """Return the context of a task that waits for a future; None if it is unknown.

    Python 3.11 has no Task.get_context(). There, the future knows it: it will run the task in it.
    """
    if task is None or hasattr(task, "get_context"):
        return task and task.get_context()
    callbacks = getattr(idle, "_callbacks", None) or ()
    return next((context for callback, context in callbacks if getattr(callback, "__self__", None) is task), None)
