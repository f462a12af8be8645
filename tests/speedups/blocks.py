"""Count the memory blocks that Python holds, to detect leaks."""

from __future__ import annotations

import gc
import sys


def blocks() -> int:
    """Return the number of blocks that Python's allocator holds after a garbage collection."""
    gc.collect()
    return sys.getallocatedblocks()
