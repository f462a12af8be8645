"""``test-frameworks``: run the tests of projects on Tornado, with stock Tornado and with the speedups."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from wheelworks.cli import test_native
from wheelworks.cli._command import create_parser, create_work_folder
from wheelworks.core import console, interpreters, process, summary
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.interpreters import Python
from wheelworks.core.text import abbreviate
from wheelworks.testing import framework_suite
from wheelworks.testing.environments import download_tornado
from wheelworks.testing.framework_suite import FrameworkResult
from wheelworks.testing.frameworks import Framework, fetch_files, read_frameworks, select_frameworks
from wheelworks.testing.native import has_extension

NAMES = tuple(read_frameworks())
EPILOG = f"""\
examples:
  nox -s test-frameworks                           all projects, on this machine's wheel: a quarter of an hour
  nox -s test-frameworks -- flower bokeh           these projects only
  nox -s test-frameworks -- --from dist            on the wheel of a release
  nox -s test-frameworks -- flower --python 3.11 --tornado 6.5

projects: {", ".join(NAMES)}

Each project's tests run twice in one environment: with stock Tornado, and with install() called in every process when
it starts. A test that passes with stock Tornado must pass with the speedups. One that doesn't runs
{framework_suite.TRIES} times more on both sides, and counts if stock Tornado passes it each time and the speedups fail
it again. Tests that fail with stock Tornado, too, are counted, and don't fail the command.
Exit status: 0, 1 (a new failure, or a project's tests can't run), 2 (wrong use)."""

OTHERS: Mapping[str, Callable[[FrameworkResult], Sequence[str]]] = {
    "fails with stock Tornado as well": lambda one: one.failing_in_both,
    "failed with the speedups, and not each time, or with stock Tornado, too": lambda one: one.unsteady,
    "passed with the speedups only at the second try, alone": lambda one: one.second_try,
}


@dataclass(frozen=True)
class Wanted:
    """What to test: the wheels to choose from, the requested CPythons, the Tornado, the time limit of a run."""

    wheels: Sequence[Path]
    python: str
    tornado: str
    limit: float


def parser() -> argparse.ArgumentParser:
    """Return the command's option parser."""
    purpose = "Run the tests of projects that use Tornado, with stock Tornado and with the speedups."
    made = create_parser("nox -s test-frameworks --", purpose, EPILOG)
    add = made.add_argument
    add("projects", nargs="*", metavar="PROJECT", help="test with these projects only")
    add("--wheel", type=Path, metavar="FILE", help="a wheel of the package (default: one built here)")
    add("--from", dest="folder", type=Path, metavar="DIR", help="choose from the wheels in this folder")
    add("--python", default="", metavar="X.Y", help="the CPython (default: the newest that the project supports)")
    add("--tornado", default="6.6", metavar="VERSION", help="the Tornado (default: the newest 6.6.x)")
    limit = f"the limit for each run of a project's tests (default: {framework_suite.TIME_LIMIT:.0f})"
    add("--time-limit", type=float, default=framework_suite.TIME_LIMIT, metavar="SECONDS", help=limit)
    add("--verbose", action="store_true", help="name each test that isn't a new failure, but didn't just pass")
    summary.add_json_option(made)
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; return its exit status. Raises WheelworksError."""
    options = parser().parse_args(argv)
    start = time.perf_counter()
    frameworks = select_frameworks(options.projects)
    if options.time_limit <= 0:
        raise UsageError(f"--time-limit {options.time_limit:g}: it must be more than 0 seconds")
    if options.wheel and options.folder:
        raise UsageError("--wheel and --from: both name the wheel to test", "leave one out")
    named = [options.wheel] if options.wheel else sorted(options.folder.glob("*.whl")) if options.folder else []
    test_native.check_options(named, [options.tornado], options.folder)
    with create_work_folder() as work, console.Progress() as progress:
        wheels = named or [test_native.build_host_wheel(work / "wheel", progress)]
        wanted = Wanted(wheels, options.python, options.tornado, options.time_limit)
        results, failures = _run_all(frameworks, wanted, work, progress)
    result = summarize(results, failures, time.perf_counter() - start, everything=options.verbose)
    return summary.finish(result, options.json, everything=options.verbose)


def _run_all(
    frameworks: Sequence[Framework], wanted: Wanted, work: Path, progress: console.Progress
) -> tuple[list[FrameworkResult], list[summary.Failure]]:
    """Test with all projects, as many at a time as there are cores. Return the results, and what couldn't be run."""
    results, failures = [], []
    with process.thread_pool() as pool:
        running = {one: pool.submit(_run, one, wanted, work / one.name, progress) for one in frameworks}
        for framework, future in running.items():
            try:
                results.append(future.result())
            except WheelworksError as error:
                if process.is_stopping():
                    raise
                failures.append(summary.Failure(framework.label, error.message, error.hint, _repeat(framework.name)))
    return results, failures


