"""The result of running a wheel, the same for every engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wheelworks.core.manifest import RunRecord

Outcome = Literal["passed", "unsupported", "failed"]


@dataclass(frozen=True)
class Verdict:
    """The outcome of running one wheel by one engine.

    ``how`` describes the engine ("emulated CPU, ARM64 Windows"; "CPython 3.11 for arm64 under qemu"), ``checks`` is
    the number of checks that passed, ``why`` the reason of a failure or of "unsupported", and ``findings`` are the
    wheel's faults, a paragraph each.
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
