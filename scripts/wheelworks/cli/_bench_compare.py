"""``bench --compare REV``: a revision of this project against the working tree, by the working tree's benchmarks."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from wheelworks.bench import results, serving, significance
from wheelworks.bench.significance import Difference
from wheelworks.cli import host_wheel
from wheelworks.cli._output import work_folder
from wheelworks.core import console, git, process
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.wheel import read_members

SUITES = ("frames", "headers", "mask")  # what takes seconds; the servers take minutes, and can be named
ROUNDS = 9
SCRIPTS = Path(__file__).parents[2]

Figures = dict[tuple[str, str], list[float]]


def run(revision: str, suites: Sequence[str]) -> int:
    """Measure both in fresh processes, alternately, and show what differs; 1 for a significant loss."""
    commit = resolve(revision)
    with work_folder() as work, console.Progress() as progress:
        progress.say("compare", f"building {commit[:12]} and the working tree")
        before, after = (
            _installed(git.clone(Path(), work / "source", commit), work / "old"),
            _installed(Path(), work / "new"),
        )
        figures: tuple[Figures, Figures] = defaultdict(list), defaultdict(list)
        for number in range(ROUNDS):
            progress.say("compare", f"round {number + 1} of {ROUNDS}")
            for place, into in [(before, figures[0]), (after, figures[1])][:: 1 if number % 2 else -1]:
                _measure(place, suites or SUITES, work / "figures.json", into)
    return conclude(significance.differences(*figures), revision)


def resolve(revision: str) -> str:
    """The commit that a revision means. Raises UsageError for an unknown one."""
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    found = git.git(Path(), *words)
    if found.returncode:
        raise UsageError(f"--compare {revision}: git knows no such commit here", "name a branch, tag or commit")
    return found.stdout.decode().strip()


def _installed(source: Path, folder: Path) -> Path:
    """A folder for PYTHONPATH with this machine's wheel of a source in it."""
    folder.mkdir()
    wheel = host_wheel.build(source, folder)
    for name, member in read_members(wheel).items():
        place = folder / "site" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(member.data)
    return folder / "site"


def _measure(site: Path, suites: Sequence[str], file: Path, into: Figures) -> None:
    """Add the figures of one run, each case's best of its rounds. Raises WheelworksError with what the run said."""
    words = ("bench", *suites, "--quick", "--only", "speedups", "--out", str(file))
    # Both in surroundings of the same length, and with memory that depends on no earlier request: else large cases
    # of the very same code differ by a third, and significantly.
    path = [str(SCRIPTS), str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, **serving.PINNED_MALLOC, "PYTHONPATH": os.pathsep.join(path)}
    ended = process.run([sys.executable, "-m", "wheelworks", *words], env=env, timeout=900)
    if ended.status:
        which = {"old": "the revision", "new": "the working tree"}[site.parent.name]
        raise WheelworksError(f"{which} can't be measured:\n{ended.output[-1500:]}")
    for suite, found in results.load(file).items():
        for one in found:
            into[f"{suite}: {one.case}, {one.subject}", one.unit].append(min(one.rounds))


def conclude(found: Sequence[Difference], revision: str) -> int:
    """Show every case; 1 if one has become significantly slower."""
    marked = significance.significant(found)
    table = console.table("", "case", revision, "now", "times", "chance")
    for one in found:
        colour = ("[red]" if one.ratio > 1 else "[green]") if one in marked else "[default]"
        shown = f"{colour}{one.ratio:.2f}[/]"
        table.add_row(
            one.case, f"{one.before:,.0f} {one.unit}", f"{one.after:,.0f} {one.unit}", shown, f"{one.chance:.4f}"
        )
    console.out.print(table)
    for one in marked:
        tell = console.error if one.ratio > 1 else console.note
        tell(f"{one.case}: {one.ratio:.2f} times {revision}'s {one.before:,.0f} {one.unit}")
    if not marked:
        console.out.print("no significant difference")
    return int(any(one.ratio > 1 for one in marked))
