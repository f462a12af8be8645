"""What became of wheels, as a summary: of builds (`build-wheels`), and of runs of machine code (`test-foreign`)."""

from __future__ import annotations

import argparse
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from wheelworks.build.builder import BuildResult, Built, Failed, UpToDate
from wheelworks.build.plan import BuildTask
from wheelworks.cli._command import repeat_options
from wheelworks.core import manifest, summary
from wheelworks.core.manifest import WheelRecord
from wheelworks.core.summary import Cell, Failure, Summary, name_abi, name_cell, name_platform
from wheelworks.core.targets import PURE
from wheelworks.core.verdict import Verdict
from wheelworks.report import page

FEW = 2  # verdicts that are described one by one
# The options of a build that a single build needs as well.
_REPEATED = ("out", "python", "env", "prefix", "without", "allow_missing")
_ENGINES = {"emulated CPU": "on emulated CPUs", "CPython": "under real CPythons"}


@dataclass(frozen=True)
class Build:
    """The result of a build: the command and its options, the source's name, what became of each task, and the sdist.

    ``sdists`` has the sdist if it was written beside the wheels.
    """

    command: str
    options: argparse.Namespace
    name: str
    results: Sequence[BuildResult]
    sdists: tuple[Path, ...] = ()

    @property
    def wheels(self) -> list[Built | UpToDate]:
        """The wheels that are there now, built or up to date."""
        return [result for result in self.results if not isinstance(result, Failed)]

    @property
    def failed(self) -> list[Failed]:
        """The tasks that failed."""
        return [result for result in self.results if isinstance(result, Failed)]


def summarize_build(build: Build, verdicts: Sequence[Verdict], status: int, seconds: float) -> Summary:
    """Return the summary of a build and of the runs of its wheels."""
    out, ran = Path(build.options.out), describe_outcomes(verdicts)
    failures = [_describe_failed_build(build, one) for one in build.failed]
    failures += describe_failures(
        verdicts, {one.file.name: one.file for one in build.wheels}, repeat_options(build.options, ["tests"])
    )
    cells: dict[summary.File, Cell] = {
        wheel.file.name: _make_build_cell(wheel, ran.get(wheel.file.name, "none"), no_run=build.options.no_run)
        for wheel in build.wheels
    }
    cells |= {_locate_task(one.task, build.wheels): Cell("FAILED", "failed") for one in build.failed}
    cells |= {sdist.name: Cell(f"ok {sdist.stat().st_size / 1000:.0f} kB") for sdist in build.sdists}
    return Summary(
        build.command,
        status,
        seconds,
        _count_build(build, ran),
        title=build.name,
        cells=cells,
        failures=failures,
        notes=group_reasons(verdicts),
        lines=describe_engines(verdicts),
        page=out / page.FILE,
        wheels=[_record_wheel(wheel, verdicts) for wheel in build.wheels],
    )


def _describe_failed_build(build: Build, failed: Failed) -> Failure:
    """Return the failure of a task with the command that builds it alone."""
    task, options = failed.task, build.options
    words = [] if options.source == "." else [options.source]
    words += ["--target", task.targets[0].id] if task.targets else []
    words += ["--abi", task.abi.id if task.abi else PURE]
    words += repeat_options(options, _REPEATED)
    several = len({result.task.abi for result in build.failed}) > 1 or len(build.wheels) > 0
    prefix = f"cp{task.abi.nodot}, " if several and task.abi else ""
    return Failure(
        "", prefix + failed.error.message, failed.error.hint, f"nox -s {build.command} -- {shlex.join(words)}"
    )


def _make_build_cell(wheel: Built | UpToDate, outcome: summary.Outcome, *, no_run: bool) -> Cell:
    size = f"{wheel.record.size / 1000:.0f} kB"
    if outcome == "failed":
        return Cell("FAILED", "failed")
    if outcome == "unsupported":
        return Cell("not run", "unsupported")
    return Cell(f"built {size}" if no_run and wheel.record.extensions else f"ok {size}")


def _locate_task(task: BuildTask, wheels: Sequence[Built | UpToDate]) -> tuple[str, str]:
    """Return the row and column of a task's wheel, which has no file name: its libc and tags depend on its code."""
    if task.abi is None:
        return summary.PURE, ""
    tags = {wheel.record.abi for wheel in wheels}
    abi = task.abi.specific if task.abi.specific in tags else task.abi.id
    return name_platform(tag for target in task.targets for tag in target.tags), name_abi(abi)


def _count_build(build: Build, ran: Mapping[str, summary.Outcome]) -> dict[str, int]:
    outcomes = list(ran.values())
    return {
        "wheels": len(build.results),
        "built": sum(isinstance(one, Built) for one in build.results),
        "up_to_date": sum(isinstance(one, UpToDate) for one in build.results),
        "not_built": len(build.failed),
        **count_outcomes(outcomes),
    }


def summarize_cibuildwheel(name: str, records: Sequence[WheelRecord], out: Path, seconds: float) -> Summary:
    """Return the summary of a build by cibuildwheel."""
    return Summary(
        "build-wheels",
        0,
        seconds,
        {"wheels": len(records)},
        title=name,
        cells={one.file: Cell(f"ok {one.size / 1000:.0f} kB") for one in records},
        lines=["built, repaired and tested by cibuildwheel"],
        page=out / page.FILE,
        wheels=[msgspec.to_builtins(one) for one in records],
    )


