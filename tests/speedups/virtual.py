"""An event loop with a clock of its own: time passes only while nothing is left to do, and then at once.

After settle(), a server has done everything that it can do without more input. So a test needn't wait for a time that
is surely long enough.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

# Turns of the event loop after which nothing is expected to happen but the same again.
_MOST_TURNS = 5_000


class SpinningError(Exception):
    """The event loop calls callbacks again and again, and time doesn't pass."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop for one driver, which alone calls settle(); everything else may use timers as ever."""

    def __init__(self) -> None:
        self._now = 0.0
        self._until = 0.0
        self._turns = 0
        self._driver: asyncio.Future[None] | None = None
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self._now

    def rewind(self) -> None:
        """Begin again with the same time, when no timer is left."""
        self._now = self._until = 0.0

    async def settle(self, seconds: float = 0.0) -> None:
        """Wait until no callback is ready, no socket can be read or written, and no timer of these seconds is left.

        Raises SpinningError if that never comes.
        """
        self._turns = 0
        self._until = self._now + seconds
        self._driver = self.create_future()
        await self._driver

    def count_turn(self) -> None:
        """Count a turn in which something happened; wake the driver if there are too many."""
        self._turns += 1
        if self._turns > _MOST_TURNS and self._driver is not None and not self._driver.done():
            self._driver.set_exception(SpinningError())

    def pass_time(self, timeout: float | None) -> None:
        """Go to the next timer, ``timeout`` seconds from now, if the driver waits for it; wake the driver otherwise."""
        if timeout is not None and self._now + timeout <= self._until:
            self._now += timeout
            return
        if self._driver is None or self._driver.done():
            raise RuntimeError("nothing is left to do, and nobody waits for that: the driver waits for something else")
        self._now = self._until
        self._driver.set_result(None)


class _Selector(selectors.SelectSelector):
    """A selector that never waits, but lets the time of its loop pass."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if not events and timeout != 0:
            self._loop.pass_time(timeout)
        else:
            self._loop.count_turn()
        return events
