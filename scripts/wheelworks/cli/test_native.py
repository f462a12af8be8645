"""``test-native``: a wheel of this machine's platform, under every CPython here, beside each Tornado."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from wheelworks.cli import _help, _manifest, host_wheel
from wheelworks.cli._output import work_folder
from wheelworks.core import console, interpreters, manifest
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.interpreters import Python
from wheelworks.core.verdict import Verdict
from wheelworks.core.wheel import parse_wheel_name
from wheelworks.testing import tornado_releases
from wheelworks.testing.native import Result, test_wheel
from wheelworks.testing.native_compare import PACKAGE

EPILOG = """\
examples:
  nox -s test-native                                       build this machine's wheel, and test it under every CPython
  nox -s test-native -- --python 3.11 --python 3.14t       under these
  nox -s test-native -- --tornado 6.6.1                    beside this Tornado; 6.6 is the newest 6.6.x
  nox -s test-native -- --wheel dist/A.whl --json results.json
      each CPython takes the wheel that pip would choose for it
  nox -s test-native -- --from dist                        the same, out of all wheels of a release
  nox -s test-native -- --exhaustive --python 3.13         random connections by the hundred, 100,000 of them for leaks

The wheel is installed by pip in a new environment, and tested from an empty folder. The package's own tests must pass;
of Tornado's own suite every test that passes without the speedups must pass with them. What fails in both runs is told
of, and no failure. A folder whose manifest knows the wheel gets the results, too.
Exit status: 0, 1 (a new failure, or no CPython takes a wheel), 2 (wrong use)."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="nox -s test-native --",
        description="Run the package's tests, and Tornado's own with the speedups off and on, natively on wheels.",
        epilog=EPILOG,
        formatter_class=_help.Formatter,
    )
    made.add_argument(
        "--wheel",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a wheel of the package (default: one built here); repeatable",
    )
    made.add_argument(
        "--from", dest="folder", type=Path, metavar="DIR", help="out of the wheels in this folder, which may be unfit"
    )
    made.add_argument(
        "--python", action="append", default=[], metavar="X.Y", help="under this CPython only (X.Y, X.Yt or a path)"
    )
    made.add_argument("--tornado", action="append", default=[], metavar="VERSION", help="beside this Tornado only")
    made.add_argument(
        "--exhaustive", action="store_true", help="also run the package's tests with many cases: minutes more"
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write all results there")
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit status. Raises WheelworksError."""
    options = parser().parse_args(argv)
    versions = options.tornado or list(tornado_releases.DEFAULT)
    named = [*options.wheel, *(sorted(options.folder.glob("*.whl")) if options.folder else ())]
    check(named, versions, options.json, options.folder)
    found, missing = interpreters.find(options.python)
    for version in missing:
        console.note(f"no CPython {version} on this machine, so that nothing was run under it")
    with work_folder() as work, console.Progress() as progress:
        wheels = named or [built(work / "wheel", progress)]
        chosen = {python: interpreters.best_wheel(wheels, python) for python in found}
        results = _run(chosen, versions, options.exhaustive, work, progress)
    _write(results, options.json)
    _manifest.remember(named, [verdict(result) for result in results])
    show(results)
    return conclude(chosen, options.wheel or ([] if options.folder else wheels), bool(options.python), results)


def check(wheels: Sequence[Path], versions: Sequence[str], out: Path | None, folder: Path | None = None) -> None:
    """Raises UsageError for what can't be asked for."""
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
            raise UsageError(f"{wheel.name}: no wheel of {PACKAGE}, whose tests these are")
    for version in versions:
        tornado_releases.requirement(version)
    if out is not None and not out.parent.is_dir():
        raise UsageError(f"--json {out}: no folder {out.parent}")


def conclude(chosen: dict[Python, Path | None], wheels: Sequence[Path], asked: bool, results: Sequence[Result]) -> int:
    """Tell of the CPythons and wheels that went untested; 0 if all that was to be tested is well, else 1."""
    names = ", ".join(wheel.name for wheel in wheels) or "the folder's wheels"
    unfit = [python.label for python, wheel in chosen.items() if wheel is None]
    for label in unfit:
        (console.error if asked else console.note)(f"CPython {label}: not tested: it takes none of {names}")
    unused = [wheel.name for wheel in wheels if wheel not in chosen.values()]
    for name in unused:
        console.error(f"{name}: not tested: no CPython here takes it, or each takes another")
    bad = any(result.findings for result in results) or not results
    return int(bad or bool(unused) or (asked and bool(unfit)))


def show(results: Sequence[Result]) -> None:
    """A row for each run; then, in full, whatever is new with the speedups on."""
    table = console.table(
        "passed / failed", "python", "tornado", "package", "Tornado's, off", "on", "new failures", "seconds"
    )
    for result in results:
        colour = "red" if result.findings else "green"
        counts = (str(result.package), str(result.off), str(result.on))
        new = f"[{colour}]{len(result.findings)}[/]"
        table.add_row(result.python, result.tornado, *counts, new, f"{result.seconds:.0f}")
    console.out.print(table)
    for result in results:
        where = f"CPython {result.python}, Tornado {result.tornado}"
        for label, tests in [
            ("fails with the speedups off as well", result.failing_in_both),
            ("named exception", result.excused),
            ("passed only at the second try, alone", result.second_try),
        ]:
            for test in tests:
                console.note(f"{where}: {label}: {test}")
        for finding in result.findings:
            console.error(f"{where}: {finding}")


def verdict(result: Result) -> Verdict:
    """The result as the manifest has it."""
    checks = result.package.passed + result.on.passed
    why = f"the package's tests {result.package}; Tornado's {result.off} without the speedups, {result.on} with them"
    why += f"; {result.tornado_file}, sha256 {result.tornado_sha256}"
    return Verdict(result.wheel, result.how, "failed" if result.findings else "passed", checks, why, result.findings)


def built(folder: Path, progress: console.Progress) -> Path:
    """Build this machine's wheel of the package into a new folder; returns it. Raises WheelworksError."""
    progress.say("wheel", "building this machine's")
    folder.mkdir()
    wheel = host_wheel.build_host_wheel(Path(), folder)
    progress.done("wheel")
    return wheel


def _run(
    chosen: dict[Python, Path | None], versions: Sequence[str], exhaustive: bool, work: Path, progress: console.Progress
) -> list[Result]:
    results = []
    for python, wheel in chosen.items():
        for version in versions if wheel else ():
            name = f"CPython {python.label}, Tornado {version}"
            folder = work / f"{python.label}-{version}"
            folder.mkdir()
            assert wheel
            results.append(
                test_wheel(wheel, python, version, folder, partial(progress.say, name), exhaustive=exhaustive)
            )
            progress.done(name)
    return results


def _write(results: Sequence[Result], out: Path | None) -> None:
    if out is not None:
        text = json.dumps([result.record() for result in results], indent=2, sort_keys=True) + "\n"
        manifest.write(out, text.encode())
