"""SOURCE, a folder or an sdist, made into one unpacked tree with a hash and a time."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wheelworks.build.sdist import unpack
from wheelworks.core import manifest
from wheelworks.core.errors import UsageError, WheelworksError

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
class Source:
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


def epoch_of_environment(value: str | None) -> int | None:
    """``SOURCE_DATE_EPOCH`` as the reproducible-builds specification has it; None where it isn't set.

    Raises UsageError for what is no number of seconds, or no time that a wheel can hold.
    """
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 20:
        raise UsageError(f"SOURCE_DATE_EPOCH={value[:40]!r}: not a number of seconds since 1970")
    return _within_zip(int(value), f"SOURCE_DATE_EPOCH={value}")


def _within_zip(seconds: int, what: str) -> int:
    if not _EARLIEST <= seconds <= _LATEST:
        raise UsageError(f"{what}: a wheel is a zip archive, which holds times from 1980 to 2107 only")
    return seconds


def _clamped(seconds: int) -> int:
    return min(max(seconds, _EARLIEST), _LATEST)


def check(path: Path) -> str:
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


def from_sdist(archive: Path, into: Path) -> Source:
    """Unpack an sdist. Its time is ``SOURCE_DATE_EPOCH``, else that of its newest file."""
    tree, newest = unpack(archive, into)
    if not (tree / "pyproject.toml").is_file() and not (tree / "setup.py").is_file():
        raise WheelworksError(f"{archive.name}: no sdist: it has neither pyproject.toml nor setup.py")
    epoch = epoch_of_environment(os.environ.get("SOURCE_DATE_EPOCH"))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return Source(tree.name, "sdist", tree, tree_hash(tree), epoch or _clamped(newest), archive_sha256=digest)


def copy_of_directory(folder: Path, into: Path) -> Path:
    """Copy what belongs to a project, so that building it leaves no trace in it.

    With git that is what git tracks and what it doesn't ignore; ``.git`` becomes a pointer, for backends that ask
    git for the version.
    """
    files = git_files(folder)
    if files is None:
        shutil.copytree(folder, into, ignore=_LEFT_BY_TOOLS, ignore_dangling_symlinks=True)
        return into
    into.mkdir(parents=True)
    for name in files:
        _copy(folder / name, into / name)
    if git_folder := _git(folder, "rev-parse", "--absolute-git-dir"):
        (into / ".git").write_text(f"gitdir: {git_folder}\n", encoding="utf-8")
    return into


def _copy(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():  # a submodule, or a link to a folder
        shutil.copytree(path, place, ignore=_LEFT_BY_TOOLS, dirs_exist_ok=True)
    elif path.is_file():  # a tracked file may have been deleted
        shutil.copy2(path, place)


def git_files(folder: Path) -> list[str] | None:
    """The files of a project's folder that git tracks or would; None where the project is none of git's.

    A folder within somebody else's work tree, ignored there, is not: its files are all its own.
    """
    listed = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    files = set((listed or "").split("\0")) - {""}
    return sorted(files) if files & {"pyproject.toml", "setup.py"} else None


def _git(folder: Path, *words: str) -> str | None:
    try:
        ended = subprocess.run(["git", "-C", folder, *words], capture_output=True, check=False)
    except OSError:
        return None  # no git: a folder is then a folder
    # git writes names as UTF-8 whatever the locale; a name may begin or end in a blank
    return ended.stdout.decode("utf-8", "surrogateescape").rstrip("\n") if ended.returncode == 0 else None


def commit_of(folder: Path) -> tuple[str, bool, int | None]:
    """The git commit of a folder, whether files differ from it, and its time: ("", False, None) where there is none."""
    head = _git(folder, "log", "-1", "--format=%H %ct")
    if not head or git_files(folder) is None:
        return "", False, None
    commit, seconds = head.split()
    return commit, bool(_git(folder, "status", "--porcelain", "--", ".")), int(seconds)


def epoch_of_directory(folder: Path) -> int:
    """The time that a folder's wheels bear: ``SOURCE_DATE_EPOCH``, its commit's, or its newest file's."""
    if epoch := epoch_of_environment(os.environ.get("SOURCE_DATE_EPOCH")):
        return epoch
    committed = commit_of(folder)[2]
    return _clamped(committed or int(max((path.stat().st_mtime for path in _files(folder)), default=0)))


def _files(folder: Path) -> Iterator[Path]:
    for name, folders, files in os.walk(folder):
        left_out = _LEFT_BY_TOOLS(name, folders)
        folders[:] = sorted(set(folders) - left_out)
        yield from (Path(name, file) for file in sorted(files) if Path(name, file).is_file())


def tree_hash(tree: Path) -> str:
    """SHA-256 over every file of a tree: its name, whether it is executable, and its contents."""
    total = hashlib.sha256()
    for path in sorted(tree.rglob("*"), key=lambda path: path.relative_to(tree).as_posix()):
        if path.is_file():
            contents = hashlib.sha256(path.read_bytes()).hexdigest()
            executable = "x" if path.stat().st_mode & 0o100 else "-"
            total.update(f"{path.relative_to(tree).as_posix()}\0{executable}{contents}\n".encode())
    return total.hexdigest()


def build_requirements(tree: Path) -> list[str]:
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
