"""Pair the wheels of two sets by where they install, and describe what differs.

The builders of two sets may split platforms differently: one wheel may serve glibc and musl, or both CPUs of macOS,
where another builder makes two. So sets are compared by compatibility target (Python and ABI, system, CPU), not by
file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from wheelworks.core.tags import CompatibilityTarget, Version, find_compatibility_targets, find_minimum_version
from wheelworks.core.wheel import Wheel, open_wheel, parse_wheel_name

DifferenceCode = Literal[
    "missing-wheel", "extra-wheel", "two-wheels", "version", "platform-floor", "missing-file", "extra-file",
    "contents", "metadata", "exports", "binary", "definition", "attributes", "calls", "tests",
]  # fmt: skip


@dataclass(frozen=True)
class WheelDifference:
    """One difference: its stable code, the wheels or the target it concerns, and a sentence for people."""

    code: DifferenceCode
    about: str
    text: str

    def __str__(self) -> str:
        return f"{self.code}: {self.about}: {self.text}"


@dataclass(frozen=True)
class Skipped:
    """Something that could not be compared, and why: not a difference, but reported."""

    about: str
    why: str

    def __str__(self) -> str:
        return f"{self.about}: {self.why}"


@dataclass(frozen=True)
class WheelPair:
    """Two wheels that serve the same compatibility targets."""

    a: Wheel
    b: Wheel
    targets: tuple[CompatibilityTarget, ...]

    def __str__(self) -> str:
        more = f" and {len(self.targets) - 1} more" if len(self.targets) > 1 else ""
        return f"{self.targets[0]}{more}"


def pair_wheels(a: Sequence[Path], b: Sequence[Path], *, subset: bool) -> tuple[list[WheelPair], list[WheelDifference]]:
    """Pair two sets target by target, and open the wheels that have a counterpart.

    Args:
        a: the wheels of the first set.
        b: the wheels of the second set.
        subset: the second set may be one builder's share, so wheels that only the first set has are no difference.

    Returns the pairs, and the targets that only one set serves, or that several wheels of a set serve. A pure wheel
    that only the first set has is never a difference: builders of platform wheels, such as cibuildwheel, refuse to
    make one.

    Raises WheelworksError for an invalid wheel name, an unknown platform tag, and a damaged wheel.
    """
    first, second = _group_by_target(a), _group_by_target(b)
    found = [*_find_duplicates(first, "the first"), *_find_duplicates(second, "the second")]
    for target in sorted(first.keys() - second.keys()):
        if target.cpu and not subset:
            text = f"{first[target][0].name} serves it, the second set has none for it"
            found.append(WheelDifference("missing-wheel", str(target), text))
    for target in sorted(second.keys() - first.keys()):
        text = f"{second[target][0].name} serves it, the first set has none for it"
        found.append(WheelDifference("extra-wheel", str(target), text))
    together: dict[tuple[Path, Path], list[CompatibilityTarget]] = {}
    for target in sorted(first.keys() & second.keys()):
        together.setdefault((first[target][0], second[target][0]), []).append(target)
    opened = cache(open_wheel)
    pairs = [WheelPair(opened(one), opened(other), tuple(targets)) for (one, other), targets in together.items()]
    return pairs, found


def _group_by_target(wheels: Sequence[Path]) -> dict[CompatibilityTarget, list[Path]]:
    found: dict[CompatibilityTarget, list[Path]] = {}
    for path in sorted(wheels, key=lambda path: path.name):
        for target in find_compatibility_targets(parse_wheel_name(path.name)):
            found.setdefault(target, []).append(path)
    return found


def _find_duplicates(served: dict[CompatibilityTarget, list[Path]], which: str) -> list[WheelDifference]:
    return [
        WheelDifference("two-wheels", str(target), f"{which} set has several: {', '.join(one.name for one in wheels)}")
        for target, wheels in served.items()
        if len(wheels) > 1
    ]


def compare_names(pair: WheelPair) -> list[WheelDifference]:
    """Compare the distribution, the version, and the libc or system version that each of two wheels needs.

    A builder may support older systems than the target table does, never fewer.
    """
    found = []
    for what in ("distribution", "version"):
        first, second = getattr(pair.a.name, what), getattr(pair.b.name, what)
        if first != second:
            text = f"{what} {first} in the first set, {second} in the second"
            found.append(WheelDifference("version", str(pair), text))
    lowest = {id(wheel): find_compatibility_targets(wheel.name) for wheel in (pair.a, pair.b)}
    for target in pair.targets:
        for wheel, another in ((pair.a, pair.b), (pair.b, pair.a)):
            needed, other = lowest[id(wheel)][target], lowest[id(another)][target]
            if needed > max(other, find_minimum_version(target)):
                text = f"{wheel.path.name} installs from {target.system} {_format_version(needed)} on, the other from"
                found.append(WheelDifference("platform-floor", str(target), f"{text} {_format_version(other)}"))
    return found


def _format_version(version: Version) -> str:
    return ".".join(map(str, version)) or "any"
