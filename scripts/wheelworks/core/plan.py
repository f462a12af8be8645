"""What a release consists of: an sdist, a wheel for each family and ABI, and a pure one.

The names are those of a freestanding extension that keeps to the stable ABI where there is one, which this repository's
is; a project that calls libc gets a wheel for each target of a family, one without the stable ABI other tags.
Pure functions over the matrix.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from packaging.tags import Tag, parse_tag
from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelworks.core.targets import Abi, Target, family_of

PURE = "py3-none-any"


@dataclass(frozen=True)
class Planned:
    """One wheel of a release: its file name, the targets it serves (none for the pure one), and its ABI."""

    name: str
    targets: tuple[Target, ...]
    abi: Abi | None

    @property
    def tags(self) -> frozenset[Tag]:
        """The tags, expanded."""
        return parse_tag("-".join(self.name.removesuffix(".whl").rsplit("-", 3)[1:]))

    @property
    def ways(self) -> set[str]:
        """The ways to run it on the building machine: its targets'; free-threaded CPythons aren't to be had there."""
        found = {way for target in self.targets for way in target.run}
        return found - {"cpython"} if self.abi and self.abi.id == self.abi.specific else found

    def record(self) -> dict[str, object]:
        """What a program asks of it, such as a CI matrix."""
        first = self.targets[0] if self.targets else None
        return {
            "name": self.name,
            "targets": [target.id for target in self.targets],
            "os": first.os if first else "any",
            "cpu": first.cpu if first else "any",
            "abi": self.abi.id if self.abi else PURE.removesuffix("-any"),
            "python": self.abi.python if self.abi else "3",
            "free_threaded": self.abi.free_threaded if self.abi else False,
            "tags": sorted(map(str, self.tags)),
            "run": sorted({way for target in self.targets for way in target.run}),
            "runner": first.runner if first else "",
        }


def families(targets: Iterable[Target]) -> list[tuple[Target, ...]]:
    """The whole families of which there is one target at least, in the matrix' order."""
    return list(dict.fromkeys(family_of(target) for target in targets))


def stem(name: str, version: str) -> str:
    """What the files of a release begin with (PEP 427, PEP 625): ``tornado_speedups-0.1.0``.

    Raises ValueError for what is no name or no version.
    """
    return f"{canonicalize_name(name, validate=True).replace('-', '_')}-{Version(version)}"


def wheels(stem: str, targets: Sequence[Target], abis: Sequence[Abi], *, pure: bool) -> tuple[Planned, ...]:
    """The wheels of a release, ABI by ABI, in the order of the matrix; the pure one comes last."""
    found = [Planned(_file(stem, abi.id, rows), rows, abi) for abi in abis for rows in families(targets)]
    return (*found, *([Planned(f"{stem}-{PURE}.whl", (), None)] if pure else ()))


def _file(stem: str, abi: str, rows: Iterable[Target]) -> str:
    return f"{stem}-{abi}-{'.'.join(sorted(tag for row in rows for tag in row.tags))}.whl"
