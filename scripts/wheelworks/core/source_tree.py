"""Source trees: check what a user names as one, copy a project's folder, and read its pyproject.toml."""

from __future__ import annotations

import os
import shutil
import tomllib
from pathlib import Path
from typing import Any, Literal

from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.git import run_git

# Files that tools leave in a folder, for folders without git.
LEFT_BY_TOOLS = shutil.ignore_patterns(
    *(".git", ".hg", ".nox", ".tox", ".venv", "venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache"),
    "node_modules",
)


def check_source(path: Path) -> Literal["directory", "sdist"]:
    """Return the kind of ``path``. Raises UsageError if it is neither a project's folder nor an sdist."""
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder", "SOURCE is a project's folder or its sdist (.tar.gz)")
    if path.is_dir():
        if not (path / "pyproject.toml").is_file() and not (path / "setup.py").is_file():
            raise UsageError(f"{path}: no project: it has neither pyproject.toml nor setup.py")
        return "directory"
    if not path.name.endswith((".tar.gz", ".tgz")):
        raise UsageError(f"{path}: neither a folder nor an sdist (.tar.gz)")
    return "sdist"


def copy_directory(folder: Path, into: Path) -> Path:
    """Copy a project's files, so that building leaves its folder unchanged.

    With git these are the files that git tracks or doesn't ignore. ``.git`` becomes a pointer, for backends that get
    the version from git.
    """
    files = list_git_files(folder)
    if files is None:
        shutil.copytree(folder, into, ignore=LEFT_BY_TOOLS, ignore_dangling_symlinks=True)
        return into
    into.mkdir(parents=True)
    for name in files:
        _copy_entry(folder / name, into / name)
    if git_folder := query_git(folder, "rev-parse", "--absolute-git-dir"):
        (into / ".git").write_text(f"gitdir: {git_folder}\n", encoding="utf-8")
    return into


def _copy_entry(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():  # a submodule, or a link to a folder
        shutil.copytree(path, place, ignore=LEFT_BY_TOOLS, dirs_exist_ok=True)
    elif path.is_file():  # a tracked file may have been deleted
        shutil.copy2(path, place)


def list_git_files(folder: Path) -> list[str] | None:
    """Return the files of a project's folder that git tracks or doesn't ignore; None if git doesn't know the project.

    Git doesn't know a folder that another project's work tree contains and ignores.
    """
    listed = query_git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    files = set((listed or "").split("\0")) - {""}
    return sorted(files) if files & {"pyproject.toml", "setup.py"} else None


def query_git(folder: Path, *words: str) -> str | None:
    """Return what git writes about a folder; None where it fails, or where the folder is in no repository.

    Raises WheelworksError where the folder is in a repository that git refuses to read, as it does those of another
    user and work trees whose repository is gone: without git, its ignore rules and its commit's time would be lost.
    """
    if find_repository(folder) is None:
        return None
    completed = run_git(folder, *words)
    if completed.status:
        _check_repository(folder)
        return None
    return completed.output.rstrip("\n")  # a file's name may begin or end with a space


def find_repository(folder: Path) -> Path | None:
    """Return the nearest ``.git`` of a folder or its parents, up to ``GIT_CEILING_DIRECTORIES``; None without one."""
    names = os.environ.get("GIT_CEILING_DIRECTORIES", "").split(os.pathsep)
    ceilings = {Path(os.path.realpath(name)) for name in names if name}
    start = Path(os.path.realpath(folder))
    for place in (start, *start.parents):
        if place in ceilings and place != start:
            return None
        if os.path.lexists(place / ".git"):
            return place / ".git"
    return None


def _check_repository(folder: Path) -> None:
    completed = run_git(folder, "rev-parse", "--git-dir")
    if completed.status:
        reason = completed.last_lines(20).removeprefix("fatal: ")
        hint = "let git read it, or remove it to build without git's ignore rules and time"
        raise WheelworksError(f"{find_repository(folder)}: git refuses to read the repository: {reason}", hint)


def read_pyproject(tree: Path) -> dict[str, Any]:
    """Return a tree's pyproject.toml, empty if there is none. Raises WheelworksError if it can't be read."""
    file = tree / "pyproject.toml"
    try:
        return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WheelworksError(f"pyproject.toml of {tree.name} can't be read: {error}") from error
