"""A socket that takes and gives less than it could, or fails, at chosen bytes of what passes through it.

Places in the stream of bytes, not calls, tell where: two implementations of a connection may read and write in
different pieces, and meet the same limits all the same.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

Direction = Literal["in", "out"]


class Limit(NamedTuple):
    """Where one call ends, in bytes since the limits were set, and the error of the next call; 0 for none."""

    direction: Direction
    place: int
    error: int = 0


ERRORS = (0, 0, errno.EAGAIN, errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT)


class LimitedSocket(socket.socket):
    """A socket with such limits. It replaces the socket that it is made from."""

    def __init__(self, original: socket.socket) -> None:
        super().__init__(original.family, original.type, original.proto, original.detach())
        self.setblocking(False)
        self._limits: dict[str, Iterator[Limit]] = {}
        self._next: dict[str, Limit | None] = {}
        self._passed = {"in": 0, "out": 0}
        self._is_full = False

    def set_limits(self, limits: tuple[Limit, ...]) -> None:
        """Count from here."""
        self._passed = {"in": 0, "out": 0}
        for direction in self._passed:
            self._limits[direction] = iter(sorted(each for each in limits if each.direction == direction))
            self._next[direction] = next(self._limits[direction], None)

    def send(self, data: Any, flags: int = 0) -> int:
        return self._count("out", super().send(memoryview(data)[: self._allow("out", len(data))], flags))

    def recv(self, size: int, flags: int = 0) -> bytes:
        data = super().recv(self._allow("in", size), flags)
        self._count("in", len(data))
        return data

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        most = self._allow("in", size or len(buffer))
        return self._count("in", super().recv_into(buffer, most, flags))

    def _count(self, direction: Direction, size: int) -> int:
        self._passed[direction] += size
        return size

    def _allow(self, direction: Direction, size: int) -> int:
        """Return how many bytes this call may pass, or raise the error of a limit that was reached."""
        limit = self._next.get(direction)
        while limit is not None and limit.place <= self._passed[direction]:
            if limit.error and direction == "in":
                super().recv(1, socket.MSG_PEEK)  # an error is an event: the socket wasn't empty before it
            error = limit.error
            limit = self._next[direction] = next(self._limits[direction], None)
            if error == errno.EAGAIN and direction == "out":
                self._fill()
            if error:
                raise OSError(error, "on purpose")
        if direction == "out" and self._is_full:
            raise OSError(errno.EAGAIN, "on purpose")
        return size if limit is None else min(size, limit.place - self._passed[direction])

    def _fill(self) -> None:
        """Take nothing until the next turn of the event loop."""
        self._is_full = True
        asyncio.get_running_loop().call_soon(self._empty)

    def _empty(self) -> None:
        self._is_full = False
