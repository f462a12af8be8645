"""The WebSocket protocol (RFC 6455) of Tornado, with fewer awaits, tasks, callbacks and system calls.

``FastWebSocketProtocol13`` is Tornado's own class with another way in and out: everything that has been received is
parsed at once and handled as soon as it can be read, and what the application sends meanwhile leaves in one system
call. What isn't done here (handshake, control frames, closing, pings, compression) is done by the class it inherits.

Known differences: ``write_message`` returns a Future that is no Task; what is held back, for a millisecond and the
handling of one more message at most, is lost where the process ends by ``os._exit`` meanwhile, or where the application
closes the stream by a reference of its own (asking a connection for its ``stream`` sends it).

This module imports Tornado, and uses private fields of its streams: install() uses it only where it knows both.
"""

from __future__ import annotations

import asyncio
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.log import gen_log
from tornado.websocket import WebSocketProtocol13

from tornado_speedups.handling import succeeded
from tornado_speedups.receiving import TURN, ReceivingProtocol
from tornado_speedups.sending import is_known


def faster(protocol: Any) -> Any:
    """The connection that takes the place of one that Tornado has just made; other classes than Tornado's stay.

    So does Tornado's where nest_asyncio lets the event loop run from inside of itself: a handler that waited there for
    what it has written would wait for ever, as that leaves when the handler returns.
    """
    if type(protocol) is not WebSocketProtocol13 or hasattr(asyncio, "_nest_patched"):
        return protocol
    return FastWebSocketProtocol13(protocol.handler, protocol.mask_outgoing, protocol.params)


