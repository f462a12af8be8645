"""The matrix of targets and ABIs, its only reader, and the wheels of a release that follow from it.

The planned names are those of a freestanding extension. A project that calls libc gets a wheel for each target of a
family.
"""

from __future__ import annotations

import difflib
import platform
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from packaging.tags import Tag
from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelworks.core.debian import DEBIAN_SUITES
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.wheel import parse_wheel_name

T = TypeVar("T", "Target", "Abi")

TABLE = Path(__file__).parents[1] / "targets.toml"
PURE = "py3-none-any"
BUILD_VERSION = "3.11"  # the CPython that runs build backends
SYSTEMS = {"linux": "linux", "darwin": "macos", "win32": "windows"}
_CPU = {"arm64": "aarch64", "amd64": "x86_64", "i686": "x86", "armv7l": "arm", "ppc64le": "powerpc64le"}


@dataclass(frozen=True)
class Target:
    """A row of ``targets.toml``, whose first lines explain each field."""

    id: str
    os: str
    cpu: str
    tags: tuple[str, ...]
    compiler: str
    model: str
    minimum: str
    platform: str
    machine: str
    run: tuple[str, ...]
    runner: str

    @property
    def family(self) -> tuple[str, str]:
        """The targets of one family run the same binary, unless it calls libc."""
        return self.os, self.cpu


@dataclass(frozen=True)
class Abi:
    """An ABI of CPython that wheels are built for; the first lines of ``targets.toml`` explain each field."""

    id: str
    specific: str
    python: str
    free_threaded: bool
    macos: str

    @property
    def nodot(self) -> str:
        """The Python version as in file names: "311", "314t"."""
        return self.python.replace(".", "") + ("t" if self.free_threaded else "")

    @property
    def minor(self) -> int:
        """The minor version of its Python."""
        return int(self.python.partition(".")[2])

    @property
    def tags(self) -> tuple[str, ...]:
        """The ABI tags of its wheels: ("abi3", "abi3t")."""
        return tuple(self.id.partition("-")[2].split("."))

    def accepts(self, abi: str) -> bool:
        """Return whether a project may build a wheel with these Python and ABI tags for this ABI.

        A project may keep to the stable ABI of an older Python than the one that it is built with.
        """
        python, _, tags = abi.partition("-")
        if abi == self.specific:
            return True
        minor = int(python[3:]) if re.fullmatch(r"cp3[1-9]?\d", python) else self.minor + 1
        return tags in self._stable_tags() and (15 if "abi3t" in tags else 2) <= minor <= self.minor

    def _stable_tags(self) -> set[str]:
        """Return the tags of the stable ABIs of this Python (PEP 384, PEP 803)."""
        return {tags for tags in ("abi3", "abi3.abi3t") if not self.free_threaded or tags == "abi3.abi3t"}


def parse_targets(text: str) -> tuple[Target, ...]:
    """Parse the targets of a table.

    Raises WheelworksError for a row with a missing, unknown or mistyped field, and for an id that is used twice.
    """
    targets = _parse_rows(text, "target", Target)
    if empty := [target.id for target in targets if not target.tags]:
        raise WheelworksError(f"targets.toml: {empty[0]}: tags must name one at least")
    return targets


def parse_abis(text: str) -> tuple[Abi, ...]:
    """Parse the ABIs of a table. Raises WheelworksError as `parse_targets` does."""
    return _parse_rows(text, "abi", Abi)


def _parse_rows(text: str, kind: str, row_type: type[T]) -> tuple[T, ...]:
    try:
        rows = tomllib.loads(text)[kind]
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise WheelworksError(f"targets.toml: not a target table: {error}") from None
    found = tuple(row_type(**_parse_fields(row, get_type_hints(row_type))) for row in rows)
    ids = [one.id for one in found]
    if len(set(ids)) != len(ids):
        raise WheelworksError(f"targets.toml: an id is used twice: {', '.join(sorted(ids))}")
    return found


