"""``host-wheel``: this machine's own wheel of a project, for the tests that run natively."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from wheelworks.build import builder, context
from wheelworks.build.tasks import Failed, make_tasks
from wheelworks.cli._output import work_folder, writable
from wheelworks.core import console, process, targets
from wheelworks.core.errors import WheelworksError
from wheelworks.core.targets import Target


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(prog="python -m wheelworks host-wheel", description=__doc__)
    made.add_argument(
        "source", nargs="?", default=".", metavar="SOURCE", help="a project's folder or sdist (default: .)"
    )
    made.add_argument("--out", required=True, metavar="DIR", help="where the wheel goes")
    return made


def main(argv: Sequence[str]) -> int:
    """Build the wheel, cross where the table knows this machine, else by its own compiler; print its path."""
    options = parser().parse_args(argv)
    print(build(Path(options.source), writable(Path(options.out))))  # noqa: T201
    return 0


def build(source: Path, out: Path) -> Path:
    """Build this machine's wheel of a project into a folder; returns the wheel. Raises WheelworksError."""
    target = targets.host()
    return _cross(source, out, target) if target else _native(str(source), out)


def _cross(source: Path, out: Path, target: Target) -> Path:
    with work_folder() as work:
        shop = context.prepare_context(source, work, out, {}, "", lambda text: console.err.print(text, markup=False))
        outcome = builder.run_tasks(shop, make_tasks([target], [targets.floor()]), lambda _: None)[0]
    if isinstance(outcome, Failed):
        raise outcome.error
    return outcome.file


def _native(source: str, out: Path) -> Path:
    with tempfile.TemporaryDirectory(dir=out) as fresh:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", fresh, source]
        env = {**os.environ, "TORNADO_SPEEDUPS_EXTENSION": "1"}
        if process.run(command, env=env, inherit_output=True).status:
            raise WheelworksError(f"{source}: pip can't build it with this machine's compiler")
        [wheel] = Path(fresh).glob("*.whl")
        return wheel.replace(out / wheel.name)
