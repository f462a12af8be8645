"""Which wheels of a release are meant: targets and ABIs, as the builder takes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wheelworks.core import plan, targets
from wheelworks.core.targets import Target
from wheelworks.core.wheel import parse_wheel_name


@dataclass(frozen=True)
class Selection:
    """The ids of targets and of ABIs; where there is none, all are meant."""

    targets: tuple[str, ...] = ()
    abis: tuple[str, ...] = ()

    def words(self) -> Iterator[str]:
        """The builder's options."""
        for target in self.targets:
            yield from ("--target", target)
        for abi in self.abis:
            yield from ("--abi", abi)

    def covers(self, file: str) -> bool:
        """Whether a file is among what is meant: an sdist always is."""
        if not file.endswith(".whl"):
            return True
        fits = not self.abis or abi(file) in self.abis
        return fits and (is_pure(file) or not self.targets or any(row.id in self.targets for row in rows(file)))


def of_files(files: Iterable[str]) -> Selection:
    """What must be built so that these files, and perhaps some more, come about."""
    wheels = [file for file in files if file.endswith(".whl")]
    ids = dict.fromkeys(row.id for wheel in wheels for row in rows(wheel))
    return Selection(tuple(ids), tuple(dict.fromkeys(map(abi, wheels))))


def can_be_built(wheel: str) -> bool:
    """Whether the matrix has a target and an ABI for a wheel. Raises WheelworksError for what is no wheel's name."""
    known = {one.id for one in targets.all_abis()}
    return is_pure(wheel) or (bool(rows(wheel)) and abi(wheel) in known)


def is_pure(wheel: str) -> bool:
    """Whether a wheel is for any platform."""
    return parse_wheel_name(wheel).platforms == {"any"}


def abi(wheel: str) -> str:
    """The id of a wheel's ABI."""
    return plan.PURE if is_pure(wheel) else parse_wheel_name(wheel).abi


def rows(wheel: str) -> tuple[Target, ...]:
    """The targets that a wheel is for, by its tags; both of macOS for a universal one."""
    platforms = parse_wheel_name(wheel).platforms
    universal = any(tag.startswith("macosx") and tag.endswith("universal2") for tag in platforms)
    return tuple(row for row in targets.all_targets() if platforms & set(row.tags) or (universal and row.os == "macos"))
