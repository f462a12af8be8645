"""Findings as people and programs read them: the release's table, JSON, SARIF, and what the manifest keeps."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from wheelworks import __version__
from wheelworks.audit.findings import CODES, GROUPS, RANK, FileAudit, Finding, Severity
from wheelworks.core import console, manifest

SCHEMA = 1
_PLACES = 3
_COLOURS: dict[Severity, str] = {"error": "red", "warning": "yellow", "information": "dim"}
_LEVELS = {"error": "error", "warning": "warning", "information": "note"}


@dataclass(frozen=True)
class Audit:
    """All that was found: in each wheel, and in what belongs to no wheel; and which groups were looked at for that."""

    reports: tuple[FileAudit, ...]
    others: tuple[Finding, ...] = ()
    groups: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding."""
        return (*(one for report in self.reports for one in report.findings), *self.others)

    def failed(self, *, strict: bool) -> bool:
        """Whether something is wrong: an error, and where one is strict, a warning."""
        worst = RANK["warning" if strict else "error"]
        return any(RANK[one.severity] >= worst for one in self.findings)


def summarize_checks(report: FileAudit) -> dict[str, str]:
    """For each group of checks that a wheel went through: "passed", or the worst that was found."""
    found: dict[str, str] = {}
    for group in report.groups:
        severities = [one.severity for one in report.findings if one.about.group == group]
        found[group] = max(severities, key=lambda one: RANK[one], default="passed")
    return found


def make_table(audit: Audit) -> Table:
    """The release's table: wheels down, groups of checks across."""
    shown = [group for group in GROUPS if any(group in report.groups for report in audit.reports)]
    made = console.table("", "wheel", *shown)
    for report in audit.reports:
        cells = [_cell(report, group) for group in shown]
        made.add_row(_folded(report.file), *cells)
    return made


def _folded(file: str) -> str:
    return console.folded(file) if file.count("-") >= 4 else escape(file)


def _cell(report: FileAudit, group: str) -> str:
    if group not in report.groups:
        return "-"
    found = [one.severity for one in report.findings if one.about.group == group]
    parts = []
    for severity in ("error", "warning", "information"):
        if count := found.count(severity):
            plural = "s" if count > 1 and severity != "information" else ""
            word = "note" + ("s" if count > 1 else "") if severity == "information" else severity + plural
            parts.append(f"[{_COLOURS[severity]}]{count} {word}[/]")
    return "\n".join(parts) or "[green]passed[/]"


def render_details(findings: Sequence[Finding], *, everything: bool) -> RenderableType:
    """Each kind of finding once, with its first places and what to do; the worst come last, next to the prompt."""
    kinds: dict[str, list[Finding]] = defaultdict(list)
    for one in findings:
        kinds[one.code].append(one)
    order = sorted(kinds, key=lambda code: (RANK[CODES[code].severity], code))
    return Group(*(line for code in order for line in _kind(kinds[code], everything=everything)))


def _kind(found: list[Finding], *, everything: bool) -> Iterator[str]:
    about = found[0].about
    yield f"[bold {_COLOURS[about.severity]}]{about.severity} {about.id} {about.name}[/] {about.what}"
    if about.severity == "information" and not everything:
        yield f"  {len(found)} times; --verbose shows where"
        return
    for one in found if everything else found[:_PLACES]:
        yield f"  {escape(one.place)}: {escape(one.evidence)}" if one.place else f"  {escape(one.evidence)}"
    if not everything and len(found) > _PLACES:
        yield f"  and {len(found) - _PLACES} more; --verbose shows all"
    yield f"  [bold]try:[/] {escape(about.do)}"


def to_json(audit: Audit) -> str:
    """Everything, for programs."""
    wheels = [
        {"file": one.file, "checks": summarize_checks(one), "findings": [finding.record() for finding in one.findings]}
        for one in audit.reports
    ]
    record = {
        "schema": SCHEMA,
        "wheels": wheels,
        "groups": list(audit.groups),
        "findings": [one.record() for one in audit.others],
        "notes": list(audit.notes),
    }
    return json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False)


def to_sarif(audit: Audit) -> str:
    """The same in SARIF 2.1.0 (OASIS), which code hosts show beside the code."""
    rules = [
        {
            "id": code.id,
            "name": code.name,
            "shortDescription": {"text": code.what},
            "help": {"text": code.do},
            "defaultConfiguration": {"level": _LEVELS[code.severity]},
        }
        for code in CODES.values()
    ]
    driver = {"name": "wheelworks audit", "version": __version__, "rules": rules}
    results = [_result(one) for one in audit.findings]
    run = {"tool": {"driver": driver}, "results": results, "columnKind": "unicodeCodePoints"}
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)


def _result(finding: Finding) -> dict[str, Any]:
    place = "/".join(part for part in (finding.wheel, finding.member) if part)
    location = [{"physicalLocation": {"artifactLocation": {"uri": place}}}] if place else []
    return {
        "ruleId": finding.code,
        "ruleIndex": list(CODES).index(finding.code),
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.about.what} {finding.evidence}"},
        "locations": location,
    }


def add_to_manifest(record: manifest.Manifest, reports: Iterable[FileAudit]) -> manifest.Manifest:
    """Return the manifest with what the audit found of each of its wheels."""
    known = {report.file: report for report in reports}
    wheels = [
        replace(wheel, audit=_audited(known[wheel.file])) if wheel.file in known else wheel for wheel in record.wheels
    ]
    return replace(record, wheels=wheels)


def _audited(report: FileAudit) -> manifest.AuditRecord:
    findings = [
        manifest.FindingRecord(
            code=one.code, name=one.about.name, severity=one.severity, member=one.member, evidence=one.evidence
        )
        for one in report.findings
    ]
    return manifest.AuditRecord(checks=summarize_checks(report), findings=findings)
