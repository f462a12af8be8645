"""The wheels of a manifest as the report shows them, in rows of platforms, with the result of each step."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

from wheelworks.core import targets
from wheelworks.core.errors import WheelworksError
from wheelworks.core.manifest import FailureRecord, Manifest, RunRecord, WheelRecord
from wheelworks.core.wheel import parse_wheel_name

State = Literal["fail", "unsupported", "warning", "pending", "pass"]  # the worst first
STATES: tuple[State, ...] = get_args(State)
StepName = Literal["built", "audited", "run", "reproduced"]
STEPS: tuple[StepName, ...] = get_args(StepName)

EMULATED, QEMU, NATIVE, CI = "emulated CPU", "CPython under qemu", "CPython on this CPU", "natively in CI"
REWRAPPED = "a real CPython, rewrapped"
HERE, IN_CI = " here, with Tornado", " in CI, with Tornado"  # parts of the description of a native run
# The descriptions of all runs on this machine's own CPU: by its Pythons, and by one in a root without an emulator.
_ON_THIS_CPU = re.compile(
    r"CPython \S+ (?:here\b|of this machine\b|for \w+(?:, code of musl Linux with glibc)?, in private namespaces)"
)
ANY, NOT_YET = "any platform", "not looked at"
MAX_WHEELS, MAX_ITEMS = 2000, 300
MAX_NAME = 255  # the limit of file systems; a longer name could have any number of combined tags
_SYSTEMS = {"windows": "Windows", "macos": "macOS", "linux": "Linux"}
_LINKS = {"freestanding": "freestanding", "libc": "with a libc", "none": "pure Python"}


@dataclass(frozen=True)
class Step:
    """The result of one session for a wheel. It is ``pending`` if the session hasn't run."""

    name: StepName
    state: State
    text: str


@dataclass(frozen=True, eq=False)
class Wheel:
    """A wheel of a manifest, with its number on the page. Wheels are compared by identity: records may repeat.

    With a ``failure`` there is no file: its build failed.
    """

    record: WheelRecord
    platform: str
    abi: str
    tags: list[str]
    number: int = 0
    failure: FailureRecord | None = None

    @property
    def name(self) -> str:
        """Its file, or what wasn't built."""
        return self.record.file or f"{self.platform}, {self.abi}"

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """What is known about the wheel, step by step: of a failed build only that."""
        if self.failure:
            return (Step("built", "fail", "the build failed"),)
        return (_built(self.record), _audited(self.record), find_execution(self.record), _reproduced(self.record))

    @property
    def minimum(self) -> str:
        """The lowest system versions that the wheel supports."""
        found = []
        for target in targets.load_targets():
            if target.id in self.record.targets:
                system = _name_libc(target) if target.os == "linux" else _SYSTEMS.get(target.os, "")
                found.append(f"{system} {target.minimum}")
        return ", ".join(found)

    @cached_property
    def state(self) -> State:
        """The worst state of its steps."""
        return min((step.state for step in self.steps), key=STATES.index)

    @cached_property
    def keys(self) -> set[str]:
        """What the page can filter it by: its own state, and that of each step."""
        return {self.state, *(f"{step.name}-{step.state}" for step in self.steps)}

    @property
    def is_pure(self) -> bool:
        """Whether it is for any platform."""
        return self.platform == ANY


def limit_items(items: Sequence[str]) -> list[str]:
    """Return the items, with a note in place of those of a very long list."""
    more = [f"and {len(items) - MAX_ITEMS} more"] if len(items) > MAX_ITEMS else []
    return [*items[:MAX_ITEMS], *more]