class FastWebSocketProtocol13(ReceivingProtocol):
    """A connection of a server or a client; public behaviour is that of WebSocketProtocol13."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._reads_stream: bool | None = None
        # While the socket is empty: what the coroutine waits for, who it is, and where its variables are.
        self._idle: asyncio.Future[asyncio.Future[Any] | None] | None = None
        self._task: Any = None
        self._context: Any = None
        # An asynchronous handler that is waited for meanwhile.
        self._busy: asyncio.Future[Any] | None = None
        super().__init__(*arguments, **options)

    async def _receive_frame(self) -> None:
        """Wait for frames, and handle all that have come, until the application wants to be waited for."""
        if self._reads_stream is None:
            self._reads_stream = is_known(self._stream) and _has_room(self._stream, self.params.max_message_size)
        if not self._reads_stream:
            return await super()._receive_frame()
        if not self._frames and not await self._next_frames():
            return None
        pending = self._handle_frames()
        if pending is not None:
            self._park()
            await self._finish(pending)
        elif self._work >= TURN:
            self._work = 0
            self._park()
            await asyncio.sleep(0)
        self._reclaim()
        return None

    # Reading

    async def _next_frames(self) -> bool:
        """Wait for frames to handle; False if the connection has ended. Raises StreamClosedError."""
        while not self._frames:
            self._parse()
            if self._frames:
                break
            if self._refuse_partial_frame():
                return False
            if not self._read_inline():
                await self._wait()
                if self.client_terminated:
                    return False
        return True

    def _read_inline(self) -> bool:
        """Whether there was something to be read. Raises StreamClosedError."""
        stream = self._stream
        if stream._read_buffer_size:
            self._reclaim()
            return True
        stream._check_closed()
        if not self._drained and self._receive():
            return True
        stream._check_closed()
        return False

    # Waiting: the coroutine sleeps, and frames are handled where the loop says that there is something to be read, in
    # the name of the coroutine's task and with its context variables. That saves a turn of the loop.

    async def _wait(self) -> None:
        """Return when there may be frames left to handle. Raises StreamClosedError."""
        stream = self._stream
        self._work = 0
        self._task = asyncio.current_task()
        self._idle = stream._start_read()
        stream._handle_read = self._on_event
        try:
            self._listen()
            pending = await self._idle
        except StreamClosedError:
            if not self.client_terminated:
                raise
            return
        except asyncio.CancelledError:
            if self._busy is not None:
                self._cancel(self._busy)
            raise
        finally:
            self._idle = self._task = self._context = self._busy = None
            stream.__dict__.pop("_handle_read", None)
        if pending is not None:
            await self._finish(pending)
        self._reclaim()

    def _listen(self) -> None:
        stream = self._stream
        if stream._state is None or not stream._state & stream.io_loop.READ:
            stream._add_io_state(stream.io_loop.READ)
            self._listens = False
        if not self._listens:
            # In place of the way through the IOLoop and the stream, which are told of what isn't for us.
            stream.io_loop.selector_loop.add_reader(stream.socket.fileno(), self._on_event)
            self._listens = True

    def _on_event(self) -> None:
        """Called when there is something to be read, or the end: by the loop, or as the stream's own _handle_read."""
        if self._handling:  # by an application that runs the event loop from inside of on_message
            return
        idle = self._idle
        waits = idle is not None and not idle.done() and self._busy is None  # _waits(), without a call for each event
        # While the application is busy, Tornado reads one chunk more, or notices the end; then it stops reading.
        if not waits and self._has_input():
            self._park()
            self._ignore_socket()
            return
        try:
            found = self._receive()
        except OSError as error:
            gen_log.warning(f"error on read: {error}")
            return
        if found and waits:
            if self._long is not None and self._drained:  # the rest of a long frame is still to come
                return
            self._work = 0
            self._handle_in_context()
        elif found:
            self._park()

    def _waits(self) -> bool:
        return self._idle is not None and not self._idle.done() and self._busy is None

    def _handle_in_context(self) -> None:
        if self._context is None:
            self._context = _context_of(self._task, self._idle)
        # Whatever ends the connection must come a turn later, as in Tornado, where answers are still to leave.
        if self._context is None or self._stream._write_futures:
            self._wake(None)
            return
        try:
            self._context.run(self._handle_in_task)
        except RuntimeError:  # somebody else runs in that context, or in a task
            self._wake(None)

    def _handle_in_task(self) -> None:
        asyncio._enter_task(self._loop, self._task)
        pending = None
        try:
            if not self._frames:
                self._parse()
            if self._frames:
                pending = self._handle_frames()
            if pending is None and not self._frames and self._data:
                self._refuse_partial_frame()
        except BaseException as error:
            self._fail_coroutine(error)
        finally:
            asyncio._leave_task(self._loop, self._task)
        if isinstance(pending, asyncio.Future) and not pending.done():
            self._wait_in_place(pending)
        elif pending is not None or self._has_more():
            self._wake(pending)

    def _has_more(self) -> bool:
        return bool(self._frames) or len(self._data) - self._position >= self._needed or not self._drained

    # Asynchronous handlers are waited for in the same manner: the coroutine sleeps on if all is well.

    def _wait_in_place(self, pending: asyncio.Future[Any]) -> None:
        if self._waits():
            self._busy = pending
            self._stop_reading()
            pending.add_done_callback(self._go_on)

    def _go_on(self, pending: asyncio.Future[Any]) -> None:
        if self._idle is None or self._idle.done():
            return
        if not succeeded(pending) or self.client_terminated or self._stream._closed:
            self._wake(pending)
            return
        self._busy = None
        self._reclaim()
        if self._has_input() or not self._drained:  # be it the header of a frame that mustn't come
            self._handle_in_context()
        if self._waits():
            self._sleep_on()

    def _sleep_on(self) -> None:
        if self._stream._closed:
            self._wake(None)
            return
        self._stream._read_future = self._idle
        self._listen()

    def _stop_reading(self) -> None:
        """Make the stream what it is while Tornado's coroutine doesn't read."""
        self._stream._read_future = None
        if not self._listens and self._has_input():  # else _on_event does it when need be
            self._park()
            self._ignore_socket()

    def _ignore_socket(self) -> None:
        stream = self._stream
        self._listens = False
        if stream._state is not None and stream._state & stream.io_loop.READ:
            stream._state &= ~stream.io_loop.READ
            stream.io_loop.update_handler(stream.fileno(), stream._state)

    def _wake(self, pending: asyncio.Future[Any] | None) -> None:
        """Let the coroutine go on, after what has to be waited for."""
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(pending)
            self._stop_reading()

    def _fail_coroutine(self, error: BaseException) -> None:
        """Let the coroutine raise what it would have raised, had it called the application."""
        if self._idle is not None and not self._idle.done():
            self._stream._read_future = None
            self._idle.set_exception(error)


def _context_of(task: Any, idle: Any) -> Any:
    """Where the variables of a task are that waits for a future; None if nobody tells.

    In Python 3.11, the last without Task.get_context(), the future does: it will run the task there.
    """
    if task is None or hasattr(task, "get_context"):
        return task and task.get_context()
    callbacks = getattr(idle, "_callbacks", None) or ()
    return next((context for callback, context in callbacks if getattr(callback, "__self__", None) is task), None)


def _has_room(stream: Any, max_message_size: Any) -> bool:
    """Whether the stream's own limit, which isn't looked at here, is never reached before that of messages."""
    most = 2 * stream.read_chunk_size + 16
    return isinstance(max_message_size, int) and max_message_size + most <= stream.max_buffer_size
