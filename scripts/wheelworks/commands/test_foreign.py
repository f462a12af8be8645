"""Run wheels of other platforms here."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from wheelworks.errors import UsageError, WheelworksError
from wheelworks.execute.smoke import smoke
from wheelworks.execute.verdict import Verdict

EXAMPLES = """\
examples:
  nox -s test-foreign -- dist/*-win_arm64.whl
      import the extension on an emulated ARM64 CPU with Windows' conventions and check what it offers
  nox -s test-foreign -- --how emulated dist/*.whl
      the same for every wheel, whoever built it

What the emulated CPU shows is that the machine code runs and uses Python's C API and its platform's calling
convention rightly. It doesn't show that the operating system's loader takes the file.
"""
COLOURS = {"ran": "green", "cannot run here": "yellow", "failed": "red"}
Way = Callable[[Path], Verdict]
# How, then which tests: what is run for each wheel.
WAYS: dict[str, dict[str, Way]] = {"emulated": {"smoke": smoke}, "cpython": {}}


def main(argv: Sequence[str]) -> int:
    """Run the wheels named in ``argv``.

    Returns 0 if each of them ran, 1 if one failed or nothing could run it, 2 for arguments that can't be right.
    """
    options = _parser().parse_args(argv)
    try:
        verdicts = [way(wheel) for way in _ways(options.how, options.tests) for wheel in options.wheels]
    except WheelworksError as error:
        Console(stderr=True).print(_told(error), markup=False, highlight=False, soft_wrap=True)
        return error.exit_code
    show(verdicts, Console())
    return exit_code(verdicts)


def _told(error: WheelworksError) -> str:
    return f"error: {error.message}" + (f"\nhint: {error.hint}" if error.hint else "")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nox -s test-foreign --",
        description="Run the code of wheels for other platforms on this machine.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("wheels", metavar="WHEEL", nargs="+", type=Path, help="wheel files, of any platform")
    parser.add_argument(
        "--how", choices=[*WAYS, "all"], default="emulated",
        help="on an emulated CPU, or under a real CPython of that CPU (Linux wheels only); default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--tests", choices=["smoke", "package", "tornado"], default="smoke",
        help="import it, run the package's tests, or run Tornado's own test suite; default: %(default)s",
    )  # fmt: skip
    return parser


def _ways(how: str, tests: str) -> list[Way]:
    """What to run for each wheel. Raises UsageError where there is no such test in that way."""
    chosen = list(WAYS) if how == "all" else [how]
    found = [WAYS[name][tests] for name in chosen if tests in WAYS[name]]
    if not found:
        offered = sorted({f"--how {name} --tests {test}" for name, known in WAYS.items() for test in known})
        raise UsageError(f"--how {how} --tests {tests} is not offered", f"there is {', '.join(offered)}")
    return found


def show(verdicts: Sequence[Verdict], console: Console) -> None:
    """One row for each wheel, and every finding below."""
    table = Table(title="Wheels run here")
    for heading in ("wheel", "how", "outcome", "checks", "seconds"):
        table.add_column(heading, overflow="fold", justify="right" if heading in ("checks", "seconds") else "left")
    for verdict in verdicts:
        outcome = f"[{COLOURS[verdict.outcome]}]{verdict.outcome}[/]"
        table.add_row(verdict.wheel, verdict.how, outcome, str(verdict.checks), f"{verdict.seconds:.2f}")
    console.print(table)
    for verdict in verdicts:
        for text in verdict.findings or (verdict.why,) * bool(verdict.why):
            console.print(f"{verdict.wheel}: {text}", markup=False, highlight=False, soft_wrap=True)


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """0 if every wheel was run in some way and failed in none."""
    ran = {verdict.wheel for verdict in verdicts if verdict.outcome == "ran"}
    failed = any(verdict.outcome == "failed" for verdict in verdicts)
    return int(failed or any(verdict.wheel not in ran for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
