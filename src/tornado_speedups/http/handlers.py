"""Begin the handlers of requests at once, and spare each request some needless work around them.

This module imports Tornado, and uses private fields of its delegates: install() uses it only where it knows their code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tornado import version_info
from tornado.gen import convert_yielded
from tornado.http1connection import HTTP1Connection
from tornado.ioloop import IOLoop
from tornado.web import _HandlerDelegate

from tornado_speedups import eager

_REPORTS_CANCELLED = version_info < (6, 6)


def wrap_execute(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Wrap _HandlerDelegate.execute: the handler begins at once, and most are done before the method returns."""

    def execute(self: Any) -> Any:
        io_loop: Any = IOLoop.current(instance=False)
        if (
            not _is_plain(self)
            or not _is_open(self.connection)
            or not eager.is_possible(getattr(io_loop, "asyncio_loop", None))
        ):
            return original(self)
        application = self.application
        handler = self.handler = self.handler_class(application, self.request, **self.handler_kwargs)
        transforms = [transform(self.request) for transform in application.transforms]
        with _WatchedStream(self.connection, handler):
            _start(handler._execute(transforms, *self.path_args, **self.path_kwargs), io_loop)
        return handler._prepared_future

    return execute


def _is_plain(delegate: Any) -> bool:
    """Return whether the body isn't streamed, and no cache must be emptied before each request."""
    settings = delegate.application.settings
    return (
        type(delegate) is _HandlerDelegate
        and not delegate.stream_request_body
        and settings.get("compiled_template_cache", True)
        and settings.get("static_hash_cache", True)
    )


def _is_open(connection: Any) -> bool:
    """Return whether this is a connection of Tornado's that hasn't ended.

    One that has ended still handles the requests in its buffer, each while the handler before it hasn't begun yet.
    """
    if type(connection) is not HTTP1Connection:
        return False
    stream: Any = connection.stream
    return stream is not None and not stream.closed()


class _WatchedStream:
    """A connection while its handler begins, to tell the handler if it closes the connection itself.

    Tornado begins to watch the stream just before the handler does, and now only afterwards.
    """

    __slots__ = ("_callback", "_connection", "_handler", "_stream")

    def __init__(self, connection: Any, handler: Any) -> None:
        self._connection, self._handler, self._stream = connection, handler, connection.stream
        self._callback: Any = None

    def __enter__(self) -> None:
        self._stream._close_callback = self._report

    def __exit__(self, *error: object) -> None:
        if self._stream.closed():
            self._callback = self._connection._close_callback
        elif self._stream._close_callback == self._report:
            self._stream._close_callback = None

    def _report(self) -> None:
        """Call what the connection would have called if it had watched its stream."""
        if self._callback is not None and not self._handler._finished:
            self._callback()


def _start(awaitable: Any, io_loop: Any) -> None:
    try:
        task: Any = eager.start(awaitable, io_loop)
    except (SystemExit, KeyboardInterrupt) as error:
        # The connection would take it for an error of its own. From a callback it leaves the loop, as from a task.
        io_loop.asyncio_loop.call_soon(_raise, error)
        return
    if task is None:
        task = convert_yielded(awaitable)
    if not task.done() or task.cancelled() or task.exception() is not None:
        task.add_done_callback(_raise_exception)


def _raise_exception(task: Any) -> None:
    """Raise what a handler raised, which the event loop reports. Tornado 6.6 says nothing of one that was cancelled."""
    if _REPORTS_CANCELLED or not task.cancelled():
        task.result()


def _raise(error: BaseException) -> None:
    raise error