def _run(framework: Framework, wanted: Wanted, folder: Path, progress: console.Progress) -> FrameworkResult:
    update = partial(progress.update, framework.name)
    python, wheel = choose_python(framework, wanted)
    folder.mkdir()
    update("downloading")
    own, source = fetch_files(framework, update)
    tornado = download_tornado(wanted.tornado, python.executable, folder / "tornado")
    update("creating an environment")
    files = [tornado.file, wheel]
    created = framework_suite.create_environment(python.executable, framework.lock, files, folder / "environment")
    whole = framework.row.debian is not None
    suite = framework_suite.prepare_suite(source, own, framework.row.arguments, folder / "source", whole=whole)
    with_c = has_extension(wheel)
    environment = framework_suite.FrameworkEnvironment(created, suite, folder, with_c, wanted.limit, update)
    names = {"python": python.label, "tornado": tornado.version, "note": framework.row.note}
    result = framework_suite.run_suites(environment, name=framework.name, version=framework.version, **names)
    progress.finish(framework.name)
    return result


def choose_python(framework: Framework, wanted: Wanted) -> tuple[Python, Path]:
    """Return the first CPython of a project's that is here and takes a wheel, and the wheel. Raises WheelworksError."""
    supported = framework.row.pythons
    for version in [wanted.python] if wanted.python else supported:
        if not wanted.python and version not in interpreters.list_installed_pythons():
            continue
        [python], _ = interpreters.find_pythons([version])
        if wheel := interpreters.choose_wheel(wanted.wheels, python):
            return python, wheel
    asked = [wanted.python] if wanted.python else supported
    names = ", ".join(wheel.name for wheel in wanted.wheels)
    message = f"{framework.label} needs a CPython {' or '.join(asked)} that takes one of {names}"
    raise WheelworksError(message, interpreters.INSTALL_HINT.format(version=asked[0]))


def summarize(
    results: Sequence[FrameworkResult],
    errors: Sequence[summary.Failure],
    seconds: float,
    *,
    everything: bool = False,
) -> summary.Summary:
    """Return the results as a summary. ``everything`` names all tests of its notes."""
    found = [summary.Failure(one.label, text, "", _repeat(one.name)) for one in results for text in one.findings]
    failures = [*found, *errors]
    both = sum(len(one.failing_in_both) for one in results)
    return summary.Summary(
        "test-frameworks",
        int(bool(failures) or not results),
        seconds,
        {"projects": len(results), "tests": sum(one.stock.passed for one in results), "failures": len(failures)}
        | ({"failing_in_both": both} if both else {}),
        cells={(one.label, f"Tornado {one.tornado}"): _make_cell(one) for one in results},
        failures=failures,
        lines=[_describe(one) for one in results],
        notes=dict.fromkeys(_describe_others(results, 5000 if everything else 3), ()),
        details=[asdict(one) for one in results],
    )


def _repeat(name: str) -> str:
    return f"nox -s test-frameworks -- {name}"


def _make_cell(result: FrameworkResult) -> summary.Cell:
    if result.findings:
        return summary.Cell(f"{len(result.findings)} FAILED", "failed")
    return summary.Cell(f"ok {result.speedups.passed:,}")


def _describe(result: FrameworkResult) -> str:
    processes = "1 process" if result.processes == 1 else f"{result.processes:,} processes"
    note = f"; {result.note}" if result.note else ""
    return (
        f"{result.label}, CPython {result.python}: {result.stock} with stock Tornado (passed / failed), "
        f"{result.speedups} with the speedups in {processes}{note}"
    )


def _describe_others(results: Sequence[FrameworkResult], shown: int) -> Iterator[str]:
    """Yield, for each kind of test that neither just passed nor is a new failure, their number and the first."""
    for label, choose in OTHERS.items():
        tests = [f"{one.name} {test}" for one in results for test in choose(one)]
        if tests:
            yield f"{label}: {summary.format_count('tests', len(tests))}: {abbreviate(tests, shown)}"
