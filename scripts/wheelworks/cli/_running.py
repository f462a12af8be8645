"""Run wheels' machine code by every engine that fits, and show the verdicts: for `test-foreign` and `cross-arm64`.

The engines are "emulated", an emulated CPU with an emulated C API (`wheelworks.emulator`), and "cpython", Debian's
CPython under qemu-user (`wheelworks.foreign`).
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from wheelworks.core import console
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.interpreters import DEBIAN_SUITES, list_debian_versions
from wheelworks.core.verdict import Verdict
from wheelworks.core.wheel import parse_wheel_name
from wheelworks.emulator.extension import read_extensions
from wheelworks.emulator.wheel_tests import DISTRIBUTION, is_emulated, is_own_package, run_package_tests, smoke_test
from wheelworks.foreign.cpus import CPUS, find_cpu
from wheelworks.foreign.site_packages import explain_mismatch, is_glibc_platform

Engine = Literal["emulated", "cpython"]
How = Literal["any", "emulated", "cpython", "all"]
Tests = Literal["smoke", "package", "tornado"]
Update = Callable[[str, str], None]

# The oldest CPython that the stable ABI of our wheels promises, and the newest that Debian has.
FLOOR, CEILING = min(DEBIAN_SUITES, key=lambda v: int(v[2:])), max(DEBIAN_SUITES, key=lambda v: int(v[2:]))

NO_CPYTHON = "no CPython for its CPU and ABI is available"

_COLOURS = {"passed": "green", "unsupported": "yellow", "failed": "red"}


def check_options(wheels: Sequence[Path], how: How, tests: Tests) -> None:
    """Raise UsageError for a missing file, a file that isn't a wheel, and tests that no chosen engine can run."""
    for wheel in wheels:
        if not wheel.is_file():
            raise UsageError(f"{wheel}: no such file", "name wheel files, such as dist/*.whl")
        try:
            parse_wheel_name(wheel.name)
        except WheelworksError as error:
            raise UsageError(error.message, "name wheel files, such as dist/*.whl") from error
        if tests == "package" and not is_own_package(wheel):
            raise UsageError(f"{wheel.name}: --tests package runs the tests of {DISTRIBUTION}", "use --tests smoke")
    if how in ("any", "emulated") and tests == "tornado":
        raise UsageError("--tests tornado needs a whole CPython", "add --how cpython")


def has_machine_code(wheel: Path) -> bool:
    """Return whether a wheel has anything to run. A wheel for any platform may have, as its contents show."""
    return parse_wheel_name(wheel.name).platforms != {"any"} or bool(read_extensions(wheel))


def choose_engines(wheel: Path, how: How = "all", pythons: Sequence[str] = ()) -> set[Engine]:
    """Return the engines of ``how`` that can run a wheel here, under one of ``pythons`` (default: any version).

    An engine counts even if its program isn't installed. It doesn't count if no emulator has the CPU, or if Debian has
    no CPython for the CPU and ABI: it has none without the GIL.
    """
    found: set[Engine] = {"emulated"} if any(map(is_emulated, parse_wheel_name(wheel.name).platforms)) else set()
    if platform.system() == "Linux" and _find_cpythons(wheel, pythons or list(DEBIAN_SUITES)):
        found.add("cpython")
    return {engine for engine in found if how in ("any", "all", engine)}


def run_wheels(wheels: Sequence[Path], how: How, tests: Tests, pythons: Sequence[str], update: Update) -> list[Verdict]:
    """Run every wheel by every engine of ``how``; by a real CPython, under each of ``pythons``.

    "any" is the emulated CPU, or a real CPython for a CPU that has no emulator.
    """
    verdicts: list[Verdict] = []
    emulated, real = _split_by_engine(wheels, how)
    if emulated and tests != "tornado":
        update("emulated CPU", f"running {len(emulated)} wheels")
        verdicts += run_package_tests(emulated) if tests == "package" else [smoke_test(wheel) for wheel in emulated]
    for wheel in real:
        verdicts += _run_under_cpythons(wheel, tests, pythons, update, alone=how != "all")
    return verdicts


