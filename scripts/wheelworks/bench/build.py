"""The builders: seconds until this project's wheels lie there, by the cross-builder, by pip and by cibuildwheel.

Each builds from an empty folder, from start to end as a user would see it; what a first build fetches is there already.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from wheelworks.bench.measurements import Measurement, Plan
from wheelworks.core import console, process, targets
from wheelworks.core.errors import WheelworksError

TITLE = "building this project, wall time"
BASE = "cross"
_SECONDS = 600
_ENV = {"CIBW_TEST_COMMAND": "", "CIBW_AUDIT_COMMAND": ""}  # building alone

Build = Callable[[Path], Sequence[str]]
Say = Callable[[str, str], None]


def _suite(*words: str) -> Build:
    return lambda out: (sys.executable, "-m", "wheelworks", *words, "--out", str(out))


def _pip(out: Path) -> Sequence[str]:
    """The same backend by pip, with this machine's compiler, in an environment that is made for it."""
    return (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(out), ".")


def _cibuildwheel(out: Path) -> Sequence[str]:
    """This machine's wheel by cibuildwheel, in a container on Linux."""
    target = targets.host()
    if target is None:
        raise WheelworksError("the table of targets has no row for this machine")
    words = ("--builder", "cibuildwheel", "--target", target.id, "--abi", targets.floor().id)
    return _suite("build-wheels", *words)(out)


CASES: dict[str, dict[str, Build]] = {
    "this machine's wheel": {"cross": _suite("host-wheel"), "pip": _pip, "cibuildwheel": _cibuildwheel},
    "the ARM64 wheels": {"cross": _suite("cross-arm64", "--no-run")},
}


def measure(plan: Plan, say: Say) -> list[Measurement]:
    """Seconds of each build, alternately; a builder that can't build here is told, and left out.

    Raises WheelworksError where `cross` itself fails.
    """
    return [one for case, builds in CASES.items() for one in _case(case, builds, plan, say)]


def _case(case: str, builds: dict[str, Build], plan: Plan, say: Say) -> list[Measurement]:
    wanted = {name: build for name, build in builds.items() if plan.wants(name) and _can(name, plan)}
    # The first round, which may fetch and unpack, isn't counted, unless one has to do.
    first = {name: figure for name, build in wanted.items() if (figure := _first(case, name, build, say)) is not None}
    if plan.scale < 1:
        return [Measurement(case, name, "s", (figure,)) for name, figure in first.items()]
    rounds: dict[str, list[float]] = {name: [] for name in first}
    for number in (1, 2, 3):
        for name, figures in rounds.items():
            say("build", f"{case}: {name}, round {number}")
            figures.append(_seconds(name, wanted[name]))
    return [Measurement(case, name, "s", tuple(figures)) for name, figures in rounds.items()]


def _can(name: str, plan: Plan) -> bool:
    """An ordinary build needs a compiler; one in a container, time."""
    if name == "cibuildwheel":
        return plan.scale >= 1
    return name != "pip" or any(map(shutil.which, ("cc", "gcc", "clang", "cl")))


def _first(case: str, name: str, build: Build, say: Say) -> float | None:
    say("build", f"{case}: {name}, for the first time")
    try:
        return _seconds(name, build)
    except WheelworksError as error:
        if name == BASE:
            raise
        console.note(f"{case}: {name} is left out: {error.message.strip()}")
        return None


def _seconds(name: str, build: Build) -> float:
    with tempfile.TemporaryDirectory(prefix="wheelworks-") as folder:
        command = build(Path(folder))
        start = time.perf_counter()
        ended = process.run(command, env={**os.environ, **_ENV}, timeout=_SECONDS)
        if ended.status or not list(Path(folder).glob("*.whl")):
            raise WheelworksError(f"the builder {name} failed:\n{ended.output[-1500:]}")
        return time.perf_counter() - start
