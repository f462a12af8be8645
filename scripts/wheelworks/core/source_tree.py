"""Source trees: check what a user names as one, copy a project's folder, and read its pyproject.toml."""

from __future__ import annotations

import os
import shutil
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.git import run_git

# Files that tools leave in a folder, for folders without git.
LEFT_BY_TOOLS = shutil.ignore_patterns(
    *(".git", ".hg", ".nox", ".tox", ".venv", "venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache"),
    "node_modules",
)

_LIST_FILES = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")


_SOURCE_HINT = "name a project's folder or its sdist (.tar.gz)"


def check_source(path: Path) -> Literal["directory", "sdist"]:
    """Return the kind of ``path``. Raises UsageError if it is neither a project's folder nor an sdist."""
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder", _SOURCE_HINT)
    if path.is_dir():
        if not (path / "pyproject.toml").is_file() and not (path / "setup.py").is_file():
            raise UsageError(f"{path}: no project: it has neither pyproject.toml nor setup.py", _SOURCE_HINT)
        return "directory"
    if not path.name.endswith((".tar.gz", ".tgz")):
        raise UsageError(f"{path}: neither a folder nor an sdist (.tar.gz)", _SOURCE_HINT)
    return "sdist"


def copy_directory(folder: Path, into: Path) -> Path:
    """Copy a project's files, so that building leaves its folder unchanged; return the copy.

    With git these are the files that git tracks or doesn't ignore. ``.git`` becomes a pointer, for backends that get
    the version from git. A project below the top of a repository is copied to the same place below ``into``, with the
    rest of the repository if it reads the folders above. Raises WheelworksError for links that form a loop.
    """
    files = list_git_files(folder)
    if files is None:
        _copy_tree(folder, into, ())
        return into
    top = Path(query_git(folder, "rev-parse", "--show-toplevel") or folder)
    place = into / os.path.relpath(os.path.realpath(folder), os.path.realpath(top))
    for name in files:
        _copy_entry(folder / name, place / name)
    if place != into and _reads_folders_above(folder):
        for name in (query_git(top, *_LIST_FILES) or "").split("\0"):
            if name and not (into / name).exists():
                _copy_entry(top / name, into / name)
    if git_folder := query_git(folder, "rev-parse", "--absolute-git-dir"):
        (into / ".git").write_text(f"gitdir: {git_folder}\n", encoding="utf-8")
    return place


def _reads_folders_above(folder: Path) -> bool:
    """Return whether a project's settings name a folder above its own, such as ``root = ".."`` of setuptools-scm."""
    files = [folder / name for name in ("pyproject.toml", "setup.cfg", "setup.py")]
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file()]
    return any(".." in text or "search_parent_directories" in text for text in texts)


def _copy_entry(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():  # a submodule, or a link to a folder
        _copy_tree(path, place, tuple(Path(os.path.realpath(parent)) for parent in path.parents))
    else:
        _copy_file(path, place)


def _copy_tree(folder: Path, into: Path, above: tuple[Path, ...]) -> None:
    """Copy a folder without what tools leave in one; links become copies. ``above`` are the folders that contain it."""
    real = Path(os.path.realpath(folder))
    if real in above:
        message = f"{folder} is a link to a folder that contains it, so that copying would never end"
        raise WheelworksError(message, "remove the link, or let git ignore it")
    into.mkdir(parents=True, exist_ok=True)
    names = sorted(os.listdir(folder))
    left_out = LEFT_BY_TOOLS(str(folder), names)
    for path in (folder / name for name in names if name not in left_out):
        if path.is_dir():
            _copy_tree(path, into / path.name, (*above, real))
        else:
            _copy_file(path, into / path.name)


def _copy_file(path: Path, place: Path) -> None:
    """Copy a file if it is there: a tracked one may have been deleted, and another session's temporary one goes."""
    if path.is_file():
        with suppress(FileNotFoundError):
            shutil.copy2(path, place)


def list_git_files(folder: Path) -> list[str] | None:
    """Return the files of a project's folder that git tracks or doesn't ignore; None if git doesn't know the project.

    Git doesn't know a folder that another project's work tree contains and ignores.
    """
    listed = query_git(folder, *_LIST_FILES)
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
        raise WheelworksError(f"pyproject.toml of {tree.name} can't be read: {error}", "correct that line") from error


def read_settings(tree: Path) -> dict[str, Any]:
    """Return the table ``[tool.wheelworks]`` of a tree's pyproject.toml."""
    settings: dict[str, Any] = read_pyproject(tree).get("tool", {}).get("wheelworks", {})
    return settings
