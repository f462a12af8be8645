"""Handing a release over: its tag goes to the repository whose workflow builds it once more and publishes it.

Git pushes as its user always does; nothing here asks for, reads or keeps what that takes.
"""

from __future__ import annotations

from pathlib import Path

from wheelworks.core import process
from wheelworks.core.errors import WheelworksError
from wheelworks.release.preconditions import BRANCH, commit_of, git


def check(root: Path, version: str, commit: str, remote: str) -> None:
    """Raises WheelworksError where the remote can't be asked, has the tag, or its main branch lacks the commit."""
    if git(root, "ls-remote", "--tags", remote, f"refs/tags/v{version}"):
        raise WheelworksError(f"{version} is tagged already at {remote}", "take the next version")
    git(root, "fetch", "--quiet", "--no-tags", remote, f"refs/heads/{BRANCH}")
    if process.run(["git", "-C", root, "merge-base", "--is-ancestor", commit, "FETCH_HEAD"]).status:
        hint = f"have it merged there: what is published must be on {BRANCH}"
        raise WheelworksError(f"{BRANCH} at {remote} hasn't got {commit[:12]}", hint)


def publish(root: Path, version: str, commit: str, remote: str) -> None:
    """Tag the commit and push the tag. Raises WheelworksError where that fails, and leaves no tag then.

    A tag that is on the commit already, since an earlier try was killed, is taken as it is.
    """
    tag = f"v{version}"
    if commit_of(root, tag) != commit:
        git(root, "tag", "--annotate", tag, "-m", version, commit)
    ended = process.run(["git", "-C", root, "push", "--quiet", remote, f"refs/tags/{tag}"])
    if ended.status:
        git(root, "tag", "--delete", tag)
        raise WheelworksError(f"{tag} can't be pushed to {remote}, and isn't tagged:\n{ended.output.strip()}")
