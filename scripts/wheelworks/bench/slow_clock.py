"""A slow clock for programs under callgrind, which run about fifty times slower than they do alone.

Limits of time would expire in the measurement only: the speedups, for instance, hold frames back for at most a
millisecond, in which a server handles hundreds of messages, but few under callgrind. So every measured server,
whichever library it uses, reads a monotonic clock that is as much slower. It is made in C, because a clock in Python
would double the cost of reading it: see ``slow_clock.c``.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from wheelworks.core.files import get_cached_folder, hash_file
from wheelworks.core.process import run_checked
from wheelworks.core.zig import find_zig, make_cache_variables, read_zig_version

SLOWDOWN = 50

_SOURCE = Path(__file__).with_suffix(".c")
_OPTIONS = ("-shared", "-fPIC", "-O2", "-D_GNU_SOURCE", f"-DSLOWDOWN={SLOWDOWN}", "-Wall", "-Wextra", "-Werror", "-ldl")


def make_clock_variables() -> dict[str, str]:
    """Return the variables by which a program reads the slow clock. Raises WheelworksError if it can't be compiled."""
    words = [read_zig_version(), *_OPTIONS, hash_file(_SOURCE)]
    digest = hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]
    return {"LD_PRELOAD": str(get_cached_folder(f"slow-clock/{digest}", _compile) / "slow_clock.so")}


def _compile(folder: Path) -> None:
    words = [find_zig(), "cc", *_OPTIONS, str(_SOURCE), "-o", str(folder / "slow_clock.so")]
    environment = {**os.environ, **make_cache_variables(folder / ".zig")}
    run_checked(words, "the slow clock can't be compiled", env=environment)