def _record_wheel(wheel: Built | UpToDate, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return the manifest's part on a wheel, with the runs of this command."""
    runs = [_record_run(one) for one in verdicts if one.wheel == wheel.file.name]
    return {**msgspec.to_builtins(wheel.record), **({"runs": runs} if runs else {})}


def summarize_runs(
    command: str,
    wheels: Sequence[Path],
    verdicts: Sequence[Verdict],
    status: int,
    seconds: float,
    repeated: Sequence[str] = (),
) -> Summary:
    """Return the summary of runs of wheels. ``repeated`` are the options that repeat a run, besides its engine."""
    ran = describe_outcomes(verdicts)
    checks = {name: sum(one.checks for one in verdicts if one.wheel == name) for name in ran}
    cells: dict[summary.File, Cell] = {name: _make_run_cell(outcome, checks[name]) for name, outcome in ran.items()}
    folders = {wheel.parent for wheel in wheels}
    pages = [folder / page.FILE for folder in folders if (folder / manifest.FILE).is_file()]
    return Summary(
        command,
        status,
        seconds,
        {"wheels": len(ran), **count_outcomes(list(ran.values()))},
        cells=cells,
        failures=describe_failures(verdicts, {wheel.name: wheel for wheel in wheels}, repeated, command),
        notes=group_reasons(verdicts),
        lines=[*describe_engines(verdicts), *_describe_few(verdicts)],
        page=pages[0] if len(pages) == 1 else None,
        wheels=list(_record_runs(verdicts)),
    )


def _make_run_cell(outcome: summary.Outcome, checks: int) -> Cell:
    texts = {"failed": "FAILED", "unsupported": "not run"}
    return Cell(texts.get(outcome, f"ok {checks:,}"), outcome)


def _describe_few(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield how each wheel was run, and the remark on it, if there are few."""
    for one in verdicts if len(verdicts) <= FEW else ():
        if one.outcome == "passed":
            yield f"{name_cell(one.wheel)}: {one.how}{': ' if one.why else ''}{one.why}"


def _record_runs(verdicts: Sequence[Verdict]) -> Iterator[dict[str, Any]]:
    """Yield the runs of each wheel, as in the manifest, with their seconds."""
    for name in dict.fromkeys(one.wheel for one in verdicts):
        found = [one for one in verdicts if one.wheel == name]
        yield {"file": name, "runs": list(map(_record_run, found))}


def _record_run(verdict: Verdict) -> dict[str, Any]:
    return {**msgspec.to_builtins(verdict.record()), "seconds": round(verdict.seconds, 3)}


def describe_outcomes(verdicts: Sequence[Verdict]) -> dict[str, summary.Outcome]:
    """Return what became of each wheel: it failed if any of its runs did, and is "ok" if one passed."""
    found: dict[str, summary.Outcome] = {}
    for name in dict.fromkeys(one.wheel for one in verdicts):
        outcomes = {one.outcome for one in verdicts if one.wheel == name}
        found[name] = "failed" if "failed" in outcomes else "ok" if "passed" in outcomes else "unsupported"
    return found


def count_outcomes(outcomes: Sequence[summary.Outcome]) -> dict[str, int]:
    """Return how many wheels passed, failed and couldn't be run."""
    names: Mapping[str, summary.Outcome] = {"passed": "ok", "failed": "failed", "not_run": "unsupported"}
    return {name: outcomes.count(outcome) for name, outcome in names.items()}


def describe_failures(
    verdicts: Sequence[Verdict], files: Mapping[str, Path], repeated: Sequence[str], session: str = "test-foreign"
) -> list[Failure]:
    """Return the failed runs, with the command that runs the wheel alone, by the same engine and tests."""
    found = []
    for one in verdicts:
        if one.outcome == "failed":
            how = ["--how", "emulated" if one.how.startswith("emulated") else "cpython"]
            words = [str(files.get(one.wheel, one.wheel)), *(how if session == "test-foreign" else ()), *repeated]
            command = f"nox -s {session} -- {shlex.join(words)}"
            found.append(Failure(f"{name_cell(one.wheel)}, {one.how}", "\n".join(one.findings) or one.why, "", command))
    return found


def group_reasons(verdicts: Sequence[Verdict]) -> dict[str, list[str]]:
    """Return why wheels weren't run at all, with the wheels of each reason."""
    ran, found = describe_outcomes(verdicts), defaultdict(list)
    for one in verdicts:
        if one.outcome == "unsupported" and ran[one.wheel] == "unsupported":
            found[one.why].append(one.wheel)
    return found


def describe_engines(verdicts: Sequence[Verdict]) -> list[str]:
    """Return a line for each engine: how many wheels it ran, and how many checks passed."""
    lines = []
    for start, words in _ENGINES.items():
        found = [one for one in verdicts if one.how.startswith(start) and one.outcome != "unsupported"]
        wheels, checks = len({one.wheel for one in found}), sum(one.checks for one in found)
        if wheels:
            lines.append(f"ran {words}: {summary.format_count('wheels', wheels)}, {checks:,} checks")
    return lines
