"""Run wheels' machine code by every engine that fits, and show the verdicts: for `test-foreign` and `cross-arm64`.

The engines are "emulated", an emulated CPU with an emulated C API (`wheelworks.emulator`), which checks every memory
access, and "cpython", a real CPython of Linux (`wheelworks.foreign`), which runs everything: for wheels of Windows and
macOS, their binaries are rewrapped.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wheelworks.core import console, process
from wheelworks.core.errors import Unsupported, UsageError, WheelworksError
from wheelworks.core.interpreters import Python
from wheelworks.core.text import abbreviate
from wheelworks.core.verdict import Verdict
from wheelworks.core.wheel import DamagedWheel, Wheel, WheelName, open_wheel, parse_wheel_name
from wheelworks.foreign.pythons import Runtime, check_versions, explain_lack, find_runtimes
from wheelworks.testing.project import ProjectOptions

Engine = Literal["emulated", "cpython"]
How = Literal["any", "ready", "emulated", "cpython", "all"]
Tests = Literal["smoke", "package", "tornado", "project"]
Update = Callable[[str, str], None]

NEED_CPYTHON: tuple[Tests, ...] = ("tornado", "project")
UNREAD = "unpacking"  # how a wheel was not run that can't be read
NOT_RUN = "CPython"  # how a wheel was not run for which there is no CPython


@dataclass(frozen=True)
class Options:
    """What to run, and how: the engines, the tests, and the real CPythons' versions and roots (default: the wheel's).

    "any" is the emulated CPU, and a real CPython for wheels that it can't run; "ready" adds the real CPythons that need
    no download. Without ``pythons``, a wheel runs under the oldest and the newest CPython that it is for; with
    ``oldest``, under the oldest alone. ``project`` is the source for the tests "project". Tests take ``time_limit``
    seconds at most (default: that of `wheelworks.foreign.run`).
    """

    how: How = "any"
    tests: Tests = "smoke"
    pythons: tuple[str, ...] = ()
    roots: tuple[Path, ...] = ()
    project: ProjectOptions | None = None
    oldest: bool = False
    time_limit: float | None = None

    def find_runtimes(self, name: WheelName) -> list[Runtime]:
        """Return the CPythons that run a wheel."""
        if platform.system() != "Linux":
            return []
        found = find_runtimes(name, self.pythons, self.roots)
        first = {(one.system, one.cpu.name): one for one in reversed(found)}
        return [one for one in found if not self.oldest or one in first.values()]


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
        if options.tests == "package":
            _check_package(wheel)
    if options.how == "emulated" and options.tests in NEED_CPYTHON:
        raise UsageError(f"--tests {options.tests} needs a whole CPython", "leave --how out, or add --how cpython")
    if (options.tests == "project") != (options.project is not None):
        raise UsageError("--tests project runs the tests of a source", "name it: --tests project --source SDIST")
    check_versions(options.pythons, options.roots)


def _check_package(wheel: Path) -> None:
    from wheelworks.emulator.wheel_tests import DISTRIBUTION, is_own_package  # half a second: not for a wrong option

    if not is_own_package(wheel):
        raise UsageError(f"{wheel.name}: --tests package runs the tests of {DISTRIBUTION}", "use --tests smoke")


def has_machine_code(path: Path) -> bool:
    """Return whether a wheel has anything to run. A wheel for any platform may have, as its contents show."""
    from wheelworks.emulator.extension import read_extensions

    return parse_wheel_name(path.name).platforms != {"any"} or bool(read_extensions(path))


def choose_engines(path: Path, options: Options) -> set[Engine]:
    """Return the engines of the options that can run a wheel here.

    An engine counts even if its program isn't installed. It doesn't count if no emulator has the CPU, or if there is no
    CPython for the CPU and ABI.
    """
    from wheelworks.emulator.wheel_tests import is_emulated

    name = parse_wheel_name(path.name)
    found: set[Engine] = set()
    if options.tests not in NEED_CPYTHON and any(map(is_emulated, name.platforms)):
        found.add("emulated")
    if options.find_runtimes(name):
        found.add("cpython")
    return {engine for engine in found if options.how in ("any", "ready", "all", engine)}


def run_wheels(paths: Sequence[Path], options: Options, update: Update) -> list[Verdict]:
    """Run every wheel by the engines of the options: first on emulated CPUs, then under real CPythons.

    Each wheel is opened once. A smoke test uses one core, so as many run at once as there are cores; other tests use
    all of them.
    """
    package = _run_package_tests(_select_emulated(paths, options)) if options.tests == "package" else []
    known = {verdict.wheel: verdict for verdict in package}
    emulated = [_run_first(path, options, known.get(path.name), update) for path in paths]
    with process.thread_pool(0 if options.tests == "smoke" else 1) as pool:
        real = [pool.submit(_run_under_cpythons, wheel, found, options, update) for wheel, found in emulated]
        pairs = zip(emulated, real, strict=True)
        return [verdict for (_, found), future in pairs for verdict in (*found, *future.result())]


def _run_first(
    path: Path, options: Options, package: Verdict | None, update: Update
) -> tuple[Wheel | None, list[Verdict]]:
    """Open a wheel and run it on the emulated CPU. Return the wheel, None if it can't be read, and the verdicts."""
    update("wheels", path.name)
    try:
        wheel = open_wheel(path)
    except Unsupported as error:
        return None, [Verdict(path.name, UNREAD, "unsupported", why=error.message)]
    except DamagedWheel as error:
        return None, [Verdict(path.name, UNREAD, "failed", why=error.message, findings=(error.message,))]
    return wheel, _run_emulated(wheel, options, package)


