"""Show the audit of a release on one screen: a line for each kind of finding, and what became of each file."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence

from rich.markup import escape

from wheelworks.audit.findings import CODES, COLOURS, RANK, FileAudit, Finding
from wheelworks.core.summary import Cell, File, format_count, name_cell

_KINDS = 6  # kinds of warnings that are shown; all errors are


def make_cells(files: Sequence[FileAudit]) -> dict[File, Cell]:
    """Return each file's place in the summary: how many errors or warnings it has."""
    return {file.file: _make_cell(file) for file in files}


def _make_cell(file: FileAudit) -> Cell:
    severities = [one.severity for one in file.findings]
    if errors := severities.count("error"):
        return Cell(format_count("errors", errors), "failed")
    if warnings := severities.count("warning"):
        return Cell(format_count("warnings", warnings), "warning")
    return Cell("ok")


def list_kinds(findings: Sequence[Finding], width: int) -> Iterator[str]:
    """Yield a line for each kind of error and warning, the errors first, and how to see more; with rich's markup."""
    kinds: dict[str, list[Finding]] = defaultdict(list)
    for one in findings:
        if one.severity != "information":
            kinds[one.code].append(one)
    order = sorted(kinds, key=lambda one: (-RANK[CODES[one].severity], one))
    errors = [code for code in order if CODES[code].severity == "error"]
    shown = order[: max(_KINDS, len(errors))]
    yield from (_describe_kind(kinds[code], width) for code in shown)
    if len(shown) < len(order):
        yield f"and {len(order) - len(shown)} more kinds of warnings"
    if kinds:
        yield "--verbose shows every file and what to do; --explain CODE explains a code"


def _describe_kind(found: Sequence[Finding], width: int) -> str:
    first, about = found[0], found[0].about
    head = f"{about.severity} {about.id} {about.name}"
    files = len({one.wheel for one in found})
    where = f"{files} files, first " if files > 1 else ""
    place = ": ".join(filter(None, (name_cell(first.wheel) if first.wheel else "", first.member, first.evidence)))
    text = textwrap.shorten(f"{where}{place}", max(width - len(head) - 1, 20), placeholder=" ...")
    return f"[bold {COLOURS[about.severity]}]{head}[/] {escape(text)}"
