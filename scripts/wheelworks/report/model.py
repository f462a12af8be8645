"""A manifest as the report sees it: every part of the shape that is expected, whoever wrote the file.

What has another shape is left out, and long lists are cut: a report must come of any manifest that can be loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from wheelworks.core import targets
from wheelworks.core.errors import WheelworksError
from wheelworks.core.manifest import Manifest, RunRecord, WheelRecord
from wheelworks.core.wheel import parse_wheel_name

State = Literal["good", "bad", "doubt", "open"]

EMULATED, QEMU, NATIVE, CI = "emulated CPU", "CPython under qemu", "this machine's CPython", "natively in CI"
HERE, IN_CI = " here, with Tornado", " in CI, with Tornado"  # in the words of a native run
MOST_WHEELS, MOST, LONGEST = 2000, 300, 2000
LONGEST_NAME = 255  # what file systems take; the tags of a longer one could be combined without end
DEEPEST = 5


@dataclass(frozen=True)
class Step:
    """What one session found out: ``good``; ``bad``; in ``doubt`` (a warning); or ``open``, since nobody looked."""

    name: str
    state: State
    says: str


@dataclass(frozen=True)
class Run:
    """One way in which a wheel's code was run."""

    how: str
    outcome: str
    checks: int
    why: str
    findings: tuple[str, ...]

    @property
    def way(self) -> str:
        """The kind of way, in few words."""
        if self.how.startswith(EMULATED):
            return EMULATED
        if "qemu" in self.how:
            return QEMU
        if IN_CI in self.how:
            return CI
        return NATIVE if HERE in self.how else self.how


@dataclass(frozen=True, eq=False)
class Wheel:
    """One wheel of a manifest; no two are the same, whatever they say."""

    file: str
    sha256: str
    size: int
    platform: str
    abi: str
    ids: tuple[str, ...]
    tags: tuple[str, ...]
    link: str
    record: WheelRecord
    runs: tuple[Run, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """Built, audited, executed, reproduced."""
        return (built(self), audited(self), executed(self), reproduced(self))


def mapping(value: object) -> dict[str, Any]:
    """A JSON object; an empty one for anything else."""
    return {str(key)[:LONGEST]: inner for key, inner in list(value.items())[:MOST]} if isinstance(value, dict) else {}


def text(value: object) -> str:
    """A string, or a number as one; "" for anything else."""
    return str(value)[:LONGEST] if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def texts(value: object) -> tuple[str, ...]:
    """A list of strings, cut where it is very long."""
    items = value if isinstance(value, list | tuple) else ()
    shown = tuple(text(item) for item in items[:MOST])
    return (*shown, f"and {len(items) - MOST} more") if len(items) > MOST else shown


def number(value: object) -> int:
    """A count or size; 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 50 else 0


def wheels(record: Manifest) -> tuple[Wheel, ...]:
    """Every wheel of a manifest, platform by platform in the order of the target table."""
    found = [wheel(one) for one in record.wheels[:MOST_WHEELS]]
    return tuple(sorted(found, key=lambda one: (_place(one.ids), one.platform, one.abi, one.file)))


def wheel(record: WheelRecord) -> Wheel:
    """One wheel."""
    file, tags, ids = text(record.file), texts(record.tags), texts(record.targets)
    abi = text(record.abi)
    try:
        name = parse_wheel_name(file[:LONGEST_NAME])
        abi = abi or name.abi
        tags = tags or texts(sorted(map(str, name.tags)))
    except WheelworksError:
        pass
    runs = tuple(map(_run, record.runs[:MOST]))
    platform = _platform(ids, tags)
    size, link = number(record.size), text(record.link)
    return Wheel(file, text(record.sha256), size, platform, abi or "unknown", ids, tags, link, record, runs)


def _run(run: RunRecord) -> Run:
    return Run(text(run.how), text(run.outcome), number(run.checks), text(run.why), texts(run.findings))


_SYSTEMS = {"windows": "Windows", "macos": "macOS", "linux": "Linux"}


def _place(ids: Sequence[str]) -> int:
    order = [target.id for target in targets.all_targets()]
    return min((order.index(one) for one in ids if one in order), default=len(order))


def _platform(ids: Sequence[str], tags: Sequence[str]) -> str:
    """The family that a wheel is for: where the table doesn't know it, its platform tags; for a pure one, any."""
    known = [target for target in targets.all_targets() if target.id in ids]
    if known:
        return f"{_SYSTEMS.get(known[0].os, known[0].os)} {known[0].machine}"
    platforms = sorted({tag.rpartition("-")[2] for tag in tags})
    return "any platform" if platforms in ([], ["any"]) else ", ".join(platforms)


def minimum(ids: Sequence[str]) -> str:
    """The lowest versions that a wheel's platforms ask for, in words."""
    found = []
    for target in targets.all_targets():
        if target.id in ids:
            libc = "musl" if target.id.startswith("musl") else "glibc"
            found.append(f"{libc if target.os == 'linux' else _SYSTEMS.get(target.os, '')} {target.minimum}")
    return ", ".join(found)


def built(one: Wheel) -> Step:
    """How it was linked, and by which builder where that wasn't ours."""
    words = {"freestanding": "freestanding", "libc": "with a libc", "none": "pure Python"}
    builder = text(one.record.builder)
    says = ", ".join(filter(None, (f"by {builder}" if builder else "", words.get(one.link, ""))))
    return Step("built", "good", says or "yes")


def audited(one: Wheel) -> Step:
    """The worst that the audit found."""
    if one.record.audit is None:
        return Step("audited", "open", "not yet")
    severities = [each.severity for each in one.record.audit.findings]
    errors, warnings = severities.count("error"), severities.count("warning")
    if errors:
        return Step("audited", "bad", _count(errors, "error"))
    if warnings:
        return Step("audited", "doubt", _count(warnings, "warning"))
    return Step("audited", "good", "passed")


def executed(one: Wheel) -> Step:
    """Whether its code was run, in which ways, and with how many checks."""
    if one.link == "none":
        return Step("executed", "good", "no machine code in it")
    failed = [run for run in one.runs if run.outcome == "failed"]
    ran = [run for run in one.runs if run.outcome == "passed"]
    if failed:
        return Step("executed", "bad", f"failed: {', '.join(dict.fromkeys(run.way for run in failed))}")
    if ran:
        ways = ", ".join(dict.fromkeys(run.way for run in ran))
        return Step("executed", "good", f"{ways}, {_count(sum(run.checks for run in ran), 'check')}")
    if one.runs:
        return Step("executed", "doubt", "unsupported")
    return Step("executed", "open", "not yet")


def reproduced(one: Wheel) -> Step:
    """Whether a second build gave the same bytes."""
    found = one.record.reproduced
    if found is None:
        return Step("reproduced", "open", "not yet")
    varied = _count(len(found.varied), "thing")
    if found.same:
        return Step("reproduced", "good", f"same bytes, {varied} varied")
    return Step("reproduced", "bad", "other bytes")


def _count(many: int, what: str) -> str:
    return f"{many:,} {what}{'' if many == 1 else 's'}"


def flat(value: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """A nested JSON object as lines: ``build_requirements.setuptools``, ``84.2.1``."""
    for key, inner in mapping(value).items():
        name = f"{prefix}{key}"
        if isinstance(inner, dict):
            if prefix.count(".") < DEEPEST:
                yield from flat(inner, f"{name}.")
        elif isinstance(inner, bool):
            yield name, "yes" if inner else "no"
        elif shown := ", ".join(texts(inner)) or text(inner):
            yield name, shown
