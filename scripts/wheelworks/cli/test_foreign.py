"""``test-foreign``: run the machine code of wheels of other platforms, on this machine."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from wheelworks.cli import _page, _project, _results, _running
from wheelworks.cli._command import create_parser, repeat_options
from wheelworks.core import console, summary
from wheelworks.core.debian import DEBIAN_SUITES
from wheelworks.core.errors import UsageError

VERSIONS = ", ".join(DEBIAN_SUITES)
EPILOG = f"""\
examples:
  nox -s test-foreign -- dist/*.whl        import each, by the engine that can run it
  nox -s test-foreign -- dist/*.whl --tests package
      run this package's tests on the machine code of each
  nox -s test-foreign -- dist/*.whl --how cpython --tests tornado
      run Tornado's own tests, under the wheel's oldest and newest CPython
  nox -s test-foreign -- x-1.0-*.whl --tests project --source x-1.0.tar.gz
      run the project's own tests, those of its sdist, on each wheel
  nox -s test-foreign -- x-1.0-cp312-*.whl --how cpython --root DIR
      use the CPython 3.12 of a root file system of your own

engines:
  emulated  an emulated CPU and C API, which check every memory access, reference
            count and call of small extensions for Windows, macOS and Linux
  cpython   a real CPython of the wheel's version and CPU under qemu: Debian's
            {VERSIONS}, or one of --root, such as 3.12 or 3.14t.
            Binaries for Windows ARM64 and macOS are rewrapped for it as Linux
            libraries, their instructions unchanged but for those that use
            Windows' thread register; macOS x86-64 code runs in a CPython of
            this machine, without qemu
  any       the emulated CPU, then a real CPython for what it can't run
  all       both

Neither engine proves that the loader of Windows or macOS accepts a file, nor what their own C libraries do with it.
For Linux, a real CPython proves both. It runs code of Windows on an ARMv8.0 CPU, and that of macOS without pointer
authentication. Windows x86-64 and x86 have the emulated CPU alone. Verdicts are "passed", "failed" (with the evidence
against the wheel) and "unsupported" (a limit of this suite, which is named); they are written to the manifest.json
beside the wheels, if there is one. Wheels that no engine here can run fail the command only when named alone. Pure
wheels have nothing to run.

Exit status: 0, 1 (a wheel failed, or wasn't run by an engine that could run it), 2 (wrong use)."""


def parser() -> argparse.ArgumentParser:
    """Return the command's option parser."""
    made = create_parser(
        "nox -s test-foreign --",
        "Run the machine code of wheels for any platform, from any builder, on this machine.",
        EPILOG,
    )
    made.add_argument("wheels", nargs="+", type=Path, metavar="WHEEL", help="wheel files")
    made.add_argument(
        "--how",
        choices=["any", "emulated", "cpython", "all"],
        default="any",
        help="the engine: see below (default: any)",
    )
    made.add_argument(
        "--tests",
        choices=["smoke", "package", "tornado", "project"],
        default="smoke",
        help="the tests to run (default: smoke)",
    )
    made.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="X.Y",
        help="only this real CPython (default: the oldest and the newest that the wheel is for); repeatable",
    )
    made.add_argument(
        "--root",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="a root file system with usr/bin/pythonX.Y, in place of Debian's; repeatable",
    )
    _project.add_options(made)
    made.add_argument("--verbose", action="store_true", help="print each run, and all reasons and failures in full")
    summary.add_json_option(made)
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; return its exit status. Raises WheelworksError."""
    options = parser().parse_args(argv)
    project = _project.read_options(options)
    chosen = _running.Options(
        options.how,
        options.tests,
        tuple(options.python),
        tuple(options.root),
        project,
        time_limit=options.time_limit,
    )
    _running.check_options(options.wheels, chosen)
    wheels = _select_with_code(options.wheels)
    start, hashes = time.perf_counter(), _page.hash_wheels(wheels)
    with console.Progress(everything=options.verbose) as progress:
        verdicts = _running.run_wheels(wheels, chosen, progress.update)
    _page.record_runs(hashes, verdicts)
    if options.verbose and options.json != summary.STDOUT:
        _running.show_verdicts(verdicts)
    runnable = [wheel for wheel in wheels if _running.choose_engines(wheel, chosen)]
    status = _running.exit_status(runnable or wheels, verdicts)
    repeated = repeat_options(options, ("tests", "python", "root", *_project.OPTIONS))
    result = _results.summarize_runs("test-foreign", wheels, verdicts, status, time.perf_counter() - start, repeated)
    return summary.finish(result, options.json, everything=options.verbose)


def _select_with_code(wheels: Sequence[Path]) -> list[Path]:
    """Return the wheels with machine code, and report the others. Raises UsageError if no wheel has any."""
    found = [wheel for wheel in wheels if _running.has_machine_code(wheel)]
    for wheel in wheels:
        if wheel not in found:
            console.print_note(f"{wheel.name}: no extension: nothing to run")
    if not found:
        raise UsageError("none of the wheels has machine code", "name a wheel for a platform")
    return found
