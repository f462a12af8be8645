"""The futures that ``write_message()`` returns.

This module imports Tornado: install() uses it only where it knows its code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError

if TYPE_CHECKING:
    from typing import Protocol

    class Sender(Protocol):
        """A Transport, which imports this module."""

        _turn_bytes: int
        turn_end: float

        def begin_turn(self) -> float:
            """Note that others have just had their turn. Return the time."""


class WriteFuture(asyncio.Future[None]):
    """The result of a write. Awaiting one whose bytes have left costs one turn of the event loop instead of two.

    Where coroutines start eagerly, it costs none, as long as the transport's turn lasts.
    """

    __slots__ = ("sender",)

    # What has sent the bytes, or holds them back, if awaiting them need not take a turn; True if they have left, but
    # awaiting them takes a turn; otherwise None.
    sender: Sender | Literal[True] | None

    def __await__(self) -> Generator[Any, None, None]:
        """Wait until the frame has left."""
        sender = self.sender
        if sender is not None and not self.done():
            if sender is not True and sender._turn_bytes > 0 and monotonic() < sender.turn_end:  # has_turn()
                self.set_result(None)
                return _NOTHING
            return self._wait_for_turn()
        return super().__await__()

    def _wait_for_turn(self) -> Generator[Any, None, None]:
        sender = self.sender
        if sender is not True and sender is not None:
            sender.begin_turn()
        yield
        yield from super().__await__()


# An iterator that has ended, for a coroutine that has nothing to wait for.
_NOTHING: Generator[Any, None, None] = iter(())  # type: ignore[assignment]


def resolve(futures: Iterable[WriteFuture], error: BaseException | None = None) -> None:
    """Give all futures that wait their result, or this error."""
    for future in futures:
        if not future.done() and error is None:
            future.set_result(None)
        elif not future.done():
            future.set_exception(error)  # type: ignore[arg-type]


def pass_on(futures: list[WriteFuture], written: asyncio.Future[None]) -> None:
    """Give the futures the result of a write of the stream."""
    error = None if written.cancelled() else written.exception()
    resolve(futures, WebSocketClosedError() if isinstance(error, StreamClosedError) else error)
