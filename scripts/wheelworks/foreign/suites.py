"""What can be run of a wheel in a root, and what the outcome says of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wheelworks.core.verdict import Verdict
from wheelworks.foreign.isolation import Place, Way
from wheelworks.foreign.site_packages import Site
from wheelworks.foreign.workers import Program, run_guests
from wheelworks.testing import known_failures, outcomes
from wheelworks.testing.outcomes import GUEST_PACKAGE, Outcomes, Piece, Progress
from wheelworks.testing.results import Told

SHOWN = 10  # of a list of tests that share a finding
DETAIL = 1500  # characters


@dataclass(frozen=True)
class Run:
    """One run: where, by which way, with what, on how many cores, and for how long (s) at most."""

    place: Place
    way: Way
    site: Site
    work: Path
    jobs: int
    limit: float
    progress: Progress

    def run(self, pieces: Sequence[Piece]) -> Told:
        """Run guest programs in the root at the same time, each in a work folder of its own."""
        return run_guests([self._program(piece) for piece in pieces], self.limit, self.progress)

    def _program(self, piece: Piece) -> Program:
        folder = self.work / piece.work
        folder.mkdir()
        events = self.way.path_of("/job/events", self.site.folder, folder)
        words = ["-m", f"{GUEST_PACKAGE}.{piece.program}", events, *piece.arguments, *self.site.modules]
        command = self.way.command(self.place, self.site.folder, folder, words)
        return Program(command, self.way.environment(self.place, self.site.folder), folder)


def run_smoke(run: Run) -> Outcomes:
    """Import the extension modules and check what can be checked of any."""
    return Outcomes(run.run([Piece("smoke", "smoke")]))


def run_package(run: Run) -> Outcomes:
    """Run the project's own tests."""
    return outcomes.run_package(run, run.way.path_of(f"/site/{run.site.tests}", run.site.folder, run.work))


def run_tornado(run: Run) -> Outcomes:
    """Run Tornado's suite, with the package's ``install()`` called before, unless the wheel is Tornado itself."""
    install = "" if run.site.package == "tornado" else run.site.package
    return outcomes.run_tornado(run, install, known_failures.needing_children() if run.way.limits else {})


def judge(verdict: Verdict, seen: Outcomes, modules: Sequence[str]) -> Verdict:
    """The verdict with its outcome, count of checks, reasons and findings; it fails closed."""
    told = seen.told
    passed = len(told.having("passed"))
    findings = tuple(_findings(seen, modules))
    if findings:
        why = f"{passed} of {max(len(told.tests), len(told.ended))} checks passed; {findings[0].splitlines()[0]}"
        return replace(verdict, outcome="failed", checks=passed, findings=findings, why=why)
    return replace(verdict, outcome="passed", checks=passed, why=_counted(seen))


def _findings(seen: Outcomes, modules: Sequence[str]) -> Iterable[str]:
    told = seen.told
    for death in told.deaths:
        where = f" during {', '.join(sorted(told.begun))}" if told.begun else ""
        first, _, rest = death.partition("\n")
        yield f"{first}{where}\n{rest}".strip()
    for test in told.having("failed"):
        yield f"{test} failed:\n{told.ended[test][1][-DETAIL:]}"
    skipped = [test for test in told.having("skipped") if test not in seen.reasons]
    if skipped:
        yield f"skipped, and no named exception: {_some([f'{test} ({told.ended[test][1]})' for test in skipped])}"
    never = [test for test in told.tests if test not in told.ended and test not in seen.reasons]
    if never and not told.deaths:
        yield f"never ran, and no named exception: {_some(never)}"
    if missing := [name for name in modules if name not in told.loaded]:
        yield f"the extension was never loaded, so that the tests ran without it: {', '.join(missing)}"
    yield from (f"{hook}: {text}" for hook, text in told.hooks.items() if text != "installed")
    if not told.having("passed"):
        yield "not one check passed"


def _counted(seen: Outcomes) -> str:
    """What a good outcome leaves to say: how many ran, and which did not, or not at once."""
    told = seen.told
    absent = [test for test in (told.tests or told.ended) if told.ended.get(test, ("", ""))[0] != "passed"]
    counts = Counter(seen.reasons[test] for test in absent).most_common()
    parts = [f"{len(told.having('passed'))} of {max(len(told.tests), len(told.ended))} checks passed"]
    if absent:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in counts)
        parts += [f"named exceptions: {len(absent)}: {reasons}"]
    if seen.second_try:
        parts += [f"passed only at the second try, alone: {', '.join(seen.second_try)}"]
    return "; ".join(parts)


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return f"{len(items)}: " + ", ".join(items[:SHOWN]) + more
