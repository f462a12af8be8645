"""Test the slow clock: it is the one that the speedups' transport, and everything else in Python, reads."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from wheelworks.bench import slow_clock
from wheelworks.core.errors import WheelworksError

pytestmark = pytest.mark.integration  # compiling it for a new cache takes as long as a hundred tests

# The real time that has passed, and what the clock of each says.
CLOCKS = """
import asyncio, time
from tornado_speedups.websocket import handling, transport
clocks = transport.monotonic, handling.monotonic, time.perf_counter, asyncio.new_event_loop().time
start, before = time.time(), [clock() for clock in clocks]
while time.time() < start + 0.2:
    pass
print(time.time() - start, *(clock() - first for clock, first in zip(clocks, before)))
"""


@pytest.fixture(autouse=True)
def own_cache(wheelworks_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEELWORKS_CACHE", str(wheelworks_cache))


def read_clocks(variables: dict[str, str]) -> list[float]:
    words = [sys.executable, "-c", CLOCKS]
    ended = subprocess.run(words, env=os.environ | variables, check=True, capture_output=True, text=True)
    return [float(word) for word in ended.stdout.split()]


def test_the_speedups_and_the_event_loop_read_it() -> None:
    passed, *slow = read_clocks(slow_clock.make_clock_variables())
    assert passed >= 0.2 and len(slow) == 4
    # Between the readings of two clocks, this process may have had to wait.
    assert all(0 < seconds < passed / 10 for seconds in slow)
    passed, *usual = read_clocks({})
    assert all(seconds > passed / 10 for seconds in usual)


def test_it_advances_as_many_times_slower() -> None:
    words = [sys.executable, "-c", "import time; print(time.monotonic())"]
    environment = os.environ | slow_clock.make_clock_variables()
    before = time.monotonic()
    shown = float(subprocess.run(words, env=environment, check=True, capture_output=True, text=True).stdout)
    assert before < shown * slow_clock.SLOWDOWN < time.monotonic()


def test_a_compiler_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_clock, "find_zig", lambda: sys.executable)
    monkeypatch.setattr(slow_clock, "_OPTIONS", ("-DSLOWDOWN=3",))
    with pytest.raises(WheelworksError, match="the slow clock can't be compiled"):
        slow_clock.make_clock_variables()


# Two threads take turns, and one waits for the other's lock: the time that both spend, and the time that passes.
THREADS = """
import threading, time
def work():
    end = time.time() + 0.3
    while time.time() < end:
        pass
threads = [threading.Thread(target=work) for _ in range(2)]
start = time.time(), time.process_time()
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(time.process_time() - start[1], time.time() - start[0])
"""


def test_a_thread_that_waits_for_pythons_lock_sleeps() -> None:
    words = [sys.executable, "-c", THREADS]
    environment = os.environ | slow_clock.make_clock_variables()
    ended = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
    used, passed = map(float, ended.stdout.split())
    assert used < 1.5 * passed
