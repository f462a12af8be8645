"""Prepare the source to build, a folder or an sdist: an unpacked tree with a hash and a time.

This module also reads what pyproject.toml says without building the project.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from packaging.metadata import RawMetadata, parse_email
from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename

from wheelworks.core import manifest, targets
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.files import hash_file
from wheelworks.core.sdist import unpack_sdist
from wheelworks.core.source_tree import LEFT_BY_TOOLS, list_git_files, query_git, read_pyproject, read_settings

PURE_HINT = """\
[tool.wheelworks]
pure = { NAME_OF_A_SWITCH = "0" }   # the variables with which the build leaves the extension out"""

_REPOSITORY_LABELS = ("source", "sourcecode", "repository", "github", "code", "homepage")
_MAX_METADATA = 4_000_000  # bytes
# The dates that a zip archive can hold: 1980 to 2107.
_EARLIEST, _LATEST = 315_532_800, 4_354_819_198


@dataclass(frozen=True)
class SourceTree:
    """A source tree to build from.

    ``name`` is "project-version", ``tree`` the unpacked folder, ``tree_sha256`` the hash of its names, modes and
    contents, ``epoch`` the time of its wheels' files (seconds since 1970), ``commit`` git's, or "", ``url`` that of the
    repository, or "".
    """

    name: str
    kind: Literal["directory", "sdist"]
    tree: Path
    tree_sha256: str
    epoch: int
    commit: str = ""
    dirty: bool = False
    archive_sha256: str = ""
    url: str = ""

    def record(self) -> manifest.Source:
        """Return the manifest's record of the source."""
        return manifest.Source(**{name: value for name, value in asdict(self).items() if name != "tree"})


def unpack_source(archive: Path, into: Path) -> SourceTree:
    """Unpack an sdist. Its time is ``SOURCE_DATE_EPOCH``, else that of its newest file."""
    tree, newest = unpack_sdist(archive, into)
    if not (tree / "pyproject.toml").is_file() and not (tree / "setup.py").is_file():
        raise WheelworksError(f"{archive.name}: no sdist: it has neither pyproject.toml nor setup.py")
    epoch = read_epoch_variable(os.environ.get("SOURCE_DATE_EPOCH")) or _clamp_epoch(newest)
    archive_sha256, url = hash_file(archive), read_repository(tree)
    return SourceTree(tree.name, "sdist", tree, hash_tree(tree), epoch, archive_sha256=archive_sha256, url=url)


def read_repository(tree: Path) -> str:
    """Return the address of the project's repository, which an sdist's metadata states; "" if it states none.

    The labels are the well-known ones (packaging.python.org, well-known project URLs).
    """
    file = tree / "PKG-INFO"
    found: RawMetadata = parse_email(file.read_bytes()[:_MAX_METADATA])[0] if file.is_file() else {}
    stated = {re.sub(r"[^a-z]", "", label.lower()): url for label, url in found.get("project_urls", {}).items()}
    return next((stated[label] for label in _REPOSITORY_LABELS if label in stated), found.get("home_page", ""))


def read_epoch_variable(value: str | None) -> int | None:
    """Parse ``SOURCE_DATE_EPOCH`` (reproducible-builds.org's specification); None if it isn't set.

    Raises UsageError for anything but seconds since 1970 that a wheel can hold.
    """
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 20:
        raise UsageError(f"SOURCE_DATE_EPOCH={value[:40]!r}: not a number of seconds since 1970")
    if not _EARLIEST <= int(value) <= _LATEST:
        message = "a wheel is a zip archive, which holds times from 1980 to 2107 only"
        raise UsageError(f"SOURCE_DATE_EPOCH={value}: {message}")
    return int(value)


def _clamp_epoch(seconds: int) -> int:
    return min(max(seconds, _EARLIEST), _LATEST)


def read_commit(folder: Path) -> tuple[str, bool, int | None]:
    """Return a folder's commit, whether files differ from it, and its time; ("", False, None) without one."""
    head = query_git(folder, "log", "-1", "--format=%H %ct")
    if not head or list_git_files(folder) is None:
        return "", False, None
    commit, seconds = head.split()
    return commit, bool(query_git(folder, "status", "--porcelain", "--", ".")), int(seconds)


def read_directory_epoch(folder: Path, committed: int | None) -> int:
    """Return the time for a folder's wheels: ``SOURCE_DATE_EPOCH``, its commit's time, or its newest file's.

    ``committed`` is the commit's time, which `read_commit` returns.
    """
    if epoch := read_epoch_variable(os.environ.get("SOURCE_DATE_EPOCH")):
        return epoch
    return _clamp_epoch(committed or int(max((path.stat().st_mtime for path in _iter_files(folder)), default=0)))


