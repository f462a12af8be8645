"""What a WebSocket connection does with the frames that have come.

This module imports Tornado: install() uses it only where it knows its code.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tornado import gen

from tornado_speedups.longframe import DECODED, TEXT
from tornado_speedups.sending import BINARY, SendingProtocol

_PLAIN = frozenset((TEXT, BINARY, DECODED))

# Answers are held back for as long as this, and the handling of one more message.
_HELD_SECONDS = 0.001


class HandlingProtocol(SendingProtocol):
    """A connection that handles frames in one go, and holds back the answers to all but the last meanwhile."""

    _fragmented_message_buffer: Any
    _fragmented_message_opcode: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # Parsed and not handled, last one first.
        self._frames: list[tuple[int, Any]] = []
        self._handling = False
        self._settled: asyncio.Future[Any] | None = None
        super().__init__(*arguments, **options)

    def _handle_frames(self) -> asyncio.Future[Any] | None:
        """Handle frames until there are none, or one of them must be waited for: that is returned."""
        frames = self._frames
        self._handling = True
        start = 0.0
        if len(frames) > 1:
            self.hold()
            start = time.monotonic()
        try:
            while frames and not self.client_terminated:
                head, payload = frames.pop()
                if not frames:
                    # Nothing is held back any more; futures stay pending until release(), before this turn ends.
                    self._holds, self._releases = False, True
                pending = self._handle_frame(head, payload)
                if pending is not None and not succeeded(pending):
                    return pending
                if self._held and time.monotonic() - start > _HELD_SECONDS:
                    self._flush()
                    start = time.monotonic()
        finally:
            self._handling = False
            self.release()
        return None

    def _handle_frame(self, head: int, payload: Any) -> asyncio.Future[Any] | None:
        if (
            head in _PLAIN
            and self._decompressor is None
            and self._fragmented_message_buffer is None
            and len(payload) <= self.params.max_message_size
        ):
            return self._handle_plain_message(head, payload)
        if not self._accept_header(head, len(payload)):
            return None
        return self._handle_special_frame(head & 0x80, head & 0x0F, payload)

    def _handle_plain_message(self, head: int, payload: Any) -> asyncio.Future[Any] | None:
        self._message_bytes_in += len(payload)
        try:
            message = payload.decode() if head == TEXT else payload
        except UnicodeDecodeError:
            self._abort()
            return None
        try:
            result: Any = self.handler.on_message(message)
        except BaseException as error:
            return self._settle(self._run_callback(_raise, error))
        if result is None:
            return None
        pending: Any = gen.convert_yielded(result)
        return pending if isinstance(pending, asyncio.Future) else self._settle(self._run_callback(_return, result))

    def _settle(self, pending: asyncio.Future[Any] | None) -> asyncio.Future[Any] | None:
        """Mark what is awaited without further ado, since Tornado's _run_callback has had it in its hands."""
        self._settled = pending
        return pending

    async def _finish(self, pending: asyncio.Future[Any]) -> None:
        """Wait for an asynchronous handler, and treat its errors as this version of Tornado does."""
        settled = self._treated(pending)
        if settled is not None:
            await settled

    def _cancel(self, pending: asyncio.Future[Any]) -> None:
        """Do to an asynchronous handler what this version of Tornado does where the task that waits is cancelled."""
        settled = self._treated(pending)
        if settled is not None:
            settled.cancel()

    def _treated(self, pending: asyncio.Future[Any]) -> asyncio.Future[Any] | None:
        return pending if pending is self._settled else self._run_callback(_return, pending)

    def _accept_header(self, head: int, length: int) -> bool:
        """Whether a frame with this header may come now; if not, the connection is closed."""
        reserved = head & 0x70
        if self._decompressor is not None and head & 0x0F:
            self._frame_compressed = bool(reserved & 0x40)
            reserved &= ~0x40
        if reserved:
            self._abort()
            return False
        if self._fragmented_message_buffer is not None:
            length += len(self._fragmented_message_buffer)
        if length > self.params.max_message_size:
            self.close(1009, "message too big")
            self._abort()
            return False
        return True

    def _handle_special_frame(self, final: int, opcode: int, payload: bytes) -> asyncio.Future[Any] | None:
        """Handle a fragment, a control frame or a compressed message, as Tornado's _receive_frame does."""
        if opcode & 0x08:
            if not final:
                self._abort()
                return None
        elif (opcode == 0) == (self._fragmented_message_buffer is None):
            # Nothing to continue, or a new message inside of another one.
            self._abort()
            return None
        elif opcode == 0:
            self._fragmented_message_buffer.extend(payload)
            if final:
                opcode, payload = self._fragmented_message_opcode, bytes(self._fragmented_message_buffer)
                self._fragmented_message_buffer = None
        elif not final:
            self._fragmented_message_opcode = opcode
            self._fragmented_message_buffer = bytearray(payload)
        return self._settle(self._handle_message(opcode, payload)) if final else None


def succeeded(future: asyncio.Future[Any]) -> bool:
    """Whether there is nothing to wait for, and no error."""
    return future.done() and not future.cancelled() and future.exception() is None


def _raise(error: BaseException) -> None:
    raise error


def _return(result: Any) -> Any:
    return result
