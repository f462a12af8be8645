"""Run the Autobahn test suite against Tornado in an environment: as server and as client, speedups off and on."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path

from wheelworks.core import process
from wheelworks.core.errors import WheelworksError
from wheelworks.testing.autobahn import verdicts
from wheelworks.testing.autobahn.verdicts import Cases
from wheelworks.testing.environments import Environment, variables
from wheelworks.testing.outcomes import Progress

PEER = Path(__file__).with_name("peer.py")
ROLES = ("server", "client")
QUICK = ("1", "2", "3", "4", "5", "6", "7")
ALL = (*QUICK, "9", "10", "12", "13")
TELL_EVERY = 5.0  # seconds
SECOND_TRY_LIMIT = 10  # cases: so few may be due to a busy machine
_STARTED = b"Running test case ID"


@dataclass(frozen=True)
class Outcome:
    """One role of Tornado's: the verdicts without and with the speedups, what is wrong, and what went well later."""

    role: str
    off: Cases
    on: Cases
    findings: tuple[str, ...]
    second_try: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bench:
    """Where it runs: Tornado's environment, the suite and its Python, a folder that is ours, and the time limit (s)."""

    environment: Environment
    suite: Path
    python2: Path
    work: Path
    limit: float
    progress: Progress

    def run(self, role: str, speedups: str, cases: Sequence[str], name: str) -> Cases:
        """Run some cases against one kind of Tornado. Raises WheelworksError if they weren't run to their end."""
        folder = self.work / name
        folder.mkdir(parents=True)
        words = ["-P", str(PEER), role, speedups, str(folder), json.dumps(cases), str(self.suite), str(self.python2)]
        env = variables(dict(os.environ), folder, with_c=True)
        ended = process.run([self.environment.python, *words], env=env, cwd=folder, timeout=self.limit)
        if ended.status:
            log = (folder / "log").read_text(errors="replace")[-1000:] if (folder / "log").is_file() else ""
            raise WheelworksError(f"Autobahn, Tornado as {role}, speedups {speedups}: {ended.output[-1000:]}\n{log}")
        cases_seen = verdicts.read(folder / "reports" / "index.json")
        log = (folder / "log").read_text(errors="replace")
        if lost := [case for case in verdicts.lost(log, cases_seen) if (role, case) not in verdicts.LOST]:
            raise WheelworksError(f"Autobahn, Tornado as {role}, {speedups}: no verdicts on {', '.join(lost)}")
        return cases_seen

    def started(self) -> str:
        """How many cases have been started, in words."""
        return f"{sum(log.read_bytes().count(_STARTED) for log in self.work.glob('*/log'))} cases"


def run_all(bench: Bench, sections: Sequence[str]) -> list[Outcome]:
    """Run these sections in both roles, with and without the speedups, on all cores. Raises WheelworksError."""
    cases = [f"{section}.*" for section in sections]
    with process.thread_pool() as pool:
        running = {
            (role, speedups): pool.submit(bench.run, role, speedups, cases, f"{role}-{speedups}")
            for role in ROLES
            for speedups in ("off", "on")
        }
        while wait(running.values(), timeout=TELL_EVERY).not_done:
            bench.progress(bench.started())
    return [
        _judged(bench, role, running[role, "off"].result(), running[role, "on"].result(), sections) for role in ROLES
    ]


def _judged(bench: Bench, role: str, off: Cases, on: Cases, sections: Sequence[str]) -> Outcome:
    """Compare; a few cases that are worse run again, alone, since the suite measures time on a machine in use."""
    worse = verdicts.worse(off, on)
    second_try: list[str] = []
    if 0 < len(worse) <= SECOND_TRY_LIMIT:
        bench.progress(f"{role}: running again, alone: {', '.join(worse)}")
        again = {**on, **bench.run(role, "on", list(worse), f"{role}-again")}
        second_try = [case for case in worse if case not in verdicts.worse(off, again)]
        on, worse = again, verdicts.worse(off, again)
    findings = [*verdicts.hollow(off, sections), *(f"case {case}: {words}" for case, words in worse.items())]
    return Outcome(role, off, on, tuple(findings), tuple(second_try))
