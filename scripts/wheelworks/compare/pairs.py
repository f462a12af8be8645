"""Which wheel of one set answers to which of the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from wheelworks.compare.differences import Difference
from wheelworks.core.archive import Member
from wheelworks.core.tags import CompatibilityTarget, Version, find_compatibility_targets, find_minimum_version
from wheelworks.core.wheel import WheelName, parse_wheel_name, read_members


@dataclass(frozen=True)
class Wheel:
    """One wheel of a set."""

    path: Path

    @cached_property
    def name(self) -> WheelName:
        """What its file name says."""
        return parse_wheel_name(self.path.name)

    @cached_property
    def slots(self) -> dict[CompatibilityTarget, Version]:
        """Where it installs."""
        return find_compatibility_targets(self.name)

    @cached_property
    def members(self) -> dict[str, Member]:
        """Its files."""
        return read_members(self.path)


@dataclass(frozen=True)
class Pair:
    """Two wheels that serve the same slots."""

    a: Wheel
    b: Wheel
    slots: tuple[CompatibilityTarget, ...]

    def __str__(self) -> str:
        more = f" and {len(self.slots) - 1} more" if len(self.slots) > 1 else ""
        return f"{self.slots[0]}{more}"


def pair(a: Sequence[Wheel], b: Sequence[Wheel], *, part: bool) -> tuple[list[Pair], list[Difference]]:
    """Pair two sets slot by slot; returns the pairs, and the slots that only one set serves.

    ``part``: the second set is one builder's share, so that what only the first has is no difference. Nor is a pure
    wheel that only the first has: builders of platform wheels, such as cibuildwheel, refuse to make one.
    Raises WheelworksError for a name that is no wheel's, or a tag of no known platform.
    """
    ours, theirs = _by_slot(a), _by_slot(b)
    found = [*_doubled(ours, "the first"), *_doubled(theirs, "the second")]
    missing = [slot for slot in sorted(ours.keys() - theirs.keys()) if slot.cpu and not part]
    for slot in missing:
        found.append(_alone("missing-wheel", slot, ours[slot][0], "the second set has none for it"))
    for slot in sorted(theirs.keys() - ours.keys()):
        found.append(_alone("surplus-wheel", slot, theirs[slot][0], "the first set has none for it"))
    together: dict[tuple[Wheel, Wheel], list[CompatibilityTarget]] = {}
    for slot in sorted(ours.keys() & theirs.keys()):
        together.setdefault((ours[slot][0], theirs[slot][0]), []).append(slot)
    return [Pair(*wheels, tuple(shared)) for wheels, shared in together.items()], found


def _by_slot(wheels: Sequence[Wheel]) -> dict[CompatibilityTarget, list[Wheel]]:
    found: dict[CompatibilityTarget, list[Wheel]] = {}
    for wheel in sorted(wheels, key=lambda wheel: wheel.path.name):
        for slot in wheel.slots:
            found.setdefault(slot, []).append(wheel)
    return found


def _doubled(served: dict[CompatibilityTarget, list[Wheel]], which: str) -> list[Difference]:
    return [
        Difference("two-wheels", str(slot), f"{which} set has several: {', '.join(w.path.name for w in wheels)}")
        for slot, wheels in served.items()
        if len(wheels) > 1
    ]


def _alone(code: str, slot: CompatibilityTarget, wheel: Wheel, why: str) -> Difference:
    assert code in ("missing-wheel", "surplus-wheel")
    return Difference(code, str(slot), f"{wheel.path.name} serves it, {why}")  # type: ignore[arg-type]


def compare_names(one: Pair) -> list[Difference]:
    """The distribution, the version, and the libc or system that each of two wheels needs.

    A builder may promise older systems than the target table does, never fewer.
    """
    found = []
    for what in ("distribution", "version"):
        first, second = getattr(one.a.name, what), getattr(one.b.name, what)
        if first != second:
            found.append(Difference("version", str(one), f"{what} {first} in the first set, {second} in the second"))
    for slot in one.slots:
        for wheel in (one.a, one.b):
            floor, other = wheel.slots[slot], (one.b if wheel is one.a else one.a).slots[slot]
            if floor > max(other, find_minimum_version(slot)):
                text = f"{wheel.path.name} installs from {slot.system} {_dotted(floor)} on, the other from"
                found.append(Difference("platform-floor", str(slot), f"{text} {_dotted(other)}"))
    return found


def _dotted(floor: Version) -> str:
    return ".".join(map(str, floor)) or "any"
