"""``bench``: how fast the speedups are, against Tornado without them and against other libraries."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from wheelworks import console
from wheelworks.bench.measurements import Measurement, Plan, document, tables
from wheelworks.commands import helping

SUITES = {name: f"wheelworks.bench.{name}" for name in ("websocket", "http", "headers", "mask")}

EPILOG = """\
suites:
  websocket    servers that echo messages: CPU time per message, or instructions
  http         servers that greet: CPU time per request, or instructions; with a browser's headers, and bare
  headers      parsing a browser's 12 headers: CPU time per call, in Tornado, tuned Python, the speedups and httptools
  mask         masking to new bytes and in place: CPU time per call

examples:
  nox -s bench                                      every suite, into bench.json
  nox -s bench -- headers mask --quick              two of them, roughly, in seconds
  nox -s bench -- websocket --count-instructions    counted by valgrind: the figure that repeats on a busy machine
  nox -s bench -- http --count-instructions         the same for requests, a browser's and bare ones

Compare figures of one run only. Exit status: 0, 1 (something could not be measured), 2 (wrong use)."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="nox -s bench --",
        description="Measure the speedups, Tornado without them, and other libraries, alternately.",
        epilog=EPILOG,
        formatter_class=helping.Formatter,
    )
    made.add_argument("suites", nargs="*", metavar="SUITE", help=f"which: {', '.join(SUITES)} (default: all)")
    made.add_argument("--quick", action="store_true", help="fewer rounds and operations")
    made.add_argument(
        "--count-instructions", action="store_true", help="instructions of the servers in place of CPU time (valgrind)"
    )
    made.add_argument(
        "--out", type=Path, default=Path("bench.json"), metavar="FILE", help="every figure (default: bench.json)"
    )
    return made


def main(argv: Sequence[str]) -> int:
    """Measure, show the tables, write the file. Raises WheelworksError."""
    made = parser()
    options = made.parse_args(argv)
    for name in options.suites:
        if name not in SUITES:
            made.error(f"no suite {name!r}: {', '.join(SUITES)}")
    plan = Plan(2 if options.quick else 7, 0.2 if options.quick else 1.0, options.count_instructions)
    found: dict[str, list[Measurement]] = {}
    with console.Progress() as progress:
        for name in dict.fromkeys(options.suites or SUITES):
            found[name] = import_module(SUITES[name]).measure(plan, progress.say)
            progress.done(name)
    for name, measurements in found.items():
        suite = import_module(SUITES[name])
        for table in tables(suite.TITLE, suite.BASE, measurements):
            console.out.print(table)
    options.out.write_text(document(found))
    console.err.print(f"every figure of every round: {options.out}", markup=False)
    return 0
