"""What the checks are given: a wheel, and each of its binaries while it is in memory."""

from __future__ import annotations

import calendar
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from packaging.tags import Tag

from wheelworks.audit import platforms
from wheelworks.audit.platforms import Platform
from wheelworks.audit.regions import Region, regions
from wheelworks.core.binary import SUFFIXES, Binary, Parsed
from wheelworks.core.wheel import WheelName

P = TypeVar("P")

# Module suffixes that carry no tag of their own; PEP 3149, PEP 384, PEP 803.
_PLAIN = ("abi3", "abi3t")


@dataclass(frozen=True)
class Policy:
    """What the caller declares: instruction sets that the wheels' users are known to have; the PE files' time."""

    cpu: frozenset[str] = frozenset()
    epoch: int | None = None


DEFAULT = Policy()


@dataclass(frozen=True)
class Entry:
    """What the archive's directory says of a member, as it stands there."""

    name: str
    size: int
    mode: int
    date: tuple[int, ...] = ()
    packed: int = 0


@dataclass
class Wheel:
    """A wheel that is being audited: what its name and its directory say, and what reading its members brought."""

    file: str
    name: WheelName
    entries: tuple[Entry, ...]
    policy: Policy
    hashes: dict[str, tuple[str, int]] = field(default_factory=dict)  # member: SHA-256 as in RECORD, bytes
    texts: dict[str, bytes] = field(default_factory=dict)  # the members below .dist-info
    natives: list[tuple[str, Binary]] = field(default_factory=list)

    @cached_property
    def names(self) -> frozenset[str]:
        """The members' names."""
        return frozenset(entry.name for entry in self.entries)

    @cached_property
    def info(self) -> str:
        """The ``.dist-info`` folder that carries the metadata; the one that the file name asks for if there are two."""
        found = {name.split("/")[0] for name in self.names if name.split("/")[0].endswith(".dist-info")}
        wanted = f"{self.name.distribution}-{self.name.version}.dist-info"
        return wanted if wanted in found or not found else min(found)

    @cached_property
    def platforms(self) -> tuple[Platform, ...]:
        """The platforms of the tags, the oldest promise first."""
        return platforms.parse_all(self.name.platforms)

    @property
    def tags(self) -> frozenset[Tag]:
        """The tags of the file's name."""
        return self.name.tags

    @cached_property
    def is_pure(self) -> bool:
        """Whether the tag is for any platform."""
        return self.name.platforms == {"any"}

    @cached_property
    def abis(self) -> frozenset[str]:
        """The ABI tags."""
        return frozenset(tag.abi for tag in self.tags)

    @cached_property
    def floor(self) -> tuple[int, int]:
        """The lowest CPython of the tags; (0, 0) where they name none."""
        versions = [tag.interpreter[2:] for tag in self.tags if tag.interpreter.startswith("cp")]
        return min(((int(one[:1]), int(one[1:] or 0)) for one in versions if one.isdigit()), default=(0, 0))

    @cached_property
    def epoch(self) -> int | None:
        """The one time (seconds since 1970) that all members bear, as SOURCE_DATE_EPOCH makes it; else None."""
        dates = {entry.date for entry in self.entries}
        return calendar.timegm((*dates.pop(), 0, 0, 0)) if len(dates) == 1 else None

    @cached_property
    def bundled(self) -> frozenset[str]:
        """The file names, in lower case, of what the wheel brings along."""
        return frozenset(name.rsplit("/", 1)[-1].casefold() for name in self.names)


@dataclass(frozen=True)
class Native:
    """A binary, or one half of a universal one, while it is in memory.

    ``parsed`` is LIEF's, and dies with the file that it came from: nothing may keep it.
    """

    wheel: Wheel
    member: str
    data: bytes
    parsed: Parsed
    facts: Binary
    halves: frozenset[str]

    @property
    def file(self) -> str:
        """The file's own name."""
        return self.member.rsplit("/", 1)[-1]

    @property
    def label(self) -> str:
        """The machine, where the file has several."""
        return f"{self.facts.machine}: " if len(self.halves) > 1 else ""

    @cached_property
    def platforms(self) -> tuple[Platform, ...]:
        """The platforms of the wheel that this binary is for, the oldest promise first."""
        return tuple(
            one
            for one in self.wheel.platforms
            if platforms.FORMATS[one.os] == self.facts.format and self.facts.machine in one.cpus
        )

    @cached_property
    def regions(self) -> list[Region]:
        """Its code."""
        return regions(self.parsed)

    @property
    def module(self) -> str:
        """The name of the extension module that the file's name promises; "" for a plain library or a program."""
        return module_name(self.file, self.wheel)


def module_name(file: str, wheel: Wheel) -> str:
    """The module that Python would import from a file of that name; "" where it is a shared library or a program."""
    stem, dot, ending = file.partition(".")
    middle, _, last = ending.rpartition(".")
    if not dot or f".{last}" not in SUFFIXES:
        return ""
    if last == "pyd":
        return stem
    if last == "so" and (middle in _PLAIN or middle.startswith(("cpython-", "cp", "pypy", "graalpy"))):
        return stem
    return stem if last == "so" and not middle and not stem.startswith("lib") else ""
