"""The wheels of a manifest as the report shows them, what is proven about them, and how to build them again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from wheelworks.core import targets
from wheelworks.core.errors import WheelworksError
from wheelworks.core.manifest import Manifest, RunRecord, Source, WheelRecord
from wheelworks.core.wheel import parse_wheel_name

State = Literal["pass", "fail", "warning", "pending"]

EMULATED, QEMU, NATIVE, CI = "emulated CPU", "CPython under qemu", "CPython on this CPU", "natively in CI"
REWRAPPED = "a real CPython, rewrapped"
HERE, IN_CI = " here, with Tornado", " in CI, with Tornado"  # parts of the description of a native run
# The descriptions of all runs on this machine's own CPU: by its Pythons, and by one in a root without an emulator.
_ON_THIS_CPU = re.compile(
    r"CPython \S+ (?:here\b|of this machine\b|for \w+(?:, code of musl Linux with glibc)?, in private namespaces)"
)
MAX_WHEELS, MAX_ITEMS = 2000, 300
MAX_NAME = 255  # the limit of file systems; a longer name could have any number of combined tags
_SYSTEMS = {"windows": "Windows", "macos": "macOS", "linux": "Linux"}
_LINKS = {"freestanding": "freestanding", "libc": "with a libc", "none": "pure Python"}


@dataclass(frozen=True)
class Step:
    """The result of one session for a wheel. It is ``pending`` if the session hasn't run."""

    name: str
    state: State
    text: str


@dataclass(frozen=True, eq=False)
class Wheel:
    """A wheel of a manifest, with its number on the page. Wheels are compared by identity: records may repeat."""

    record: WheelRecord
    platform: str
    abi: str
    tags: list[str]
    number: int = 0

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is known about the wheel, step by step."""
        return (_built(self.record), _audited(self.record), find_execution(self.record), _reproduced(self.record))

    @property
    def minimum(self) -> str:
        """The lowest system versions that the wheel supports."""
        found = []
        for target in targets.load_targets():
            if target.id in self.record.targets:
                libc = "musl" if target.id.startswith("musl") else "glibc"
                found.append(f"{libc if target.os == 'linux' else _SYSTEMS.get(target.os, '')} {target.minimum}")
        return ", ".join(found)

    @property
    def search_texts(self) -> list[str]:
        """The texts that the page's filter searches: platform, tags, hash and imported symbols."""
        imports = [one.imports for one in self.record.extensions[:MAX_ITEMS]]
        symbols = [text for each in imports for key, names in each.items() for text in (key, *limit_items(names))]
        ids = limit_items(self.record.targets)
        texts = (self.platform, *ids, *self.tags, self.record.file, self.record.sha256, *symbols)
        return [text.casefold() for text in texts]


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

    found = sorted(map(make_wheel, record.wheels[:MAX_WHEELS]), key=sort_key)
    return [replace(one, number=number) for number, one in enumerate(found)]


def make_wheel(record: WheelRecord) -> Wheel:
    """Return the wheel of a record."""
    abi, tags = record.abi, limit_items(record.tags)
    try:
        name = parse_wheel_name(record.file[:MAX_NAME])
        abi, tags = abi or name.abi, tags or limit_items(sorted(map(str, name.tags)))
    except WheelworksError:
        pass
    return Wheel(record, _find_platform(record.targets, tags), abi or "unknown", tags)


def _find_platform(ids: Sequence[str], tags: Sequence[str]) -> str:
    """Return the platform of known targets. Otherwise return the platform tags, or "any platform"."""
    for target in targets.load_targets():
        if target.id in ids:
            return f"{_SYSTEMS.get(target.os, target.os)} {target.machine}"
    platforms = sorted({tag.rpartition("-")[2] for tag in tags})
    return "any platform" if platforms in ([], ["any"]) else ", ".join(platforms)


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
        return Step("audited", "pending", "not yet")
    severities = [each.severity for each in record.audit.findings]
    if errors := severities.count("error"):
        return Step("audited", "fail", _count(errors, "error"))
    if warnings := severities.count("warning"):
        return Step("audited", "warning", _count(warnings, "warning"))
    return Step("audited", "pass", "passed")


def find_execution(record: WheelRecord) -> Step:
    """Return whether the wheel's code was run, in which ways, and with how many checks."""
    if record.link == "none":
        return Step("executed", "pass", "no machine code in it")
    failed = [run for run in record.runs if run.outcome == "failed"]
    passed = [run for run in record.runs if run.outcome == "passed"]
    kinds = ", ".join(dict.fromkeys(map(classify_run, failed or passed)))
    if failed:
        return Step("executed", "fail", f"failed: {kinds}")
    if passed:
        return Step("executed", "pass", f"{kinds}, {_count(sum(run.checks for run in passed), 'check')}")
    return Step("executed", "warning", "unsupported") if record.runs else Step("executed", "pending", "not yet")