def _iter_files(folder: Path) -> Iterator[Path]:
    for name, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - LEFT_BY_TOOLS(name, folders))
        yield from (Path(name, file) for file in files if Path(name, file).is_file())


def hash_tree(tree: Path) -> str:
    """Return the SHA-256 over each file of a tree: its name, whether it is executable, and its contents."""
    total = hashlib.sha256()
    for path in sorted(tree.rglob("*"), key=lambda path: path.relative_to(tree).as_posix()):
        if path.is_file():
            executable = "x" if path.stat().st_mode & 0o100 else "-"
            total.update(f"{path.relative_to(tree).as_posix()}\0{executable}{hash_file(path)}\n".encode())
    return total.hexdigest()


def read_build_requirements(tree: Path) -> list[str]:
    """Return ``[build-system] requires``; by default setuptools (PEP 517, PEP 518).

    Raises WheelworksError for a file that can't be read, or another type.
    """
    table = read_pyproject(tree).get("build-system", {})
    words = table.get("requires", ["setuptools"]) if isinstance(table, dict) else None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise WheelworksError(f"pyproject.toml of {tree.name}: [build-system] requires must be a list of strings")
    return words


_ELSEWHERE = "cibuildwheel on each platform builds it"
_ANYWHERE = "`python -m build` builds it, on any machine"
_CROSS, _NOTHING = "which can't be cross-built here", "which compiles no extension modules"
# Build systems that don't ask sysconfig for the compiler: what requires them, and what builds their wheels.
_OTHER_BUILD_SYSTEMS = {
    "meson-python": ("Meson (meson-python)", _CROSS, _ELSEWHERE),
    "scikit-build-core": ("CMake (scikit-build-core)", _CROSS, _ELSEWHERE),
    "scikit-build": ("CMake (scikit-build)", _CROSS, _ELSEWHERE),
    "py-build-cmake": ("CMake (py-build-cmake)", _CROSS, "it has cross-compilation settings of its own"),
    "maturin": ("Rust (maturin)", _CROSS, "`maturin build --zig --target TRIPLE` builds it for other platforms"),
    "setuptools-rust": ("Rust (setuptools-rust)", _CROSS, _ELSEWHERE),
    "sip": ("SIP (sip)", _CROSS, _ELSEWHERE),
    "enscons": ("SCons (enscons)", _CROSS, _ELSEWHERE),
    "flit-core": ("Flit (flit-core)", _NOTHING, _ANYWHERE),
    "uv-build": ("uv (uv-build)", _NOTHING, _ANYWHERE),
}


def check_build_system(tree: Path) -> None:
    """Check that a project's build system is one that can be shown a target. Raises WheelworksError that names it.

    Hatchling, Poetry and PDM compile by hooks, which call setuptools most often: what they make is checked later.
    """
    for word in read_build_requirements(tree):
        match = re.match(r"\s*([A-Za-z0-9._-]+)", word)
        name = canonicalize_name(match[1]) if match else ""
        if name in _OTHER_BUILD_SYSTEMS:
            system, reason, instead = _OTHER_BUILD_SYSTEMS[name]
            raise WheelworksError(f"{tree.name}: it is built by {system}, {reason}", instead)


def read_pure_variables(tree: Path) -> dict[str, str] | None:
    """Return the variables with which a project builds without its extension; None if it declares none.

    Raises WheelworksError unless they are a table of strings.
    """
    table = read_settings(tree).get("pure")
    if table is None:
        return None
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise WheelworksError("pyproject.toml: [tool.wheelworks] pure must be a table of strings", PURE_HINT)
    return table


def read_name_version(path: Path) -> str:
    """Return a folder's or an sdist's ``name-version``: the start of its release's file names (PEP 427, PEP 625).

    Raises WheelworksError if it isn't known without building.
    """
    try:
        if path.is_file():
            name, version = parse_sdist_filename(path.name)
            return targets.format_name_version(name, str(version))
        table = read_pyproject(path).get("project", {})
        return targets.format_name_version(table["name"], table["version"])
    except InvalidSdistFilename as error:
        raise WheelworksError(f"{path.name}: {error}", "an sdist is named NAME-VERSION.tar.gz") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"{path}: its pyproject.toml doesn't state name and version"
        raise WheelworksError(message, "make its sdist, and give that") from error
