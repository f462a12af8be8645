"""The one class that install() puts into Tornado for WebSocket connections, of servers and clients.

FastWebSocketProtocol13 is Tornado's WebSocketProtocol13 with another way in and out. Everything that was received is
parsed at once and handled as soon as it can be read, and what the application sends meanwhile leaves in one system
call. Tornado's own code does the handshake, control frames, closing, pings and compression.

How it works
    Tornado runs one coroutine a connection, ``_receive_frame_loop()``, which awaits ``_receive_frame()`` forever. Here,
    that coroutine sleeps in ``_wait()`` while the socket is empty. The event loop calls ``_on_event()``, which reads,
    parses and handles frames on the spot, in the name of the sleeping task and with its context variables. The
    coroutine is woken only for what it must do itself: raise an error, treat a failed handler, end the connection.
    Asynchronous handlers are waited for in the same way, by ``_wait_in_place()`` and ``_resume()``.

    A message that has come alone, in one read, while nothing else goes on, takes the shortest way: ``_on_event()``,
    ``_handle_alone()``. Everything else takes ``_on_any_event()``, ``_handle_in_task()`` and ``_handle_frames()``. In
    the same way, messages of bytes or ASCII text that aren't long are written by ``write_message()`` itself, and all
    others by ``_write_any_message()``. The shortest way is in C, in the types that these classes derive from, and in
    Python in plain.py (bases.py chooses).

Private attributes of Tornado that are used (fingerprints.py knows the versions that have them)
    - WebSocketProtocol13: ``_abort``, ``_run_callback``, ``_handle_message``, ``_receive_frame``, ``_compressor``,
      ``_decompressor``, ``_frame_compressed``, ``_message_bytes_in``, ``_message_bytes_out``, ``_wire_bytes_in``,
      ``_wire_bytes_out``; ``_DecompressTooLargeError``. Each attribute of its instances has a slot here.
    - IOStream: those in receiving.py and transport.py; here ``_start_read``, ``_read_future``, ``_handle_read``,
      ``_write_futures``, ``_closed``. asyncio: ``_enter_task``, ``_leave_task``.

Invariants
    - Frames are handled in order, one at a time. While a handler is waited for, ``_busy`` is set or the coroutine is
      awake, and ``_on_event()`` handles nothing. While one runs, ``_handling`` is set, and nothing else is handled even
      if it runs the event loop from inside ``on_message()``.
    - While a handler is waited for, the end of the connection is noticed only where Tornado notices it: otherwise,
      a peer that has ended its half would get no answer.
    - Answers are held back for a millisecond and the handling of one more message at most, and only while the handlers
      of this connection are quick: after a slow one, nothing is held back until some more have been quick. So what a
      handler reports before it goes on leaves at once, or with its next write after a millisecond.
    - The future of a write is never resolved before the application that made it has returned.
    - ``stream`` flushes before it returns the stream. Tornado's own code uses it to write, close or look, so that
      control frames come behind the messages before them.

When it steps aside
    - The protocol is of another class than Tornado's, or nest_asyncio is active: with it, a handler may wait for its
      own write. Connections that are open when it becomes active are handled by their coroutine from then on, and
      nothing is held back.
    - Tornado reads where the stream is of another class than Tornado's, or may reach its own limit before messages
      reach theirs, which alone is checked here. Tornado writes where the stream limits that, and messages that are not
      exactly bytes or str.

Eager coroutines (Python 3.12, eager.py)
    An asynchronous handler begins inside of ``_handle_plain_message()``, in a task of its own. Awaiting a write that
    has left takes a turn of the event loop only when this connection has had its turn for a millisecond or 64 KiB.

Known differences: ``write_message()`` returns a Future that is no Task. What is held back is lost if the process calls
``os._exit()``, or the application closes the stream by a reference of its own.
"""

from __future__ import annotations

import asyncio
from asyncio import _enter_task, _leave_task
from collections.abc import Callable
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.log import gen_log
from tornado.websocket import WebSocketProtocol13

from tornado_speedups._implementation import parse_frames
from tornado_speedups.eager import is_reentrant
from tornado_speedups.websocket import MAX_FRAMES, TURN
from tornado_speedups.websocket.handling import HandlingProtocol, has_succeeded
from tornado_speedups.websocket.plain import EMPTY_FRAME
from tornado_speedups.websocket.transport import find_context


