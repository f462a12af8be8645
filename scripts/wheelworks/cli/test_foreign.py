"""``test-foreign``: run the machine code of wheels of other platforms, on this machine."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from wheelworks.cli import _help, _manifest, _running
from wheelworks.core import console
from wheelworks.core.errors import UsageError

EPILOG = f"""\
examples:
  nox -s test-foreign -- dist/*.whl                     import each on its emulated CPU and look at what it offers
  nox -s test-foreign -- dist/*.whl --tests package     run this package's tests on each one's machine code
  nox -s test-foreign -- dist/*linux*.whl --how cpython --tests tornado
      all of Tornado's own tests, under CPython {_running.FLOOR} and {_running.CEILING}

The emulated CPU shows that the machine code runs and uses CPython's C API, its platform's calling convention and
memory rightly; it does not show that the operating system's loader takes the file. A real CPython, Debian's under
qemu-user, shows both, for Linux. A manifest.json beside a wheel gets what came of it.
In a whole release there may be a wheel that nothing runs here: of a CPU that isn't emulated and an ABI of which there
is no CPython. It is told, and fails the command only if it was given alone. Pure wheels have nothing to run.
Exit status: 0, 1 (a wheel failed, or wasn't run where there is a way to), 2 (wrong use)."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="nox -s test-foreign --",
        description="Run the machine code of wheels of any platform, whoever built them, on this machine.",
        epilog=EPILOG,
        formatter_class=_help.Formatter,
    )
    made.add_argument("wheels", nargs="+", type=Path, metavar="WHEEL", help="wheel files")
    made.add_argument(
        "--how",
        choices=["any", "emulated", "cpython", "all"],
        default="any",
        help="on what: an emulated CPU, a real CPython, all, or (default) any: CPython where no CPU is emulated",
    )
    made.add_argument(
        "--tests", choices=["smoke", "package", "tornado"], default="smoke", help="which tests (default: smoke)"
    )
    made.add_argument("--python", action="append", default=[], metavar="X.Y", help="this real CPython only; repeatable")
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit status. Raises WheelworksError."""
    options = parser().parse_args(argv)
    _running.check(options.wheels, options.how, options.tests)
    wheels, pythons = _with_code(options.wheels), options.python or [_running.FLOOR, _running.CEILING]
    with console.Progress() as progress:
        verdicts = _running.run(wheels, options.how, options.tests, pythons, progress.say)
    _manifest.remember(wheels, verdicts)
    _running.show(verdicts)
    return _running.exit_code([one for one in wheels if _running.ways(one, options.how, pythons)] or wheels, verdicts)


def _with_code(wheels: Sequence[Path]) -> list[Path]:
    """The wheels that have machine code; tells of the others. Raises UsageError where there are others only."""
    found = [wheel for wheel in wheels if _running.has_code(wheel)]
    for wheel in wheels:
        if wheel not in found:
            console.note(f"{wheel.name}: no extension: nothing to run")
    if not found:
        raise UsageError("none of the wheels has machine code", "name one that is for a platform")
    return found
