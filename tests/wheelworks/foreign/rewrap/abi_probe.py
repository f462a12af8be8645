"""Help ``macos_abi_probe.py`` and ``windows_abi_probe.py``: calls of functions that both modules have."""

import gc
import struct
import threading
from collections.abc import Callable
from typing import Any

import abi  # type: ignore[import-not-found]


def count_in_threads(function: Callable[[], int]) -> list[int]:
    """Return a counter's values in this thread, in another one, and in this one again."""
    found = [function()]
    other = threading.Thread(target=lambda: found.append(function()))
    other.start()
    other.join()
    return [*found, function()]


def collect_cycle(node_type: Any) -> int:
    """Make a cycle of objects and return how many of them the garbage collector frees."""
    one, other = node_type(), node_type()
    one.other, other.other = other, one
    before = abi.count_freed()
    del one, other
    gc.collect()
    return int(abi.count_freed() - before)


def write_longs(function: Callable[[bytearray], int], code: str) -> list[int]:
    """Return what a function leaves of an array of four longs, given a long's format of :mod:`struct`."""
    data = bytearray(struct.pack(f"<4{code}", 1, 2, 3, 4))
    function(data)
    return list(struct.unpack(f"<4{code}", data))
