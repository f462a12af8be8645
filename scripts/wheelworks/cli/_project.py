"""The options for a project's own tests, which `test-foreign` and `test-native` share."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from wheelworks.cli import _page, _running
from wheelworks.cli._command import create_work_folder
from wheelworks.core import console, interpreters
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.source_tree import check_source
from wheelworks.core.verdict import Verdict
from wheelworks.testing.project import ProjectOptions
from wheelworks.testing.project_native import run_natively

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


def test_natively(wheels: Sequence[Path], pythons: Sequence[str], project: ProjectOptions) -> int:
    """Run a project's tests on the wheel that each CPython here takes; return the exit status.

    Raises UsageError for files that aren't wheels, WheelworksError for damaged ones.
    """
    _running.check_options(wheels, _running.Options("cpython"))
    found, _ = interpreters.find_pythons(pythons)
    chosen = {python: interpreters.choose_wheel(wheels, python) for python in found}
    verdicts: list[Verdict] = []
    with create_work_folder() as work, console.Progress() as progress:
        for python, wheel in chosen.items():
            if wheel:
                name, folder = f"CPython {python.label}", work / python.label
                folder.mkdir()
                verdicts.append(run_natively(wheel, python, project, folder, partial(progress.update, name)))
                progress.finish(name)
    if not verdicts:
        raise WheelworksError("no CPython here takes one of the wheels", "name wheels for this machine")
    _page.record_runs(wheels, verdicts)
    _running.show_verdicts(verdicts)
    return _running.exit_status(wheels, verdicts)
