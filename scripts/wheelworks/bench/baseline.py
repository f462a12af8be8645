"""How many instructions wheels' functions ran when that was last agreed on, and what has changed since.

Counts are kept of calls with SMALL and with LARGE bytes, to tell what a byte costs from what a call does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wheelworks.core.errors import WheelworksError

BASELINE = Path(__file__).with_name("work.json")
SCHEMA = 1
TOLERANCE = 0.05
SMALL, LARGE = 256, 1280  # both make a frame's length 16 bits long
CANNOT = "cannot_run"

Counts = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Work:
    """The counts of each function of one wheel, for SMALL and LARGE bytes; or why it can't be run here."""

    tags: str
    cpu: str
    counts: Counts
    why: str = ""


def per_byte(counts: tuple[int, int]) -> float:
    """Instructions for each further byte."""
    return (counts[1] - counts[0]) / (LARGE - SMALL)


def per_call(counts: tuple[int, int]) -> float:
    """Instructions of a call that are not for its bytes."""
    return counts[0] - SMALL * per_byte(counts)


def counts(text: str) -> tuple[int, int]:
    """Two counts as JSON has them. Raises ValueError for something else."""
    small, large = (int(word) for word in text.split())
    return small, large


def load(path: Path = BASELINE) -> dict[str, Any]:
    """A file of counts. Raises WheelworksError where it can't be read, or was counted otherwise."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if (found["schema"], found["sizes"]) != (SCHEMA, [SMALL, LARGE]):
            raise KeyError("another schema, or other sizes")
        for row in found["wheels"].values():
            _ = [counts(text) for name, text in row.items() if name != CANNOT]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WheelworksError(f"{path}: no baseline: {error}", "nox -s bench -- --work --renew") from error
    return dict(found)


def document(works: Sequence[Work]) -> str:
    """The counts as JSON, a line for each function: what a change of them looks like in a review."""
    wheels = {work.tags: _entry(work) for work in sorted(works, key=lambda one: one.tags)}
    return json.dumps({"schema": SCHEMA, "sizes": [SMALL, LARGE], "wheels": wheels}, indent=1) + "\n"


def _entry(work: Work) -> dict[str, Any]:
    return {CANNOT: work.why} if work.why else {name: " ".join(map(str, two)) for name, two in work.counts.items()}


@dataclass(frozen=True)
class Change:
    """A count that is not the baseline's, in words; whether it is a loss."""

    text: str
    lost: bool


def compare(works: Sequence[Work], known: Mapping[str, Any]) -> Iterator[Change]:
    """How wheels differ from a baseline by more than the tolerance; what it doesn't know is a loss, too."""
    for work in works:
        before = known["wheels"].get(work.tags)
        if before is None:
            yield Change(f"{work.tags}: the baseline doesn't know this wheel", lost=True)
        elif CANNOT in before or work.why:
            if before != _entry(work):
                yield Change(f"{work.tags}: {work.why or 'it can be run now, and is to be counted'}", lost=True)
        else:
            yield from _compare(work, before)


def _compare(work: Work, before: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted(work.counts.keys() | before.keys()):
        if name not in work.counts or name not in before:
            yield Change(
                f"{work.tags}: {name}: only {'counted' if name in work.counts else 'in the baseline'}", lost=True
            )
            continue
        old, new = counts(before[name]), work.counts[name]
        for size, then, now in zip((SMALL, LARGE), old, new, strict=True):
            if abs(now - then) > TOLERANCE * then:
                told = (
                    f"{then:,} instructions are now {now:,} ({now / then - 1:+.0%})" if then else f"0 are now {now:,}"
                )
                yield Change(f"{work.tags}: {name}, {size} bytes: {told}", lost=now > then)