def _parse_fields(row: object, expected: Mapping[str, type]) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise WheelworksError(f"targets.toml: not a target table: {row!r} is no row")
    name = row.get("id", "(a row without id)")
    if wrong := sorted(expected.keys() ^ row.keys()):
        raise WheelworksError(f"targets.toml: {name}: missing or unknown: {', '.join(wrong)}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    for key, value in values.items():
        wanted = getattr(expected[key], "__origin__", expected[key])
        if not isinstance(value, wanted):
            raise WheelworksError(f"targets.toml: {name}: {key} must be a {wanted.__name__}, not {value!r}")
        if isinstance(value, tuple) and not all(isinstance(part, str) for part in value):
            raise WheelworksError(f"targets.toml: {name}: {key} must be of strings, not {value!r}")
    return values


@cache
def load_targets() -> tuple[Target, ...]:
    """Return every target, in the table's order."""
    return parse_targets(TABLE.read_text(encoding="utf-8"))


@cache
def load_abis() -> tuple[Abi, ...]:
    """Return every ABI, in the table's order."""
    return parse_abis(TABLE.read_text(encoding="utf-8"))


def get_build_abi() -> Abi:
    """Return the ABI of the Python that runs builds, for a build of one ABI only."""
    return next(abi for abi in load_abis() if abi.python == BUILD_VERSION and not abi.free_threaded)


def find_target(name: str, among: Sequence[Target] | None = None) -> Target:
    """Return the target with this id or wheel tag. Raises UsageError that suggests the nearest id."""
    targets = load_targets() if among is None else among
    for target in targets:
        if name == target.id or name in target.tags:
            return target
    raise _unknown("target", name, [target.id for target in targets])


def find_abi(name: str) -> Abi:
    """Return the ABI with this id, or whose wheels carry this tag: "cp312-cp312", "cp312", "abi3t".

    "abi3" is that of the Python that runs builds. Raises UsageError that suggests the nearest name.
    """
    if name in get_build_abi().tags:
        return get_build_abi()
    for abi in load_abis():
        if name in (abi.id, abi.specific, f"cp{abi.nodot}", *({*abi.tags} - {"abi3"})):
            return abi
    raise _unknown("ABI", name, [known for abi in load_abis() for known in dict.fromkeys((abi.id, abi.specific))])


def _unknown(kind: str, name: str, known: list[str]) -> UsageError:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    guess = f": did you mean {near[0]}?" if near else ""
    return UsageError(f"unknown {kind} {name!r}{guess}", f"the {kind}s are {', '.join(known)}")


def select_targets(names: Iterable[str]) -> tuple[Target, ...]:
    """Return the named targets, each once, in the table's order. Raises UsageError for an unknown name."""
    wanted = {find_target(name).id for name in names}
    return tuple(target for target in load_targets() if target.id in wanted)


def filter_targets_by_cpu(cpu: str) -> tuple[Target, ...]:
    """Return every target of a CPU, in the table's order."""
    return tuple(target for target in load_targets() if target.cpu == cpu)


def find_family(target: Target) -> tuple[Target, ...]:
    """Return all targets with the operating system and CPU of ``target``, in the table's order."""
    return tuple(other for other in load_targets() if other.family == target.family)


def find_macos_minimum(python: tuple[int, int]) -> tuple[int, int]:
    """Return the lowest macOS of a version of CPython; that of the nearest older one, if the table lacks it."""
    known = {abi.minor: Version(abi.macos) for abi in load_abis()}
    nearest = max((minor for minor in known if minor <= python[1]), default=min(known))
    return known[nearest].major, known[nearest].minor


def raise_macos_minimum(target: Target, minimum: str) -> Target:
    """Return a target whose wheels need at least this version of macOS ("10.13"); another system's is unchanged."""
    if target.os != "macos" or Version(minimum) <= Version(target.minimum):
        return target
    release = Version(minimum)
    version = f"{release.major}.{release.minor if release.major == 10 else 0}"  # as in tags since macOS 11
    arch = target.platform.rpartition("-")[2]
    return replace(
        target,
        tags=(f"macosx_{version.replace('.', '_')}_{arch}",),
        compiler=f"{target.cpu}-macos.{version}",
        minimum=version,
        platform=f"macosx-{version}-{arch}",
    )


def find_host_target(system: str = sys.platform, machine: str | None = None) -> Target | None:
    """Return the target of this machine; None where the table has no row for it."""
    cpu = (platform.machine() if machine is None else machine).lower()
    family = SYSTEMS.get(system, system), _CPU.get(cpu, cpu)
    return next((target for target in load_targets() if target.family == family), None)


# --- the wheels of a release ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PlannedWheel:
    """A wheel of a release: its file name, the targets that it serves (none for the pure wheel), and its ABI."""

    name: str
    targets: tuple[Target, ...]
    abi: Abi | None

    @property
    def tags(self) -> frozenset[Tag]:
        """The tags, expanded."""
        return parse_wheel_name(self.name).tags

    @property
    def is_stable(self) -> bool:
        """Whether it has a stable ABI (PEP 384, PEP 803), so that it serves later Pythons too."""
        return any(tag.abi.startswith("abi3") for tag in self.tags)

    @property
    def ways(self) -> set[str]:
        """How the building machine can run it: as its targets say, if Debian has its CPython."""
        found = {way for target in self.targets for way in target.run}
        known = {"abi3", *(f"cp{python.replace('.', '')}" for python in DEBIAN_SUITES)}
        return found if known & {tag.abi for tag in self.tags} else found - {"cpython"}

    def record(self) -> dict[str, object]:
        """Return its description for programs, such as a CI matrix."""
        first = self.targets[0] if self.targets else None
        return {
            "name": self.name,
            "targets": [target.id for target in self.targets],
            "os": first.os if first else "any",
            "cpu": first.cpu if first else "any",
            "abi": parse_wheel_name(self.name).abi,
            "python": self.abi.python if self.abi else "3",
            "free_threaded": self.abi.free_threaded if self.abi else False,
            "tags": sorted(map(str, self.tags)),
            "run": sorted({way for target in self.targets for way in target.run}),
            "runner": first.runner if first else "",
        }


def format_name_version(name: str, version: str) -> str:
    """Return the start of a release's file names (PEP 427, PEP 625): ``tornado_speedups-0.1.0``.

    Raises ValueError for an invalid name or version.
    """
    return f"{canonicalize_name(name, validate=True).replace('-', '_')}-{Version(version)}"


def list_families(targets: Iterable[Target]) -> list[tuple[Target, ...]]:
    """Return the whole family of each of the targets, each once, in the table's order."""
    return list(dict.fromkeys(find_family(target) for target in targets))


def plan_wheel(name_version: str, tags: str, targets: Sequence[Target], abi: Abi) -> PlannedWheel:
    """Return a wheel with these Python and ABI tags ("cp312-abi3") that serves all of ``targets``."""
    platforms = ".".join(sorted(tag for target in targets for tag in target.tags))
    return PlannedWheel(f"{name_version}-{tags}-{platforms}.whl", tuple(targets), abi)


def plan_wheels(
    name_version: str, targets: Sequence[Target], abis: Sequence[Abi], *, pure: bool
) -> tuple[PlannedWheel, ...]:
    """Return the wheels of a project with the stable ABI, ABI by ABI, in the table's order; the pure one comes last."""
    wheels = [plan_wheel(name_version, abi.id, family, abi) for abi in abis for family in list_families(targets)]
    return (*wheels, *([PlannedWheel(f"{name_version}-{PURE}.whl", (), None)] if pure else ()))