def _reproduced(record: WheelRecord) -> Step:
    if record.reproduced is None:
        return Step("reproduced", "pending", "not yet")
    if not record.reproduced.same:
        return Step("reproduced", "fail", "other bytes")
    return Step("reproduced", "pass", f"same bytes, {_count(len(record.reproduced.varied), 'thing')} varied")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def summarize_proofs(wheels: Sequence[Wheel]) -> Iterator[tuple[str, str]]:
    """Yield how many wheels passed each step, and what that step proves."""
    native = [one.record for one in wheels if one.record.link != "none"]
    freestanding = sum(one.link == "freestanding" for one in native)
    emulated, qemu, here, ci = (_count_passed(native, kind) for kind in (EMULATED, QEMU, NATIVE, CI))
    yield f"Built: {len(wheels)}.", f"{freestanding} of them call only CPython: neither a C library nor any other."
    yield _summarize_step("audited", wheels), "Their files, tags, imports and machine code were read. Nothing was run."
    checked = "Their machine code was executed, and every memory access, C API call and reference was checked."
    replaced = "CPython and the system's loader were replaced by programs of this suite."
    yield f"Run on an emulated CPU: {emulated} of {len(native)}.", f"{checked} {replaced}"
    kinds = f"under qemu {qemu} of {len(native)}, on this machine {here}, natively in CI {ci}"
    yield (f"Run under a real CPython of their CPU: {kinds}.", "The system's loader and a whole CPython accepted them.")
    rewrapped = _count_passed(native, REWRAPPED)
    missing = "The loaders and C libraries of Windows and macOS took no part: libraries of this suite replaced them."
    yield (
        f"Run under a real CPython of Linux, rewrapped from Windows or macOS: {rewrapped} of {len(native)}.",
        f"The shipped instructions worked with a whole CPython. {missing}",
    )
    varied = "A second build in another environment gave the same bytes. Each wheel's details list what was varied."
    yield _summarize_step("reproduced", wheels), varied


def _count_passed(records: Sequence[WheelRecord], kind: str) -> int:
    return sum(any(run.outcome == "passed" and classify_run(run) == kind for run in one.runs) for one in records)


def _summarize_step(step: str, wheels: Sequence[Wheel]) -> str:
    states = [each.state for one in wheels for each in one.steps if each.name == step]
    passed, warned, failed = (states.count(state) for state in ("pass", "warning", "fail"))
    parts = [f"{passed} of {len(wheels)} passed"]
    parts += [f"{warned} with warnings"] if warned else []
    parts += [f"{failed} failed"] if failed else []
    return f"{step.capitalize()}: {', '.join(parts)}."


def summarize_limits(wheels: Sequence[Wheel]) -> Iterator[str]:
    """Yield what isn't proven."""
    yield "That Windows or macOS load a wheel: their loaders run only on these systems, which CI has."
    if any(run.outcome == "passed" and classify_run(run) == REWRAPPED for one in wheels for run in one.record.runs):
        yield (
            "What rewrapped code does with the real C libraries of Windows and macOS, and on newer CPUs: pointer"
            " authentication (PAC) was off, and code of Windows ran without LSE's atomic instructions."
        )
    yield "That a wheel is fast: emulation counts instructions, not time."
    for step in ("audited", "executed", "reproduced"):
        if left := sum(each.name == step and each.state == "pending" for one in wheels for each in one.steps):
            yield f"{left} of {len(wheels)} wheels were not {step} yet."
    for reason, files in _find_unsupported(wheels).items():
        yield f"{len(files)} could not be run here: {reason}"
    known = {name for one in wheels for name in one.record.targets}
    if missing := [target.id for target in targets.load_targets() if target.id not in known]:
        yield f"Anything about targets without a wheel in this folder: {', '.join(missing)}."


def _find_unsupported(wheels: Sequence[Wheel]) -> dict[str, list[str]]:
    """Return the files of wheels that no run could execute, by reason."""
    found: dict[str, list[str]] = {}
    for one in wheels:
        if not any(run.outcome == "passed" for run in one.record.runs):
            for run in one.record.runs:
                if run.outcome == "unsupported":
                    found.setdefault(run.why, []).append(one.record.file)
    return found


def list_commands(source: Source) -> list[str]:
    """Return the commands that build and check the same wheels again."""
    commit = source.commit
    is_hash = len(commit) in (40, 64) and all(digit in "0123456789abcdef" for digit in commit)
    lines = [f"git checkout {commit}"] if is_hash else []
    if source.dirty:
        lines.append("# apply the uncommitted changes of the original build, which only its author has")
    project = "" if is_hash else " -- SDIST"
    lines += [f"nox -s build-wheels{project}", "nox -s audit -- dist", "nox -s test-foreign -- dist/*.whl"]
    return [f"# {source.name or 'these wheels'}, on one Linux machine", *lines, "nox -s reproduce"]


def list_facts(record: Manifest) -> list[tuple[str, str]]:
    """Return the source and the toolchain as names and values."""
    return [*flatten(msgspec.to_builtins(record.source), "source."), *flatten(record.toolchain.versions())]
