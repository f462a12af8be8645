"""Messages are handled in the context of the task that waits for them, on every version of Python."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from tornado_speedups.websocket.transport import find_context

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")


class Older:
    """A task as in Python 3.11, without a method that returns its context."""


async def waiting(future: asyncio.Future[None]) -> str:
    variable.set("the task's")
    await future
    return variable.get()


async def asked() -> tuple[Any, str]:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(waiting(future))
    await asyncio.sleep(0)
    context = find_context(task, future)
    assert context.run(variable.get) == "the task's" and variable.get() == "nothing"
    context.run(variable.set, "from outside")
    future.set_result(None)
    return context, await task


def test_it_is_the_tasks_own_and_no_copy() -> None:
    _, seen = asyncio.run(asked())
    assert seen == "from outside"


def test_without_a_task_there_is_none() -> None:
    assert find_context(None, None) is None


@pytest.mark.parametrize("callbacks", [None, [], [(print, contextvars.Context())]])
def test_an_older_task_that_does_not_wait_has_none(callbacks: Any) -> None:
    future = type("Future", (), {"_callbacks": callbacks})()
    assert find_context(Older(), future) is None


def test_an_older_task_is_known_by_what_it_waits_for() -> None:
    class Waiting(Older):
        def wake(self) -> None:
            """Stand in for the method that the future calls."""

    task, context = Waiting(), contextvars.Context()
    future = type("Future", (), {"_callbacks": [(print, contextvars.Context()), (task.wake, context)]})()
    assert find_context(task, future) is context
