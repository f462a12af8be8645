"""The options for a project's own tests, which `test-foreign` and `test-native` share."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from wheelworks.cli import _page, _results, _running
from wheelworks.cli._command import create_work_folder, repeat_options
from wheelworks.core import console, interpreters, summary
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.interpreters import Python
from wheelworks.core.source_tree import check_source
from wheelworks.core.verdict import Verdict
from wheelworks.testing.project import ProjectOptions
from wheelworks.testing.project_native import run_natively

OPTIONS = ("source", "test_command", "test_requires", "time_limit")
SOURCE_HINT = "the tests are in the project's source: --source SDIST, or --source DIR"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command's parser."""
    add = parser.add_argument
    add("--source", type=Path, metavar="SDIST|DIR", help="the project whose tests are run: an sdist or a folder")
    add(
        "--test-command",
        default="",
        metavar="COMMAND",
        help="the tests' command, with {project} (default: that of [tool.cibuildwheel], else pytest on tests/)",
    )
    add(
        "--test-requires",
        action="append",
        default=[],
        metavar="WORDS",
        help="what the tests need, such as 'pytest>=8 hypothesis', in place of what the project says; repeatable",
    )
    add(
        "--time-limit",
        type=parse_seconds,
        metavar="SECONDS",
        help="the longest that a run of tests under a real CPython may take (default: up to 1800, more where it starts"
        " slowly); a test that takes half of it without an end counts as a hang",
    )


def parse_seconds(text: str) -> float:
    """Return a positive number of seconds. Raises argparse.ArgumentTypeError, which argparse reports."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return seconds


def read_options(options: argparse.Namespace) -> ProjectOptions | None:
    """Return the parsed options; None without ``--source``. Raises UsageError for a source that isn't one."""
    if options.source is None:
        if options.test_command or options.test_requires:
            raise UsageError("--test-command and --test-requires are for a project's own tests", SOURCE_HINT)
        return None
    check_source(options.source)
    try:
        words = [word for text in options.test_requires for word in shlex.split(text)]
    except ValueError as error:
        raise UsageError(f"--test-requires: {error}") from error
    return ProjectOptions(options.source, options.test_command, tuple(words))


def test_natively(wheels: Sequence[Path], project: ProjectOptions, options: argparse.Namespace) -> int:
    """Run a project's tests on the wheel that each CPython here takes; return the exit status.

    ``options`` are those of `test-native`, and ``project`` what `read_options` has read of them.
    Raises UsageError for no wheels and files that aren't wheels, WheelworksError for damaged ones.
    """
    if not wheels:
        raise UsageError("--source, but no wheel to test", "name wheels of that project, for this machine")
    _running.check_options(wheels, _running.Options("cpython"))
    start, hashes = time.perf_counter(), _page.hash_wheels(wheels)
    with create_work_folder() as work:
        found, _ = interpreters.find_pythons(options.python)
        chosen = {python: interpreters.choose_wheel(wheels, python) for python in found}
        fitting = {python: wheel for python, wheel in chosen.items() if wheel}
        verdicts = _run_all(fitting, project, work, options.time_limit)
    if not verdicts:
        raise WheelworksError("no CPython here takes one of the wheels", "name wheels for this machine")
    _page.record_runs(hashes, verdicts)
    untested = _running.report_untested(chosen, wheels, asked=bool(options.python))
    status = max(untested, _running.exit_status(wheels, verdicts))
    repeated = repeat_options(options, ("python", *OPTIONS))
    result = _results.summarize_runs("test-native", wheels, verdicts, status, time.perf_counter() - start, repeated)
    return summary.finish(result, options.json)


def _run_all(
    chosen: Mapping[Python, Path], project: ProjectOptions, work: Path, time_limit: float | None
) -> list[Verdict]:
    """Run a project's tests on the wheel of each CPython."""
    verdicts: list[Verdict] = []
    with console.Progress() as progress:
        for python, wheel in chosen.items():
            name, folder = f"CPython {python.label}", work / python.label
            folder.mkdir()
            verdicts.append(run_natively(wheel, python, project, folder, partial(progress.update, name), time_limit))
            progress.finish(name)
    return verdicts
