"""What must be so before a release begins; each refusal says what to do."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.version import InvalidVersion, Version

from wheelworks.core import process
from wheelworks.core.errors import UsageError, WheelworksError

BRANCH = "main"


def check(root: Path, version: str, *, publish: bool = False) -> str:
    """Check all of it; returns the commit that is released. Raises WheelworksError for the first that isn't so.

    Where it is to be published, a tag that an earlier try left on this very commit is none too many.
    """
    wanted = _version(version)
    clean_tree(root)
    right_branch(root)
    same_version(root, version)
    changelog_entry(root, version, publish=publish)
    commit = git(root, "rev-parse", "HEAD")
    if not (publish and commit_of(root, f"v{version}") == commit):
        new_tag(root, wanted)
    return commit


def commit_of(root: Path, tag: str) -> str:
    """The commit that a tag here names; "" where there is no such tag."""
    ended = process.run(["git", "-C", root, "rev-parse", "--verify", "--quiet", f"refs/tags/{tag}^{{commit}}"])
    return "" if ended.status else ended.output.strip()


def _version(version: str) -> Version:
    try:
        wanted = Version(version)
    except InvalidVersion as error:
        raise UsageError(f"{version}: no version (PEP 440)") from error
    if str(wanted) != version or wanted.local:
        raise UsageError(f"{version}: a release is written {wanted.public}")
    return wanted


def git(root: Path, *words: str) -> str:
    """What git says. Raises WheelworksError where it fails."""
    ended = process.run(["git", "-C", root, *words])
    if ended.status:
        raise WheelworksError(f"git {' '.join(words)}: {ended.output.strip()}")
    return ended.output.strip()


def clean_tree(root: Path) -> None:
    """Everything is committed."""
    if changed := git(root, "status", "--porcelain"):
        raise WheelworksError(f"the work tree isn't clean:\n{changed}", "commit, or stash, what is there")


def right_branch(root: Path) -> None:
    """Releases are made from one branch."""
    if (branch := git(root, "rev-parse", "--abbrev-ref", "HEAD")) != BRANCH:
        raise WheelworksError(f"this is the branch {branch}, and releases are made from {BRANCH}")


def same_version(root: Path, version: str) -> None:
    """The version stands in pyproject.toml, and nowhere else."""
    stated = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"].get("version")
    if stated != version:
        raise WheelworksError(f"pyproject.toml has version {stated}, not {version}", "change it there, and commit")


def changelog_entry(root: Path, version: str, *, publish: bool = False) -> None:
    """The changelog has a section for the version, with something in it; "(unreleased)" will do for a rehearsal."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {re.escape(version)}( [^\n]*)?\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if section is None or not section[2].strip():
        raise WheelworksError(
            f"CHANGELOG.md has no entry for {version}", f'write "## {version}" above what has changed, and commit'
        )
    if publish and "unreleased" in (section[1] or ""):
        raise WheelworksError(f"CHANGELOG.md calls {version} unreleased", "write the date there instead, and commit")


def new_tag(root: Path, wanted: Version) -> None:
    """The version has no tag yet, and is higher than all that have one."""
    for tag in git(root, "tag", "--list", "v*").split():
        try:
            there = Version(tag.removeprefix("v"))
        except InvalidVersion:
            continue
        if there >= wanted:
            what = "is tagged already" if there == wanted else f"isn't higher than {there}, which is tagged"
            raise WheelworksError(f"{wanted} {what}", "take the next version")
