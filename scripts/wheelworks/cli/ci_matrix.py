"""What CI runs in parallel: rows that a workflow hands to its jobs as they are, so that it needs no logic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wheelworks.core.plan import Planned
from wheelworks.core.targets import Abi, Target

Row = dict[str, str]

ARCHITECTURES = {"x86": "x86", "x86_64": "x64", "aarch64": "arm64"}
# Where the suite itself runs under another architecture's Python than the machine's own: some of what it installs has
# no wheels for Windows on ARM64, which runs x64 programs.
SUITE = {"windows-11-arm": "x64", "windows-2025": "x64"}
# Builds for CPUs of which there is no hosted machine, under qemu.
EMULATING = "ubuntu-24.04"


def native(planned: Sequence[Planned]) -> list[Row]:
    """For each wheel and each hosted machine that it installs on: the oldest and the newest Python that takes it.

    musl has no hosted machine: its wheel is tested where it is glibc's, too, else run on the emulated CPU alone.
    """
    abis = list(dict.fromkeys(one.abi for one in planned if one.abi))
    rows = []
    for one in planned:
        for target in _first_of_each(one.targets):
            for python in pythons(one.abi, abis) if one.abi else ():
                rows.append({**_machine(target), "python": python, "wheel": one.name})
    return rows


def _first_of_each(targets: Iterable[Target]) -> list[Target]:
    hosted = [target for target in targets if target.runner and not target.id.startswith("musllinux")]
    return list({(target.runner, target.cpu): target for target in reversed(hosted)}.values())


def _machine(target: Target) -> Row:
    architecture = ARCHITECTURES[target.cpu]
    return {
        "runner": target.runner,
        "architecture": architecture,
        "suite": SUITE.get(target.runner, architecture),
    }


def pythons(abi: Abi, abis: Sequence[Abi]) -> list[str]:
    """The oldest and the newest Python, with and without the GIL, that pip gives a wheel of this ABI.

    It prefers the ABI of a newer Python, so that the range of each ends before the next of its kind.
    """
    found = []
    if "abi3" in abi.tags:
        later = [minor(other) for other in abis if "abi3" in other.tags and minor(other) > minor(abi)]
        found += [minor(abi), min(later) - 1 if later else minor(abi)]
    names = [f"3.{number}" for number in dict.fromkeys(found)]
    return names + ([f"{abi.python}t"] if abi.free_threaded else [])


def minor(abi: Abi) -> int:
    """The second number of an ABI's Python."""
    return int(abi.python.partition(".")[2])


def official(targets: Iterable[Target]) -> dict[str, list[Row]]:
    """For each target a build by cibuildwheel: on a machine of its own, or, where there is none, under qemu."""
    rows: dict[str, list[Row]] = {"official": [], "emulated": []}
    for target in targets:
        if target.runner:
            rows["official"].append({**_machine(target), "target": target.id})
        else:
            rows["emulated"].append({"runner": EMULATING, "target": target.id})
    return rows