def flatten(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the items of a nested JSON object as ``build_requirements.setuptools``, ``84.2.1``, without empty ones."""
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from flatten(inner, f"{prefix}{key}.")
        elif isinstance(inner, bool):
            yield f"{prefix}{key}", "yes" if inner else "no"
        elif inner != "":
            yield f"{prefix}{key}", str(inner)


def list_wheels(record: Manifest) -> list[Wheel]:
    """Return the wheels of a manifest, sorted by platform in the order of the target table."""
    order = {target.id: number for number, target in enumerate(targets.load_targets())}

    def sort_key(one: Wheel) -> tuple[int, str, str, str]:
        place = min((order[name] for name in one.record.targets if name in order), default=len(order))
        return place, one.platform, one.abi, one.record.file

    known = [*map(make_wheel, record.wheels[:MAX_WHEELS]), *map(_make_unbuilt, record.failures[:MAX_WHEELS])]
    found = sorted(known, key=sort_key)
    return [replace(one, number=number) for number, one in enumerate(found)]


def make_wheel(record: WheelRecord) -> Wheel:
    """Return the wheel of a record."""
    abi, tags = record.abi, limit_items(record.tags)
    # A manifest may be from anyone. If its file names aren't those of wheels, the page shows what else it says.
    with suppress(WheelworksError):
        name = parse_wheel_name(record.file[:MAX_NAME])
        abi, tags = abi or name.abi, tags or limit_items(sorted(map(str, name.tags)))
    return Wheel(record, _find_platform(record.targets, tags), abi or "unknown", tags)


def _make_unbuilt(failure: FailureRecord) -> Wheel:
    """Return the wheel that a failed build didn't make."""
    record = WheelRecord(
        file="", sha256="", size=0, abi=failure.abi, tags=[], targets=failure.targets, link="unknown", libc_calls=[],
        extensions=[],
    )  # fmt: skip
    return Wheel(record, _find_platform(failure.targets, []), failure.abi, [], failure=failure)


def _find_platform(ids: Sequence[str], tags: Sequence[str]) -> str:
    """Return the platform of known targets. Otherwise return the platform tags, or "any platform"."""
    found = [target for target in targets.load_targets() if target.id in ids]
    if found:
        libcs = {_name_libc(target) for target in found}
        libc = f", {libcs.pop()}" if found[0].os == "linux" and len(libcs) == 1 else ""
        return f"{_SYSTEMS.get(found[0].os, found[0].os)} {found[0].machine}{libc}"
    platforms = sorted({tag.rpartition("-")[2] for tag in tags})
    return ANY if platforms in ([], ["any"]) else ", ".join(platforms)


def _name_libc(target: targets.Target) -> str:
    return "musl" if target.id.startswith("musl") else "glibc"


def classify_run(run: RunRecord) -> str:
    """Return the kind of a run: EMULATED, REWRAPPED, QEMU, NATIVE, CI, or its own description."""
    if run.how.startswith(EMULATED):
        return EMULATED
    if " rewrapped" in run.how:
        return REWRAPPED
    if "qemu" in run.how:
        return QEMU
    if IN_CI in run.how:
        return CI
    return NATIVE if _ON_THIS_CPU.match(run.how) else run.how


def _built(record: WheelRecord) -> Step:
    """Return how the wheel was linked, and its builder unless that is ours."""
    parts = (f"by {record.builder}" if record.builder else "", _LINKS.get(record.link, ""))
    return Step("built", "pass", ", ".join(filter(None, parts)) or "yes")


def _audited(record: WheelRecord) -> Step:
    if record.audit is None:
        return Step("audited", "pending", NOT_YET)
    severities = [each.severity for each in record.audit.findings]
    if errors := severities.count("error"):
        return Step("audited", "fail", count(errors, "error"))
    if warnings := severities.count("warning"):
        return Step("audited", "warning", count(warnings, "warning"))
    return Step("audited", "pass", "passed")


def find_execution(record: WheelRecord) -> Step:
    """Return whether the wheel's code was run, in which ways, and with how many checks."""
    if record.link == "none":
        return Step("run", "pass", "no machine code in it")
    failed = [run for run in record.runs if run.outcome == "failed"]
    passed = [run for run in record.runs if run.outcome == "passed"]
    kinds = ", ".join(dict.fromkeys(map(classify_run, failed or passed)))
    if failed:
        return Step("run", "fail", f"failed: {kinds}")
    if passed:
        return Step("run", "pass", f"{kinds}, {count(sum(run.checks for run in passed), 'check')}")
    return Step("run", "unsupported", "could not be run") if record.runs else Step("run", "pending", NOT_YET)


def _reproduced(record: WheelRecord) -> Step:
    if record.reproduced is None:
        return Step("reproduced", "pending", NOT_YET)
    if not record.reproduced.same:
        return Step("reproduced", "fail", "other bytes")
    return Step("reproduced", "pass", f"same bytes, {count(len(record.reproduced.varied), 'thing')} varied")


def count_keys(wheels: Iterable[Wheel]) -> Counter[str]:
    """Return how many wheels each filter of the page shows, by its key."""
    return Counter(key for one in wheels for key in one.keys)


def count(number: int, what: str) -> str:
    """Return "1 check", "2 checks"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
