"""Run wheels' machine code by every engine that fits, and show the verdicts: for `test-foreign` and `cross-arm64`.

The engines are "emulated", an emulated CPU with an emulated C API (`wheelworks.emulator`), and "cpython", Debian's
CPython under qemu-user (`wheelworks.foreign`).
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wheelworks.core import console
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.verdict import Verdict
from wheelworks.core.wheel import parse_wheel_name
from wheelworks.emulator.extension import read_extensions
from wheelworks.emulator.wheel_tests import DISTRIBUTION, is_emulated, is_own_package, run_package_tests, smoke_test
from wheelworks.foreign.pythons import Runtime, check_versions, explain_lack, find_cpus, find_runtimes
from wheelworks.testing.project import ProjectOptions

Engine = Literal["emulated", "cpython"]
How = Literal["any", "emulated", "cpython", "all"]
Tests = Literal["smoke", "package", "tornado", "project"]
Update = Callable[[str, str], None]


@dataclass(frozen=True)
class Options:
    """What to run, and how: the engines, the tests, and the real CPythons' versions and roots (default: the wheel's).

    Without ``pythons``, a wheel runs under the oldest and the newest CPython that it is for. ``project`` is the source
    for the tests "project".
    """

    how: How = "any"
    tests: Tests = "smoke"
    pythons: tuple[str, ...] = ()
    roots: tuple[Path, ...] = ()
    project: ProjectOptions | None = None


_COLOURS = {"passed": "green", "unsupported": "yellow", "failed": "red"}


def check_options(wheels: Sequence[Path], options: Options) -> None:
    """Raise UsageError for a missing file, a file that isn't a wheel, and tests that no chosen engine can run."""
    for wheel in wheels:
        if not wheel.is_file():
            raise UsageError(f"{wheel}: no such file", "name wheel files, such as dist/*.whl")
        try:
            parse_wheel_name(wheel.name)
        except WheelworksError as error:
            raise UsageError(error.message, "name wheel files, such as dist/*.whl") from error
        if options.tests == "package" and not is_own_package(wheel):
            raise UsageError(f"{wheel.name}: --tests package runs the tests of {DISTRIBUTION}", "use --tests smoke")
    unfit = {"tornado": ("any", "emulated"), "project": ("any", "emulated", "all")}
    if options.how in unfit.get(options.tests, ()):
        raise UsageError(f"--tests {options.tests} needs a whole CPython", "add --how cpython")
    if (options.tests == "project") != (options.project is not None):
        raise UsageError("--tests project runs the tests of a source", "name it: --tests project --source SDIST")
    check_versions(options.pythons, options.roots)


def has_machine_code(wheel: Path) -> bool:
    """Return whether a wheel has anything to run. A wheel for any platform may have, as its contents show."""
    return parse_wheel_name(wheel.name).platforms != {"any"} or bool(read_extensions(wheel))


def choose_engines(wheel: Path, options: Options) -> set[Engine]:
    """Return the engines of the options that can run a wheel here.

    An engine counts even if its program isn't installed. It doesn't count if no emulator has the CPU, or if there is no
    CPython for the CPU and ABI.
    """
    name = parse_wheel_name(wheel.name)
    found: set[Engine] = {"emulated"} if any(map(is_emulated, name.platforms)) else set()
    if platform.system() == "Linux" and find_runtimes(name, options.pythons, options.roots):
        found.add("cpython")
    return {engine for engine in found if options.how in ("any", "all", engine)}


def run_wheels(wheels: Sequence[Path], options: Options, update: Update) -> list[Verdict]:
    """Run every wheel by every engine of the options.

    "any" is the emulated CPU, or a real CPython for a CPU that has no emulator.
    """
    verdicts: list[Verdict] = []
    emulated, real = _split_by_engine(wheels, options.how)
    if emulated and options.tests != "tornado":
        update("emulated CPU", f"running {len(emulated)} wheels")
        package = options.tests == "package"
        verdicts += run_package_tests(emulated) if package else [smoke_test(wheel) for wheel in emulated]
    for wheel in real:
        verdicts += _run_under_cpythons(wheel, options, update, alone=options.how != "all")
    return verdicts


def _split_by_engine(wheels: Sequence[Path], how: How) -> tuple[Sequence[Path], Sequence[Path]]:
    """Return the wheels for the emulated CPU, and those for a real CPython."""
    if how != "any":
        return wheels if how != "cpython" else (), wheels if how != "emulated" else ()
    emulated = [wheel for wheel in wheels if "emulated" in choose_engines(wheel, Options())]
    return emulated, [wheel for wheel in wheels if wheel not in emulated]


def run_under_oldest_cpython(wheel: Path, tests: Tests, update: Update) -> Verdict:
    """Run a wheel under the oldest real CPython of its CPU and ABI."""
    name = parse_wheel_name(wheel.name)
    found = find_runtimes(name) if platform.system() == "Linux" else []
    if not found:
        return Verdict(wheel.name, "no CPython", "unsupported", why=explain_lack(name))
    return _run_under(wheel, found[0], Options(tests=tests), update)


def _run_under_cpythons(wheel: Path, options: Options, update: Update, *, alone: bool) -> list[Verdict]:
    """Run a wheel under real CPythons. If there are none and no other engine is asked (``alone``), say why not."""
    name = parse_wheel_name(wheel.name)
    if platform.system() != "Linux":
        why = "a real CPython of another CPU needs Linux's namespaces, which this system doesn't have"
    elif not find_cpus(name):
        why = "Windows, macOS and musl have no CPython that runs on this system: --how emulated runs their code"
    elif found := find_runtimes(name, options.pythons, options.roots):
        return [_run_under(wheel, runtime, options, update) for runtime in found]
    else:
        why = explain_lack(name, options.pythons)
    return [Verdict(wheel.name, "CPython", "unsupported", why=why)] if alone else []


def _run_under(wheel: Path, runtime: Runtime, options: Options, update: Update) -> Verdict:
    from wheelworks.foreign.run import run_wheel  # it imports modules that only POSIX has

    return run_wheel(
        wheel,
        runtime,
        tests=options.tests,
        project=options.project,
        update=lambda text: update(str(runtime), text),
    )


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
