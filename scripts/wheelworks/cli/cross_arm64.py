"""``cross-arm64``: the ARM64 wheels of a project, built here."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from wheelworks.build import context
from wheelworks.build.source import check_source
from wheelworks.build.tasks import make_tasks
from wheelworks.cli import _building, _help
from wheelworks.cli._output import work_folder, writable
from wheelworks.core import console, targets

EPILOG = """\
examples:
  nox -s cross-arm64                                      this project's wheels into dist/
  nox -s cross-arm64 -- tornado-6.6.1.tar.gz --out t      Tornado's, from its sdist
  nox -s cross-arm64 -- ../project --target win_arm64     one target of another project
  nox -s cross-arm64 -- . --env TORNADO_EXTENSION=1       with a variable for the project's build
  nox -s cross-arm64 -- --no-run                          build only

A wheel appears in DIR only when it is whole and verified; then its machine code is run, on an emulated CPU and, for
Linux where qemu is installed, under a real CPython. Exit status: 0, 1 (a build or a run failed), 2 (wrong use).
The environment of the build is the same everywhere: CC, CFLAGS and the like don't reach it; --env does."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="nox -s cross-arm64 --",
        description="Build a project's ARM64 wheels, for Windows, macOS and Linux, and run them, on this machine.",
        epilog=EPILOG,
        formatter_class=_help.Formatter,
    )
    _building.add_options(made)
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit status. Raises WheelworksError."""
    start = time.perf_counter()
    options = parser().parse_args(argv)
    chosen = targets.select(options.target) if options.target else targets.with_cpu("aarch64")
    extra = context.parse_variables(options.env)
    source = Path(options.source)
    check_source(source)
    out = writable(Path(options.out))
    with work_folder() as work, console.Progress() as progress:
        shop = context.prepare_context(
            source, work, out, extra, options.python, lambda text: progress.say("source", text)
        )
        progress.done("source")
        wanted = make_tasks(chosen, [targets.floor()])
        outcomes = _building.build(shop, wanted, progress, force=True)
        if options.verbose:
            _building.explain(shop, wanted)
    there = _building.conclude(shop, outcomes, time.perf_counter() - start)
    status = 0 if len(there) == len(outcomes) else 1
    return status if options.no_run or not there else max(status, _building.run(shop, there))
