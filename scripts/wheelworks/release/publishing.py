"""What a release requires of the git clone, and the tag that hands it over to CI.

The tag is pushed to the repository whose workflow builds the release again and publishes it. Git pushes with the user's
own configuration; nothing here asks for, reads or stores credentials.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.version import InvalidVersion, Version

from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.git import read_git, run_git

BRANCH = "main"


def check_preconditions(root: Path, version: str, *, publish: bool = False) -> str:
    """Check that a release may begin, and return the commit that is released.

    With ``publish``, a tag that an earlier try left on this commit is accepted. Raises WheelworksError for the first
    precondition that isn't met.
    """
    wanted = _parse_version(version)
    _check_clone(root)
    _check_files(root, version, publish=publish)
    commit = read_git(root, "rev-parse", "HEAD")
    if not (publish and find_tag_commit(root, f"v{version}") == commit):
        _check_tags(root, wanted)
    return commit


def find_tag_commit(root: Path, tag: str) -> str:
    """Return the commit of a local tag; "" if there is no such tag."""
    ended = run_git(root, "rev-parse", "--verify", "--quiet", f"refs/tags/{tag}^{{commit}}")
    return "" if ended.status else ended.output.strip()


def _parse_version(version: str) -> Version:
    try:
        wanted = Version(version)
    except InvalidVersion as error:
        raise UsageError(f"{version}: not a version (PEP 440)", "such as 1.2.0") from error
    if str(wanted) != version or wanted.local:
        raise UsageError(f"{version}: a release is written {wanted.public}", f"nox -s release -- {wanted.public}")
    return wanted


def _check_clone(root: Path) -> None:
    if changed := read_git(root, "status", "--porcelain"):
        raise WheelworksError(f"the work tree isn't clean:\n{changed}", "git commit, or git stash")
    if (branch := read_git(root, "rev-parse", "--abbrev-ref", "HEAD")) != BRANCH:
        hint = f"git switch {BRANCH}"
        raise WheelworksError(f"the current branch is {branch}; releases are made from {BRANCH}", hint)


def _check_files(root: Path, version: str, *, publish: bool) -> None:
    """Check the version in pyproject.toml, and that CHANGELOG.md has a section for it, with a date to publish it."""
    stated = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"].get("version")
    if stated != version:
        raise WheelworksError(f"pyproject.toml has version {stated}, not {version}", "change it there, and commit")
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {re.escape(version)}( [^\n]*)?\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if section is None or not section[2].strip():
        hint = f'write "## {version}" above the changes, and commit'
        raise WheelworksError(f"CHANGELOG.md has no entry for {version}", hint)
    if publish and "unreleased" in (section[1] or ""):
        raise WheelworksError(f"CHANGELOG.md calls {version} unreleased", "replace that by the date, and commit")


def _check_tags(root: Path, wanted: Version) -> None:
    for tag in read_git(root, "tag", "--list", "v*").split():
        try:
            tagged = Version(tag.removeprefix("v"))
        except InvalidVersion:
            continue
        if tagged >= wanted:
            what = "is already tagged" if tagged == wanted else f"isn't higher than {tagged}, which is tagged"
            raise WheelworksError(f"{wanted} {what}", "take the next version")


def check_remote(root: Path, version: str, commit: str, remote: str) -> None:
    """Check that the remote lacks the tag, and that its main branch has the commit. Raises WheelworksError."""
    if read_git(root, "ls-remote", "--tags", remote, f"refs/tags/v{version}"):
        raise WheelworksError(f"{version} is already tagged at {remote}", "take the next version")
    read_git(root, "fetch", "--quiet", "--no-tags", remote, f"refs/heads/{BRANCH}")
    if run_git(root, "merge-base", "--is-ancestor", commit, "FETCH_HEAD").status:
        hint = f"merge it there first: a published commit must be on {BRANCH}"
        raise WheelworksError(f"{BRANCH} at {remote} doesn't contain {commit[:12]}", hint)


def push_tag(root: Path, version: str, commit: str, remote: str) -> None:
    """Tag the commit and push the tag. A tag that an earlier try left on the commit is used.

    Raises WheelworksError if that fails, and then leaves no tag.
    """
    tag = f"v{version}"
    if find_tag_commit(root, tag) != commit:
        read_git(root, "tag", "--annotate", tag, "-m", version, commit)
    ended = run_git(root, "push", "--quiet", remote, f"refs/tags/{tag}")
    if ended.status:
        read_git(root, "tag", "--delete", tag)
        raise WheelworksError(f"{tag} can't be pushed to {remote}, and isn't tagged:\n{ended.last_lines(20)}")
