"""What a manifest proves and what it doesn't, in words that a release manager can check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wheelworks.core import targets
from wheelworks.core.manifest import Source
from wheelworks.report import model
from wheelworks.report.model import Wheel

SHOWS = {
    "built": "of them call nothing but CPython: no C library, nor any other, has a say in what they do.",
    "audited": "Their files, tags, imports and machine code were read, and nothing was run.",
    "emulated": (
        "Their machine code was executed, and every access to memory, call of CPython's C API and reference watched. "
        "CPython was played by a program, and the system's loader by another."
    ),
    "real": "There the system's loader and a whole CPython took them.",
    "reproduced": "A second build in other surroundings gave the same bytes; each wheel says which surroundings.",
}


def proven(wheels: Sequence[Wheel]) -> Iterator[tuple[str, str]]:
    """How many wheels went through each step, and what that step shows."""
    native = [one for one in wheels if one.link != "none"]
    emulated, real, here, ci = (_ran(native, way) for way in (model.EMULATED, model.QEMU, model.NATIVE, model.CI))
    yield f"Built: {len(wheels)}.", f"{sum(one.link == 'freestanding' for one in wheels)} {SHOWS['built']}"
    yield _counted("Audited", "audited", wheels), SHOWS["audited"]
    yield f"Run on an emulated CPU: {emulated} of {len(native)}.", SHOWS["emulated"]
    ways = f"under qemu {real} of {len(native)}, on this machine {here}, natively in CI {ci}"
    yield f"Run under a real CPython of their CPU: {ways}.", SHOWS["real"]
    yield _counted("Reproduced", "reproduced", wheels), SHOWS["reproduced"]


def _ran(wheels: Sequence[Wheel], way: str) -> int:
    return sum(any(run.way == way and run.outcome == "passed" for run in one.runs) for one in wheels)


def _counted(head: str, step: str, wheels: Sequence[Wheel]) -> str:
    states = [each.state for one in wheels for each in one.steps if each.name == step]
    good, doubt, bad = (states.count(state) for state in ("good", "doubt", "bad"))
    parts = [f"{good} of {len(wheels)} came through"]
    parts += [f"{doubt} with warnings"] if doubt else []
    parts += [f"{bad} did not"] if bad else []
    return f"{head}: {', '.join(parts)}."


def unproven(wheels: Sequence[Wheel]) -> Iterator[str]:
    """What nobody should take for shown."""
    yield "That Windows or macOS load a wheel: their loaders run on their own machines only, which CI has."
    yield "That a wheel is fast: emulation tells instructions, not time."
    for step in ("audited", "executed", "reproduced"):
        left = [one for one in wheels for each in one.steps if each.name == step and each.state == "open"]
        if left:
            yield f"{len(left)} of {len(wheels)} wheels were not {step} yet."
    for why, files in _reasons(wheels).items():
        yield f"{len(files)} could not be run here: {why}"
    here = {one for wheel in wheels for one in wheel.ids}
    rest = [target.id for target in targets.all_targets() if target.id not in here]
    if rest:
        yield f"Anything of targets without a wheel in this folder: {', '.join(rest)}."


def _reasons(wheels: Sequence[Wheel]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in wheels:
        if not any(run.outcome == "passed" for run in one.runs):
            for run in one.runs:
                if run.outcome == "unsupported":
                    found.setdefault(run.why, []).append(one.file)
    return found


def commands(source: Source) -> list[str]:
    """What to type to build and check these very wheels again."""
    commit, name = model.text(source.commit), model.text(source.name)
    lines = [f"git checkout {commit}"] if _is_hash(commit) else []
    if source.dirty:
        lines.append("# and apply the changes that were not committed: nobody else has them")
    project = "" if _is_hash(commit) else " -- SDIST"
    lines += [f"nox -s build-wheels{project}", "nox -s audit -- dist", "nox -s test-foreign -- dist/*.whl"]
    return [f"# {name or 'these wheels'}, on one Linux machine", *lines, "nox -s reproduce"]


def _is_hash(commit: str) -> bool:
    return len(commit) in (40, 64) and all(digit in "0123456789abcdef" for digit in commit)
