"""What is wrong with the wheels of a manifest: which wheels, why, and the command to type."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from wheelworks.core import targets
from wheelworks.core.manifest import FailureRecord, FindingRecord, RunRecord, Source, WheelRecord
from wheelworks.report import model
from wheelworks.report.model import State, Step, StepName, Wheel

MAX_EVIDENCE, MAX_LINES = 300, 4  # characters of a line of evidence, and lines: the wheel's details show all
_FEW = 3  # wheels that a command names one by one
_HEADS: dict[tuple[StepName, State], str] = {
    ("built", "fail"): "Build failed",
    ("audited", "fail"): "Audit failed",
    ("run", "fail"): "Failed when run",
    ("run", "unsupported"): "Could not be run here",
    ("reproduced", "fail"): "Another build gave other bytes",
}


@dataclass(frozen=True)
class Evidence:
    """A line of evidence. ``code`` is that of an audit's finding, or ""."""

    text: str
    code: str = ""


@dataclass(frozen=True)
class Problem:
    """What several wheels have in common: the step's result, the evidence, and the commands that repeat it."""

    state: State
    head: str
    wheels: Sequence[Wheel]
    evidence: Sequence[Evidence]
    commands: Sequence[str]


@dataclass(frozen=True)
class Missing:
    """A wheel that the folder lacks: it has others of the platform and others of the ABI, or its build failed."""

    platform: str
    abi: str
    targets: Sequence[str]


@dataclass(frozen=True)
class Pending:
    """A step that wasn't taken for ``count`` of the wheels, and its command."""

    step: StepName
    count: int
    command: str


def find_problems(wheels: Sequence[Wheel], source: Source, folder: str) -> list[Problem]:
    """Return failures, then what could not be run. Wheels with the same result for the same reasons are one problem."""
    groups: dict[tuple[StepName, State, tuple[Evidence, ...], str], list[Wheel]] = {}
    for wheel in wheels:
        for step in wheel.steps:
            if step.state in ("fail", "unsupported"):
                evidence = _describe_failure(wheel.failure) if wheel.failure else _collect_evidence(wheel.record, step)
                key = step.name, step.state, evidence, _choose_engine(wheel.record)
                groups.setdefault(key, []).append(wheel)
    found = [
        Problem(state, _HEADS[name, state], group, _name_target(group, evidence), commands)
        for (name, state, evidence, engine), group in groups.items()
        for commands in [_list_commands(name, engine, group, folder, source)]
    ]
    return sorted(found, key=lambda one: model.STATES.index(one.state))


def _name_target(group: Sequence[Wheel], evidence: Sequence[Evidence]) -> Sequence[Evidence]:
    """Return the evidence; with the target's name in the hint if it is that of one build only."""
    known = _find_known(group[0].failure) if len(group) == 1 and group[0].failure else []
    return [Evidence(one.text.replace("TARGET", known[0]), one.code) for one in evidence] if known else evidence


def _find_known(failure: FailureRecord) -> list[str]:
    """Return those targets of a failure that exist: other text is untrusted."""
    return sorted({target.id for target in targets.load_targets()}.intersection(failure.targets))


def _describe_failure(failure: FailureRecord) -> tuple[Evidence, ...]:
    """Return the error's first lines, without the target that it begins with, so that equal ones are one problem."""
    lines = [line.strip() for line in failure.error.splitlines() if any(map(str.isalnum, line))]
    first, text = lines[0] if lines else "no error was recorded", failure.hint
    for target in _find_known(failure):
        first = first.removeprefix(f"{target}: ")
        text = text.replace(target, "TARGET")
    hint = [f"hint: {text}"] if text else []
    return tuple(Evidence(_shorten(line)) for line in (first, *lines[1:MAX_LINES], *hint))


def _collect_evidence(record: WheelRecord, step: Step) -> tuple[Evidence, ...]:
    if step.name == "audited" and record.audit:
        found = [_describe_finding(one) for one in record.audit.findings if one.severity == "error"]
    elif step.name == "run":
        outcome = "failed" if step.state == "fail" else "unsupported"
        runs = [run for run in record.runs if run.outcome == outcome] or record.runs
        found = [Evidence(line) for run in runs for line in _describe_run(run)]
    else:
        found = [Evidence(line) for line in _describe_differences(record)]
    shown = [Evidence(_shorten(one.text), one.code) for one in dict.fromkeys(found)]
    more = [Evidence(f"and {len(shown) - MAX_LINES} more: see its details")] if len(shown) > MAX_LINES else []
    return (*shown[:MAX_LINES], *more)


