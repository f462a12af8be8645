"""The suite of builders, ``build``: seconds until wheels are built, by the cross-builder, by pip and by cibuildwheel.

Each builds from an empty folder, from start to end as a user sees it. What a first build downloads is already there.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from wheelworks.bench.measurements import Measurement, Plan, Suite, Update
from wheelworks.core import console, process, targets
from wheelworks.core.errors import WheelworksError

BASE = "cross"
_SECONDS = 600
_ENV = {"CIBW_TEST_COMMAND": "", "CIBW_AUDIT_COMMAND": ""}  # only build, as the other builders do

Command = Callable[[Path], Sequence[str]]


def _wheelworks(*words: str) -> Command:
    return lambda out: (sys.executable, "-m", "wheelworks", *words, "--out", str(out))


def _pip(out: Path) -> Sequence[str]:
    """Return pip's command: the same backend with this machine's compiler, in a new build environment."""
    return (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(out), ".")


def _cibuildwheel(out: Path) -> Sequence[str]:
    """Return cibuildwheel's command for this machine's wheel, which it builds in a container on Linux."""
    target = targets.host()
    if target is None:
        raise WheelworksError("the table of targets has no row for this machine")
    words = ("--builder", "cibuildwheel", "--target", target.id, "--abi", targets.floor().id)
    return _wheelworks("build-wheels", *words)(out)


CASES: dict[str, dict[str, Command]] = {
    "this machine's wheel": {"cross": _wheelworks("host-wheel"), "pip": _pip, "cibuildwheel": _cibuildwheel},
    "the ARM64 wheels": {"cross": _wheelworks("cross-arm64", "--no-run")},
}


def measure(plan: Plan, update: Update) -> list[Measurement]:
    """Return the seconds of each build, measured in turns. Builders that can't build here are reported and left out.

    Raises WheelworksError if the cross-builder fails.
    """
    return [one for case, commands in CASES.items() for one in _measure_case(case, commands, plan, update)]


BUILD = Suite("building this project, wall time", BASE, measure)


def _measure_case(case: str, commands: dict[str, Command], plan: Plan, update: Update) -> list[Measurement]:
    wanted = {name: command for name, command in commands.items() if plan.wants(name) and _is_available(name, plan)}
    # The first round may download and unpack. It counts only in a quick run, which has no other.
    first = {name: _build_first(case, name, command, update) for name, command in wanted.items()}
    rounds = {name: [seconds] for name, seconds in first.items() if seconds is not None}
    if plan.scale >= 1:
        rounds = {name: [] for name in rounds}
        for number in (1, 2, 3):
            for name, figures in rounds.items():
                update("build", f"{case}: {name}, round {number}")
                figures.append(_time_build(name, wanted[name]))
    return [Measurement(case, name, "s", tuple(figures)) for name, figures in rounds.items()]


def _is_available(name: str, plan: Plan) -> bool:
    """Return whether a builder has what it needs: pip a compiler, cibuildwheel the time to start a container."""
    if name == "cibuildwheel":
        return plan.scale >= 1
    return name != "pip" or any(map(shutil.which, ("cc", "gcc", "clang", "cl")))


def _build_first(case: str, name: str, command: Command, update: Update) -> float | None:
    update("build", f"{case}: {name}, first build")
    try:
        return _time_build(name, command)
    except WheelworksError as error:
        if name == BASE:
            raise
        console.note(f"{case}: {name} is left out: {error.message.strip()}")
        return None


def _time_build(name: str, command: Command) -> float:
    with tempfile.TemporaryDirectory(prefix="wheelworks-") as folder:
        words = command(Path(folder))
        start = time.perf_counter()
        ended = process.run(words, env={**os.environ, **_ENV}, timeout=_SECONDS)
        if ended.status or not list(Path(folder).glob("*.whl")):
            raise WheelworksError(f"the builder {name} failed:\n{ended.output[-1500:]}")
        return time.perf_counter() - start
