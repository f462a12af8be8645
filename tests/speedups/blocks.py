"""How much memory Python holds: what leaves nothing behind leaves this number as it was."""

from __future__ import annotations

import gc
import sys


def blocks() -> int:
    """Blocks that Python's allocator has given out, once what nobody can reach any more is gone."""
    gc.collect()
    return sys.getallocatedblocks()
