"""Show the audit of a release on one screen: a row for each platform, the worst first, and a line for each finding."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.markup import escape

from wheelworks.audit.findings import CODES, GROUPS, RANK, FileAudit, Finding, Severity
from wheelworks.audit.sdist import SDIST_SUFFIX
from wheelworks.core import console
from wheelworks.core.errors import WheelworksError
from wheelworks.core.tags import parse_platform
from wheelworks.core.wheel import parse_wheel_name

_LONGEST = 90  # characters of a finding's evidence
_WORDS: dict[Severity, tuple[str, str]] = {"error": ("red", "fail"), "warning": ("yellow", "warn")}


def render_release(files: Sequence[FileAudit], findings: Sequence[Finding]) -> RenderableType:
    """Return the table of platforms and groups of checks, and the errors and warnings."""
    rows: dict[str, list[FileAudit]] = defaultdict(list)
    for file in files:
        for platform in list_platforms(file.file):
            rows[platform].append(file)
    shown = [group for group in GROUPS if any(group in file.groups for file in files)]
    table = console.create_table("", "platform", "files", *shown)
    for platform in sorted(rows, key=lambda one: (-_find_worst(rows[one]), one)):
        cells = (_make_cell(rows[platform], group) for group in shown)
        table.add_row(escape(platform), str(len(rows[platform])), *cells)
    return Group(table, *_list_kinds(findings))


def list_platforms(file: str) -> list[str]:
    """Return the platforms that a file is for, without their versions: one of them for each CPU and libc."""
    if file.endswith(SDIST_SUFFIX):
        return ["sdist"]
    try:
        tags = parse_wheel_name(file).platforms
    except WheelworksError:
        return ["unknown"]
    found: set[str] = set()
    for tag in tags:
        platform = parse_platform(tag)
        cpus = platform.cpus if platform else ()
        found.update(" ".join(filter(None, (platform.os, platform.libc, cpu))) for cpu in cpus if platform)
        found.update([] if platform else ["any" if tag == "any" else tag])
    return sorted(found)


def _find_worst(files: Sequence[FileAudit]) -> int:
    return max((RANK[one.severity] for file in files for one in file.findings), default=0)


def _make_cell(files: Sequence[FileAudit], group: str) -> str:
    checked = [file for file in files if group in file.groups]
    for severity, (colour, word) in _WORDS.items():
        bad = [file for file in checked if any(_is_one_of(one, group, severity) for one in file.findings)]
        if bad:
            return f"[{colour}]{len(bad)} of {len(checked)} {word}[/]"
    return "[green]passed[/]" if checked else "-"


def _is_one_of(finding: Finding, group: str, severity: Severity) -> bool:
    return finding.about.group == group and finding.severity == severity


def _list_kinds(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield a line for each kind of error and warning, the errors first, and how to see more."""
    kinds: dict[str, list[Finding]] = defaultdict(list)
    for one in findings:
        kinds[one.code].append(one)
    for code in sorted(kinds, key=lambda one: (-RANK[CODES[one].severity], one)):
        about, first = CODES[code], kinds[code][0]
        if about.severity in _WORDS:
            files = len({one.wheel for one in kinds[code]})
            where = f"{files} files, first " if files > 1 else ""
            evidence = first.evidence if len(first.evidence) <= _LONGEST else first.evidence[:_LONGEST] + "..."
            head = f"[bold {_WORDS[about.severity][0]}]{about.severity} {code} {about.name}[/]"
            yield f"{head} {where}{escape(': '.join(filter(None, (first.place, evidence))))}"
    if kinds:
        yield "--verbose shows every file and what to do; --explain CODE explains a code"
