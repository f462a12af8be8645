"""Commits of a git clone, and their files: laid down elsewhere, so that working tree and index stay as they are."""

from __future__ import annotations

import subprocess
from pathlib import Path

from wheelworks.core.errors import WheelworksError


def git(clone: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run git in a clone, and see how it ended. Raises WheelworksError where there is no git."""
    try:
        return subprocess.run(["git", "-C", str(clone), *words], capture_output=True, check=False)
    except FileNotFoundError:
        raise WheelworksError("git isn't installed", "install it (Debian: apt install git)") from None


def clone(source: Path, into: Path, commit: str = "HEAD") -> Path:
    """Clone a repository into the new folder ``into``, with a commit's files; returns it. Raises WheelworksError."""
    steps = (
        git(Path(), "clone", "--quiet", "--no-hardlinks", "--no-checkout", str(source), str(into)),
        git(into, "checkout", "--quiet", "--detach", commit),
    )
    if failed := next((ended for ended in steps if ended.returncode), None):
        raise WheelworksError(f"{source}: git can't clone it:\n{failed.stderr.decode(errors='replace').strip()}")
    return into
