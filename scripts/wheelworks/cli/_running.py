"""Run wheels in the ways that there are, and show what came of it: what `test-foreign` and `cross-arm64` share."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from wheelworks.core import console, debian
from wheelworks.core.debian import SUITES
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.verdict import Verdict
from wheelworks.core.wheel import parse_wheel_name
from wheelworks.emulator.extension import read_extensions
from wheelworks.emulator.wheel_tests import DISTRIBUTION, is_emulated, is_own_package, run_package_tests, smoke_test
from wheelworks.foreign.machines import MACHINES, find_machine
from wheelworks.foreign.wheels import mismatch

Way = Literal["emulated", "cpython"]
How = Literal["any", "emulated", "cpython", "all"]
Tests = Literal["smoke", "package", "tornado"]
Say = Callable[[str, str], None]

# The oldest CPython that the stable ABI of our wheels promises, and the newest that Debian has.
FLOOR, CEILING = min(SUITES, key=lambda v: int(v[2:])), max(SUITES, key=lambda v: int(v[2:]))

NO_CPYTHON = "there is no CPython of its CPU and ABI to be had here"

_COLOURS = {"passed": "green", "unsupported": "yellow", "failed": "red"}


def check(wheels: Sequence[Path], how: How, tests: Tests) -> None:
    """Raises UsageError for what can't be asked: no such file, or tests that no such way can run."""
    for wheel in wheels:
        if not wheel.is_file():
            raise UsageError(f"{wheel}: no such file", "name wheel files, such as dist/*.whl")
        _check_name(wheel)
        if tests == "package" and not is_own_package(wheel):
            raise UsageError(f"{wheel.name}: --tests package are the tests of {DISTRIBUTION}", "use --tests smoke")
    if how in ("any", "emulated") and tests == "tornado":
        raise UsageError("--tests tornado needs a whole CPython", "add --how cpython")


def _check_name(wheel: Path) -> None:
    try:
        parse_wheel_name(wheel.name)
    except WheelworksError as error:
        raise UsageError(error.message, "name wheel files, such as dist/*.whl") from error


def has_code(wheel: Path) -> bool:
    """Whether there is anything to run in a wheel: one for any platform may be Python alone, as its contents tell."""
    return parse_wheel_name(wheel.name).platforms != {"any"} or bool(read_extensions(wheel))


def ways(wheel: Path, how: How = "all", pythons: Sequence[str] = ()) -> set[Way]:
    """The ways there are to run a wheel on this machine, of those asked for and under those CPythons (none: any).

    One that lacks a program is a way all the same; a CPU that nobody emulates is none, nor is an ABI of which there is
    no CPython for that CPU: those without the GIL.
    """
    found: set[Way] = {"emulated"} if any(map(is_emulated, parse_wheel_name(wheel.name).platforms)) else set()
    if platform.system() == "Linux" and _cpythons(wheel, pythons or list(SUITES)):
        found.add("cpython")
    return {way for way in found if how in ("any", "all", way)}


def run(wheels: Sequence[Path], how: How, tests: Tests, pythons: Sequence[str], say: Say) -> list[Verdict]:
    """Run every wheel in every way asked for, under each of ``pythons`` where that is a real CPython.

    ``any`` is on an emulated CPU, or under a real CPython where there is no emulated one.
    """
    verdicts: list[Verdict] = []
    emulated, real = _shared_out(wheels, how)
    if emulated and tests != "tornado":
        say("emulated CPU", f"running {len(emulated)} wheels")
        verdicts += run_package_tests(emulated) if tests == "package" else [smoke_test(wheel) for wheel in emulated]
    for wheel in real:
        verdicts += _cpython(wheel, tests, pythons, say, alone=how != "all")
    return verdicts


