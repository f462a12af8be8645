"""What a comparison can find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Code = Literal[
    "missing-wheel",
    "surplus-wheel",
    "two-wheels",
    "version",
    "platform-floor",
    "missing-file",
    "surplus-file",
    "contents",
    "metadata",
    "exports",
    "binary",
    "definition",
    "attributes",
    "calls",
    "tests",
]


@dataclass(frozen=True)
class Difference:
    """One difference: its stable name, what it is about (a wheel or a slot), and the sentence for people."""

    code: Code
    about: str
    text: str

    def __str__(self) -> str:
        return f"{self.code}: {self.about}: {self.text}"


@dataclass(frozen=True)
class Unproven:
    """Something that could not be compared, and why: no difference, but nothing to be silent about."""

    about: str
    why: str

    def __str__(self) -> str:
        return f"{self.about}: {self.why}"


def several(names: list[str], shown: int = 5) -> str:
    """A few of many names, and how many there are beside them."""
    rest = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + rest
