"""``test-native``: test wheels for this machine under every CPython here, beside each Tornado."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from wheelworks.cli import _page, _project, _running, host_wheel
from wheelworks.cli._command import create_parser, create_work_folder
from wheelworks.core import console, interpreters, summary
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.interpreters import Python
from wheelworks.core.text import abbreviate
from wheelworks.core.verdict import Verdict
from wheelworks.core.wheel import parse_wheel_name
from wheelworks.testing.environments import DEFAULT_TORNADOS, parse_tornado
from wheelworks.testing.native import PACKAGE, NativeResult, run_native_tests
from wheelworks.testing.suites import Update

EPILOG = """\
examples:
  nox -s test-native                                       build this machine's wheel, test it under every CPython
  nox -s test-native -- --python 3.11 --python 3.14t       test it under these only
  nox -s test-native -- --tornado 6.6.1                    test it beside this Tornado; 6.6 is the newest 6.6.x
  nox -s test-native -- --wheel dist/A.whl --json results.json
      each CPython gets the wheel that pip would choose for it
  nox -s test-native -- --from dist                        choose from all wheels of a release
  nox -s test-native -- --source x-1.0.tar.gz x-1.0-*.whl
      run the own tests of any project, those of its sdist, on its wheel
  nox -s test-native -- --exhaustive --python 3.13         add hundreds of random connections, and 100,000 for leaks

pip installs the wheel in a new environment, and the tests run from an empty folder. The package's own tests must pass.
Every test of Tornado's own suite that passes without the speedups must pass with them. Tests that fail in both runs are
reported, and don't fail the command. Results are written to the manifest.json beside the wheels, too.
Exit status: 0, 1 (a new failure, or no CPython takes a wheel), 2 (wrong use)."""


OTHERS: Mapping[str, Callable[[NativeResult], Sequence[str]]] = {
    "fails with the speedups off as well": lambda one: one.failing_in_both,
    "expected failure": lambda one: one.excused,
    "passed only at the second try, alone": lambda one: one.second_try,
}


def parser() -> argparse.ArgumentParser:
    """Return the command's option parser."""
    purpose = "Run the package's tests, and Tornado's own with the speedups off and on, natively on wheels."
    made = create_parser("nox -s test-native --", purpose, EPILOG)
    add = made.add_argument
    add("wheels", nargs="*", type=Path, metavar="WHEEL", help="wheels of any project, with --source")
    add("--wheel", action="append", default=[], type=Path, metavar="FILE", help="a wheel (default: one built here)")
    add("--from", dest="folder", type=Path, metavar="DIR", help="choose from the wheels in this folder")
    add("--python", action="append", default=[], metavar="X.Y", help="only this CPython: X.Yt, or a path")
    add("--tornado", action="append", default=[], metavar="VERSION", help="only this Tornado")
    add("--exhaustive", action="store_true", help="add the tests with many cases: minutes more")
    _project.add_options(made)
    others = "name each test that fails with the speedups off as well, was expected to fail, or passed when run again"
    add("--verbose", action="store_true", help=others)
    summary.add_json_option(made)
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; return its exit status. Raises WheelworksError."""
    options = parser().parse_args(argv)
    start = time.perf_counter()
    if project := _project.read_options(options):
        _refuse_other_options(options)
        wheels = [*options.wheels, *options.wheel]
        return _project.test_natively(wheels, project, options)
    if options.wheels:
        raise UsageError("wheels without --source: which tests are to be run?", _project.SOURCE_HINT)
    versions = options.tornado or list(DEFAULT_TORNADOS)
    named = [*options.wheel, *(sorted(options.folder.glob("*.whl")) if options.folder else ())]
    check_options(named, versions, options.folder)
    hashes = _page.hash_wheels(named)
    with create_work_folder() as work:
        found, missing = interpreters.find_pythons(options.python)
        for version in missing:
            console.print_note(f"no CPython {version} on this machine: nothing was run under it")
        with console.Progress() as progress:
            wheels = named or [build_host_wheel(work / "wheel", progress)]
            chosen = {python: interpreters.choose_wheel(wheels, python) for python in found}
            run = partial(run_native_tests, exhaustive=options.exhaustive, time_limit=options.time_limit)
            results = _run_all(chosen, versions, run, work, progress)
    _page.record_runs(hashes, [make_verdict(result) for result in results])
    required = options.wheel or ([] if options.folder else wheels)
    untested = _running.report_untested(chosen, required, asked=bool(options.python))
    status = max(untested, exit_status(results))
    result = summarize(results, status, time.perf_counter() - start, everything=options.verbose)
    return summary.finish(result, options.json, everything=options.verbose)


def _refuse_other_options(options: argparse.Namespace) -> None:
    """Raise UsageError for an option that has no effect with ``--source``."""
    others = {"--from": options.folder, "--tornado": options.tornado}
    for name, value in {**others, "--exhaustive": options.exhaustive}.items():
        if value:
            raise UsageError(f"{name} is for the tests of {PACKAGE}", "leave it out, or leave out --source")


def check_options(wheels: Sequence[Path], versions: Sequence[str], folder: Path | None) -> None:
    """Raise UsageError for options that can't be fulfilled."""
    if folder and not wheels:
        raise UsageError(f"--from {folder}: there are no wheels in it", "name the folder that a build wrote to")
    for wheel in wheels:
        if not wheel.is_file():
            raise UsageError(f"{wheel}: no such file", "name wheels of the package, such as dist/*.whl")
        try:
            name = parse_wheel_name(wheel.name)
        except WheelworksError as error:
            raise UsageError(error.message, "name wheels of the package, such as dist/*.whl") from error
        if name.distribution != PACKAGE:
            raise UsageError(f"{wheel.name}: not a wheel of {PACKAGE}, whose tests these are")
    for version in versions:
        parse_tornado(version)


