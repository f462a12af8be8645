"""Run a Linux wheel under real CPython of its CPU: the wheel's way from a file to a verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from wheelworks.core import process
from wheelworks.core.verdict import Verdict
from wheelworks.foreign.bytecode import compile_folder, root_for
from wheelworks.foreign.isolation import EmulatorAlone, Namespaces, Place, Way, find_emulator, probe
from wheelworks.foreign.machines import Machine, find_machine
from wheelworks.foreign.rootfs import CannotLay
from wheelworks.foreign.runs import run_folder
from wheelworks.foreign.site_packages import Site, lay_site
from wheelworks.foreign.suites import Run, judge, run_package, run_smoke, run_tornado
from wheelworks.foreign.wheels import mismatch
from wheelworks.testing.outcomes import Outcomes, Progress

Tests = Literal["smoke", "package", "tornado"]

REPOSITORY_TESTS = Path(__file__).parents[3] / "tests" / "speedups"
TIME_LIMITS: dict[Tests, float] = {"smoke": 120.0, "package": 900.0, "tornado": 900.0}
RUNS: Mapping[Tests, Callable[[Run], Outcomes]] = {"smoke": run_smoke, "package": run_package, "tornado": run_tornado}
NEWER_QEMU = "a newer qemu-user-static may help: Debian's backports and unstable have one"
HOW_TO_GET_QEMU = "apt-get install --no-install-recommends qemu-user-static"


class CannotRun(Exception):
    """This machine can't run the wheel; the text says why and what to do about it."""


def run_wheel(
    wheel: Path,
    *,
    cpu: str,
    python: str,
    tests: Tests,
    tests_folder: Path = REPOSITORY_TESTS,
    jobs: int | None = None,
    time_limit: float | None = None,
    progress: Progress = lambda text: None,
) -> Verdict:
    """Run ``wheel`` under Debian's CPython ``python`` ("3.11") for ``cpu`` ("aarch64"), emulated where need be.

    ``tests``: smoke imports the extension modules and checks what can be checked of any; package runs the tests of
    ``tests_folder``; tornado runs Tornado's whole suite, with the package's ``install()`` called before, unless the
    wheel is Tornado itself. They are shared out over ``jobs`` cores (all of this machine) and end after
    ``time_limit`` seconds, which count from the tests' start. ``progress`` is told in words what is going on.
    Raises WheelworksError for an unsound wheel, UsageError for an unknown CPU or Python; what this machine lacks is a
    verdict, "unsupported".
    """
    began = time.monotonic()
    machine = find_machine(cpu)
    verdict = Verdict(wheel.name, f"CPython {python} for {machine.debian}", "unsupported")
    try:
        if why := mismatch(wheel, machine.cpu, python):
            raise CannotRun(why)
        emulator = _emulator(machine)
        with run_folder() as folder:
            site = _site(wheel, folder, tests, tests_folder, progress)
            place = Place(_root(machine, python, progress), python, machine, emulator)
            if tests != "smoke":
                compile_folder(python, site.folder, "/site")
            way, how = _way(place, folder, progress)
            verdict = replace(verdict, how=how)
            limit = TIME_LIMITS[tests] if time_limit is None else time_limit
            run = Run(place, way, site, folder, jobs or process.count_cores(), limit, progress)
            verdict = judge(verdict, RUNS[tests](run), site.modules)
    except CannotRun as error:
        verdict = replace(verdict, why=str(error))
    return replace(verdict, seconds=time.monotonic() - began)


def _emulator(machine: Machine) -> str:
    emulator = find_emulator(machine)
    if emulator is None:
        raise CannotRun(f"{machine.emulator} isn't installed: {HOW_TO_GET_QEMU}")
    return emulator


def _site(wheel: Path, folder: Path, tests: Tests, tests_folder: Path, progress: Progress) -> Site:
    began = time.monotonic()
    chosen = tests_folder if tests == "package" else None
    site = lay_site(wheel, folder / "site", with_tests=tests != "smoke", tests_folder=chosen)
    progress(f"{wheel.name} unpacked, with {', '.join(site.modules)} ({time.monotonic() - began:.1f} s)")
    return site


def _root(machine: Machine, python: str, progress: Progress) -> Path:
    began = time.monotonic()
    try:
        root = root_for(machine, python)
    except CannotLay as error:
        raise CannotRun(f"{error.message}\n{error.hint}") from None
    progress(f"root with CPython {python} for {machine.debian}: {root} ({time.monotonic() - began:.1f} s)")
    return root


def _way(place: Place, folder: Path, progress: Progress) -> tuple[Way, str]:
    """The first way that works here, and the words for it."""
    ways: list[Way] = [Namespaces(), EmulatorAlone()] if place.emulator else [Namespaces()]
    reasons: list[str] = []
    for way in ways:
        probed = probe(way, place, folder)
        if probed.version:
            model = f" as {place.machine.model}" if place.machine.model else ""
            by = f" under {_emulator_version(place.emulator)}{model}" if place.emulator else ""
            limits = f": {way.limits}" if way.limits else ""
            how = f"CPython {probed.version} for {place.machine.debian}{by}, {way.name}{limits}"
            progress(how + (f" ({reasons[0]})" if reasons else ""))
            return way, how
        reasons.append(f"{way.name}: {probed.why}")
    raise CannotRun(f"the guest's Python doesn't start; {'; '.join(reasons)}; {NEWER_QEMU}")


def _emulator_version(emulator: str) -> str:
    words = process.run([emulator, "--version"], timeout=30).output.split()
    return f"qemu {words[words.index('version') + 1]}" if "version" in words else "qemu"
