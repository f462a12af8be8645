"""Whether figures of two revisions differ, or only look as if they did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median

# A smaller difference is no alarm: the very same code, compared with itself on a busy machine, has come out 5 % apart,
# and "significantly".
LEAST = 0.10
CHANCE = 0.01  # of one false alarm in a whole comparison


@dataclass(frozen=True)
class Difference:
    """One case in both revisions: the medians, and the chance that mere noise would set them so far apart."""

    case: str
    unit: str
    before: float
    after: float
    chance: float

    @property
    def ratio(self) -> float:
        """How many times as long it takes now."""
        return self.after / self.before


@cache
def _arrangements(first: int, second: int, wins: int) -> int:
    """In how many orders of first + second figures a figure of the second group exceeds one of the first so often."""
    if wins < 0 or wins > first * second:
        return 0
    if first == 0 or second == 0:
        return 1
    return _arrangements(first - 1, second, wins) + _arrangements(first, second - 1, wins - first)


def chance(before: Sequence[float], after: Sequence[float]) -> float:
    """The two-sided p-value of the rank-sum test, exact (Mann and Whitney, 1947); ties count against a difference."""
    above = sum(new > old for new in after for old in before)
    below = sum(new < old for new in after for old in before)
    extreme, most = max(above, below), len(before) * len(after)
    tail = sum(_arrangements(len(before), len(after), wins) for wins in range(extreme, most + 1))
    total = sum(_arrangements(len(before), len(after), wins) for wins in range(most + 1))
    return min(1.0, 2 * tail / total)


def differences(
    before: Mapping[tuple[str, str], Sequence[float]], after: Mapping[tuple[str, str], Sequence[float]]
) -> list[Difference]:
    """Every case that both have, by its name and unit."""
    return [
        Difference(*key, median(before[key]), median(after[key]), chance(before[key], after[key]))
        for key in before
        if key in after
    ]


def significant(found: Sequence[Difference]) -> list[Difference]:
    """Those that are large enough to matter and too unlikely for noise, however many cases there are (Bonferroni)."""
    return [one for one in found if abs(one.ratio - 1) > LEAST and one.chance < CHANCE / len(found)]