def exit_status(results: Sequence[NativeResult]) -> int:
    """Return 0 if something was tested and has passed, else 1."""
    return int(not results or any(result.findings for result in results))


def summarize(
    results: Sequence[NativeResult], status: int, seconds: float, *, everything: bool = False
) -> summary.Summary:
    """Return the results as a summary: CPythons down, Tornados across. ``everything`` names all tests of its notes."""
    failures = [summary.Failure(_name_run(one), text) for one in results for text in one.findings]
    wheels = {one.wheel for one in results}
    return summary.Summary(
        "test-native",
        status,
        seconds,
        {"runs": len(results), "wheels": len(wheels), "failures": len(failures)},
        cells={(f"CPython {one.python}", f"Tornado {one.tornado}"): _make_cell(one) for one in results},
        failures=failures,
        lines=["passed: the package's tests, and Tornado's with the speedups on"] if results else (),
        notes=dict.fromkeys(_describe_others(results, len(results) * 5000 if everything else 1), ()),
        wheels=[{"file": name} for name in sorted(wheels)],
        details=[asdict(one) for one in results],
    )


def _name_run(result: NativeResult) -> str:
    return f"CPython {result.python}, Tornado {result.tornado}"


def _make_cell(result: NativeResult) -> summary.Cell:
    if result.findings:
        return summary.Cell(f"{len(result.findings)} FAILED", "failed")
    return summary.Cell(f"ok {result.package.passed:,} + {result.on.passed:,}")


def _describe_others(results: Sequence[NativeResult], shown: int) -> Iterator[str]:
    """Yield, for each kind of test that neither just passed nor is a new failure, their number and the first."""
    for label, choose in OTHERS.items():
        tests = list(dict.fromkeys(test for one in results for test in choose(one)))
        if tests:
            yield f"{label}: {summary.format_count('tests', len(tests))}: {abbreviate(tests, shown)}"


def make_verdict(result: NativeResult) -> Verdict:
    """Return a result as the manifest's verdict."""
    checks = result.package.passed + result.on.passed
    why = f"the package's tests {result.package}; Tornado's {result.off} without the speedups, {result.on} with them"
    why += f"; {result.tornado_file}, sha256 {result.tornado_sha256}"
    return Verdict(result.wheel, result.how, "failed" if result.findings else "passed", checks, why, result.findings)


def build_host_wheel(folder: Path, progress: console.Progress) -> Path:
    """Build this machine's wheel of the package into a new folder; return it. Raises WheelworksError."""
    progress.update("wheel", "building this machine's wheel")
    folder.mkdir()
    wheel = host_wheel.build_host_wheel(Path(), folder)
    progress.finish("wheel")
    return wheel


def _run_all(
    chosen: dict[Python, Path | None],
    versions: Sequence[str],
    run: Callable[[Path, Python, str, Path, Update], NativeResult],
    work: Path,
    progress: console.Progress,
) -> list[NativeResult]:
    results = []
    for python, wheel in chosen.items():
        for version in versions if wheel else ():
            name = f"CPython {python.label}, Tornado {version}"
            folder = work / f"{python.label}-{version}"
            folder.mkdir()
            assert wheel
            update = partial(progress.update, name)
            results.append(run(wheel, python, version, folder, update))
            progress.finish(name)
    return results
