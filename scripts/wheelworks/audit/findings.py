"""Define what the audit can find: the table of codes (``codes.toml``), one finding, and all findings of one file."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import msgspec
from msgspec.structs import replace

from wheelworks.core.errors import UsageError

Severity = Literal["error", "warning", "information"]
Group = Literal["archive", "extension", "code", "hardening", "determinism", "dependencies", "project"]

GROUPS: tuple[Group, ...] = get_args(Group)
RANK: dict[Severity, int] = {"information": 0, "warning": 1, "error": 2}
COLOURS: dict[Severity, str] = {"error": "red", "warning": "yellow", "information": "dim"}
_SHOWN = 5
_ABOUT_CODE = ("W201", "W202")
_INSTRUCTION_SET = re.compile(r"([\w.-]+): 0x")  # in the evidence of these


@dataclass(frozen=True)
class Code:
    """A kind of finding: ``what`` is wrong and whom it affects, and what to ``do`` about it."""

    id: str
    name: str
    severity: Severity
    group: Group
    what: str
    do: str

    def explain(self) -> str:
        """Return the full text for the terminal."""
        return f"{self.id} {self.name}: {self.severity} ({self.group})\n\n{self.what}\n\n{self.do}\n"

    def markdown_row(self) -> str:
        """Return the code's row in the documentation."""
        return f"| `{self.id}` {self.name} | {self.severity} | {self.what} | {self.do} |"


CODES: dict[str, Code] = {
    number: Code(number, **row)
    for number, row in tomllib.loads(Path(__file__).with_name("codes.toml").read_text(encoding="utf-8")).items()
}


def find_code(word: str) -> Code:
    """Return the code with this number or name. Raises UsageError that suggests the nearest one."""
    for code in CODES.values():
        if word.casefold() in (code.id.casefold(), code.name):
            return code
    near = difflib.get_close_matches(word, [*CODES, *(code.name for code in CODES.values())], n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UsageError(f"no code {word!r}", f"{hint}the codes are {min(CODES)} to {max(CODES)}; --explain all lists them")


def render_markdown() -> str:
    """Return the documentation's table of all codes."""
    lines = ["# What the audit finds", ""]
    lines += ["Written by `python -m wheelworks audit --explain all`. Errors fail; warnings do with `--strict`.", ""]
    lines += ["| code | severity | what is wrong | what to do |", "|---|---|---|---|"]
    return "\n".join([*lines, *(code.markdown_row() for code in CODES.values())]) + "\n"


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong: its code, the evidence, and the wheel (or project file) and member it is in."""

    code: str
    evidence: str
    member: str = ""
    wheel: str = ""

    @property
    def about(self) -> Code:
        """The kind of finding."""
        return CODES[self.code]

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return self.about.severity

    @property
    def place(self) -> str:
        """The wheel and the member, for display."""
        return " ".join(part for part in (self.wheel, self.member) if part)

    def record(self) -> dict[str, str]:
        """Return the finding as JSON shows it."""
        about = {"code": self.code, "name": self.about.name, "severity": self.severity}
        return {**about, "wheel": self.wheel, "member": self.member, "evidence": self.evidence}


class FileAudit(msgspec.Struct, frozen=True):
    """The audit of one file: its findings, the groups of checks that were made, and what its metadata requires."""

    file: str
    findings: tuple[Finding, ...]
    requires: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    pythons: tuple[tuple[int, int], ...] = ()


def join_halves(found: Iterable[Finding], machines: Mapping[str, Collection[str]]) -> Iterator[Finding]:
    """Yield each finding once, also one that several halves of a universal binary have in common.

    The evidence of a finding about one half starts with its machine. ``machines`` are those of each binary's halves.
    """
    joined: dict[Finding, set[str]] = defaultdict(set)
    for one in found:
        machine, _, evidence = one.evidence.partition(": ")
        is_half = machine in machines.get(one.member, ())
        joined[replace(one, evidence=evidence) if is_half else one].update([machine] if is_half else [])
    for one, halves in joined.items():
        is_part = halves and halves != {*machines[one.member]}
        yield replace(one, evidence=f"{', '.join(sorted(halves))}: {one.evidence}") if is_part else one


def join_members(found: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the findings in their order, those that say the same of several members as one: they have one cause."""
    listed = list(found)
    members: dict[tuple[str, str], list[str]] = defaultdict(list)
    own: dict[tuple[str, str], str] = {}
    wider = _find_wider(listed)
    for one in listed:
        key = one.code, one.evidence
        members[wider.get(key, key)].append(one.member)
        own.setdefault(key, one.member)
    for (code, evidence), names in members.items():
        first = own[code, evidence]
        others = [name for name in names if name != first]
        yield Finding(code, f"{evidence}{f'; also in {abbreviate(others)}' if others else ''}", first)


def _find_wider(found: Iterable[Finding]) -> dict[tuple[str, str], tuple[str, str]]:
    """Return, for each finding about instruction sets, the one that stands for it: it needs all that this one needs.

    The modules of a wheel are compiled with the same options, and each uses only some of the instructions.
    """
    sets = {
        (one.code, one.evidence): frozenset(_INSTRUCTION_SET.findall(one.evidence))
        for one in found
        if one.code in _ABOUT_CODE
    }
    wider: dict[tuple[str, str], tuple[str, str]] = {}
    widest: list[tuple[str, str]] = []
    for key in sorted(sets, key=lambda one: -len(sets[one])):
        wider[key] = next((one for one in widest if one[0] == key[0] and sets[key] <= sets[one]), key)
        widest += [key] if wider[key] == key else []
    return wider


def abbreviate(names: Iterable[str]) -> str:
    """Return the first few names in alphabetical order, and the number of further ones."""
    found = sorted(set(names))
    rest = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + rest


def sanitize(text: str, longest: int = 200) -> str:
    """Return untrusted text fit for any terminal: cut to a length, its control characters as escapes."""
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text[:longest])
    return shown + ("..." if len(text) > longest else "")