def _split_by_engine(wheels: Sequence[Path], how: How) -> tuple[Sequence[Path], Sequence[Path]]:
    """Return the wheels for the emulated CPU, and those for a real CPython."""
    if how != "any":
        return wheels if how != "cpython" else (), wheels if how != "emulated" else ()
    emulated = [wheel for wheel in wheels if "emulated" in choose_engines(wheel)]
    return emulated, [wheel for wheel in wheels if wheel not in emulated]


def run_under_oldest_cpython(wheel: Path, tests: Tests, update: Update) -> Verdict:
    """Run a wheel under the oldest real CPython of its CPU and ABI."""
    found = _find_cpythons(wheel, list(DEBIAN_SUITES)) if platform.system() == "Linux" else []
    if not found:
        return Verdict(wheel.name, "no CPython", "unsupported", why=NO_CPYTHON)
    return _run_under(wheel, *found[0], tests, update)


def _run_under_cpythons(
    wheel: Path, tests: Tests, pythons: Sequence[str], update: Update, *, alone: bool
) -> list[Verdict]:
    """Run a wheel under real CPythons. If there are none and no other engine is asked (``alone``), say why not."""
    if platform.system() != "Linux":
        why = "a real CPython of another CPU needs Linux's namespaces, which this system doesn't have"
    elif not _find_cpus(wheel):
        why = "Windows, macOS and musl have no CPython that runs on this system: --how emulated runs their code"
    elif found := _find_cpythons(wheel, pythons):
        return [_run_under(wheel, cpu, python, tests, update) for cpu, python in found]
    else:
        why = NO_CPYTHON
    return [Verdict(wheel.name, "CPython", "unsupported", why=why)] if alone else []


def _find_cpythons(wheel: Path, pythons: Sequence[str]) -> list[tuple[str, str]]:
    """Return the CPUs, and those of the versions ``pythons``, whose CPython accepts a wheel.

    Unknown versions are included, so that `run_wheel` reports them.
    """
    return [
        (cpu, python)
        for cpu in _find_cpus(wheel)
        for python in pythons
        if python not in DEBIAN_SUITES
        or (python in list_debian_versions(find_cpu(cpu).debian) and not explain_mismatch(wheel, cpu, python))
    ]


def _find_cpus(wheel: Path) -> list[str]:
    """Return the CPUs of a wheel for glibc that Debian has."""
    platforms = parse_wheel_name(wheel.name).platforms
    return [cpu.name for cpu in CPUS if any(is_glibc_platform(tag, cpu.name) for tag in platforms)]


def _run_under(wheel: Path, cpu: str, python: str, tests: Tests, update: Update) -> Verdict:
    from wheelworks.foreign.run import run_wheel  # it imports modules that only POSIX has

    name = f"CPython {python}, {cpu}"
    return run_wheel(wheel, cpu=cpu, python=python, tests=tests, update=lambda text: update(name, text))


def show_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print a row for each verdict, then the findings and reasons in full."""
    table = console.create_table("", "wheel", "how its code was run", "outcome", "seconds")
    for verdict in verdicts:
        outcome = f"[{_COLOURS[verdict.outcome]}]{verdict.outcome}[/]\n{verdict.checks} checks"
        table.add_row(console.wrap_wheel_name(verdict.wheel), verdict.how, outcome, f"{verdict.seconds:.1f}")
    console.out.print(table)
    for verdict in verdicts:
        print_text = console.print_error if verdict.outcome == "failed" else console.print_note
        for text in verdict.findings or ([verdict.why] if verdict.why else []):
            print_text(f"{verdict.wheel}, {verdict.how}: {text}")


def exit_status(wheels: Sequence[Path], verdicts: Sequence[Verdict]) -> int:
    """Return 0 if every wheel has passed at least once and none has failed, else 1."""
    passed = {verdict.wheel for verdict in verdicts if verdict.outcome == "passed"}
    failed = any(verdict.outcome == "failed" for verdict in verdicts)
    return int(failed or any(wheel.name not in passed for wheel in wheels))
