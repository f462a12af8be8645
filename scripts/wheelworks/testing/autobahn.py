"""The Autobahn test suite (crossbario/autobahn-testsuite) against Tornado as server and client, speedups off and on.

The suite is a program for Python 2.7. It is installed once from pinned files, then cached. ``workers/autobahn_peer.py``
is Tornado's side.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path

from wheelworks.core import process
from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import get_cached_folder
from wheelworks.core.interpreters import drop_shims, list_pyenv_pythons
from wheelworks.testing.environments import Environment, clean_variables
from wheelworks.testing.suites import UPDATE_EVERY, WORKERS, Update

PEER = WORKERS / "autobahn_peer.py"
PINS, ACCELERATOR = (Path(__file__).with_name(f"autobahn-{name}.txt") for name in ("requirements", "accelerator"))
HINT = "pyenv install 2.7.18, or name a program: --python2 PATH; the suite runs under no later Python"
ROLES = ("server", "client")
QUICK = ("1", "2", "3", "4", "5", "6", "7")
ALL = (*QUICK, "9", "10", "12", "13")
SECOND_TRY_LIMIT = 10  # cases: a busy machine may cause so few, but not more

# The suite's own words, from good to bad; an unknown one is as bad as the last.
ORDER = ("OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT", "FAILED")
# Cases that the suite runs without reporting them: by Tornado's role, with the reason.
UNREPORTED = {("client", "7.5.1"): "the suite as a server drops its report on a close reason that isn't UTF-8"}

_STARTED = re.compile(r"^Running test case ID ([\d.]+) ", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """The suite's words for a case's behaviour, and for how its connection was closed."""

    behaviour: str
    close: str

    def __str__(self) -> str:
        return f"{self.behaviour}, close {self.close}"


Cases = Mapping[str, Case]


def rank(word: str) -> int:
    """Return how bad one of the suite's words is: 0 is the best."""
    return ORDER.index(word) if word in ORDER else len(ORDER) - 1


