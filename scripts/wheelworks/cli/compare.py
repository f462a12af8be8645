"""``compare``: whether two sets of wheels, of one project and two builders, are the same to their users."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from wheelworks.cli import _help
from wheelworks.compare.behaviour import compare_behaviour
from wheelworks.compare.differences import Difference, Unproven
from wheelworks.compare.pairs import Pair
from wheelworks.compare.sets import compare_sets
from wheelworks.core import console, index, process
from wheelworks.core.errors import UsageError

EPILOG = """\
examples:
  nox -s compare -- dist wheelhouse                two folders of wheels
  nox -s compare -- dist wheelhouse --part         the second may be one machine's share of them
  nox -s compare -- dist tornado==6.6.1            all wheels of that release in the package index
  nox -s compare -- a.whl b.whl --no-run           two wheels, without running their code

Compared is what a user of the wheels meets: where they install, their files and metadata, the binaries' exports, and,
on an emulated CPU, what modules hold and what calls of each function give, and this package's own tests. A builder's
own marks (hashes, its name, sections of its compiler) are no differences.
Exit status: 0 (the same), 1 (something differs), 2 (wrong use)."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="nox -s compare --",
        description="Compare two sets of wheels of one project, whoever built them.",
        epilog=EPILOG,
        formatter_class=_help.Formatter,
    )
    what = "a folder of wheels, a wheel, or a release in the package index such as tornado==6.6.1"
    made.add_argument("a", metavar="A", help=what)
    made.add_argument("b", metavar="B", help="the same, to be held against it")
    made.add_argument("--part", action="store_true", help="B may lack wheels that A has")
    made.add_argument("--no-run", action="store_true", help="compare the files only")
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit status. Raises WheelworksError."""
    options = parser().parse_args(argv)
    with console.Progress() as progress:
        sets = [_wheels(word, progress) for word in (options.a, options.b)]
        progress.say("files", "comparing")
        pairs, found = compare_sets(*sets, part=options.part)
        unproven: list[Unproven] = []
        calls = 0
        if not options.no_run:
            progress.say("behaviour", f"running {len(pairs)} pairs on emulated CPUs")
            more, unproven, calls = _run(pairs)
            found += [*more, *_tests(pairs)]
    _tell(len(pairs), calls, found, unproven)
    return int(bool(found))


def _wheels(word: str, progress: console.Progress) -> list[Path]:
    """The wheels that a word names. Raises UsageError where there are none."""
    path = Path(word)
    if path.is_dir():
        found = sorted(path.glob("*.whl"))
        if not found:
            raise UsageError(f"{word}: no wheels in this folder", "name the folder that a build wrote to")
        return found
    if path.is_file():
        return [path]
    if not index.is_release(word):
        raise UsageError(f"{word}: no such file or folder", "or a release, such as tornado==6.6.1")
    return index.fetch_wheels(word, lambda text: progress.say(word, text))


def _run(pairs: Sequence[Pair]) -> tuple[list[Difference], list[Unproven], int]:
    """Note what each wheel does on all cores, and hold the notes of each pair against each other."""
    from wheelworks.emulator.observe import observe_behaviour  # the emulator takes a second to import

    seen = cache(observe_behaviour)
    found: list[Difference] = []
    unproven: list[Unproven] = []
    calls = 0
    with ThreadPoolExecutor(process.cores()) as pool:
        list(pool.map(seen, {wheel.path for one in pairs for wheel in (one.a, one.b)}))
    for one in pairs:
        differences, left, made = compare_behaviour(one, seen(one.a.path), seen(one.b.path))
        found, unproven, calls = [*found, *differences], [*unproven, *left], calls + made
    return found, unproven, calls


def _tests(pairs: Sequence[Pair]) -> list[Difference]:
    """This package's own tests on both wheels of each pair: each must pass as many of them as the other."""
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
            found.append(Difference("tests", str(one), ", against ".join(ends)))
    return found


def _tell(pairs: int, calls: int, found: Sequence[Difference], unproven: Sequence[Unproven]) -> None:
    for one in unproven:
        console.note(f"not compared: {one}")
    for difference in found:
        console.error(str(difference))
    ending = f"{len(found)} differences" if found else "no difference"
    console.out.print(f"{pairs} pairs of wheels, {calls} calls of their functions: {ending}")