def _describe_finding(one: FindingRecord) -> Evidence:
    return Evidence(" ".join(filter(None, (one.name, ": ".join(filter(None, (one.member, one.evidence)))))), one.code)


def _describe_run(run: RunRecord) -> Iterator[str]:
    findings = [lines for finding in run.findings if (lines := finding.strip().splitlines())]
    is_repeated = any(lines[0].startswith(run.why) for lines in findings)
    yield ": ".join(filter(None, (run.how, "" if is_repeated else run.why)))
    for lines in findings:
        # "import x failed:" is followed by a traceback, whose last line is the exception.
        yield f"{lines[0]} {lines[-1].strip()}" if lines[0].endswith(":") and len(lines) > 1 else lines[0]


def _describe_differences(record: WheelRecord) -> Iterator[str]:
    causes: Mapping[str, list[str]] = record.reproduced.differs_by if record.reproduced else {}
    for name, places in causes.items():
        yield f"differs by {name}: {'; '.join(places[:MAX_LINES])}"
    if not causes:
        yield "no cause was found"


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_EVIDENCE else f"{text[:MAX_EVIDENCE]}... (see its details)"


def _choose_engine(record: WheelRecord) -> str:
    """Return the words with which the run that failed is repeated."""
    kinds = [model.classify_run(run) for run in record.runs if run.outcome == "failed"]
    if model.CI in kinds or any(model.HERE in run.how for run in record.runs if run.outcome == "failed"):
        return "test-native"
    engine = "emulated" if model.EMULATED in kinds else "cpython" if kinds else ""
    return f"test-foreign --how {engine}" if engine else "test-foreign"


def _list_commands(step: StepName, engine: str, wheels: Sequence[Wheel], folder: str, source: Source) -> list[str]:
    if step == "built":
        return list_build_commands(
            [Missing(one.platform, one.abi, one.record.targets) for one in wheels], source, folder
        )
    return [_command(step, engine, wheels, folder)]


def _command(step: StepName, engine: str, wheels: Sequence[Wheel], folder: str) -> str:
    """Return the command that takes a step: for the wheels if they are few, otherwise or without any for the folder."""
    place = shlex.quote(folder)
    files = [shlex.quote(f"{folder}/{one.record.file}") for one in wheels] if len(wheels) <= _FEW else []
    if step == "audited":
        return f"nox -s audit -- {' '.join(files) or place}"
    if step == "reproduced":
        return f"nox -s reproduce -- {files[0] if len(wheels) == 1 else place}"
    session, _, options = engine.partition(" ")
    if session == "test-native":
        return f"nox -s test-native -- --from {place}"
    return " ".join(filter(None, [f"nox -s {session} --", options, *(files or [f"{place}/*.whl"])]))


def find_pending(wheels: Sequence[Wheel], folder: str) -> list[Pending]:
    """Return the steps that were not taken for some of the wheels."""
    numbers, keys = model.count_keys(wheels), {step: f"{step}-pending" for step in model.STEPS}
    return [
        Pending(step, numbers[key], _command(step, "test-foreign", (), folder))
        for step, key in keys.items()
        if numbers[key]
    ]


def find_missing(wheels: Sequence[Wheel]) -> list[Missing]:
    """Return the wheels that the folder lacks: those of its platforms and ABIs without a wheel."""
    native = [one for one in wheels if not one.is_pure]
    served: dict[str, list[str]] = {}
    for one in native:
        served.setdefault(one.platform, []).extend(one.record.targets)
    present = {(one.platform, one.abi) for one in native}
    abis = dict.fromkeys(one.abi for one in native)
    return [
        Missing(platform, abi, list(dict.fromkeys(ids)))
        for platform, ids in served.items()
        for abi in abis
        if (platform, abi) not in present
    ]


def _name_abi(abi: str) -> str:
    """Return what ``--abi`` calls the tags of a wheel."""
    return targets.PURE if f"{abi}-any" == targets.PURE else abi


def list_build_commands(missing: Sequence[Missing], source: Source, folder: str) -> list[str]:
    """Return the commands that build the wheels that the folder lacks, one for each ABI."""
    known = {target.id for target in targets.load_targets()}
    wanted: dict[str, dict[str, None]] = {}
    for one in missing:
        wanted.setdefault(one.abi, {}).update(dict.fromkeys(name for name in one.targets if name in known))
    start = ["nox", "-s", "build-wheels", "--", *([f"{source.name}.tar.gz"] if source.kind == "sdist" else [])]
    out = [] if folder == "dist" else ["--out", folder]
    return [
        shlex.join([*start, *(word for name in names for word in ("--target", name)), "--abi", _name_abi(abi), *out])
        for abi, names in wanted.items()
    ]