def read_cases(report: Path) -> dict[str, Case]:
    """Return the cases of the suite's ``index.json``. Raises WheelworksError if they can't be read."""
    try:
        [cases] = json.loads(report.read_text(encoding="utf-8")).values()
        return {case: Case(found["behavior"], found["behaviorClose"]) for case, found in cases.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WheelworksError(f"the Autobahn test suite has left no report: {error}") from error


def find_worse_cases(off: Cases, on: Cases) -> dict[str, str]:
    """Return the cases that are worse with the speedups on, or weren't run, with a description."""
    found = {}
    for case, before in off.items():
        after = on.get(case)
        if not after or rank(after.behaviour) > rank(before.behaviour) or rank(after.close) > rank(before.close):
            found[case] = f"{before} with the speedups off, {after or 'never run'} with them on"
    return found


def find_unreported_cases(log: str, cases: Cases) -> list[str]:
    """Return the cases that are in the suite's log, but not in its report."""
    return [case for case in dict.fromkeys(_STARTED.findall(log)) if case not in cases]


def find_empty_sections(cases: Cases, sections: Sequence[str]) -> Iterator[str]:
    """Yield a finding for each section without a case that Tornado alone passes: it proves nothing."""
    for section in sections:
        if not any(case.startswith(f"{section}.") and found.behaviour == "OK" for case, found in cases.items()):
            yield f"section {section}: not one case is OK with the speedups off, so that it proves nothing"


def count_cases(cases: Cases) -> str:
    """Return the number of cases by behaviour, from good to bad: "230 OK, 9 FAILED"."""
    counts = Counter(case.behaviour for case in cases.values())
    return ", ".join(f"{counts[word]} {word}" for word in sorted(counts, key=rank)) or "none"


def check_platform(system: str, machine: str) -> None:
    """Raise WheelworksError where the pinned files don't install."""
    if (system, machine) != ("Linux", "x86_64"):
        raise WheelworksError(f"the Autobahn test suite is pinned for Linux on x86-64, not for {system} on {machine}")


def find_python2(environ: Mapping[str, str], home: Path) -> Path:
    """Return a CPython 2.7: one of pyenv's, or the one on PATH. Raises WheelworksError if there is none."""
    known = list_pyenv_pythons(environ, home, os.name == "nt", "2.7.*")
    on_path = shutil.which("python2.7", path=drop_shims(environ, os.pathsep)["PATH"])
    candidates = [*known, *([Path(on_path)] if on_path else [])]
    if not candidates:
        raise WheelworksError("no Python 2.7 on this machine, which the Autobahn test suite needs", HINT)
    return candidates[-1]


def install_suite(python2: Path) -> Path:
    """Return the folder with the suite and its dependencies. Raises WheelworksError if they can't be installed."""
    key = hashlib.sha256(PINS.read_bytes() + ACCELERATOR.read_bytes() + str(python2).encode()).hexdigest()
    return get_cached_folder(f"autobahn/{key[:12]}", lambda folder: _install(python2, folder))


def _install(python2: Path, folder: Path) -> None:
    pip = [str(python2), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    pinned = ["--require-hashes", "--no-deps", "--requirement"]
    _run_python2([*pip, "install", *pinned, str(PINS), "--target", str(folder)])
    # The .pth file of a namespace package works in site-packages only. A plain package is found in any folder.
    (folder / "zope" / "__init__.py").touch()
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        _run_python2([*pip, "download", *pinned, str(ACCELERATOR), "--dest", work], folder)
        [archive] = Path(work).glob("*.tar.gz")
        with tarfile.open(archive) as opened:
            opened.extractall(work)  # pip has checked its hash
        [source] = Path(work).glob("*/")
        _run_python2([str(python2), "setup.py", "--quiet", "build", "--build-lib", str(folder)], folder, source)


def _run_python2(command: list[str], imports: Path | None = None, cwd: Path | None = None) -> None:
    env = {**os.environ, "PYTHONPATH": str(imports)} if imports else None
    failure = f"the Autobahn test suite can't be installed for {command[0]}"
    process.run_checked(command, failure, HINT, lines=5, env=env, cwd=cwd, timeout=600)


@dataclass(frozen=True)
class RoleResult:
    """The cases of one role of Tornado, speedups off and on, the findings, and what passed only when run again."""

    role: str
    off: Cases
    on: Cases
    findings: tuple[str, ...]
    second_try: tuple[str, ...] = ()


@dataclass(frozen=True)
class AutobahnRunner:
    """Runs the suite in ``suite`` under ``python2``, against the Tornado of an environment.

    It works below the folder ``work``. One run takes ``limit`` seconds at most.
    """

    environment: Environment
    suite: Path
    python2: Path
    work: Path
    limit: float
    update: Update

    def run_sections(self, sections: Sequence[str]) -> list[RoleResult]:
        """Run sections in both roles, speedups off and on, at the same time. Raises WheelworksError."""
        cases = [f"{section}.*" for section in sections]
        with process.thread_pool() as pool:
            running = {
                (role, speedups): pool.submit(self._run, role, speedups, cases, f"{role}-{speedups}")
                for role in ROLES
                for speedups in ("off", "on")
            }
            while wait(running.values(), timeout=UPDATE_EVERY).not_done:
                self.update(self._count_started())
        found = {key: future.result() for key, future in running.items()}
        return [self._compare(role, found[role, "off"], found[role, "on"], sections) for role in ROLES]

    def _run(self, role: str, speedups: str, cases: Sequence[str], name: str) -> Cases:
        folder = self.work / name
        folder.mkdir(parents=True)
        words = ["-P", str(PEER), role, speedups, str(folder), json.dumps(cases), str(self.suite), str(self.python2)]
        env = clean_variables(dict(os.environ), folder, with_c=True)
        ended = process.run([self.environment.python, *words], env=env, cwd=folder, timeout=self.limit)
        if ended.status:
            log = (folder / "log").read_text(errors="replace")[-1000:] if (folder / "log").is_file() else ""
            raise WheelworksError(f"Autobahn, Tornado as {role}, speedups {speedups}: {ended.output[-1000:]}\n{log}")
        found = read_cases(folder / "reports" / "index.json")
        log = (folder / "log").read_text(errors="replace")
        if missing := [case for case in find_unreported_cases(log, found) if (role, case) not in UNREPORTED]:
            raise WheelworksError(f"Autobahn, Tornado as {role}, {speedups}: no report on {', '.join(missing)}")
        return found

    def _count_started(self) -> str:
        started = sum(len(_STARTED.findall(log.read_text(errors="replace"))) for log in self.work.glob("*/log"))
        return f"{started} cases"

    def _compare(self, role: str, off: Cases, on: Cases, sections: Sequence[str]) -> RoleResult:
        """Compare two runs. A few worse cases run again, alone, since the suite measures time on a busy machine."""
        worse = find_worse_cases(off, on)
        second_try: list[str] = []
        if 0 < len(worse) <= SECOND_TRY_LIMIT:
            self.update(f"{role}: running again, alone: {', '.join(worse)}")
            on = {**on, **self._run(role, "on", list(worse), f"{role}-again")}
            still_worse = find_worse_cases(off, on)
            second_try = [case for case in worse if case not in still_worse]
            worse = still_worse
        findings = [*find_empty_sections(off, sections), *(f"case {case}: {words}" for case, words in worse.items())]
        return RoleResult(role, off, on, tuple(findings), tuple(second_try))
