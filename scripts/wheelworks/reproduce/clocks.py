"""Another time of day for a build, or one that stands still: libfaketime, where it is installed."""

from __future__ import annotations

import functools
import glob
from dataclasses import replace

from wheelworks.reproduce.environment import Surroundings

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


def _clock(when: str) -> dict[str, str]:
    # The monotonic clock is changed as well: where it isn't, libfaketime 0.9.10 makes time.sleep() fail.
    return {"LD_PRELOAD": _library(), "FAKETIME": when, "NO_FAKE_STAT": "1"}


def _seen(now: Surroundings, clock: dict[str, str]) -> Surroundings:
    """The builder keeps its own environment from the project's build, so that the clock must be handed on."""
    return replace(now, seen=(*now.seen, *(f"{name}={value}" for name, value in clock.items())))


def later(now: Surroundings) -> Surroundings:
    """Twenty years and a day on, for the builder and for the project's build: servers' certificates have expired."""
    return _seen(now.with_env(**_clock(LATER)), _clock(LATER))


def still(now: Surroundings) -> Surroundings:
    """A clock that doesn't go, for the project's build alone: the builder waits for programs, by the clock."""
    return _seen(now, _clock(STILL))
