"""Start an application's coroutines at once, by asyncio's eager tasks (Python 3.12), where nobody can mind.

A coroutine that Tornado wraps in a task begins a turn of the event loop later. An eager task begins inside of its
constructor: in a context of its own, as the current task, with a name, cancellable like every task. If the coroutine
ends without waiting for anything, the event loop never hears of it.

When it isn't done
    - Python is older than 3.12, or ``install(eager=False)`` was called.
    - The event loop isn't asyncio's own (uvloop), is in debug mode, or has a task factory, which must make all tasks.
    - Something has replaced what makes tasks: tools for tracing (``asyncio.ensure_future``, ``loop.create_task``) and
      nest_asyncio (``asyncio.Task``).
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import base_events, selector_events, tasks
from types import CoroutineType, FunctionType
from typing import Any

# What install() was told.
enabled = True

# The functions and the class that make tasks, as they were last found to be the standard library's.
_known: Any = None

SUPPORTED = sys.version_info >= (3, 12)


def is_possible(loop: Any) -> bool:
    """Return whether tasks of this event loop may start eagerly, as far as that can't change later."""
    return enabled and SUPPORTED and isinstance(loop, selector_events.BaseSelectorEventLoop) and _is_untouched(loop)


def _is_untouched(loop: Any) -> bool:
    """Return whether tasks are made by the code of the standard library."""
    global _known
    methods = type(loop).create_task, type(loop).get_debug, type(loop).get_task_factory
    found = methods, asyncio.ensure_future, asyncio.Task
    if found != _known:  # which were checked for the connection before
        if not (
            all(_is_function_of(method, base_events) for method in methods)
            and _is_function_of(found[1], tasks)
            and found[2].__module__ == "_asyncio"
        ):
            return False
        _known = found
    return "create_task" not in vars(loop)


def _is_function_of(function: Any, module: Any) -> bool:
    return type(function) is FunctionType and function.__globals__ is vars(module)


def start(awaitable: Any, io_loop: Any) -> asyncio.Task[Any] | None:
    """Start a coroutine of the application as Tornado's convert_yielded() does, but at once.

    ``io_loop`` is the IOLoop of an event loop for which is_possible() is true. Return the task, which may be done; None
    if that is left to Tornado. Raises SystemExit and KeyboardInterrupt if the coroutine does.
    """
    loop = io_loop.asyncio_loop
    if (
        type(awaitable) is not CoroutineType
        or loop.get_task_factory() is not None
        or loop.get_debug()
        or is_reentrant()
    ):
        return None
    task: asyncio.Task[Any] = _Task(awaitable, loop=loop, eager_start=True)
    if not task.done():
        register(task, io_loop)
    return task


def is_reentrant() -> bool:
    """Return whether nest_asyncio makes event loops reentrant: a handler may then wait for its own writes."""
    return "_nest_patched" in _ASYNCIO


def register(task: asyncio.Task[Any], io_loop: Any) -> None:
    """Keep a task that has started until it is done, as Tornado does."""
    io_loop._register_task(task)
    task.add_done_callback(io_loop._unregister_task)


_ASYNCIO = vars(asyncio)
_Task: Any = asyncio.Task
