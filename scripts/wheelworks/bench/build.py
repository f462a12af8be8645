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
_ENV = {"CIBW_TEST_COMMAND": "", "CIBW_AUDIT_COMMAND": ""}  # only build, as the other builders do

Command = Callable[[Path], Sequence[str]]


def _wheelworks(*words: str) -> Command:
    return lambda out: (sys.executable, "-m", "wheelworks", *words, "--out", str(out))


def _cibuildwheel(source: str, target: str) -> Command:
    words = ("build-wheels", source, "--builder", "cibuildwheel", "--target", target)
    return _wheelworks(*words, "--abi", targets.get_build_abi().id)


def list_cases(source: str, target: str) -> dict[str, dict[str, Command]]:
    """Return the commands of each case: for a target its wheel, otherwise this machine's wheel and the ARM64 wheels.

    pip builds with the same backend and this machine's compiler. cibuildwheel builds in a container on Linux, for
    another CPU under qemu.
    """
    if target:
        row = targets.find_target(target).id
        words = ("build-wheels", source, "--no-run", "--target", row, "--abi", targets.get_build_abi().id)
        return {f"the wheel for {row}": {"cross": _wheelworks(*words), "cibuildwheel": _cibuildwheel(source, row)}}
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", source, "-w")
    native: dict[str, Command] = {"cross": _wheelworks("host-wheel", source), "pip": lambda out: (*pip, str(out))}
    if host := targets.find_host_target():
        native["cibuildwheel"] = _cibuildwheel(source, host.id)
    arm64: dict[str, Command] = {"cross": _wheelworks("cross-arm64", source, "--no-run")}
    return {"this machine's wheel": native, "the ARM64 wheels": arm64}


def measure(plan: Plan, update: Update) -> list[Measurement]:
    """Return the seconds of each build, measured in turns. Builders that can't build here are reported and left out.

    Raises WheelworksError if the cross-builder fails.
    """
    cases = list_cases(plan.source, plan.target)
    return [one for case, commands in cases.items() for one in _measure_case(case, commands, plan, update)]


BUILD = Suite("building wheels, wall time", BASE, measure)


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
        console.print_note(f"{case}: {name} is left out: {error.message.strip()}")
        return None


def _time_build(name: str, command: Command) -> float:
    with tempfile.TemporaryDirectory(prefix="wheelworks-") as folder:
        words = command(Path(folder))
        start = time.perf_counter()
        ended = process.run(words, env={**os.environ, **_ENV}, timeout=600)
        if ended.status or not list(Path(folder).glob("*.whl")):
            raise WheelworksError(f"the builder {name} failed:\n{ended.output[-1500:]}")
        return time.perf_counter() - start
