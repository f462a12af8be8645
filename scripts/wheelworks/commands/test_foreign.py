"""``test-foreign``: run the machine code of wheels of other platforms, on this machine."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from wheelworks import console
from wheelworks.commands import helping, reporting, running

EPILOG = f"""\
examples:
  nox -s test-foreign -- dist/*.whl                     import each on an emulated CPU and look at what it offers
  nox -s test-foreign -- dist/*.whl --tests package     run this package's tests on each one's machine code
  nox -s test-foreign -- dist/*linux*.whl --how cpython --tests tornado
      all of Tornado's own tests, under CPython {running.FLOOR} and {running.CEILING}

The emulated CPU shows that the machine code runs and uses CPython's C API, its platform's calling convention and
memory rightly; it does not show that the operating system's loader takes the file. A real CPython, Debian's under
qemu-user, shows both, for Linux. A manifest.json beside a wheel gets what came of it.
Exit status: 0, 1 (a wheel failed, or nothing could run it), 2 (wrong use)."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="nox -s test-foreign --",
        description="Run the machine code of wheels of any platform, whoever built them, on this machine.",
        epilog=EPILOG,
        formatter_class=helping.Formatter,
    )
    made.add_argument("wheels", nargs="+", type=Path, metavar="WHEEL", help="wheel files")
    made.add_argument(
        "--how", choices=["emulated", "cpython", "all"], default="emulated", help="on what (default: emulated)"
    )
    made.add_argument(
        "--tests", choices=["smoke", "package", "tornado"], default="smoke", help="which tests (default: smoke)"
    )
    made.add_argument("--python", action="append", default=[], metavar="X.Y", help="this real CPython only; repeatable")
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit status. Raises WheelworksError."""
    options = parser().parse_args(argv)
    running.check(options.wheels, options.how, options.tests)
    pythons = options.python or [running.FLOOR, running.CEILING]
    with console.Progress() as progress:
        verdicts = running.run(options.wheels, options.how, options.tests, pythons, progress.say)
    reporting.remember(options.wheels, verdicts)
    running.show(verdicts)
    return running.exit_code(options.wheels, verdicts)
