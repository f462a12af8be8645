"""One finding: what every check returns, and what every report is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wheelworks.audit.codes import CODES, Code, Severity

RANK: dict[Severity, int] = {"information": 0, "warning": 1, "error": 2}
_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """Something that is so: of what kind, in which wheel (or project file) and member, and how one can see it."""

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
        """Where it is, for people."""
        return " ".join(part for part in (self.wheel, self.member) if part)

    def record(self) -> dict[str, str]:
        """The finding as JSON has it."""
        about = self.about
        return {
            "code": self.code,
            "name": about.name,
            "severity": about.severity,
            "wheel": self.wheel,
            "member": self.member,
            "evidence": self.evidence,
        }


def from_record(record: Mapping[str, str]) -> Finding:
    """The finding that JSON holds. Raises KeyError for something else."""
    return Finding(record["code"], record["evidence"], record["member"], record["wheel"])


def some(names: Iterable[str]) -> str:
    """The first few names, sorted, and how many more there are."""
    found = sorted(set(names))
    rest = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + rest


def printable(text: str, longest: int = 200) -> str:
    """A text from a wheel, fit for any terminal: control characters written out, and not without end."""
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text[:longest])
    return shown + ("..." if len(text) > longest else "")
