"""The tools that a release was built with: those of its commit, where the ones here are others.

The commit must be in this checkout's own history, since its code is run; its packages are those of its lock file, each
by its hash, and the lock file itself is the one whose hash the provenance states.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wheelworks.core import git, manifest, process
from wheelworks.core.errors import WheelworksError
from wheelworks.reproduce.provenance import CHECKOUT, LOCKS, OtherTools

PACKAGES = "requirements/wheelworks.txt"


@dataclass(frozen=True)
class Suite:
    """This suite as it was at a commit: the folder of its files, and a Python that has what it imports."""

    folder: Path
    python: Path

    def run(self, words: Sequence[str]) -> int:
        """Run one of its commands, where we are; it shows itself what comes of it. Returns its exit status."""
        env = {**os.environ, "PYTHONPATH": str(self.folder / "scripts")}
        command: list[str | Path] = [self.python, "-m", "wheelworks", *words]
        return process.run(command, env=env, seconds=7200, tied=True, shown=True).status


def lay(others: OtherTools, work: Path, say: Callable[[str], None], checkout: Path = CHECKOUT) -> Suite:
    """Lay down the suite of the commit that a provenance names, and install what it is locked to, some 100 MB.

    Raises ``others`` where that commit can't be had or has other lock files than the provenance states, and
    WheelworksError where the packages can't be installed.
    """
    stated = others.stated
    if not is_ours(stated.commit, checkout):
        raise others
    folder = git.clone(checkout, work / "suite", stated.commit)
    if any(manifest.sha256(folder / name) != stated.locks.get(name) for name in LOCKS):
        raise others
    say(f"installing the tools of commit {stated.commit[:12]}")
    return Suite(folder, _installed(folder, work / "tools"))


def is_ours(commit: str, checkout: Path = CHECKOUT) -> bool:
    """Whether the commit is one of those that this checkout came from; a folder that is no clone itself has none."""
    if not re.fullmatch("[0-9a-f]{40}([0-9a-f]{24})?", commit) or not (checkout / ".git").exists():
        return False
    return git.git(checkout, "merge-base", "--is-ancestor", commit, "HEAD").returncode == 0


def _installed(folder: Path, place: Path) -> Path:
    python = process.interpreter_in(place)
    pip: list[str | Path] = ["-m", "pip", "install", "--quiet", "--require-hashes", "-r", folder / PACKAGES]
    making: list[str | Path] = [sys.executable, "-m", "venv", place]
    for command in (making, [python, *pip]):
        ended = process.run(command, seconds=1800)
        if ended.status:
            raise WheelworksError(f"the tools of the release's commit can't be installed:\n{ended.last(5)}")
    return python