def _select_emulated(paths: Sequence[Path], options: Options) -> list[Path]:
    if options.how in ("emulated", "all"):
        return list(paths)
    return [path for path in paths if "emulated" in choose_engines(path, options)]


def _run_package_tests(paths: Sequence[Path]) -> list[Verdict]:
    from wheelworks.emulator.wheel_tests import run_package_tests

    return run_package_tests(paths)


def smoke_test(wheel: Wheel) -> Verdict:
    """Return the verdict of the smoke test on the emulated CPU."""
    from wheelworks.emulator import wheel_tests

    return wheel_tests.smoke_test(wheel)


def _run_emulated(wheel: Wheel, options: Options, package: Verdict | None) -> list[Verdict]:
    """Return the verdict of the emulated CPU; [] if the options exclude it, or no emulator has the CPU."""
    if package:
        return [package]
    chosen = options.tests == "smoke" and _select_emulated([wheel.path], options)
    return [smoke_test(wheel)] if chosen else []


def _run_under_cpythons(
    wheel: Wheel | None, emulated: Sequence[Verdict], options: Options, update: Update
) -> list[Verdict]:
    """Run a wheel under the real CPythons that the options ask for, given the verdicts of the emulated CPU on it.

    If there are none although there must be, return a verdict that says why not.
    """
    unsupported = all(verdict.outcome == "unsupported" for verdict in emulated)
    needed = unsupported or options.how in ("cpython", "all")
    if wheel is None or options.how == "emulated" or not (needed or options.how == "ready"):
        return []
    found = options.find_runtimes(wheel.name) if needed else _find_ready(wheel, options)
    # A user wants to know why there is no CPython for a wheel only if the emulated CPU didn't run it.
    lacking = [_explain_lack(wheel, options)] if unsupported and not found else []
    return lacking or [_run_under(wheel, runtime, options, update) for runtime in found]


def _find_ready(wheel: Wheel, options: Options) -> list[Runtime]:
    """Return the real CPythons for a wheel that need no download."""
    if not (found := options.find_runtimes(wheel.name)):
        return []
    from wheelworks.foreign.machine import is_ready  # it imports modules that only POSIX has

    return list(filter(is_ready, found))


def _explain_lack(wheel: Wheel, options: Options) -> Verdict:
    """Return the verdict on a wheel for which there is no real CPython here."""
    why = "a real CPython of another CPU needs Linux's namespaces, which this system doesn't have"
    if platform.system() == "Linux":
        why = explain_lack(wheel.name, options.pythons, options.roots)
    return Verdict(wheel.path.name, NOT_RUN, "unsupported", why=why)


def _run_under(wheel: Wheel, runtime: Runtime, options: Options, update: Update) -> Verdict:
    from wheelworks.foreign.run import run_wheel  # it imports modules that only POSIX has

    return run_wheel(
        wheel,
        runtime,
        tests=options.tests,
        project=options.project,
        time_limit=options.time_limit,
        update=lambda text: update(str(runtime), text),
    )


def show_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print a row for each verdict, then the remarks on runs that passed, and why others were not made."""
    table = console.create_table("", "wheel", "how its code was run", "outcome", "seconds")
    for verdict in verdicts:
        outcome = f"[{_COLOURS[verdict.outcome]}]{verdict.outcome}[/]\n{verdict.checks} checks"
        table.add_row(console.wrap_wheel_name(verdict.wheel), verdict.how, outcome, f"{verdict.seconds:.1f}")
    console.print_table(table)
    for verdict in verdicts:
        if verdict.why and verdict.outcome != "failed":
            console.print_note(f"{verdict.wheel}, {verdict.how}: {verdict.why}")


def exit_status(wheels: Sequence[Path], verdicts: Sequence[Verdict]) -> int:
    """Return 0 if every wheel has passed at least once and none has failed, else 1."""
    passed = {verdict.wheel for verdict in verdicts if verdict.outcome == "passed"}
    failed = any(verdict.outcome == "failed" for verdict in verdicts)
    return int(failed or any(wheel.name not in passed for wheel in wheels))


def report_untested(chosen: Mapping[Python, Path | None], wheels: Sequence[Path], *, asked: bool) -> int:
    """Report each CPython that takes no wheel, and the wheels that none takes. Return 1 if one of them was named.

    ``chosen`` is the wheel that each CPython takes. ``wheels`` are those that were named; with ``asked``, the CPythons
    were named too.
    """
    named = abbreviate([wheel.name for wheel in wheels], 3) or "the folder's wheels"
    unfit = [python.label for python, wheel in chosen.items() if wheel is None]
    for label in unfit:
        message = f"CPython {label}: not tested: it takes none of {named}"
        (console.print_error if asked else console.print_note)(message)
    unused = [wheel.name for wheel in wheels if wheel not in chosen.values()]
    if unused:
        pythons = "CPython that was asked for" if asked else "CPython here"
        message = f"{abbreviate(unused, 3)}: not tested: each {pythons} takes another wheel, or none"
        console.print_error(message, "name wheels for this machine only; test-foreign runs the others")
    return int(bool(unused) or (asked and bool(unfit)))
