"""What must be so before a release begins; each refusal says what to do."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.version import InvalidVersion, Version

from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.git import read_git, run_git

BRANCH = "main"


def check_preconditions(root: Path, version: str, *, publish: bool = False) -> str:
    """Check all of it; returns the commit that is released. Raises WheelworksError for the first that isn't so.

    Where it is to be published, a tag that an earlier try left on this very commit is none too many.
    """
    wanted = _version(version)
    check_clean_tree(root)
    check_branch(root)
    check_version(root, version)
    check_changelog(root, version, publish=publish)
    commit = read_git(root, "rev-parse", "HEAD")
    if not (publish and find_tag_commit(root, f"v{version}") == commit):
        check_new_tag(root, wanted)
    return commit


def find_tag_commit(root: Path, tag: str) -> str:
    """The commit that a tag here names; "" where there is no such tag."""
    ended = run_git(root, "rev-parse", "--verify", "--quiet", f"refs/tags/{tag}^{{commit}}")
    return "" if ended.status else ended.output.strip()


def _version(version: str) -> Version:
    try:
        wanted = Version(version)
    except InvalidVersion as error:
        raise UsageError(f"{version}: no version (PEP 440)") from error
    if str(wanted) != version or wanted.local:
        raise UsageError(f"{version}: a release is written {wanted.public}")
    return wanted


def check_clean_tree(root: Path) -> None:
    """Everything is committed."""
    if changed := read_git(root, "status", "--porcelain"):
        raise WheelworksError(f"the work tree isn't clean:\n{changed}", "commit, or stash, what is there")


def check_branch(root: Path) -> None:
    """Releases are made from one branch."""
    if (branch := read_git(root, "rev-parse", "--abbrev-ref", "HEAD")) != BRANCH:
        raise WheelworksError(f"this is the branch {branch}, and releases are made from {BRANCH}")


def check_version(root: Path, version: str) -> None:
    """The version stands in pyproject.toml, and nowhere else."""
    stated = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"].get("version")
    if stated != version:
        raise WheelworksError(f"pyproject.toml has version {stated}, not {version}", "change it there, and commit")


def check_changelog(root: Path, version: str, *, publish: bool = False) -> None:
    """The changelog has a section for the version, with something in it; "(unreleased)" will do for a rehearsal."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {re.escape(version)}( [^\n]*)?\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if section is None or not section[2].strip():
        raise WheelworksError(
            f"CHANGELOG.md has no entry for {version}", f'write "## {version}" above what has changed, and commit'
        )
    if publish and "unreleased" in (section[1] or ""):
        raise WheelworksError(f"CHANGELOG.md calls {version} unreleased", "write the date there instead, and commit")


def check_new_tag(root: Path, wanted: Version) -> None:
    """The version has no tag yet, and is higher than all that have one."""
    for tag in read_git(root, "tag", "--list", "v*").split():
        try:
            there = Version(tag.removeprefix("v"))
        except InvalidVersion:
            continue
        if there >= wanted:
            what = "is tagged already" if there == wanted else f"isn't higher than {there}, which is tagged"
            raise WheelworksError(f"{wanted} {what}", "take the next version")


def check_remote(root: Path, version: str, commit: str, remote: str) -> None:
    """Raises WheelworksError where the remote can't be asked, has the tag, or its main branch lacks the commit."""
    if read_git(root, "ls-remote", "--tags", remote, f"refs/tags/v{version}"):
        raise WheelworksError(f"{version} is tagged already at {remote}", "take the next version")
    read_git(root, "fetch", "--quiet", "--no-tags", remote, f"refs/heads/{BRANCH}")
    if run_git(root, "merge-base", "--is-ancestor", commit, "FETCH_HEAD").status:
        hint = f"have it merged there: what is published must be on {BRANCH}"
        raise WheelworksError(f"{BRANCH} at {remote} hasn't got {commit[:12]}", hint)


def push_tag(root: Path, version: str, commit: str, remote: str) -> None:
    """Tag the commit and push the tag. Raises WheelworksError where that fails, and leaves no tag then.

    A tag that is on the commit already, since an earlier try was killed, is taken as it is.
    """
    tag = f"v{version}"
    if find_tag_commit(root, tag) != commit:
        read_git(root, "tag", "--annotate", tag, "-m", version, commit)
    ended = run_git(root, "push", "--quiet", remote, f"refs/tags/{tag}")
    if ended.status:
        read_git(root, "tag", "--delete", tag)
        raise WheelworksError(f"{tag} can't be pushed to {remote}, and isn't tagged:\n{ended.last_lines(20)}")
