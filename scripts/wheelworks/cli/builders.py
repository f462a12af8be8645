"""``builders``: how long each builder takes for a wheel, side by side on this machine."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

from wheelworks.build import builder, cibuildwheel, cibuildwheel_stages, context
from wheelworks.build.tasks import Failed, make_tasks
from wheelworks.cli import _help
from wheelworks.cli._output import work_folder
from wheelworks.core import console, targets
from wheelworks.core.targets import Target

EPILOG = """\
example:
  nox -s builders -- tornado-6.6.1.tar.gz --target manylinux_2_17_aarch64

Says how many times as long cibuildwheel takes for a wheel; for another CPU than this machine's, it builds under qemu.
Counted are the stages that make a wheel, with images, libcs and build environments at hand: of `cross` a whole set,
divided by its wheels; of cibuildwheel what it says of starting the container, building and repairing, without tests."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="nox -s builders --",
        description="Measure both builders on one sdist.",
        epilog=EPILOG,
        formatter_class=_help.Formatter,
    )
    made.add_argument("sdist", type=Path, metavar="SDIST", help="what both build")
    made.add_argument(
        "--target",
        default="manylinux_2_17_aarch64",
        metavar="ID",
        help="what cibuildwheel builds (default: %(default)s)",
    )
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit status. Raises WheelworksError."""
    options = parser().parse_args(argv)
    target = targets.find(options.target)
    with work_folder() as work, console.Progress() as progress:
        progress.say("cross", "building all wheels, twice: once to have everything at hand")
        count, seconds = _cross(options.sdist, work)
        progress.say("cibuildwheel", f"building one wheel for {target.id}")
        theirs = _cibuildwheel(options.sdist, target, work)
    for line in told(count, seconds, target.id, theirs):
        console.out.print(line, markup=False)
    return 0


def told(count: int, seconds: float, target: str, theirs: float) -> tuple[str, ...]:
    """What is said of ``count`` wheels by `cross` in so many seconds, and of theirs for one of a target."""
    ours = seconds / count
    return (
        f"cross: {count} wheels in {seconds:.1f} s, {ours:.2f} s a wheel",
        f"cibuildwheel: {theirs:.1f} s for one wheel, {target}",
        f"{theirs / ours:.0f} times as long",
    )


def _cross(sdist: Path, work: Path) -> tuple[int, float]:
    """How many wheels a set has, and the seconds that building it takes when everything else is at hand."""
    seconds = 0.0
    for attempt in ("first", "second"):
        place = work / attempt
        place.mkdir()
        (place / "out").mkdir()
        abis = targets.all_abis()
        shop = context.prepare_context(sdist, place, place / "out", {}, "", lambda text: None, abis)
        start = time.perf_counter()
        outcomes = builder.run_tasks(shop, make_tasks(targets.all_targets(), abis), lambda job: None, force=True)
        seconds = time.perf_counter() - start
        for failed in (outcome for outcome in outcomes if isinstance(outcome, Failed)):
            raise failed.error
    return len(outcomes), seconds


def _cibuildwheel(sdist: Path, target: Target, work: Path) -> float:
    place = work / "cibuildwheel"
    (place / "out").mkdir(parents=True)
    env = {**os.environ, "CIBW_TEST_COMMAND": "", "CIBW_AUDIT_COMMAND": ""}
    order = cibuildwheel.WheelRequest(sdist, [target], targets.all_abis()[:1], narrowed=True)
    return cibuildwheel_stages.building(
        cibuildwheel.run_cibuildwheel(order, place, place / "out", lambda text: None, env).output
    )