def _shared_out(wheels: Sequence[Path], how: How) -> tuple[Sequence[Path], Sequence[Path]]:
    """Which wheels an emulated CPU gets, and which ones real CPythons."""
    if how != "any":
        return wheels if how != "cpython" else (), wheels if how != "emulated" else ()
    emulated = [wheel for wheel in wheels if "emulated" in ways(wheel)]
    return emulated, [wheel for wheel in wheels if wheel not in emulated]


def run_where_real(wheel: Path, tests: Tests, say: Say) -> Verdict:
    """Run a wheel under the oldest real CPython that there is for it: its own CPU's, of its ABI, with glibc."""
    found = _cpythons(wheel, list(SUITES)) if platform.system() == "Linux" else []
    if not found:
        return Verdict(wheel.name, "no CPython", "unsupported", why=NO_CPYTHON)
    return _under(wheel, *found[0], tests, say)


def _cpython(wheel: Path, tests: Tests, pythons: Sequence[str], say: Say, *, alone: bool) -> list[Verdict]:
    """Run a Linux wheel under real CPythons; of another one, say that it can't be, where nothing else runs it."""
    if platform.system() != "Linux":
        why = "a real CPython of another CPU is entered through Linux's namespaces, which this system doesn't have"
    elif not _cpus(wheel):
        why = "Windows, macOS and musl have no CPython that runs on this system: --how emulated runs their code"
    elif found := _cpythons(wheel, pythons):
        return [_under(wheel, cpu, python, tests, say) for cpu, python in found]
    else:
        why = NO_CPYTHON
    return [Verdict(wheel.name, "CPython", "unsupported", why=why)] if alone else []


def _cpythons(wheel: Path, pythons: Sequence[str]) -> list[tuple[str, str]]:
    """The CPUs, and the versions among ``pythons``, with which there is a CPython that takes a wheel.

    An unknown version is left in, for whoever lays its root to refuse.
    """
    return [
        (cpu, python)
        for cpu in _cpus(wheel)
        for python in pythons
        if python not in SUITES
        or (python in debian.versions(find_machine(cpu).debian) and not mismatch(wheel, cpu, python))
    ]


def _cpus(wheel: Path) -> list[str]:
    """The CPUs of a wheel for glibc whose CPython can be had."""
    platforms = parse_wheel_name(wheel.name).platforms
    return [one.cpu for one in MACHINES if any(_is_glibc(tag, one.cpu) for tag in platforms)]


def _under(wheel: Path, cpu: str, python: str, tests: Tests, say: Say) -> Verdict:
    from wheelworks.foreign.run import run_wheel  # what it imports is Linux's alone

    name = f"CPython {python}, {cpu}"
    return run_wheel(wheel, cpu=cpu, python=python, tests=tests, progress=lambda text: say(name, text))


def _is_glibc(tag: str, cpu: str) -> bool:
    return tag.startswith(("manylinux", "linux_")) and tag.endswith(f"_{cpu}")


def show(verdicts: Sequence[Verdict]) -> None:
    """A row for each run; then, in full, whatever failed or could not be run."""
    table = console.table("", "wheel", "how its code was run", "outcome", "seconds")
    for verdict in verdicts:
        outcome = f"[{_COLOURS[verdict.outcome]}]{verdict.outcome}[/]\n{verdict.checks} checks"
        table.add_row(console.folded(verdict.wheel), verdict.how, outcome, f"{verdict.seconds:.1f}")
    console.out.print(table)
    for verdict in verdicts:
        tell = console.error if verdict.outcome == "failed" else console.note
        for text in verdict.findings or ([verdict.why] if verdict.why else []):
            tell(f"{verdict.wheel}, {verdict.how}: {text}")


def exit_code(wheels: Sequence[Path], verdicts: Sequence[Verdict]) -> int:
    """0 if every wheel was run in some way, and failed in none."""
    ran = {verdict.wheel for verdict in verdicts if verdict.outcome == "passed"}
    failed = any(verdict.outcome == "failed" for verdict in verdicts)
    return int(failed or any(wheel.name not in ran for wheel in wheels))
