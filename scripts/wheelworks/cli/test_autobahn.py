"""``test-autobahn``: run the Autobahn test suite against Tornado as server and client, speedups off and on."""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from wheelworks.cli import test_native
from wheelworks.cli._command import create_parser, create_work_folder
from wheelworks.core import console, interpreters, summary
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.testing import autobahn, environments
from wheelworks.testing.autobahn import ALL, QUICK, AutobahnRunner, RoleResult
from wheelworks.testing.native import has_extension

EPILOG = f"""\
examples:
  nox -s test-autobahn                              run sections 1 to 7, on this machine's wheel
  nox -s test-autobahn -- --sections all            add those of limits (9, 10) and compression (12, 13): an hour
  nox -s test-autobahn -- --sections 9,12 --python 3.13 --tornado 6.5

No case may be worse with the speedups on than with Tornado alone. From good to bad, a case can be
{", ".join(autobahn.ORDER)}.
The suite needs a Python 2.7, and Linux on x86-64.
Exit status: 0, 1 (a case is worse, or the suite can't run), 2 (wrong use)."""


def parser() -> argparse.ArgumentParser:
    """Return the command's option parser."""
    purpose = "Run the Autobahn WebSocket test suite against Tornado, with the speedups off and on."
    made = create_parser("nox -s test-autobahn --", purpose, EPILOG)
    made.add_argument("--wheel", type=Path, metavar="FILE", help="a wheel of the package (default: one built here)")
    made.add_argument("--python", default="", metavar="X.Y", help="the CPython (default: the oldest here)")
    made.add_argument("--tornado", default="6.6", metavar="VERSION", help="the Tornado (default: the newest 6.6.x)")
    made.add_argument("--sections", default=",".join(QUICK), metavar="N,N", help="sections of the suite, or all")
    made.add_argument("--python2", type=Path, metavar="PATH", help="the Python 2.7 (default: found)")
    summary.add_json_option(made)
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; return its exit status. Raises WheelworksError."""
    options = parser().parse_args(argv)
    start = time.perf_counter()
    chosen = parse_sections(options.sections)
    test_native.check_options([options.wheel] if options.wheel else [], [options.tornado], None)
    autobahn.check_platform(platform.system(), platform.machine())
    python2 = options.python2 or autobahn.find_python2(os.environ, Path.home())
    with create_work_folder() as work, console.Progress() as progress:
        update = partial(progress.update, "Autobahn")
        wheel = options.wheel or test_native.build_host_wheel(work / "wheel", progress)
        name, environment = _create_environment(wheel, options.python, options.tornado, work)
        update("installing the suite")
        suite = autobahn.install_suite(python2)
        limit = 900.0 if set(chosen) <= set(QUICK) else 7200.0  # seconds; the others' messages are large or compressed
        results = AutobahnRunner(environment, suite, python2, work / "runs", limit, update).run_sections(chosen)
    return summary.finish(summarize(name, results, time.perf_counter() - start), options.json)


def parse_sections(text: str) -> tuple[str, ...]:
    """Return the sections of "1,9", or of "all". Raises UsageError for an unknown one."""
    names = ALL if text == "all" else tuple(dict.fromkeys(text.split(",")))
    if unknown := [name for name in names if name not in ALL]:
        raise UsageError(f"--sections {text}: no section {', '.join(unknown)}", f"all, or some of {','.join(ALL)}")
    return names


def summarize(name: str, results: Sequence[RoleResult], seconds: float) -> summary.Summary:
    """Return the results as a summary: a line for each role and for each case that passed at the second try."""
    failures = [summary.Failure(one.role, finding) for one in results for finding in one.findings]
    again = [
        f"{one.role}: case {case} passed only at the second try, alone" for one in results for case in one.second_try
    ]
    lines = [
        f"Tornado as {one.role}, {len(one.off)} cases: speedups off: {autobahn.count_cases(one.off)}; "
        f"on: {autobahn.count_cases(one.on)}; worse: {len(one.findings)}"
        for one in results
    ]
    return summary.Summary(
        "test-autobahn",
        int(bool(failures)),
        seconds,
        {"cases": sum(len(one.off) for one in results), "worse": len(failures)},
        failures=failures,
        lines=[name, *lines],
        notes=dict.fromkeys(again, ()),
        zeros=True,
        details={"how": name, "roles": [asdict(one) for one in results]},
    )


def _create_environment(wheel: Path, python: str, version: str, work: Path) -> tuple[str, environments.Environment]:
    """Install the wheel and Tornado in a new environment; return its description, and the environment."""
    if not has_extension(wheel):
        raise UsageError(f"{wheel.name}: it has no C extension, which these tests are for")
    found, _ = interpreters.find_pythons([python] if python else [])
    fitting = [one for one in found if interpreters.choose_wheel([wheel], one)]
    if not fitting:
        raise WheelworksError(f"{wheel.name}: {', '.join(one.label for one in found)} doesn't accept it")
    environment = environments.create_environment(fitting[0].executable, version, wheel, work)
    return f"CPython {fitting[0].label}, Tornado {environment.tornado.version}", environment
