"""Compare two sets of wheels, each pair in its names, files, metadata and binaries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wheelworks.compare.binaries import compare_binaries
from wheelworks.compare.differences import Difference
from wheelworks.compare.files import compare_files
from wheelworks.compare.pairs import Pair, Wheel, compare_names, pair
from wheelworks.core.errors import WheelworksError


def compare_sets(a: Sequence[Path], b: Sequence[Path], *, part: bool = False) -> tuple[list[Pair], list[Difference]]:
    """Compare two sets of wheels as files; returns the pairs, whose behaviour is still to be compared.

    ``part``: the second set may lack wheels. Raises WheelworksError where there is nothing to compare, and for a
    damaged wheel.
    """
    pairs, found = pair([Wheel(path) for path in a], [Wheel(path) for path in b], part=part)
    if not pairs:
        raise WheelworksError("the two sets have no platform and Python in common", "are they of one project?")
    for one in pairs:
        found += [*compare_names(one), *compare_files(one), *compare_binaries(one)]
    return pairs, found
