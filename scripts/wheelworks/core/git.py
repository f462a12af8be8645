"""Run git in a repository."""

from __future__ import annotations

from pathlib import Path

from wheelworks.core import process
from wheelworks.core.errors import WheelworksError


def run_git(repository: Path, *words: str | Path) -> process.CompletedProgram:
    """Run git in a repository; the exit status is for the caller to check. Raises WheelworksError where git is missing.

    File names are decoded with surrogates in place of what isn't UTF-8, so that they can be opened.
    """
    try:
        command = ["git", "-C", repository, *words]
        return process.run(command, separate_stderr=True, decode_errors="surrogateescape")
    except process.NotStarted:
        raise WheelworksError("git isn't installed", "install it (Debian: apt install git)") from None


def read_git(repository: Path, *words: str | Path) -> str:
    """Run git in a repository; returns what it writes. Raises WheelworksError where it fails."""
    completed = run_git(repository, *words)
    if completed.status:
        raise WheelworksError(f"git {' '.join(map(str, words))}: {completed.last_lines(20)}")
    return completed.output.strip()


def clone(source: Path, into: Path, commit: str = "HEAD") -> Path:
    """Clone a repository into the new folder ``into``, with a commit's files; returns it. Raises WheelworksError."""
    for words in (
        ("clone", "--quiet", "--no-hardlinks", "--no-checkout", str(source.absolute()), str(into.absolute())),
        ("-C", into.absolute(), "checkout", "--quiet", "--detach", commit),
    ):
        completed = run_git(Path(), *words)
        if completed.status:
            raise WheelworksError(f"{source}: git can't clone it:\n{completed.last_lines(20)}")
    return into
