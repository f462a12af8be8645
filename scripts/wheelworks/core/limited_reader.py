"""Streams of archives from anywhere, which end in an error rather than without bound."""

from __future__ import annotations

import gzip

from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheelfile import Limits

# The most that tarfile may read to learn of one member: its name, and pax headers that tools add.
HEADERS = 1 << 18


class Capped:
    """A stream that ends in an error rather than in more bytes than an archive may hold, headers included.

    ``room`` is what may come before the next member is known: tarfile keeps a member's headers in memory.
    """

    def __init__(self, stream: gzip.GzipFile, name: str, limits: Limits) -> None:
        self.stream, self.name, self.limits = stream, name, limits
        self.left = limits.size + limits.members * 2048
        self.room = HEADERS

    def read(self, size: int = -1) -> bytes:
        """Bytes of the stream. Raises WheelworksError beyond the limits."""
        data = self.stream.read(size)
        self.left -= len(data)
        self.room -= len(data)
        if self.left < 0 or self.room < 0:
            raise too_large(self.name, self.limits)
        return data


def too_large(name: str, limits: Limits) -> WheelworksError:
    """What to say of an archive beyond its limits."""
    return WheelworksError(f"{name}: unpacks to more than {limits.size >> 20} MiB or {limits.members} members: refused")