def replace_protocol(protocol: Any) -> Any:
    """Return the connection to use in place of one that Tornado has just made, which may be the same."""
    if type(protocol) is not WebSocketProtocol13 or is_reentrant():
        return protocol
    return FastWebSocketProtocol13(protocol.handler, protocol.mask_outgoing, protocol.params)


class FastWebSocketProtocol13(HandlingProtocol):
    """A connection of a server or a client; public behaviour is that of WebSocketProtocol13."""

    __slots__ = ("_context", "_reads")

    def __init__(self, handler: Any, mask_outgoing: bool, params: Any) -> None:
        self._reads: bool | None = None
        # While the coroutine sleeps: what it waits for, its task, the task's context, and an unfinished handler.
        self._idle: asyncio.Future[asyncio.Future[Any] | None] | None = None
        self._task: Any = None
        self._context: Any = None
        # Methods of the context and of this connection, which are kept because making them takes time.
        self._run: Callable[[Callable[[], None]], None] | None = None
        self._alone: Callable[[], None] | None = None
        self._busy: asyncio.Future[Any] | None = None
        super().__init__(handler, mask_outgoing, params)

    async def _receive_frame(self) -> None:
        """Wait for frames, and handle all that have come, until the application wants to be waited for."""
        reader, transport = self._reader, self._transport
        if self._reads is None:
            self._reads = transport.can_read(self.params.max_message_size)
            reader.max_message_size = self.params.max_message_size
            reader.compression = self._decompressor is not None
        if not self._reads:
            return await super()._receive_frame()
        if not reader.frames and not await self._next_frames():
            return None
        pending = self._handle_frames()
        if pending is not None:
            transport.push_back()
            await self._finish(pending)
        elif reader.work >= TURN:
            reader.work = 0
            transport.push_back()
            await asyncio.sleep(0)
        transport.take_back()
        return None

    def _leave_stream(self) -> None:
        super()._leave_stream()
        self._reads = None
        if self._idle is not None and not self._idle.done():
            self._transport.stop_listening()
            self._wake(None)

    async def _next_frames(self) -> bool:
        """Wait for frames to handle. Return False if the connection has ended; raises StreamClosedError."""
        reader, transport = self._reader, self._transport
        while not reader.frames:
            reader.parse()
            if reader.frames:
                break
            if self._refuse_partial_frame():
                return False
            if not transport.read_inline():
                await self._wait()
                if self.client_terminated:
                    return False
        return True

    async def _wait(self) -> None:
        """Return when there may be frames left to handle. Raises StreamClosedError."""
        transport = self._transport
        stream = transport.stream
        self._reader.work = 0
        self._task = asyncio.current_task()
        self._idle = stream._start_read()
        stream._handle_read = self._on_event
        try:
            transport.listen(self._on_event)
            pending = await self._idle
        except StreamClosedError:
            # If a handler has closed the stream, Tornado waits for it, and handles what was received after its message.
            pending = self._busy
            if pending is None and not self._reader.has_frame():
                if not self.client_terminated:
                    raise
                return
        except asyncio.CancelledError:
            treated = None if self._busy is None else self._treat(self._busy)
            if treated is not None:
                treated.cancel()
            raise
        finally:
            self._idle = self._task = self._context = self._run = self._alone = self._busy = None
            stream.__dict__.pop("_handle_read", None)
        if pending is not None:
            await self._finish(pending)
        transport.take_back()

    def _handle_chunk(self, data: bytes) -> None:
        """Handle what was received while nothing else went on, if it isn't one frame."""
        self._handle_parsed(data, *parse_frames(data, 0, MAX_FRAMES))

    def _handle_parsed(self, data: bytes, frames: list[tuple[int, Any]], end: int, needed: int) -> None:
        """Do the same with what parse_frames() has returned."""
        self._reader.add_parsed(data, frames, end, needed)
        if len(data) == EMPTY_FRAME:
            self._transport.exact = self._reader.wire_bytes
        self._run_in_context(self._handle_in_task)

    def _wake_alone(self) -> None:
        """Let the coroutine handle the frame, unless it has been handled."""
        reader = self._reader
        if reader.alone is not None:
            reader.frames, reader.alone = [reader.alone], None
        self._wake(None)

    def _note_read_error(self, error: OSError) -> None:
        try:
            self._transport.note_read_error(error)
        except OSError:
            gen_log.warning(f"error on read: {error}")

    def _await_handler(self, pending: asyncio.Future[Any]) -> None:
        """Go on after a message that has come alone, whose handler is asynchronous."""
        if not has_succeeded(pending):
            if pending.done():
                self._wake(pending)
            else:
                self._wait_in_place(pending)
        elif not self._transport.drained or self.client_terminated:
            self._wake(None)

    def _on_any_event(self) -> None:
        if self._handling:  # the application runs the event loop from inside on_message()
            self._transport.suspend()
            return
        idle, transport, reader = self._idle, self._transport, self._reader
        waits = idle is not None and not idle.done() and self._busy is None  # _waits(), without a call for each event
        # While the application is busy, Tornado reads one chunk more or notices the end, unless it is blind.
        if not waits and reader.has_input():
            transport.stop_listening()
            return
        if not waits and transport.is_blind():
            transport.receive_blindly()
            return
        try:
            found = transport.receive_piece() if waits else transport.receive()
        except OSError as error:
            gen_log.warning(f"error on read: {error}")
            return
        if found and waits:
            if transport.drained and reader.long_frame is not None:
                return
            reader.work = 0
            self._handle_in_context()
        elif found:
            transport.push_back()

    def _waits(self) -> bool:
        return self._idle is not None and not self._idle.done() and self._busy is None

    def _handle_in_context(self) -> None:
        if self._context is None:
            self._context = find_context(self._task, self._idle)
            if self._context is not None:
                self._run, self._alone = self._context.run, self._handle_alone
        # While answers are still to leave, whatever ends the connection must come a turn later, as in Tornado.
        # A callback that runs the event loop keeps its context from being entered, so nest_asyncio wants the coroutine.
        if self._context is None or self._transport.stream._write_futures or is_reentrant():
            self._wake(None)
            return
        self._run_in_context(self._handle_in_task)

    def _run_in_context(self, handle: Callable[[], None]) -> None:
        try:
            self._context.run(handle)
        except RuntimeError:  # something else runs in that context, or in a task
            self._wake(None)

    def _handle_in_task(self) -> None:
        reader, transport = self._reader, self._transport
        _enter_task(transport.loop, self._task)
        pending, ends = None, False
        try:
            if not reader.frames:
                reader.parse()
            if reader.frames:
                pending = self._handle_frames()
                ends = self.client_terminated
            if pending is None and not reader.frames and reader.data:
                self._refuse_partial_frame()
        except BaseException as error:
            self._raise_in_coroutine(error)
        finally:
            _leave_task(transport.loop, self._task)
        if pending is not None and not pending.done():
            self._wait_in_place(pending)
        elif pending is not None or not transport.drained or reader.has_frame() or ends:
            self._wake(pending)

    def _raise_in_coroutine(self, error: BaseException) -> None:
        """Let the coroutine raise what it would have raised itself."""
        if self._idle is not None and not self._idle.done():
            self._transport.stream._read_future = None
            self._idle.set_exception(error)
        else:
            failed: asyncio.Future[Any] = self._transport.loop.create_future()
            failed.set_exception(error)
            self._busy = self._mark_treated(failed)

    def _wait_in_place(self, pending: asyncio.Future[Any]) -> None:
        if self._waits():
            self._busy = pending
            self._transport.pause()
            pending.add_done_callback(self._resume)
        else:
            self._wake(pending)

    def _resume(self, pending: asyncio.Future[Any]) -> None:
        """Go on after an asynchronous handler; the coroutine sleeps on if all is well."""
        transport = self._transport
        if self._idle is None or self._idle.done():
            return
        if not has_succeeded(pending) or self.client_terminated or transport.stream._closed:
            self._wake(pending)
            return
        self._busy = None
        transport.take_back()
        if self._reader.has_input() or not transport.drained:  # even a header that isn't allowed
            self._handle_in_context()
        if not self._waits():
            return
        if transport.stream._closed:
            self._wake(None)
        else:
            transport.stream._read_future = self._idle
            transport.listen(self._on_event)

    def _wake(self, pending: asyncio.Future[Any] | None) -> None:
        """Let the coroutine continue, after what has to be waited for."""
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(pending)
            self._transport.pause()
        else:
            self._busy = pending  # the coroutine has been woken by the end of the stream
