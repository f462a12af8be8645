"""``bench``: how fast the speedups are, against Tornado without them and against other libraries."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from wheelworks.bench import build, functions, measurements, plot, readme, server_suites, start_up
from wheelworks.bench.measurements import Measurement, Plan
from wheelworks.cli import _page
from wheelworks.cli._command import create_parser
from wheelworks.core import console, summary
from wheelworks.core.errors import UsageError
from wheelworks.core.files import write_file

SUITES = {
    "websocket": server_suites.WEBSOCKET,
    "http": server_suites.HTTP,
    "applications": server_suites.APPLICATIONS,
    "frames": functions.FRAMES,
    "headers": functions.HEADERS,
    "mask": functions.MASK,
    "start": start_up.START,
    "build": build.BUILD,
}
COUNTED = {"websocket", "http"}
EXTRA = {"applications"}  # measured only where it is named, because it needs packages of its own
# The options that replace measuring time, each with the options that it takes.
MODES = {"table": (), "icount": ("update_baseline",), "compare": ("suites",)}

EPILOG = """\
suites:
  websocket      servers that echo messages, plain and compressed, and clients: CPU time per message, or instructions
  http           servers that answer a browser, a bare request, a JSON API, a POST, a file: CPU time per request, or \
instructions
  applications   a Bokeh document, a Jupyter kernel's messages, a chat room of 100, a JSON API, a static file: CPU \
time of the server, with the speedups and without; measured only where it is named, because it installs \
Bokeh and Jupyter's server
  frames         parsing and building WebSocket frames: CPU time per frame; Tornado, websockets, Python
  headers        parsing a browser's 12 headers: CPU time per call, in Tornado, tuned Python, the speedups and httptools
  mask           masking to new bytes and in place: CPU time per call
  start          a process that imports Tornado, then the speedups: CPU time of each import, theirs with install()
  build          the builders: seconds from start to end, this machine's wheel by cross, pip and cibuildwheel, the \
ARM64 wheels by cross

examples:
  nox -s bench                                      every suite but applications, into dist/bench/ and the report
  nox -s bench -- applications                      what applications gain
  nox -s bench -- headers mask --quick              two suites, roughly, in seconds
  nox -s bench -- websocket --count-instructions    counted by valgrind: the figure that repeats on a busy machine
  nox -s bench -- http --count-instructions         the same for requests
  nox -s bench -- build --source a.tar.gz --target win_arm64    each builder's seconds for one wheel of an sdist
  nox -s bench -- --compare main                    the revision main against the working tree: frames, headers, mask
  nox -s bench -- websocket --compare v0.1.0        another suite
  nox -s bench -- --icount                          instructions of every wheel in dist/, counted on emulated CPUs

