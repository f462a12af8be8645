"""Turn messages into WebSocket frames (RFC 6455, section 5.2), and frames into as few writes as possible.

While a FrameWriter holds frames back, it collects them: the answers to many messages leave in one system call. It
touches no socket and no event loop. Each frame has a waiter, any object that the caller gets back with the bytes.
"""

from __future__ import annotations

import os
from typing import Any

from tornado_speedups._implementation import build_frame, build_frame_into
from tornado_speedups.websocket import LONG, take_buffer
from tornado_speedups.websocket.bases import WriterBase

_MAX_HEADER = 14

# At most this many bytes are held back.
_MAX_HELD_BYTES = 64 * 1024


class FrameWriter(WriterBase):
    """The sending half of one connection."""

    __slots__ = ("masks", "size", "waiters")

    def __init__(self, masks: bool) -> None:
        self.masks = masks
        # Whether frames are to be held back from now on, and those that are.
        self.holds = False
        self.frames: list[bytes] = []
        self.size = 0
        self.waiters: list[Any] = []

    def build(self, head: int, data: bytes | str) -> bytes | memoryview:
        """Return a frame with this first byte; a long one as part of a buffer from take_buffer()."""
        mask = os.urandom(4) if self.masks else None
        if len(data) < LONG:
            return build_frame(head, data, mask)
        buffer = take_buffer(len(data) + _MAX_HEADER)
        return memoryview(buffer)[: build_frame_into(head, data, mask, buffer)]

    def add(self, frame: bytes, waiter: Any) -> bool:
        """Hold a frame back. Return whether what is held back should be sent now."""
        self.frames.append(frame)
        self.waiters.append(waiter)
        self.size += len(frame)
        return not self.holds or self.size > _MAX_HELD_BYTES

    def take(self) -> tuple[bytes, list[Any]]:
        """Return the bytes of the frames that were held back, and their waiters."""
        data, waiters = b"".join(self.frames), self.waiters
        self.frames, self.size, self.waiters = [], 0, []
        return data, waiters
