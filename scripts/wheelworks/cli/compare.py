"""Run the ``compare`` command: find what differs between two sets of wheels of one project."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from wheelworks.cli._command import create_parser
from wheelworks.compare.behaviour import compare_behaviour
from wheelworks.compare.contents import compare_sets
from wheelworks.compare.pairs import Skipped, WheelDifference, WheelPair
from wheelworks.core import console, index, process, summary
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.wheel import parse_wheel_name

SHOWN = 6  # remarks on what could not be compared
EPILOG = """\
examples:
  nox -s compare -- dist wheelhouse                two folders of wheels
  nox -s compare -- dist wheelhouse --subset       the second may be one machine's share of them
  nox -s compare -- dist tornado==6.6.1            all wheels of that release in the package index
  nox -s compare -- a.whl b.whl --no-run           two wheels, without running their code

Compares what users of the wheels can notice: where they install, their files and metadata, and the binaries' exports.
On an emulated CPU, it compares the modules' attributes, the results of calls of each function, and the results of this
package's own tests. What only identifies the builder (hashes, its name, sections of its compiler) is no difference.
Exit status: 0 (the same), 1 (something differs), 2 (wrong use)."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's options."""
    purpose = "Compare two sets of wheels of one project, made by any builders."
    made = create_parser("nox -s compare --", purpose, EPILOG)
    what = "a folder of wheels, a wheel, or a release in the package index such as tornado==6.6.1"
    made.add_argument("a", metavar="A", help=what)
    made.add_argument("b", metavar="B", help="the same, to be compared with A")
    made.add_argument("--subset", action="store_true", help="B may lack wheels that A has")
    made.add_argument("--no-run", action="store_true", help="compare the files only")
    made.add_argument("--verbose", action="store_true", help="print all differences in full")
    summary.add_json_option(made)
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit status. Raises WheelworksError."""
    options = parser().parse_args(argv)
    start = time.perf_counter()
    with console.Progress() as progress:
        sets = [_find_wheels(word, progress) for word in (options.a, options.b)]
        progress.update("files", "comparing")
        pairs, found = compare_sets(*sets, subset=options.subset)
        skipped: list[Skipped] = []
        calls = 0
        if not options.no_run:
            progress.update("behaviour", f"running {len(pairs)} pairs on emulated CPUs")
            more, skipped, calls = _compare_runs(pairs)
            found += [*more, *_compare_tests(pairs)]
    result = summarize(pairs, calls, found, skipped, time.perf_counter() - start)
    return summary.finish(result, options.json, everything=options.verbose)


def _find_wheels(word: str, progress: console.Progress) -> list[Path]:
    path = Path(word)
    if path.is_dir():
        found = sorted(path.glob("*.whl"))
        if not found:
            raise UsageError(f"{word}: no wheels in this folder", "name the folder that a build wrote to")
        return found
    if path.is_file():
        try:
            parse_wheel_name(path.name)
        except WheelworksError as error:
            raise UsageError(error.message, "name a wheel, a folder of wheels, or a release") from error
        return [path]
    if not index.is_release(word):
        raise UsageError(f"{word}: no such file or folder", "or a release, such as tornado==6.6.1")
    return index.fetch_wheels(word, lambda text: progress.update(word, text))


def _compare_runs(pairs: Sequence[WheelPair]) -> tuple[list[WheelDifference], list[Skipped], int]:
    """Observe each wheel on an emulated CPU, on all cores, and compare the observations of each pair."""
    from wheelworks.emulator.observe import observe_behaviour  # the emulator takes a second to import

    seen = cache(observe_behaviour)
    found: list[WheelDifference] = []
    skipped: list[Skipped] = []
    calls = 0
    with ThreadPoolExecutor(process.count_cores()) as pool:
        list(pool.map(seen, {wheel.path for one in pairs for wheel in (one.a, one.b)}))
    for one in pairs:
        differences, left, made = compare_behaviour(one, seen(one.a.path), seen(one.b.path))
        found, skipped, calls = [*found, *differences], [*skipped, *left], calls + made
    return found, skipped, calls


def _compare_tests(pairs: Sequence[WheelPair]) -> list[WheelDifference]:
    """Run this package's own tests on both wheels of each pair: both must pass, and the same number of checks."""
    from wheelworks.emulator.wheel_tests import is_own_package, run_package_tests

    wheels = {wheel.path for one in pairs for wheel in (one.a, one.b) if is_own_package(wheel.path)}
    verdicts = dict(zip(wheels, run_package_tests(list(wheels)), strict=True)) if wheels else {}
    found = []
    for one in pairs:
        if one.a.path not in verdicts or one.b.path not in verdicts:
            continue
        first, second = verdicts[one.a.path], verdicts[one.b.path]
        if (first.outcome, first.checks) != (second.outcome, second.checks) or first.outcome == "failed":
            ends = [f"{v.wheel} {v.outcome}, {v.checks} checks {'; '.join(v.findings)}" for v in (first, second)]
            found.append(WheelDifference("tests", str(one), ", against ".join(ends)))
    return found


def summarize(
    pairs: Sequence[WheelPair],
    calls: int,
    found: Sequence[WheelDifference],
    skipped: Sequence[Skipped],
    seconds: float,
) -> summary.Summary:
    """Return the result as a summary: a cell for each pair of wheels."""
    bad = {one.about for one in found}
    same, different = summary.Cell("same"), summary.Cell("DIFFERENT", "failed")
    return summary.Summary(
        "compare",
        int(bool(found)),
        seconds,
        {"pairs": len(pairs), "calls": calls, "differences": len(found), "not_compared": len(skipped)},
        cells={one.a.path.name: different if str(one) in bad else same for one in pairs},
        failures=[summary.Failure(f"{one.code}: {one.about}", one.text) for one in found],
        notes={f"not compared: {one}": () for one in skipped[:SHOWN]},
        zeros=True,
        details=[{"not_compared": one.about, "why": one.why} for one in skipped],
    )
