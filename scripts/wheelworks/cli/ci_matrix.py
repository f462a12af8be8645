"""The rows that CI workflows hand to their parallel jobs, so that the workflows contain no logic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wheelworks.core.targets import Abi, PlannedWheel, Target

JobRow = dict[str, str]

ARCHITECTURES = {"x86": "x86", "x86_64": "x64", "aarch64": "arm64"}
# The architecture of the suite's own Python, where it isn't the machine's: some of the suite's dependencies have no
# wheels for Windows on ARM64, which also runs x64 programs.
SUITE_ARCHITECTURES = {"windows-11-arm": "x64", "windows-2025": "x64"}
# The machine that builds under qemu, for CPUs without a hosted machine.
EMULATING = "ubuntu-24.04"


def make_native_rows(planned: Sequence[PlannedWheel]) -> list[JobRow]:
    """Return, for each wheel and each hosted machine that installs it, the oldest and newest Python that takes it.

    There is no hosted machine with musl: a wheel that also serves glibc is tested there, others on the emulated CPU.
    """
    abis = list(dict.fromkeys(one.abi for one in planned if one.abi))
    return [
        {**_describe_machine(target), "python": python, "wheel": one.name}
        for one in planned
        if one.abi
        for target in _select_hosted(one.targets)
        for python in (choose_pythons(one.abi, abis) if one.is_stable else [_name_python(one.abi)])
    ]


def _select_hosted(targets: Iterable[Target]) -> list[Target]:
    """Return one target for each hosted machine and CPU."""
    hosted = [target for target in targets if target.runner and not target.id.startswith("musllinux")]
    return list({(target.runner, target.cpu): target for target in reversed(hosted)}.values())


def _describe_machine(target: Target) -> JobRow:
    architecture = ARCHITECTURES[target.cpu]
    suite = SUITE_ARCHITECTURES.get(target.runner, architecture)
    return {"runner": target.runner, "architecture": architecture, "suite": suite}


def choose_pythons(abi: Abi, abis: Sequence[Abi]) -> list[str]:
    """Return the oldest and newest Python, with and without the GIL, for which pip takes a wheel of this ABI.

    pip prefers the ABI of a newer Python, so that the range of an ABI ends before the next ABI of its kind.
    """
    found = []
    if "abi3" in abi.tags:
        later = [parse_minor(other) for other in abis if "abi3" in other.tags and parse_minor(other) > parse_minor(abi)]
        found += [parse_minor(abi), min(later) - 1 if later else parse_minor(abi)]
    names = [f"3.{number}" for number in dict.fromkeys(found)]
    return names + ([f"{abi.python}t"] if abi.free_threaded else [])


def _name_python(abi: Abi) -> str:
    return abi.python + ("t" if abi.free_threaded else "")


def parse_minor(abi: Abi) -> int:
    """Return the minor version of an ABI's Python."""
    return int(abi.python.partition(".")[2])


def make_cibuildwheel_rows(targets: Iterable[Target]) -> dict[str, list[JobRow]]:
    """Return a build by cibuildwheel for each target: on a machine of its CPU, or under qemu where there is none."""
    rows: dict[str, list[JobRow]] = {"official": [], "emulated": []}
    for target in targets:
        if target.runner:
            rows["official"].append({**_describe_machine(target), "target": target.id})
        else:
            rows["emulated"].append({"runner": EMULATING, "target": target.id})
    return rows
