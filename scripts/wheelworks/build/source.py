"""What a project says of itself without being built: its name and version, and how its pure wheel is made."""

from __future__ import annotations

import hashlib
import os
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from packaging.utils import InvalidSdistFilename, parse_sdist_filename

from wheelworks.build.sdist import unpack_sdist
from wheelworks.core import manifest, plan
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.git import run_git

PURE_HINT = """\
[tool.wheelworks]
pure = { NAME_OF_A_SWITCH = "0" }   # the variables with which the build leaves the extension out"""


def read_name_version(path: Path) -> str:
    """What the files of the release that ``path`` (a folder or an sdist) gives begin with (PEP 427, PEP 625).

    Raises WheelworksError where that isn't known without building it.
    """
    if path.is_file():
        return _parse_sdist_name(path)
    table = read_pyproject(path).get("project", {})
    try:
        return plan.stem(table["name"], table["version"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WheelworksError(
            f"{path}: its pyproject.toml doesn't tell name and version", "make its sdist, and name that"
        ) from error


def _parse_sdist_name(path: Path) -> str:
    try:
        name, version = parse_sdist_filename(path.name)
        return plan.stem(name, str(version))
    except InvalidSdistFilename as error:
        raise WheelworksError(f"{path.name}: {error}", "an sdist is named NAME-VERSION.tar.gz") from error


def read_pure_variables(tree: Path) -> dict[str, str] | None:
    """The variables with which a project's build leaves its extension out; None where it doesn't say (``HOW``).

    Raises WheelworksError for something else than a table of strings.
    """
    tool = read_pyproject(tree).get("tool", {})
    table = tool.get("wheelworks", {}).get("pure")
    if table is None:
        return None
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise WheelworksError("pyproject.toml: [tool.wheelworks] pure must be a table of strings", PURE_HINT)
    return dict(table)


def read_pyproject(tree: Path) -> dict[str, Any]:
    """A tree's pyproject.toml; empty where there is none. Raises WheelworksError for one that can't be read."""
    file = tree / "pyproject.toml"
    try:
        return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WheelworksError(f"pyproject.toml of {tree.name} can't be read: {error}") from error


# 1980 to 2107: what a zip archive's dates can say.
_EARLIEST, _LATEST = 315_532_800, 4_354_819_198

# Where no git says what belongs to a project: what tools leave in a folder.
_LEFT_BY_TOOLS = shutil.ignore_patterns(
    ".git",
    ".hg",
    ".nox",
    ".tox",
    ".venv",
    "venv",
    "build",
    "dist",
    "*.egg-info",
    "__pycache__",
    ".*_cache",
    "node_modules",
)


@dataclass(frozen=True)
class SourceTree:
    """A source tree to build from.

    ``name`` is "project-version", ``kind`` "directory" or "sdist", ``tree`` the unpacked folder, ``sha256`` its hash
    (names, modes, contents), ``epoch`` the time that its wheels bear (seconds since 1970), ``commit`` git's, or "".
    """

    name: str
    kind: Literal["directory", "sdist"]
    tree: Path
    sha256: str
    epoch: int
    commit: str = ""
    dirty: bool = False
    archive_sha256: str = ""

    def record(self) -> manifest.Source:
        """Return what the manifest keeps of the source."""
        return manifest.Source(
            name=self.name,
            kind=self.kind,
            tree_sha256=self.sha256,
            archive_sha256=self.archive_sha256,
            commit=self.commit,
            dirty=self.dirty,
            epoch=self.epoch,
        )


def read_epoch_variable(value: str | None) -> int | None:
    """``SOURCE_DATE_EPOCH`` as the reproducible-builds specification has it; None where it isn't set.

    Raises UsageError for what is no number of seconds, or no time that a wheel can hold.
    """
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 20:
        raise UsageError(f"SOURCE_DATE_EPOCH={value[:40]!r}: not a number of seconds since 1970")
    return _check_epoch(int(value), f"SOURCE_DATE_EPOCH={value}")


def _check_epoch(seconds: int, what: str) -> int:
    if not _EARLIEST <= seconds <= _LATEST:
        raise UsageError(f"{what}: a wheel is a zip archive, which holds times from 1980 to 2107 only")
    return seconds


def _clamp_epoch(seconds: int) -> int:
    return min(max(seconds, _EARLIEST), _LATEST)


def check_source(path: Path) -> str:
    """Whether ``path`` is a "directory" or an "sdist". Raises UsageError for anything else."""
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder", "SOURCE is a project's folder or its sdist (.tar.gz)")
    if path.is_dir():
        if not (path / "pyproject.toml").is_file() and not (path / "setup.py").is_file():
            raise UsageError(f"{path}: no project: it has neither pyproject.toml nor setup.py")
        return "directory"
    if not path.name.endswith((".tar.gz", ".tgz")):
        raise UsageError(f"{path}: neither a folder nor an sdist (.tar.gz)")
    return "sdist"


def unpack_source(archive: Path, into: Path) -> SourceTree:
    """Unpack an sdist. Its time is ``SOURCE_DATE_EPOCH``, else that of its newest file."""
    tree, newest = unpack_sdist(archive, into)
    if not (tree / "pyproject.toml").is_file() and not (tree / "setup.py").is_file():
        raise WheelworksError(f"{archive.name}: no sdist: it has neither pyproject.toml nor setup.py")
    epoch = read_epoch_variable(os.environ.get("SOURCE_DATE_EPOCH"))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return SourceTree(tree.name, "sdist", tree, hash_tree(tree), epoch or _clamp_epoch(newest), archive_sha256=digest)


def copy_directory(folder: Path, into: Path) -> Path:
    """Copy what belongs to a project, so that building it leaves no trace in it.

    With git that is what git tracks and what it doesn't ignore; ``.git`` becomes a pointer, for backends that ask
    git for the version.
    """
    files = list_git_files(folder)
    if files is None:
        shutil.copytree(folder, into, ignore=_LEFT_BY_TOOLS, ignore_dangling_symlinks=True)
        return into
    into.mkdir(parents=True)
    for name in files:
        _copy_entry(folder / name, into / name)
    if git_folder := _git(folder, "rev-parse", "--absolute-git-dir"):
        (into / ".git").write_text(f"gitdir: {git_folder}\n", encoding="utf-8")
    return into


def _copy_entry(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():  # a submodule, or a link to a folder
        shutil.copytree(path, place, ignore=_LEFT_BY_TOOLS, dirs_exist_ok=True)
    elif path.is_file():  # a tracked file may have been deleted
        shutil.copy2(path, place)


def list_git_files(folder: Path) -> list[str] | None:
    """The files of a project's folder that git tracks or would; None where the project is none of git's.

    A folder within somebody else's work tree, ignored there, is not: its files are all its own.
    """
    listed = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    files = set((listed or "").split("\0")) - {""}
    return sorted(files) if files & {"pyproject.toml", "setup.py"} else None


def _git(folder: Path, *words: str) -> str | None:
    try:
        completed = run_git(folder, *words)
    except WheelworksError:
        return None  # without git, a folder is a plain folder
    return None if completed.status else completed.output.rstrip("\n")  # a file's name may begin or end with a space


def read_commit(folder: Path) -> tuple[str, bool, int | None]:
    """The git commit of a folder, whether files differ from it, and its time: ("", False, None) where there is none."""
    head = _git(folder, "log", "-1", "--format=%H %ct")
    if not head or list_git_files(folder) is None:
        return "", False, None
    commit, seconds = head.split()
    return commit, bool(_git(folder, "status", "--porcelain", "--", ".")), int(seconds)


def read_directory_epoch(folder: Path) -> int:
    """The time that a folder's wheels bear: ``SOURCE_DATE_EPOCH``, its commit's, or its newest file's."""
    if epoch := read_epoch_variable(os.environ.get("SOURCE_DATE_EPOCH")):
        return epoch
    committed = read_commit(folder)[2]
    return _clamp_epoch(committed or int(max((path.stat().st_mtime for path in _iter_files(folder)), default=0)))


def _iter_files(folder: Path) -> Iterator[Path]:
    for name, folders, files in os.walk(folder):
        left_out = _LEFT_BY_TOOLS(name, folders)
        folders[:] = sorted(set(folders) - left_out)
        yield from (Path(name, file) for file in sorted(files) if Path(name, file).is_file())


def hash_tree(tree: Path) -> str:
    """SHA-256 over every file of a tree: its name, whether it is executable, and its contents."""
    total = hashlib.sha256()
    for path in sorted(tree.rglob("*"), key=lambda path: path.relative_to(tree).as_posix()):
        if path.is_file():
            contents = hashlib.sha256(path.read_bytes()).hexdigest()
            executable = "x" if path.stat().st_mode & 0o100 else "-"
            total.update(f"{path.relative_to(tree).as_posix()}\0{executable}{contents}\n".encode())
    return total.hexdigest()


def read_build_requirements(tree: Path) -> list[str]:
    """What ``[build-system] requires`` says; setuptools where it says nothing (PEP 517, PEP 518).

    Raises WheelworksError for a file that can't be read, or says something else.
    """
    try:
        text = (tree / "pyproject.toml").read_text(encoding="utf-8") if (tree / "pyproject.toml").is_file() else ""
        table = tomllib.loads(text).get("build-system", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WheelworksError(f"pyproject.toml of {tree.name} can't be read: {error}") from error
    words = table.get("requires", ["setuptools"]) if isinstance(table, dict) else None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise WheelworksError(f"pyproject.toml of {tree.name}: [build-system] requires must be a list of strings")
    return words