Compare figures of one run only. Exit status: 0, 1 (something could not be measured, or a significant loss), 2 (wrong
use)."""


OUT = Path("dist", _page.FOLDER, _page.SPEED)
OPTIONS = {
    "suites": f"one of {', '.join(SUITES)} (default: all but {', '.join(EXTRA)})",
    "--icount": "count the instructions of each wheel in DIR (default: dist), and compare them with the baseline",
    "--compare": "measure this git revision and the working tree, and fail if the working tree is slower",
    "--count-instructions": "instructions of the servers instead of CPU time (needs valgrind, which makes them about 50"
    " times slower: their clock is slowed down as much, so that no limit of time expires earlier)",
    "--source": "with build: the sdist or project to build (default: this project)",
    "--target": "with build: the target whose wheel to build (default: this machine's wheel and the ARM64 wheels)",
}


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    made = create_parser(
        "nox -s bench --", "Measure the speedups, Tornado without them, and other libraries, in turns.", EPILOG
    )
    add = made.add_argument
    add(
        "suites",
        nargs="*",
        default=[],
        metavar="SUITE",
        help=f"one of {', '.join(SUITES)} (default: all but applications)",
    )
    add("--quick", action="store_true", help="fewer rounds and operations")
    add("--count-instructions", action="store_true", help=OPTIONS["--count-instructions"])
    add("--icount", nargs="?", type=Path, const=Path("dist"), metavar="DIR", help=OPTIONS["--icount"])
    add("--compare", metavar="REV", help=OPTIONS["--compare"])
    add("--only", action="append", default=[], metavar="SUBJECT", help="measure this subject only; repeatable")
    add("--source", default=".", metavar="SOURCE", help=OPTIONS["--source"])
    add("--target", default="", metavar="ID", help=OPTIONS["--target"])
    add("--table", type=Path, metavar="FILE", help="print README's tables of a results file")
    add("--update-baseline", action="store_true", help="with --icount: replace the baseline by the new counts")
    add("--out", type=Path, default=OUT, metavar="FILE", help=f"the results file (default: {OUT}); plots go beside it")
    summary.add_json_option(made)
    return made


def check(options: argparse.Namespace, given: Sequence[str]) -> None:
    """Raise UsageError for an unknown suite, and for a given option that would be ignored."""
    for name in options.suites:
        if name not in SUITES:
            raise UsageError(f"no suite {name!r}: {', '.join(SUITES)}")
    mode = next((name for name in MODES if name in given), "")
    taken = {mode, *MODES[mode]} if mode else {*given} - {"update_baseline"}
    for name in given:
        if name not in taken:
            shown = "SUITE" if name == "suites" else f"--{name.replace('_', '-')}"
            raise UsageError(f"{shown} does nothing {f'with --{mode}' if mode else 'without --icount'}")
    if {"source", "target"} & {*given} and options.suites != ["build"]:
        raise UsageError("--source and --target are options of one suite", "nox -s bench -- build --source SDIST")
    if options.count_instructions and options.suites and not COUNTED & {*options.suites}:
        raise UsageError("--count-instructions counts those of servers: name websocket or http")


def _run_mode(options: argparse.Namespace) -> int | None:
    """Run a mode that replaces measuring time, and return its exit status; or None if no mode is given."""
    if options.table is not None:
        sys.stdout.write("\n".join(readme.format_tables(measurements.load_results(options.table))))
        return 0
    if options.icount is None and options.compare is None:
        return None
    from wheelworks.cli import _bench_regressions  # which imports the builder

    if options.icount is not None:
        return _bench_regressions.run_icount(options.icount, update_baseline=options.update_baseline)
    return _bench_regressions.run_compare(options.compare, options.suites)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status. Raises WheelworksError."""
    made = parser()
    options = made.parse_args(argv)
    check(options, [name for name, value in vars(options).items() if value != made.get_default(name)])
    status = _run_mode(options)
    return _measure(options) if status is None else status


def _measure(options: argparse.Namespace) -> int:
    rounds, scale = (2, 0.2) if options.quick else (7, 1.0)
    only = frozenset(options.only)
    plan = Plan(rounds, scale, options.count_instructions, only, options.source, options.target)
    found: dict[str, list[Measurement]] = {}
    start = time.perf_counter()
    with console.Progress() as progress:
        for name in dict.fromkeys(options.suites or [one for one in SUITES if one not in EXTRA]):
            found[name] = SUITES[name].measure(plan, progress.update)
            progress.finish(name)
    for name, figures in found.items() if options.json != summary.STDOUT else ():
        for table in measurements.make_tables(SUITES[name].title, SUITES[name].base, figures):
            console.out.print(table)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_file(options.out, measurements.format_results(found).encode())
    plots = plot.write_plots(options.out)
    place = _page.refresh_page(options.out.parent.parent)
    lines = [f"every figure of every round: {options.out}, and {summary.format_count('plots', len(plots))} beside it"]
    result = summarize(found, lines, place, time.perf_counter() - start)
    return summary.finish(result, options.json)


def summarize(
    found: Mapping[str, Sequence[Measurement]], lines: Sequence[str], place: Path | None, seconds: float
) -> summary.Summary:
    """Return the figures of each suite as a summary; ``place`` is the page that shows them, too."""
    figures = [
        {"suite": name, "case": one.case, "subject": one.subject, "median": one.median, "unit": one.unit}
        for name, measured in found.items()
        for one in measured
    ]
    counts = {"suites": len(found), "figures": len(figures)}
    return summary.Summary("bench", 0, seconds, counts, lines=lines, page=place, details=figures)
