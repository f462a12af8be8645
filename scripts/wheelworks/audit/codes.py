"""The codes of everything that the audit can find, from ``codes.toml``, and what is written from them."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wheelworks.core.errors import UsageError

Severity = Literal["error", "warning", "information"]
Group = Literal["archive", "extension", "code", "hardening", "determinism", "dependencies", "project"]

GROUPS: tuple[Group, ...] = (
    "archive", "extension", "code", "hardening", "determinism", "dependencies", "project",
)  # fmt: skip


@dataclass(frozen=True)
class Code:
    """One kind of finding: ``what`` is wrong and whom it hurts, and what to ``do`` about it."""

    id: str
    name: str
    severity: Severity
    group: Group
    what: str
    do: str


CODES: dict[str, Code] = {
    number: Code(number, **row)
    for number, row in tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")).items()
}


def find(word: str) -> Code:
    """The code of that number or name. Raises UsageError that names the nearest."""
    for code in CODES.values():
        if word.casefold() in (code.id.casefold(), code.name):
            return code
    near = difflib.get_close_matches(word, [*CODES, *(code.name for code in CODES.values())], n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UsageError(f"no code {word!r}", f"{hint}the codes are {min(CODES)} to {max(CODES)}; --explain all lists them")


def explain(code: Code) -> str:
    """A code in words, for the terminal."""
    return f"{code.id} {code.name}: {code.severity} ({code.group})\n\n{code.what}\n\n{code.do}\n"


def markdown() -> str:
    """The table of all codes, as documentation shows it."""
    lines = ["# What the audit finds", ""]
    lines += ["Written by `python -m wheelworks audit --explain all`. Errors fail; warnings do with `--strict`.", ""]
    lines += ["| code | severity | what is wrong | what to do |", "|---|---|---|---|"]
    lines += [f"| `{code.id}` {code.name} | {code.severity} | {code.what} | {code.do} |" for code in CODES.values()]
    return "\n".join(lines) + "\n"
