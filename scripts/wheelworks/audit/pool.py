"""Audit many wheels on all cores, each in a process that may die without taking the others along."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import wheelworks
from wheelworks.audit.finding import Finding, from_record
from wheelworks.audit.inspection import Report
from wheelworks.audit.subject import Policy
from wheelworks.core import process
from wheelworks.core.errors import WheelworksError

SECONDS = 600.0  # for one wheel; the largest real ones take two minutes
PROGRAM = [sys.executable, "-m", "wheelworks.audit"]
_CHUNK = 8


def audit(wheels: Sequence[Path], policy: Policy, say: Callable[[str], None], seconds: float = SECONDS) -> list[Report]:
    """Audit every wheel; the reports are in the wheels' order, and there is one for each."""
    chunks = [wheels[start : start + _CHUNK] for start in range(0, len(wheels), _CHUNK)]
    done: list[list[Report]] = []
    with ThreadPoolExecutor(process.cores()) as pool:
        for reports in pool.map(lambda chunk: _chunk(chunk, policy, seconds), chunks):
            done.append(reports)
            say(f"{sum(map(len, done))} of {len(wheels)} wheels")
    return [report for reports in done for report in reports]


def _chunk(wheels: Sequence[Path], policy: Policy, seconds: float) -> list[Report]:
    found: list[Report] = []
    while len(found) < len(wheels):
        rest = wheels[len(found) :]
        reports, why = _process(rest, policy, seconds)
        if not reports and len(rest) > 1:  # perhaps a good one took all the time that there was: each by itself
            return [*found, *(report for one in rest for report in _chunk([one], policy, seconds))]
        found += reports[: len(rest)]
        if len(found) < len(wheels):  # the first wheel without a report is the one that ended the process
            found.append(_died(wheels[len(found)], why))
    return found


def _died(wheel: Path, why: str) -> Report:
    return Report(wheel.name, (Finding("W001", f"the process that read it {why}", wheel=wheel.name),), (), ("archive",))


def _process(wheels: Sequence[Path], policy: Policy, seconds: float) -> tuple[list[Report], str]:
    asked = {"wheels": [str(one) for one in wheels], "cpu": sorted(policy.cpu), "epoch": policy.epoch}
    command = [*PROGRAM, json.dumps(asked)]
    path = os.pathsep.join(filter(None, [str(Path(wheelworks.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]))
    try:
        ended = process.run(command, env={**os.environ, "PYTHONPATH": path}, seconds=seconds)
    except WheelworksError:
        if process.stopping():
            raise
        return [], f"did not end within {seconds:g} s"
    reports = [report for line in ended.output.splitlines() if (report := _report(line))]
    why = f"was ended by signal {-ended.status}" if ended.status < 0 else f"ended with status {ended.status}"
    return reports, why


def _report(line: str) -> Report | None:
    """The report that a line holds; None for what a crashing library wrote between them."""
    try:
        record: dict[str, Any] = json.loads(line)
        findings = tuple(map(from_record, record["findings"]))
        pythons = tuple((major, minor) for major, minor in record["pythons"])
        return Report(record["file"], findings, tuple(record["requires"]), tuple(record["groups"]), pythons)
    except (ValueError, KeyError, TypeError):
        return None
