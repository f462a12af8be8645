"""What a manifest's wheels come to: the verdict, the counts, what is proven and what isn't, and the source's facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from wheelworks.core import targets
from wheelworks.core.manifest import Manifest, Source, WheelRecord
from wheelworks.report.model import (
    CI,
    EMULATED,
    NATIVE,
    NOT_YET,
    QEMU,
    REWRAPPED,
    STATES,
    STEPS,
    State,
    StepName,
    Wheel,
    classify_run,
    count,
    count_keys,
    flatten,
)

STATE_WORDS: dict[State, str] = {
    "fail": "failed",
    "unsupported": "could not be run",
    "warning": "with warnings",
    "pending": NOT_YET,
    "pass": "passed",
}


@dataclass(frozen=True)
class Count:
    """How many wheels have a state. ``key`` is that of the filter that shows them (`Wheel.keys`)."""

    key: str
    state: State
    number: int
    text: str


@dataclass(frozen=True)
class Verdict:
    """The release in one line."""

    state: State
    text: str


def judge(wheels: Sequence[Wheel], missing: int) -> Verdict:
    """Return the verdict on a release whose folder lacks ``missing`` wheels."""
    numbers = count_keys(wheels)
    total = count(len(wheels), "wheel")
    if failed := numbers["fail"]:
        return Verdict("fail", f"{failed} of {total} failed")
    if not wheels:
        return Verdict("pending", "No wheels")
    if missing:
        return Verdict("warning", f"Nothing failed, but {count(missing, 'wheel')} {_be(missing)} missing")
    if number := numbers["unsupported"]:
        return Verdict("unsupported", f"Nothing failed, but {number} of {total} could not be run here")
    if steps := [step for step in STEPS if numbers[f"{step}-pending"]]:
        return Verdict("pending", f"Nothing failed, but not all was looked at: {', '.join(steps)}")
    if warned := numbers["warning"]:
        return Verdict("warning", f"Nothing failed: {total}, {warned} with warnings")
    return Verdict("pass", f"Passed: {total}, built, audited, run and reproduced")


def _be(number: int) -> str:
    return "is" if number == 1 else "are"


def count_states(wheels: Sequence[Wheel]) -> list[Count]:
    """Return how many wheels have each state as their worst, without states that none has."""
    texts = STATE_WORDS | {"pending": "with steps not looked at", "pass": "passed every step"}
    numbers = count_keys(wheels)
    return [Count(state, state, numbers[state], texts[state]) for state in STATES if numbers[state]]


def count_step(step: StepName, wheels: Sequence[Wheel]) -> list[Count]:
    """Return how many wheels have each state in one step, without states that none has."""
    numbers, keys = count_keys(wheels), {state: f"{step}-{state}" for state in STATES}
    return [Count(key, state, numbers[key], STATE_WORDS[state]) for state, key in keys.items() if numbers[key]]


def summarize_proofs(wheels: Sequence[Wheel]) -> Iterator[tuple[str, str]]:
    """Yield how many wheels passed each step that was taken, and what that step proves."""
    wheels = [one for one in wheels if not one.failure]
    native = [one.record for one in wheels if one.record.link != "none"]
    freestanding = sum(one.link == "freestanding" for one in native)
    yield f"Built: {len(wheels)}.", f"{freestanding} of them call only CPython: neither a C library nor any other."
    yield _summarize_step("audited", wheels), "Their files, tags, imports and machine code were read. Nothing was run."
    if emulated := _count_runs(native, EMULATED):
        checked = "Their machine code was executed, and every memory access, C API call and reference was checked."
        replaced = "CPython and the system's loader were replaced by programs of this suite."
        yield f"Run on an emulated CPU: {emulated}.", f"{checked} {replaced}"
    kinds = {"under qemu": QEMU, "on this machine": NATIVE, "natively in CI": CI}
    tried = {text: found for text, kind in kinds.items() if (found := _count_runs(native, kind))}
    if tried:
        shown = ", ".join(f"{text} {found}" for text, found in tried.items())
        accepted = "The system's loader and a whole CPython accepted them."
        yield f"Run under a real CPython of their CPU: {shown}.", accepted
    if rewrapped := _count_runs(native, REWRAPPED):
        text = "The shipped instructions worked with a whole CPython."
        text += " The loaders and C libraries of Windows and macOS took no part: libraries of this suite replaced them."
        yield f"Run under a real CPython of Linux, rewrapped from Windows or macOS: {rewrapped}.", text
    varied = "A second build in another environment gave the same bytes. Each wheel's details list what was varied."
    yield _summarize_step("reproduced", wheels), varied


def _count_runs(records: Sequence[WheelRecord], kind: str) -> str:
    """Return "3 of 4 passed" over the wheels that were run in this way; "" if none was."""
    tried = [[run.outcome for run in one.runs if classify_run(run) == kind] for one in records]
    passed = sum("passed" in each and "failed" not in each for each in tried)
    return f"{passed} of {sum(map(bool, tried))} passed" if any(tried) else ""


def _summarize_step(step: StepName, wheels: Sequence[Wheel]) -> str:
    found = count_step(step, wheels)
    looked = sum(one.number for one in found if one.state != "pending")
    if not looked:
        return f"{step.capitalize()}: {NOT_YET}."
    passed = sum(one.number for one in found if one.state == "pass")
    others = [f"{one.number} {one.text}" for one in found if one.state != "pass"]
    return f"{step.capitalize()}: {', '.join([f'{passed} of {looked} passed', *others])}."


def summarize_limits(wheels: Sequence[Wheel]) -> Iterator[str]:
    """Yield what isn't proven."""
    yield "That Windows or macOS load a wheel: their loaders run only on these systems, which CI has."
    if any(run.outcome == "passed" and classify_run(run) == REWRAPPED for one in wheels for run in one.record.runs):
        yield (
            "What rewrapped code does with the real C libraries of Windows and macOS, and on newer CPUs: pointer"
            " authentication (PAC) was off, and code of Windows ran without LSE's atomic instructions."
        )
    yield "That a wheel is fast: emulation counts instructions, not time."
    numbers = count_keys(wheels)
    for step in STEPS:
        if left := numbers[f"{step}-pending"]:
            yield f"{left} of {count(len(wheels), 'wheel')} {'was' if left == 1 else 'were'} not {step} yet."
    known = {name for one in wheels for name in one.record.targets}
    if missing := [target.id for target in targets.load_targets() if target.id not in known]:
        yield f"Anything about targets without a wheel in this folder: {', '.join(missing)}."


