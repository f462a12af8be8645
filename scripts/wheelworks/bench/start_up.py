"""The suite ``start``: CPU time of a fresh process to import Tornado, and then to import and install the speedups."""

from __future__ import annotations

import os
import sys
from statistics import median

from wheelworks.bench.measurements import Measurement, Plan, Suite, Update
from wheelworks.core.process import run_checked

CASE = "import, and install() after Tornado's import"
# Both in one process, so that each pair of figures is of the same moment.
_PROGRAM = """
from time import process_time
start = process_time()
import tornado.httpserver, tornado.web, tornado.websocket
tornado_imported = process_time()
import tornado_speedups
tornado_speedups.install()
print(tornado_imported - start, process_time() - tornado_imported)
"""


def measure_start(plan: Plan, update: Update) -> list[Measurement]:
    """Return the time of Tornado's import, and the time that the speedups add, of several processes a round."""
    processes = max(3, int(10 * plan.scale))
    rounds: list[list[float]] = []
    _start_process()  # which writes the compiled modules
    for number in range(plan.rounds):
        update("start", f"round {number + 1}")
        found = [_start_process() for _ in range(processes)]
        rounds.append([median(times) for times in zip(*found, strict=True)])
    figures = zip(("tornado", "speedups"), zip(*rounds, strict=True), strict=True)
    return [Measurement(CASE, name, "us", tuple(times)) for name, times in figures if plan.wants(name)]


def _start_process() -> list[float]:
    """Return both times in microseconds."""
    # Where this variable keeps compiled modules from being written, all would be compiled in each process.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    words = [sys.executable, "-c", _PROGRAM]
    ended = run_checked(words, "the speedups can't be imported", env=env, separate_stderr=True)
    return [float(word) * 1e6 for word in ended.output.split()]


START = Suite("Start", "tornado", measure_start)
