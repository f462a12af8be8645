"""Show an audit to people and programs: a table, details, JSON, SARIF, and the manifest's records."""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from msgspec import structs
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from wheelworks import __version__
from wheelworks.audit import screen
from wheelworks.audit.findings import CODES, COLOURS, GROUPS, RANK, FileAudit, Finding, Severity
from wheelworks.core import console, manifest, summary
from wheelworks.core.summary import Failure, Summary

_PLACES = 3
_LEVELS: dict[Severity, str] = {"error": "error", "warning": "warning", "information": "note"}  # SARIF's words


@dataclass(frozen=True)
class Audit:
    """The result of a whole run: each file's audit, findings that concern no file, and the groups checked for those."""

    files: tuple[FileAudit, ...]
    others: tuple[Finding, ...] = ()
    groups: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding."""
        return (*(one for file in self.files for one in file.findings), *self.others)

    def list_failures(self, *, strict: bool) -> list[Finding]:
        """Return the errors and, if strict, the warnings."""
        least = RANK["warning" if strict else "error"]
        return [one for one in self.findings if RANK[one.severity] >= least]


def add_output_options(parser: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    """Add the options that `print_audit` reads, and ``--strict``; returns the group of the forms of output."""
    form = parser.add_mutually_exclusive_group()
    summary.add_json_option(form)
    form.add_argument("--sarif", action="store_true", help="print SARIF 2.1.0 instead of the table")
    parser.add_argument("--strict", action="store_true", help="fail on warnings too, such as a check that was skipped")
    parser.add_argument("--verbose", action="store_true", help="show every file, and each finding with its remedy")
    return form


def print_audit(
    audit: Audit, options: argparse.Namespace, seconds: float, command: str = "audit", page: Path | None = None
) -> int:
    """Print an audit in the form that the options ask for: by default, several files as one screen.

    Returns the exit status. ``page`` is the page that shows the audit, too.
    """
    status = int(bool(audit.list_failures(strict=options.strict)))
    if options.sarif:
        sys.stdout.write(to_sarif(audit) + "\n")
        return status
    result = _summarize(audit, status, seconds, command, page)
    brief = len(audit.files) > 1 and not options.verbose
    if brief:
        kinds = screen.list_kinds(audit.findings, console.out.width)
        result = replace(result, head=tuple(kinds), cells=screen.make_cells(audit.files))
    elif options.json != summary.STDOUT:
        _print_details(audit, everything=options.verbose)
    if options.json != summary.STDOUT:
        for note in audit.notes:
            console.print_note(note)
    record = make_record(audit, result, strict=options.strict) if options.json else None
    return summary.finish(result, options.json, record=record)


def _summarize(audit: Audit, status: int, seconds: float, command: str, page: Path | None) -> Summary:
    """Return the summary of an audit without what is shown of single files."""
    severities = [one.severity for one in audit.findings]
    counts = {"files": len(audit.files)} if audit.files else {}
    counts |= {"errors": severities.count("error"), "warnings": severities.count("warning")}
    return Summary(command, status, seconds, counts, zeros=True, page=page)


def _print_details(audit: Audit, *, everything: bool) -> None:
    if audit.files:
        console.print_table(make_table(audit.files))
    if audit.findings:
        console.out.print(render_details(audit.findings, everything=everything))


def summarize_checks(audit: FileAudit) -> dict[str, str]:
    """Return, for each group of checks made on a file, "passed" or the worst severity found."""
    found: dict[str, str] = {}
    for group in audit.groups:
        severities = [one.severity for one in audit.findings if one.about.group == group]
        found[group] = max(severities, key=lambda one: RANK[one], default="passed")
    return found


def make_table(files: Sequence[FileAudit]) -> Table:
    """Return the table of files and groups of checks."""
    shown = [group for group in GROUPS if any(group in file.groups for file in files)]
    made = console.create_table("", "wheel", *shown)
    for file in files:
        name = console.wrap_wheel_name(file.file) if file.file.count("-") >= 4 else escape(file.file)
        made.add_row(name, *(_make_cell(file, group) for group in shown))
    return made


def _make_cell(audit: FileAudit, group: str) -> str:
    if group not in audit.groups:
        return "-"
    found = [one.severity for one in audit.findings if one.about.group == group]
    counts = {one: summary.format_count(f"{word}s", found.count(one)) for one, word in _LEVELS.items() if one in found}
    parts = [f"[{COLOURS[one]}]{count}[/]" for one, count in counts.items()]
    return "\n".join(parts) or "[green]passed[/]"


def render_details(findings: Sequence[Finding], *, everything: bool) -> RenderableType:
    """Return each kind of finding once, with its first places and the fix; the worst last, next to the prompt."""
    kinds: dict[str, list[Finding]] = defaultdict(list)
    for one in findings:
        kinds[one.code].append(one)
    order = sorted(kinds, key=lambda code: (RANK[CODES[code].severity], code))
    return Group(*(line for code in order for line in _render_kind(kinds[code], everything=everything)))


def _render_kind(found: list[Finding], *, everything: bool) -> Iterator[str]:
    about = found[0].about
    yield f"[bold {COLOURS[about.severity]}]{about.severity} {about.id} {about.name}[/] {about.what}"
    if about.severity == "information" and not everything:
        yield f"  {len(found)} times; --verbose shows where"
        return
    for one in found if everything else found[:_PLACES]:
        yield f"  {escape(one.place)}: {escape(one.evidence)}" if one.place else f"  {escape(one.evidence)}"
    if not everything and len(found) > _PLACES:
        yield f"  and {len(found) - _PLACES} more; --verbose shows all"
    yield f"  [bold]try:[/] {escape(about.do)}"


def make_record(audit: Audit, result: Summary, *, strict: bool) -> dict[str, Any]:
    """Return everything for programs: the parts that each command's result has, each wheel's audit, and the rest."""
    wheels = [
        {"file": one.file, "checks": summarize_checks(one), "findings": [finding.record() for finding in one.findings]}
        for one in audit.files
    ]
    failures = [
        Failure(one.place, f"{one.code} {one.about.name} {one.evidence}".strip())
        for one in audit.list_failures(strict=strict)
    ]
    others = {"groups": list(audit.groups), "findings": [one.record() for one in audit.others]}
    return {**replace(result, failures=failures).record(), "wheels": wheels, **others, "notes": list(audit.notes)}


def to_sarif(audit: Audit) -> str:
    """Return the findings as SARIF 2.1.0 (OASIS), which code hosts show beside the code."""
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
    results = [_to_sarif_result(one) for one in audit.findings]
    run = {"tool": {"driver": driver}, "results": results, "columnKind": "unicodeCodePoints"}
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)


def _to_sarif_result(finding: Finding) -> dict[str, Any]:
    place = "/".join(part for part in (finding.wheel, finding.member) if part)
    location = [{"physicalLocation": {"artifactLocation": {"uri": place}}}] if place else []
    return {
        "ruleId": finding.code,
        "ruleIndex": list(CODES).index(finding.code),
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.about.what} {finding.evidence}"},
        "locations": location,
    }


def add_to_manifest(record: manifest.Manifest, audits: Iterable[FileAudit]) -> manifest.Manifest:
    """Return the manifest with the audit of each of its wheels."""
    known = {audit.file: audit for audit in audits}
    wheels = [
        structs.replace(wheel, audit=_to_manifest(known[wheel.file])) if wheel.file in known else wheel
        for wheel in record.wheels
    ]
    return structs.replace(record, wheels=wheels)


def _to_manifest(audit: FileAudit) -> manifest.AuditRecord:
    findings = [
        manifest.FindingRecord(
            code=one.code, name=one.about.name, severity=one.severity, member=one.member, evidence=one.evidence
        )
        for one in audit.findings
    ]
    return manifest.AuditRecord(checks=summarize_checks(audit), findings=findings)