def is_commit(text: str) -> bool:
    """Return whether a text is a git hash: SHA-1 or SHA-256."""
    return len(text) in (40, 64) and all(digit in "0123456789abcdef" for digit in text)


def list_commands(source: Source) -> list[str]:
    """Return the commands that build and check the same wheels again."""
    is_known = is_commit(source.commit)
    lines = [f"git checkout {source.commit}"] if is_known else []
    if source.dirty:
        lines.append("# apply the uncommitted changes of the original build, which only its author has")
    project = "" if is_known else " -- SDIST"
    lines += [f"nox -s build-wheels{project}", "nox -s audit -- dist", "nox -s test-foreign -- dist/*.whl"]
    return [f"# {source.name or 'these wheels'}, on one Linux machine", *lines, "nox -s reproduce"]


def list_facts(record: Manifest) -> list[tuple[str, str]]:
    """Return the source and the toolchain as names and values."""
    facts = dict(flatten(msgspec.to_builtins(record.source), "source."))
    facts["source.epoch"] = f"{format_date(record.source.epoch)} ({record.source.epoch} s since 1970)"
    return [*facts.items(), *flatten(record.toolchain.versions())]


def format_date(epoch: int) -> str:
    """Return seconds since 1970 as a date in UTC; a number outside of the years 1 to 9999 as it is."""
    try:
        return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return str(epoch)
