"""What running a wheel has shown: the one result type of every way of running it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wheelworks.core.manifest import RunRecord

Outcome = Literal["passed", "unsupported", "failed"]


@dataclass(frozen=True)
class Verdict:
    """The outcome of running one wheel in one way.

    ``how`` names the way and what it ran on ("emulated CPU, ARM64 Windows"; "CPython 3.11 for arm64 under qemu");
    ``checks`` counts what was checked, ``why`` is the reason where it failed or could not run,
    ``findings`` are the faults seen, one readable paragraph each.
    """

    wheel: str
    how: str
    outcome: Outcome
    checks: int = 0
    why: str = ""
    findings: tuple[str, ...] = ()
    seconds: float = 0.0

    def record(self) -> RunRecord:
        """Return what the manifest keeps: all but the time, which differs from run to run."""
        return RunRecord(
            how=self.how, outcome=self.outcome, checks=self.checks, findings=list(self.findings), why=self.why
        )
