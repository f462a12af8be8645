"""``bench``: how fast the speedups are, against Tornado without them and against other libraries."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from wheelworks.bench import readme, results
from wheelworks.bench.measurements import Measurement, Plan, tables
from wheelworks.cli import _figures, _help, _manifest
from wheelworks.core import console, manifest
from wheelworks.core.errors import UsageError

SUITES = {name: f"wheelworks.bench.{name}" for name in ("websocket", "http", "frames", "headers", "mask", "build")}
COUNTED = {"websocket", "http"}
# What is something else than measuring time here and now, and the options that go with it.
OTHERS = {"table": (), "work": ("renew",), "compare": ("suites",)}

EPILOG = """\
suites:
  websocket    servers that echo messages: CPU time per message, or instructions
  http         servers that greet: CPU time per request, or instructions; with a browser's headers, and bare
  frames       taking WebSocket frames apart and building them: CPU time per frame; Tornado, websockets, Python
  headers      parsing a browser's 12 headers: CPU time per call, in Tornado, tuned Python, the speedups and httptools
  mask         masking to new bytes and in place: CPU time per call
  build        the builders: seconds from start to end, this machine's wheel by cross and by pip, the ARM64 wheels

examples:
  nox -s bench                                      every suite, into dist/bench/ and the report
  nox -s bench -- headers mask --quick              two of them, roughly, in seconds
  nox -s bench -- websocket --count-instructions    counted by valgrind: the figure that repeats on a busy machine
  nox -s bench -- http --count-instructions         the same for requests, a browser's and bare ones
  nox -s bench -- --compare main                    the revision main against the working tree: frames, headers, mask
  nox -s bench -- websocket --compare v0.1.0        another suite
  nox -s bench -- --work                            instructions of every wheel in dist/, counted on emulated CPUs

Compare figures of one run only. Exit status: 0, 1 (something could not be measured, or a significant loss), 2 (wrong
use)."""


OUT = Path("dist", _figures.FOLDER, _figures.SPEED)
WORK = "count the instructions of each wheel in DIR (default: dist), and hold them against the baseline"


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="nox -s bench --",
        description="Measure the speedups, Tornado without them, and other libraries, alternately.",
        epilog=EPILOG,
        formatter_class=_help.Formatter,
    )
    made.add_argument(
        "suites", nargs="*", default=[], metavar="SUITE", help=f"which: {', '.join(SUITES)} (default: all)"
    )
    made.add_argument("--quick", action="store_true", help="fewer rounds and operations")
    made.add_argument(
        "--count-instructions", action="store_true", help="instructions of the servers in place of CPU time (valgrind)"
    )
    made.add_argument("--work", nargs="?", type=Path, const=Path("dist"), metavar="DIR", help=WORK)
    made.add_argument("--compare", metavar="REV", help="measure this git revision, too, and fail if it was faster")
    made.add_argument("--only", action="append", default=[], metavar="SUBJECT", help="this subject only; repeatable")
    made.add_argument("--table", type=Path, metavar="FILE", help="print README's table of a file of figures")
    made.add_argument("--renew", action="store_true", help="with --work: make what was counted the baseline")
    made.add_argument(
        "--out", type=Path, default=OUT, metavar="FILE", help=f"every figure (default: {OUT}); plots go beside it"
    )
    return made


def check(options: argparse.Namespace, given: Sequence[str]) -> None:
    """Raises UsageError for a suite that isn't one, and where an option that was given would be ignored."""
    for name in options.suites:
        if name not in SUITES:
            raise UsageError(f"no suite {name!r}: {', '.join(SUITES)}")
    mode = next((name for name in OTHERS if name in given), "")
    taken = {mode, *OTHERS[mode]} if mode else {*given} - {"renew"}
    for name in given:
        if name not in taken:
            raise UsageError(f"{_shown(name)} does nothing {f'with --{mode}' if mode else 'without --work'}")
    if options.count_instructions and options.suites and not COUNTED & {*options.suites}:
        raise UsageError("--count-instructions counts those of servers: name websocket or http")


def _shown(name: str) -> str:
    return "SUITE" if name == "suites" else f"--{name.replace('_', '-')}"


def _plan(options: argparse.Namespace) -> Plan:
    rounds, scale = (2, 0.2) if options.quick else (7, 1.0)
    return Plan(rounds, scale, options.count_instructions, frozenset(options.only))


def _other(options: argparse.Namespace) -> int | None:
    """Do what isn't measuring time here and now; None where that is asked for."""
    if options.table is not None:
        sys.stdout.write(readme.table(results.load(options.table)))
        return 0
    if options.work is not None:
        from wheelworks.cli import _bench_icount  # which imports the emulator

        return _bench_icount.run(options.work, renew=options.renew)
    if options.compare is not None:
        from wheelworks.cli import _bench_compare  # which imports the builder

        return _bench_compare.run(options.compare, options.suites)
    return None


def main(argv: Sequence[str]) -> int:
    """Measure, show the tables, write the file. Raises WheelworksError."""
    made = parser()
    options = made.parse_args(argv)
    check(options, [name for name, value in vars(options).items() if value != made.get_default(name)])
    other = _other(options)
    return _measure(options) if other is None else other


def _measure(options: argparse.Namespace) -> int:
    """Measure, show the tables, write figures, plots and the page."""
    plan = _plan(options)
    found: dict[str, list[Measurement]] = {}
    with console.Progress() as progress:
        for name in dict.fromkeys(options.suites or SUITES):
            found[name] = import_module(SUITES[name]).measure(plan, progress.say)
            progress.done(name)
    for name, figures in found.items():
        suite = import_module(SUITES[name])
        for table in tables(suite.TITLE, suite.BASE, figures):
            console.out.print(table)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    manifest.write(options.out, results.document(found).encode())
    plots = _figures.draw(options.out)
    _manifest.refresh(options.out.parent.parent)
    console.err.print(f"every figure of every round: {options.out}, and {len(plots)} plots beside it", markup=False)
    return 0
