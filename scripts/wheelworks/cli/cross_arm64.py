"""``cross-arm64``: build the ARM64 wheels of a project on this machine, and run them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from wheelworks.build.plan import plan_tasks
from wheelworks.cli import _building
from wheelworks.cli._command import create_parser
from wheelworks.core import targets
from wheelworks.core.source_tree import check_source

EPILOG = """\
examples:
  nox -s cross-arm64                                      this project's wheels into dist/
  nox -s cross-arm64 -- tornado-6.6.1.tar.gz --out t      Tornado's, from its sdist
  nox -s cross-arm64 -- ../project --target win_arm64     one target of another project
  nox -s cross-arm64 -- ../project --abi cp312            for CPython 3.12
  nox -s cross-arm64 -- . --env TORNADO_EXTENSION=1       with a variable for the project's build
  nox -s cross-arm64 -- --tests package                   run all of this package's tests on the machine code
  nox -s cross-arm64 -- --no-run                          build only
  nox -s cross-arm64 -- ../project --target win_arm64 --prefix win_arm64=DIR
      with libraries that you built for that target: DIR/include, DIR/lib/lib*.a

Without --abi the wheels are for one Python: the oldest that the project supports, but not below the one that runs the
build. A wheel is written to DIR only when it is complete and verified. Then its modules are imported and called on an
emulated CPU, which checks every memory access, and under a real CPython if that is ready to start, or if the emulated
CPU can't run the wheel. `--tests package` runs all of this package's tests instead: minutes under qemu. The build
environment is the same everywhere: variables such as CC and CFLAGS don't reach it; those of --env and of the project's
[tool.cibuildwheel] do.

Exit status: 0, 1 (a build or a run failed), 2 (wrong use)."""


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    purpose = "Build a project's ARM64 wheels, for Windows, macOS and Linux, and run them, on this machine."
    made = create_parser("nox -s cross-arm64 --", purpose, EPILOG)
    _building.add_options(made)
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; return its exit status. Raises WheelworksError."""
    options = parser().parse_args(argv)
    if options.show_compiler:
        return _building.show_compiler(options.show_compiler)
    wish = _building.make_wish(options, targets.filter_targets_by_cpu("aarch64"), one_abi=True)
    check_source(Path(options.source))
    return _building.build_source("cross-arm64", options, lambda tree: plan_tasks(tree, wish), force=True)
