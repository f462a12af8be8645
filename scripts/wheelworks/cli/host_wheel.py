"""``host-wheel``: build this machine's own wheel of a project, for the tests that run natively."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from wheelworks.build.builder import Failed, run_tasks
from wheelworks.build.context import prepare_context
from wheelworks.build.plan import make_tasks
from wheelworks.cli._command import create_parser, create_work_folder, ensure_writable
from wheelworks.core import console, process, targets
from wheelworks.core.errors import WheelworksError


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    made = create_parser("python -m wheelworks host-wheel", __doc__ or "", "")
    add = made.add_argument
    add("source", nargs="?", default=".", metavar="SOURCE", help="a project's folder or sdist (default: .)")
    add("--out", required=True, metavar="DIR", help="folder for the wheel")
    return made


def main(argv: Sequence[str]) -> int:
    """Build the wheel, by the cross-builder if the table has this machine, else by its own compiler; print its path."""
    options = parser().parse_args(argv)
    print(build_host_wheel(Path(options.source), ensure_writable(Path(options.out))))  # noqa: T201
    return 0


def build_host_wheel(source: Path, out: Path) -> Path:
    """Build this machine's wheel of a project into a folder; return its path. Raises WheelworksError."""
    target = targets.find_host_target()
    return _build_cross(source, out, target) if target else _build_natively(str(source), out)


def _build_cross(source: Path, out: Path, target: targets.Target) -> Path:
    with create_work_folder() as work:
        context = prepare_context(source, work, out, lambda text: console.err.print(text, markup=False))
        result = run_tasks(context, make_tasks([target], [targets.get_build_abi()]), lambda _: None)[0]
    if isinstance(result, Failed):
        raise result.error
    return result.file


def _build_natively(source: str, out: Path) -> Path:
    with tempfile.TemporaryDirectory(dir=out) as fresh:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", fresh, source]
        env = {**os.environ, "TORNADO_SPEEDUPS_EXTENSION": "1"}
        if process.run(command, env=env, inherit_output=True).status:
            raise WheelworksError(f"{source}: pip can't build it with this machine's compiler")
        [wheel] = Path(fresh).glob("*.whl")
        return wheel.replace(out / wheel.name)
