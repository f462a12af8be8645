"""What can be run of a wheel in a root, and what the outcome says of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from wheelworks.execute.cpython import exceptions
from wheelworks.execute.cpython.guests import Program, Told, run_guests
from wheelworks.execute.cpython.sandbox import Place, Way
from wheelworks.execute.cpython.sites import GUEST_PACKAGE, Site
from wheelworks.execute.verdict import Verdict

Progress = Callable[[str], None]

SECOND_TRY_LIMIT = 10  # so few failures may be due to a busy machine; more are not
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


@dataclass(frozen=True)
class Outcomes:
    """What the guests told; the tests whose absence has a reason; those that passed only when they ran again alone."""

    told: Told
    reasons: Mapping[str, str] = field(default_factory=dict)
    second_try: tuple[str, ...] = ()


def run_smoke(run: Run) -> Outcomes:
    """Import the extension modules and check what can be checked of any."""
    return Outcomes(run_guests([_program(run, "smoke", "smoke", [])], run.limit, run.progress))


def run_package(run: Run) -> Outcomes:
    """Run the project's own tests by pytest; those that skip themselves are counted with their own reasons."""
    told = _shards(run, "package", run.way.path_of(f"/site/{run.site.tests}", run.site.folder, run.work))
    return Outcomes(
        told, {test: told.ended[test][1].rpartition("Skipped: ")[2].rstrip("')") for test in told.having("skipped")}
    )


def run_tornado(run: Run) -> Outcomes:
    """Run Tornado's suite; a few failures run again, alone, since its tests measure time on a machine in use."""
    left_out = exceptions.needing_children() if run.way.limits else {}
    install = "" if run.site.package == "tornado" else run.site.package
    told = _shards(run, "suite", install, json.dumps({"except": sorted(left_out), "only": []}))
    reasons = {**exceptions.known_skips(), **left_out}
    failed = told.having("failed")
    if told.deaths or not 0 < len(failed) <= SECOND_TRY_LIMIT:
        return Outcomes(told, reasons)
    run.progress(f"running again, alone: {', '.join(failed)}")
    choice = json.dumps({"except": [], "only": failed})
    again = run_guests([_program(run, "again", "suite", ["0", "1", install, choice])], run.limit, run.progress)
    told.ended.update(again.ended)
    told.deaths += again.deaths
    return Outcomes(told, reasons, tuple(test for test in failed if told.ended[test][0] == "passed"))


def judge(verdict: Verdict, outcomes: Outcomes, modules: Sequence[str]) -> Verdict:
    """The verdict with its outcome, count of checks, reasons and findings; it fails closed."""
    told = outcomes.told
    passed = len(told.having("passed"))
    findings = tuple(_findings(outcomes, modules))
    if findings:
        why = f"{passed} of {max(len(told.tests), len(told.ended))} checks passed; {findings[0].splitlines()[0]}"
        return replace(verdict, outcome="failed", checks=passed, findings=findings, why=why)
    return replace(verdict, outcome="ran", checks=passed, why=_counted(outcomes))


def _findings(outcomes: Outcomes, modules: Sequence[str]) -> Iterable[str]:
    told = outcomes.told
    for death in told.deaths:
        where = f" during {', '.join(sorted(told.begun))}" if told.begun else ""
        first, _, rest = death.partition("\n")
        yield f"{first}{where}\n{rest}".strip()
    for test in told.having("failed"):
        yield f"{test} failed:\n{told.ended[test][1][-DETAIL:]}"
    skipped = [test for test in told.having("skipped") if test not in outcomes.reasons]
    if skipped:
        yield f"skipped, and no named exception: {_some([f'{test} ({told.ended[test][1]})' for test in skipped])}"
    never = [test for test in told.tests if test not in told.ended and test not in outcomes.reasons]
    if never and not told.deaths:
        yield f"never ran, and no named exception: {_some(never)}"
    if missing := [name for name in modules if name not in told.loaded]:
        yield f"the extension was never loaded, so that the tests ran without it: {', '.join(missing)}"
    if not told.having("passed"):
        yield "not one check passed"


def _counted(outcomes: Outcomes) -> str:
    """What a good outcome leaves to say: how many ran, and which did not, or not at once."""
    told = outcomes.told
    absent = [test for test in (told.tests or told.ended) if told.ended.get(test, ("", ""))[0] != "passed"]
    counts = Counter(outcomes.reasons[test] for test in absent).most_common()
    parts = [f"{len(told.having('passed'))} of {max(len(told.tests), len(told.ended))} checks passed"]
    if absent:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in counts)
        parts += [f"named exceptions: {len(absent)}: {reasons}"]
    if outcomes.second_try:
        parts += [f"passed only at the second try, alone: {', '.join(outcomes.second_try)}"]
    return "; ".join(parts)


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return f"{len(items)}: " + ", ".join(items[:SHOWN]) + more


def _shards(run: Run, name: str, *arguments: str) -> Told:
    shards = [[str(shard), str(run.jobs), *arguments] for shard in range(run.jobs)]
    return run_guests([_program(run, f"shard{shard[0]}", name, shard) for shard in shards], run.limit, run.progress)


def _program(run: Run, work: str, name: str, arguments: list[str]) -> Program:
    folder = run.work / work
    folder.mkdir()
    events = run.way.path_of("/job/events", run.site.folder, folder)
    words = ["-m", f"{GUEST_PACKAGE}.{name}", events, *arguments, *run.site.modules]
    command = run.way.command(run.place, run.site.folder, folder, words)
    return Program(command, run.way.environment(run.place, run.site.folder), folder)
