"""The builders: seconds until this project's wheels lie there, the cross-builder's and an ordinary build's.

Each builds from an empty folder, from start to end as a user would see it; what a first build fetches is there already.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from wheelworks import processes
from wheelworks.bench.measurements import Measurement, Plan
from wheelworks.errors import WheelworksError

TITLE = "building this project, wall time"
BASE = "cross"
_SECONDS = 600


def _cross(*words: str) -> Callable[[Path], Sequence[str]]:
    return lambda out: (sys.executable, "-m", "wheelworks", *words, "--out", str(out))


def _pip(out: Path) -> Sequence[str]:
    """The same backend by pip, with this machine's compiler, in an environment that is made for it."""
    return (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(out), ".")


CASES: dict[str, dict[str, Callable[[Path], Sequence[str]]]] = {
    "this machine's wheel": {"cross": _cross("host-wheel"), "pip": _pip},
    "the ARM64 wheels": {"cross": _cross("cross-arm64", "--no-run")},
}


def measure(plan: Plan, say: Callable[[str, str], None]) -> list[Measurement]:
    """Seconds of each build, alternately. Raises WheelworksError where one fails."""
    found = []
    for case, builds in CASES.items():
        wanted = {name: build for name, build in builds.items() if plan.wants(name) and _can(name)}
        rounds: dict[str, list[float]] = {name: [] for name in wanted}
        # Roughly measured means once; otherwise the first round, which may fetch and unpack, isn't counted.
        counted, warm = (1, 0) if plan.scale < 1 else (3, 1)
        for number in range(counted + warm):
            for name, build in wanted.items():
                say("build", f"{case}: {name}, round {number}")
                rounds[name].append(_seconds(name, build))
        found += [Measurement(case, name, "s", tuple(figures[warm:])) for name, figures in rounds.items()]
    return found


def _can(name: str) -> bool:
    """An ordinary build needs a compiler."""
    return name != "pip" or any(map(shutil.which, ("cc", "gcc", "clang", "cl")))


def _seconds(name: str, build: Callable[[Path], Sequence[str]]) -> float:
    with tempfile.TemporaryDirectory(prefix="wheelworks-") as folder:
        start = time.perf_counter()
        ended = processes.run(build(Path(folder)), seconds=_SECONDS)
        if ended.status or not list(Path(folder).glob("*.whl")):
            raise WheelworksError(f"the builder {name} failed:\n{ended.output[-1500:]}")
        return time.perf_counter() - start
