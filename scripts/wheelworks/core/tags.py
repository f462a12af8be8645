"""What a wheel's tags say of where it installs: slots, so that sets cut up differently can be compared.

One wheel may serve glibc and musl, or both CPUs of macOS, where another builder has a wheel for each. Platform tags:
PEP 425, 513, 571, 599, 600 (manylinux), 656 (musllinux), and the macOS ones of the PyPA specifications.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from wheelworks.core import targets
from wheelworks.core.errors import WheelworksError
from wheelworks.core.targets import Target
from wheelworks.core.wheel import WheelName

Floor = tuple[int, ...]

_OLD_MANYLINUX = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_WINDOWS = {"win32": "x86", "win_amd64": "x86_64", "win_arm64": "aarch64"}
_CPUS = {"arm64": ("aarch64",), "universal2": ("aarch64", "x86_64"), "i686": ("x86",)}
_FIRST_ARM64_MACOS = (11, 0)
_VERSIONED = re.compile(r"(manylinux|musllinux|macosx)_(\d+)_(\d+)_(\w+)")
_UNVERSIONED = re.compile(r"(manylinux1|manylinux2010|manylinux2014|linux)_(\w+)")
_MACOS_SINCE = ((14, (10, 15)), (13, (10, 13)))  # what python.org's builds of CPython 3.14, 3.13 ask for
_SYSTEMS = {"manylinux": "glibc", "musllinux": "musl", "macosx": "macos"}


@dataclass(frozen=True, order=True)
class Slot:
    """A kind of Python on a kind of platform: what pip picks one wheel of a release for; a pure wheel has no CPU."""

    abi: str
    system: str
    cpu: str

    def __str__(self) -> str:
        return f"{self.abi} on {' '.join(filter(None, (self.system, self.cpu)))}"


def slots(name: WheelName) -> dict[Slot, Floor]:
    """The slots that a wheel serves, each from which version of its libc or system on (empty where none is named).

    Raises WheelworksError for a platform tag that isn't known.
    """
    found: dict[Slot, Floor] = {}
    for tag in name.tags:
        for system, cpu, floor in _platforms(tag.platform):
            slot = Slot(f"{tag.interpreter}-{tag.abi}", system, cpu)
            found[slot] = min(found.get(slot, floor), floor)
    return found


def _platforms(tag: str) -> list[tuple[str, str, Floor]]:
    if tag == "any":
        return [("any platform", "", ())]
    if tag in _WINDOWS:
        return [("windows", _WINDOWS[tag], ())]
    if match := _VERSIONED.fullmatch(tag):
        system, since = _SYSTEMS[match[1]], (int(match[2]), int(match[3]))
        return [(system, cpu, _lowest(system, cpu, since)) for cpu in _CPUS.get(match[4], (match[4],))]
    if match := _UNVERSIONED.fullmatch(tag):
        floor: Floor = _OLD_MANYLINUX.get(match[1], ())
        return [("glibc" if floor else "one linux", cpu, floor) for cpu in _CPUS.get(match[2], (match[2],))]
    raise WheelworksError(f"{tag}: no platform tag that is known here")


def _lowest(system: str, cpu: str, floor: Floor) -> Floor:
    """ARM64 came with macOS 11, whatever a universal2 wheel says for its other half."""
    return max(floor, _FIRST_ARM64_MACOS) if (system, cpu) == ("macos", "aarch64") else floor


def promised(slot: Slot) -> Floor:
    """The version of its libc or system that a slot's wheels may ask for: what the target table says.

    On macOS a Python that asks for a later one itself has the last word. Empty where the table has no such target.
    """
    places = [place for target in targets.all_targets() for tag in target.tags for place in _platforms(tag)]
    floors = [floor for system, cpu, floor in places if (system, cpu) == (slot.system, slot.cpu)]
    return max(min(floors, default=()), _macos_of_python(slot) if slot.system == "macos" else ())


def _macos_of_python(slot: Slot) -> Floor:
    digits = slot.abi.partition("-")[0].removeprefix("cp3")
    since = [floor for minor, floor in _MACOS_SINCE if digits.isdigit() and int(digits) >= minor]
    return since[0] if since else ()


def served(name: WheelName) -> tuple[Target, ...]:
    """The targets whose every machine takes a wheel of this name: it asks for no later libc or system."""
    floors = {(slot.system, slot.cpu): floor for slot, floor in slots(name).items()}
    return tuple(target for target in targets.all_targets() if _takes(target, floors))


def _takes(target: Target, floors: dict[tuple[str, str], Floor]) -> bool:
    own = [place for tag in target.tags for place in _platforms(tag)]
    return any(floors.get((system, cpu), (1 << 16,)) <= floor for system, cpu, floor in own)
