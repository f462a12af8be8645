"""``bench --compare REV`` and ``bench --icount``: what has become slower, in time or in instructions."""

from __future__ import annotations

import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from wheelworks.bench import icount, measurements, server_suites
from wheelworks.bench.icount import Change, WheelCounts
from wheelworks.cli import _page, host_wheel
from wheelworks.cli._command import create_work_folder
from wheelworks.core import console, git, process
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.files import write_file
from wheelworks.core.wheel import parse_wheel_name, read_members

SUITES = ("frames", "headers", "mask")  # they take seconds; the servers take minutes, and can be named
ROUNDS = 9
SCRIPTS = Path(__file__).parents[2]
# Smaller differences don't count: the same code, compared with itself on a busy machine, has differed by 5 %.
MIN_CHANGE = 0.10
# pyperf's test allows one false alarm in 20 cases. A t-score of 5 for two times nine figures has a probability of
# 0.00013, which is one false alarm in 190 comparisons of 40 cases.
MIN_T_SCORE = 5.0

Figures = dict[tuple[str, str], list[float]]


@dataclass(frozen=True)
class Difference:
    """One case in both revisions: the medians, and the t-score of the difference."""

    case: str
    unit: str
    before: float
    after: float
    t_score: float

    @property
    def ratio(self) -> float:
        """How many times as long the case takes now."""
        return self.after / self.before

    @property
    def significant(self) -> bool:
        """Whether the difference is large enough to matter, and too unlikely to be noise."""
        return abs(self.ratio - 1) > MIN_CHANGE and abs(self.t_score) >= MIN_T_SCORE


def run_compare(revision: str, suites: Sequence[str]) -> int:
    """Measure a revision and the working tree in turns, and show the differences.

    Suites that measure what the revision doesn't have yet are left out, with a note. Returns 1 for a significant loss,
    otherwise 0. Raises WheelworksError if one of them can't be built or measured.
    """
    commit = resolve_revision(revision)
    with create_work_folder() as work, console.Progress() as progress:
        progress.update("compare", f"building {commit[:12]} and the working tree")
        old = _install_wheel(git.clone(Path(), work / "source", commit), work / "old")
        new = _install_wheel(Path(), work / "new")
        figures = work / "figures.json"
        known = find_known_suites(old, suites or SUITES, figures, revision)
        before: Figures = defaultdict(list)
        after: Figures = defaultdict(list)
        for number in range(ROUNDS):
            progress.update("compare", f"round {number + 1} of {ROUNDS}")
            for site, into in [(old, before), (new, after)][:: 1 if number % 2 else -1]:
                _measure(site, known, figures, into)
    return show_differences(find_differences(before, after), revision)


def resolve_revision(revision: str) -> str:
    """Return the commit of a revision. Raises UsageError for an unknown one."""
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    found = git.run_git(Path(), *words)
    if found.status:
        raise UsageError(f"--compare {revision}: git knows no such commit here", "name a branch, tag or commit")
    return found.output.strip()


def _install_wheel(source: Path, folder: Path) -> Path:
    """Build this machine's wheel of a source, and return a folder for PYTHONPATH with its files."""
    folder.mkdir()
    wheel = host_wheel.build_host_wheel(source, folder)
    for name, member in read_members(wheel).items():
        place = folder / "site" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(member.data)
    return folder / "site"


def find_known_suites(site: Path, suites: Sequence[str], figures: Path, revision: str) -> list[str]:
    """Return the suites that a revision can run, and say which it can't. Raises WheelworksError if there are none."""
    faults = {}
    for suite in suites:
        try:
            _measure(site, [suite], figures, defaultdict(list))
        except WheelworksError as error:
            faults[suite] = str(error)
    known = [suite for suite in suites if suite not in faults]
    if not known:
        raise WheelworksError(next(iter(faults.values())))
    for suite, fault in faults.items():
        console.print_note(f"{suite} is left out: {revision} can't be measured: {_find_error(fault)}")
    return known


def _find_error(output: str) -> str:
    """Return the message of a command that failed, without its hint; of a traceback, the last line."""
    lines = output.splitlines()
    return next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), lines[-1])


def _measure(site: Path, suites: Sequence[str], file: Path, into: Figures) -> None:
    """Add the best round of each case."""
    words = ("bench", *suites, "--quick", "--only", "speedups", "--out", str(file))
    # Both run with environments of the same length, and with allocations that don't depend on earlier ones. Otherwise
    # large cases of the same code differ by a third, and significantly.
    path = [str(SCRIPTS), str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, **server_suites.PINNED_MALLOC, "PYTHONPATH": os.pathsep.join(path)}
    ended = process.run([sys.executable, "-m", "wheelworks", *words], env=env, timeout=900)
    if ended.status:
        which = {"old": "the revision", "new": "the working tree"}[site.parent.name]
        raise WheelworksError(f"{which} can't be measured:\n{ended.output[-1500:]}")
    for suite, found in measurements.load_results(file).items():
        for one in found:
            into[f"{suite}: {one.case}, {one.subject}", one.unit].append(min(one.rounds))


