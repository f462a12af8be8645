"""Another time of day for a build, or one that stands still: libfaketime, where it is installed."""

from __future__ import annotations

import functools
import glob
from dataclasses import replace

from wheelworks.reproduce.surroundings import Surroundings

# The multi-threaded library first: the builder has threads.
_PLACES = tuple(
    f"{folder}/faketime/libfaketime{kind}.so.1"
    for kind in ("MT", "")
    for folder in ("/usr/lib/*", "/usr/lib", "/usr/lib64", "/usr/local/lib")
)
LATER, STILL = "+7306d", "2031-04-05 06:07:08"


@functools.cache
def _library() -> str:
    return next((found for pattern in _PLACES for found in sorted(glob.glob(pattern))), "")


def missing() -> str:
    """Why the clock can't be changed here; "" where it can."""
    return "" if _library() else "libfaketime isn't installed: sudo apt install faketime"


def _at(now: Surroundings, when: str) -> Surroundings:
    """The builder keeps its environment from the project's build, so that the clock is handed to both."""
    clock = {
        "LD_PRELOAD": _library(),
        "FAKETIME": when,
        # Waiting must go on taking the time that it takes.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    seen = tuple(f"{name}={value}" for name, value in clock.items())
    return replace(now.with_env(**clock), seen=(*now.seen, *seen))


def later(now: Surroundings) -> Surroundings:
    """Twenty years and a day on."""
    return _at(now, LATER)


def still(now: Surroundings) -> Surroundings:
    """A clock that doesn't go: what still differs from build to build is not the time."""
    return _at(now, STILL)
