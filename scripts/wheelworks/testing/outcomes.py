"""Run a whole suite wherever guest programs can be run, shared out over its cores, and gather what they tell."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from wheelworks.testing import known_failures
from wheelworks.testing.results import Told

Progress = Callable[[str], None]

GUEST_PROGRAMS, GUEST_PACKAGE = Path(__file__).with_name("workers"), "wheelworks_guest"
SECOND_TRY_LIMIT = 10  # so few failures may be due to a busy machine; more are not


@dataclass(frozen=True)
class Piece:
    """A guest program that is to run: the name of its work folder, its module in the guest package, its arguments.

    The arguments come after the file of its events, and before the modules that it is to tell of.
    """

    work: str
    program: str
    arguments: tuple[str, ...] = ()


# Which tests, as pytest takes it: none that need compilers, downloads or emulators, and none that take long.
EXHAUSTIVE = "not integration"
QUICK = f"{EXHAUSTIVE} and not exhaustive"


class Stage(Protocol):
    """Where guest programs run."""

    @property
    def jobs(self) -> int:
        """On how many cores."""

    @property
    def progress(self) -> Progress:
        """What is told in words what is going on."""

    def run(self, pieces: Sequence[Piece]) -> Told:
        """Run guest programs at the same time, to their ends."""


@dataclass(frozen=True)
class Outcomes:
    """What the guests told; the tests whose absence has a reason; those that passed only when they ran again alone."""

    told: Told
    reasons: Mapping[str, str] = field(default_factory=dict)
    second_try: tuple[str, ...] = ()


def run_package(stage: Stage, folder: str, *, exhaustive: bool = False) -> Outcomes:
    """Run the project's own tests by pytest; those that skip themselves are counted with their own reasons.

    ``exhaustive`` adds those that try many cases of what others try a few of.
    """
    told = stage.run(_shards(stage, "package", folder, EXHAUSTIVE if exhaustive else QUICK))
    return Outcomes(
        told, {test: told.ended[test][1].rpartition("Skipped: ")[2].rstrip("')") for test in told.having("skipped")}
    )


def run_tornado(stage: Stage, install: str, left_out: Mapping[str, str] | None = None) -> Outcomes:
    """Run Tornado's suite; a few failures run again, alone, since its tests measure time on a machine in use.

    ``install`` names the package whose ``install()`` is called before, or is empty; ``left_out`` are the tests that
    can't run on this stage, with the reasons.
    """
    left_out = left_out or {}
    told = stage.run(_shards(stage, "suite", install, json.dumps({"except": sorted(left_out), "only": []})))
    reasons = {**known_failures.known_skips(), **left_out}
    failed = told.having("failed")
    if told.deaths or not 0 < len(failed) <= SECOND_TRY_LIMIT:
        return Outcomes(told, reasons)
    stage.progress(f"running again, alone: {', '.join(failed)}")
    choice = json.dumps({"except": [], "only": failed})
    again = stage.run([Piece("again", "suite", ("0", "1", install, choice))])
    told.ended.update(again.ended)
    told.deaths += again.deaths
    return Outcomes(told, reasons, tuple(test for test in failed if told.ended[test][0] == "passed"))


def _shards(stage: Stage, program: str, *arguments: str) -> list[Piece]:
    return [Piece(f"shard{shard}", program, (str(shard), str(stage.jobs), *arguments)) for shard in range(stage.jobs)]
