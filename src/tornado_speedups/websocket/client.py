"""Read messages with WebSocket clients: ``await connection.read_message()`` resumes as soon as a message has come.

Tornado's client puts every message into a queue. Taking it out needs two futures, and the task that waits for it runs
a turn of the event loop later. Here, the queue is Tornado's, with its limit of one message, but a task that waits is
given the message without it. Where coroutines start eagerly (eager.py), the task even runs at once, inside of the
handling of the message, as the coroutine of a server's handler does.

The task runs by the callback that asyncio's task has given to the future, in the context that came with it, while the
task of the connection is put aside. That is what the event loop does a turn later.

When the task runs a turn later, as in Tornado
    - The connection has had its turn for a millisecond or 64 KiB: others get theirs.
    - Something else than one task waits for the future: ``asyncio.wait_for()`` of Python 3.11, a decorated coroutine.
    - Coroutines don't start eagerly, the event loop is in debug mode, or nest_asyncio is active.

Private attributes of Tornado that are used (fingerprints.py knows the versions that have them)
    - WebSocketClientConnection: ``_on_message_callback``. Queue: ``_getters``, ``_putters``, ``_queue``,
      ``_unfinished_tasks``, ``_finished``, ``_consume_expired``. asyncio: ``_enter_task``, ``_leave_task``.

This module imports Tornado: install() uses it only where it knows its code. The first client that connects imports it.
"""

from __future__ import annotations

import asyncio
from asyncio import _enter_task, _leave_task, current_task
from collections.abc import Callable
from types import BuiltinMethodType
from typing import Any

from tornado.queues import Queue

from tornado_speedups.eager import is_reentrant

# The module of the protocols of this package, which the first connection imports.
_PROTOCOL = "tornado_speedups.websocket.protocol"


class ReadFuture(asyncio.Future[Any]):
    """The result of ``read_message()``, which knows the task that awaits it."""

    __slots__ = ("waiter",)

    # What wakes the task, and in which context; () if something else waits, too; None if nothing waits yet.
    waiter: tuple[Any, ...] | None

    def add_done_callback(self, fn: Callable[[Any], object], /, *, context: Any = None) -> None:
        """Note whether the callback is that of a task, and the only one."""
        is_first = self.waiter is None and type(fn) is BuiltinMethodType and isinstance(fn.__self__, asyncio.Task)
        self.waiter = (fn, context) if is_first else ()
        super().add_done_callback(fn, context=context)

    def resume(self, message: Any, loop: Any) -> None:
        """Set the result, and run the task that waits for it in place of the task that runs now."""
        wakeup, context = self.waiter  # type: ignore[misc]
        current: Any = current_task(loop)
        self.remove_done_callback(wakeup)
        self.set_result(message)
        _leave_task(loop, current)
        try:
            context.run(wakeup, self)
        except RuntimeError:  # something else runs in that context
            loop.call_soon(wakeup, self, context=context)
        except (SystemExit, KeyboardInterrupt) as error:  # leaves the event loop, as from a task, not the connection
            loop.call_soon(_raise, error)
        finally:
            _enter_task(loop, current)


def wrap_read_message(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap WebSocketClientConnection.read_message: one future for a message, and no exception where there is none."""

    def read_message(self: Any, callback: Any = None) -> Any:
        queue = self.read_queue
        if callback is not None or type(queue) is not Queue or queue._putters:
            return original(self, callback)
        future = ReadFuture()
        future.waiter = None
        if queue._queue:
            future.set_result(queue._queue.popleft())
            return future
        if queue._getters:
            queue._consume_expired()
        queue._getters.append(future)
        return future

    return read_message


def wrap_on_message(original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Wrap WebSocketClientConnection._on_message: give a message to the task that waits, or to the empty queue.

    Tornado's returns None or a future that is done, where this one always returns None.
    """

    def _on_message(self: Any, message: Any) -> Any:
        if self._on_message_callback:
            self._on_message_callback(message)
            return None
        queue = self.read_queue
        getters = queue._getters
        future: Any = getters[0] if getters else None
        is_plain = not queue._queue if future is None else type(future) is ReadFuture and not future.done()
        if not is_plain or type(queue) is not Queue:
            return original(self, message)
        if not queue._unfinished_tasks:
            queue._finished.clear()
        queue._unfinished_tasks += 1
        if future is None:
            queue._queue.append(message)
        else:
            getters.popleft()
            _give(message, future, self.protocol)
        return None

    return _on_message


def _give(message: Any, future: ReadFuture, protocol: Any) -> None:
    """Give a message to the task that waits for it, which runs now if it may."""
    if future.waiter and message is not None and type(protocol).__module__ == _PROTOCOL:
        transport = protocol._transport
        if (
            transport.eager
            and transport.defers  # the message is being handled
            and not transport.loop.get_debug()
            and not is_reentrant()
            and transport.take_turn(len(message))
        ):
            future.resume(message, transport.loop)
            return
    future.set_result(message)


def _raise(error: BaseException) -> None:
    raise error
