"""What the Autobahn test suite says of Tornado with the speedups, held against what it says of Tornado alone."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wheelworks.core.errors import WheelworksError

# From good to bad, in the suite's own words; any other is as bad as the last.
ORDER = ("OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT", "FAILED")


@dataclass(frozen=True)
class Case:
    """The suite's verdict on a case, and on how its connection was closed."""

    behaviour: str
    close: str

    def worse_than(self, other: Case) -> bool:
        """Whether either is worse."""
        return rank(self.behaviour) > rank(other.behaviour) or rank(self.close) > rank(other.close)

    def __str__(self) -> str:
        return f"{self.behaviour}, close {self.close}"


Cases = Mapping[str, Case]

# The suite runs them, and then loses their verdicts: by Tornado's role, with the reason.
LOST = {("client", "7.5.1"): "the suite as a server drops its own verdict on a close reason that isn't UTF-8"}
_STARTED = re.compile(r"^Running test case ID ([\d.]+) ", re.MULTILINE)


def rank(verdict: str) -> int:
    """How bad a verdict is: 0 is the best."""
    return ORDER.index(verdict) if verdict in ORDER else len(ORDER) - 1


def read(report: Path) -> dict[str, Case]:
    """The verdicts in the suite's ``index.json``, by case. Raises WheelworksError where there is none."""
    try:
        [cases] = json.loads(report.read_text(encoding="utf-8")).values()
        return {case: Case(found["behavior"], found["behaviorClose"]) for case, found in cases.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WheelworksError(f"the Autobahn test suite has left no verdicts: {error}") from error


def worse(off: Cases, on: Cases) -> dict[str, str]:
    """The cases that are worse with the speedups on, or weren't run: what they were and are, by case."""
    found = {}
    for case, before in off.items():
        after = on.get(case)
        if after is None or after.worse_than(before):
            found[case] = f"{before} with the speedups off, {after or 'never run'} with them on"
    return found


def lost(log: str, cases: Cases) -> list[str]:
    """The cases that the suite's log has, and its report hasn't."""
    return [case for case in dict.fromkeys(_STARTED.findall(log)) if case not in cases]


def hollow(cases: Cases, sections: Sequence[str]) -> Iterator[str]:
    """The sections of which no case was run well by Tornado alone: they prove nothing."""
    for section in sections:
        if not any(case.startswith(f"{section}.") and found.behaviour == "OK" for case, found in cases.items()):
            yield f"section {section}: not one case is OK with the speedups off, so that it proves nothing"


def counted(cases: Cases) -> str:
    """The verdicts with their counts: "230 OK, 9 FAILED"."""
    counts = Counter(case.behaviour for case in cases.values())
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in sorted(counts, key=rank)) or "none"