def find_differences(
    before: Mapping[tuple[str, str], Sequence[float]], after: Mapping[tuple[str, str], Sequence[float]]
) -> list[Difference]:
    """Return the difference of every case that both have. A case's key is its name and unit."""
    return [
        Difference(*key, statistics.median(old), statistics.median(after[key]), compute_t_score(old, after[key]))
        for key, old in before.items()
        if key in after
    ]


def compute_t_score(before: Sequence[float], after: Sequence[float]) -> float:
    """Return the score of pyperf's significance test, Student's t-test of two samples."""
    from pyperf._utils import is_significant  # what `pyperf compare_to` calls; there is no public name

    try:
        return float(is_significant(before, after)[1])
    except ZeroDivisionError:  # neither sample varies
        return 0.0 if before[0] == after[0] else float("inf")


def show_differences(found: Sequence[Difference], revision: str) -> int:
    """Show every case. Returns 1 if one has become significantly slower, otherwise 0."""
    table = console.create_table("", "case", revision, "now", "times", "t-score")
    for one in found:
        colour = ("[red]" if one.ratio > 1 else "[green]") if one.significant else "[default]"
        cells = (f"{one.before:,.0f} {one.unit}", f"{one.after:,.0f} {one.unit}", f"{colour}{one.ratio:.2f}[/]")
        table.add_row(one.case, *cells, f"{abs(one.t_score):.1f}")
    console.out.print(table)
    significant = [one for one in found if one.significant]
    for one in significant:
        show = console.print_error if one.ratio > 1 else console.print_note
        show(f"{one.case}: {one.ratio:.2f} times {revision}'s {one.before:,.0f} {one.unit}")
    if not significant:
        console.out.print("no significant difference")
    return int(any(one.ratio > 1 for one in significant))


def run_icount(folder: Path, *, update_baseline: bool) -> int:
    """Count the instructions of a folder's wheels, show them, write FOLDER/bench/icount.json, compare the baseline.

    Returns 1 if a count is above the baseline's, otherwise 0. Raises WheelworksError for a wheel whose code is wrong.
    """
    wheels = _find_wheels(folder)
    with console.Progress() as progress, ProcessPoolExecutor(process.count_cores()) as pool:
        progress.update("icount", f"counting the instructions of {len(wheels)} wheels")
        found = list(pool.map(icount.count_wheel, wheels))
    counts = icount.format_counts(found).encode()
    place = folder / _page.FOLDER
    place.mkdir(exist_ok=True)
    write_file(place / _page.ICOUNT, counts)
    _page.refresh_page(folder)
    _show_counts(found)
    if update_baseline:
        write_file(icount.BASELINE, counts)
        console.print_note(f"the baseline was updated: {len(found)} wheels")
        return 0
    return show_changes(list(icount.compare_counts(found, icount.load_counts())))


def show_changes(changes: Sequence[Change]) -> int:
    """Show every change. Returns 1 if one is a regression, otherwise 0."""
    for change in changes:
        (console.print_error if change.regression else console.print_note)(change.text)
    if changes:
        console.print_note("to accept the changes: nox -s bench -- --icount --update-baseline")
    return int(any(change.regression for change in changes))


def _find_wheels(folder: Path) -> list[Path]:
    wheels = sorted(folder.glob("tornado_speedups-*.whl"))
    found = [path for path in wheels if parse_wheel_name(path.name).platforms != {"any"}]
    if not found:
        raise UsageError(f"{folder}: there is no wheel of this package with C in it", "nox -s build-wheels")
    return found


def _show_counts(found: Sequence[WheelCounts]) -> None:
    """Show the costs of a byte and of a call, of the most expensive wheel for each CPU."""
    costs = (("byte", icount.cost_per_byte, ".2f"), ("call, without its bytes", icount.cost_per_call, ",.0f"))
    for title, cost, form in costs:
        cpus = sorted({one.cpu for one in found if one.counts})
        table = console.create_table(f"instructions per {title}, at most", "", *cpus)
        for name in icount.CALLS:
            highest = (max(cost(one.counts[name]) for one in found if one.cpu == cpu) for cpu in cpus)
            table.add_row(name, *(format(number, form) for number in highest))
        console.out.print(table)
    for one in found:
        if one.reason:
            console.print_note(f"{one.tags}: not counted: {one.reason}")
