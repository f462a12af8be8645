"""``test-autobahn``: the Autobahn test suite against Tornado as server and client, speedups off and on."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from wheelworks.cli import _help, test_native
from wheelworks.cli._output import work_folder
from wheelworks.core import console, interpreters, manifest
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.testing import environments, tornado_releases
from wheelworks.testing.autobahn import install, verdicts
from wheelworks.testing.autobahn.run import ALL, QUICK, Bench, Outcome, run_all
from wheelworks.testing.native import has_c

EPILOG = f"""\
examples:
  nox -s test-autobahn                              sections 1 to 7, on this machine's wheel
  nox -s test-autobahn -- --sections all            those of limits (9, 10) and compression (12, 13) too: an hour
  nox -s test-autobahn -- --sections 9,12 --python 3.13 --tornado 6.5

No case may be worse with the speedups on than with Tornado alone; from good to bad the verdicts are
{", ".join(verdicts.ORDER)}.
The suite needs a Python 2.7, and Linux on x86-64.
Exit status: 0, 1 (a case is worse, or the suite can't run), 2 (wrong use)."""

TIME_LIMITS = {True: 7200.0, False: 900.0}  # seconds, by whether sections with large or compressed messages are asked


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="nox -s test-autobahn --",
        description="Run the Autobahn WebSocket test suite against Tornado, with the speedups off and on.",
        epilog=EPILOG,
        formatter_class=_help.Formatter,
    )
    made.add_argument("--wheel", type=Path, metavar="FILE", help="a wheel of the package (default: one built here)")
    made.add_argument("--python", default="", metavar="X.Y", help="the CPython (default: the oldest here)")
    made.add_argument("--tornado", default="6.6", metavar="VERSION", help="the Tornado (default: the newest 6.6.x)")
    made.add_argument("--sections", default=",".join(QUICK), metavar="N,N", help="sections of the suite, or all")
    made.add_argument("--python2", type=Path, metavar="PATH", help="the Python 2.7 (default: found)")
    made.add_argument("--json", type=Path, metavar="FILE", help="write every verdict there")
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit status. Raises WheelworksError."""
    options = parser().parse_args(argv)
    chosen = sections(options.sections)
    test_native.check([options.wheel] if options.wheel else [], [options.tornado], options.json)
    install.check(platform.system(), platform.machine())
    python2 = options.python2 or install.find_python2(os.environ, Path.home())
    with work_folder() as work, console.Progress() as progress:
        say = partial(progress.say, "Autobahn")
        wheel = options.wheel or test_native.built(work / "wheel", progress)
        name, environment = _environment(wheel, options.python, options.tornado, work)
        say("installing the suite")
        suite = install.suite(python2)
        limit = TIME_LIMITS[not set(chosen) <= set(QUICK)]
        outcomes = run_all(Bench(environment, suite, python2, work / "runs", limit, say), chosen)
    show(name, outcomes)
    if options.json:
        text = json.dumps({"how": name, "roles": [asdict(one) for one in outcomes]}, indent=2, sort_keys=True)
        manifest.write(options.json, f"{text}\n".encode())
    return int(any(outcome.findings for outcome in outcomes))


def sections(asked: str) -> tuple[str, ...]:
    """The sections of "1,9", or of "all". Raises UsageError for one that the suite hasn't."""
    names = ALL if asked == "all" else tuple(dict.fromkeys(asked.split(",")))
    if unknown := [name for name in names if name not in ALL]:
        raise UsageError(f"--sections {asked}: no section {', '.join(unknown)}", f"all, or some of {','.join(ALL)}")
    return names


def show(name: str, outcomes: Sequence[Outcome]) -> None:
    """A row for each role; then, in full, the cases that are worse."""
    table = console.table(name, "Tornado as", "cases", "speedups off", "speedups on", "worse")
    for one in outcomes:
        colour = "red" if one.findings else "green"
        words = (verdicts.counted(one.off), verdicts.counted(one.on), f"[{colour}]{len(one.findings)}[/]")
        table.add_row(one.role, str(len(one.off)), *words)
    console.out.print(table)
    for one in outcomes:
        for case in one.second_try:
            console.note(f"{one.role}: case {case} went well only at the second try, alone")
        for finding in one.findings:
            console.error(f"{one.role}: {finding}")


def _environment(wheel: Path, asked: str, version: str, work: Path) -> tuple[str, environments.Environment]:
    """Install the wheel and Tornado in a new environment; returns words for them, too."""
    if not has_c(wheel):
        raise UsageError(f"{wheel.name}: it has no C extension, which is what this tests")
    found, _ = interpreters.find([asked] if asked else [])
    fitting = [python for python in found if interpreters.best_wheel([wheel], python)]
    if not fitting:
        raise WheelworksError(f"{wheel.name}: {', '.join(python.label for python in found)} doesn't take it")
    environment = environments.create(fitting[0].executable, work)
    tornado = tornado_releases.fetch(version, environment.python, work / "tornado")
    environments.install(environment, tornado.file, wheel)
    return f"CPython {fitting[0].label}, Tornado {tornado.version}", environment
