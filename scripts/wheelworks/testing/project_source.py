"""The files of a project that its tests need, without its packages: these are to be imported from the wheel.

A source tree is untrusted. An sdist is unpacked by `core.sdist`; of a folder only regular files inside it are copied.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from wheelworks.core.archive import DEFAULT_LIMITS, Limits
from wheelworks.core.errors import WheelworksError
from wheelworks.core.sdist import unpack_sdist
from wheelworks.core.source_tree import LEFT_BY_TOOLS, check_source, list_git_files

TEST_FOLDERS = ("tests", "test")
# Folders whose contents are no packages of the project, even if a path in them ends as one in the wheel does.
_NO_PACKAGES = {*TEST_FOLDERS, "testing", "docs", "doc", "examples", "benchmarks"}


def open_source(source: Path, into: Path) -> Path:
    """Return the tree of a project's folder or sdist, unpacked or copied into the new folder ``into``.

    Raises UsageError for anything else, WheelworksError for a damaged or hostile sdist, and for a tree beyond the
    limits.
    """
    if check_source(source) == "sdist":
        return unpack_sdist(source, into)[0]
    _copy_files(source, list_files(source), into)
    return into


def list_files(tree: Path) -> list[str]:
    """Return the relative paths of a tree's regular files, sorted: those of git's index where git knows the tree.

    Links that lead out of the tree are left out. Raises WheelworksError for a tree beyond the limits.
    """
    base, found = tree.resolve(), []
    for name in list_git_files(tree) or _walk(tree):
        path = tree / name
        if path.is_file() and path.resolve().is_relative_to(base):
            found.append(PurePosixPath(name).as_posix())
    check_size(tree, found)
    return sorted(found)


def check_size(tree: Path, files: Iterable[str], limits: Limits = DEFAULT_LIMITS) -> None:
    """Raise WheelworksError for files beyond the limits of an sdist."""
    sizes = [(tree / name).stat().st_size for name in files]
    if len(sizes) > limits.members or sum(sizes) > limits.size:
        raise WheelworksError(f"{tree}: it has more than {limits.members} files or {limits.size >> 20} MiB")


def _walk(tree: Path) -> Iterable[str]:
    for name, folders, files in os.walk(tree):
        folders[:] = sorted(set(folders) - LEFT_BY_TOOLS(name, folders))
        yield from (Path(name, file).relative_to(tree).as_posix() for file in files)


def _copy_files(tree: Path, files: Iterable[str], into: Path) -> None:
    for name in files:
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tree / name, into / name)
        shutil.copymode(tree / name, into / name)


@dataclass(frozen=True)
class ProjectFiles:
    """A project's files for its tests.

    ``tree`` is the unpacked source, ``kept`` its files that the tests see. ``moved`` are its packages (and top-level
    modules) with the paths at which the wheel installs them: ``src/a`` is ``a``. ``added`` are files of tests inside
    those packages that the wheel doesn't have, with the paths at which they belong.
    """

    tree: Path
    kept: tuple[str, ...]
    moved: Mapping[str, str] = field(default_factory=dict)
    added: Mapping[str, str] = field(default_factory=dict)

    def copy_kept(self, into: Path) -> None:
        """Copy the files that the tests see to the new folder ``into``."""
        into.mkdir(parents=True)
        _copy_files(self.tree, self.kept, into)

    def copy_added(self, site: Path) -> None:
        """Copy the tests inside of packages to a site-packages folder. No file of it is replaced."""
        for source, name in self.added.items():
            if not (site / name).exists():
                (site / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.tree / source, site / name)


def split_project(tree: Path, wheel_files: Iterable[str]) -> ProjectFiles:
    """Separate a project's packages, as its wheel installs them, from the files that its tests need."""
    files, installed = list_files(tree), set(wheel_files)
    moved = find_packages(files, installed)
    owners = {name: next((source for source in moved if _is_below(name, source)), None) for name in files}
    kept = tuple(name for name, owner in owners.items() if owner is None)
    inside = {name: moved[owner] + name.removeprefix(owner) for name, owner in owners.items() if owner is not None}
    added = {name: place for name, place in inside.items() if place not in installed and is_test_file(place)}
    return ProjectFiles(tree, kept, moved, added)


def _is_below(name: str, source: str) -> bool:
    return name == source or name.startswith(f"{source}/")


def find_packages(files: Iterable[str], wheel_files: Iterable[str]) -> dict[str, str]:
    """Return the packages and top-level modules of a source tree that its wheel installs: ``{"src/a": "a"}``.

    They are found by their Python files, which have the same relative path in both.
    """
    modules = {name for name in wheel_files if name.endswith(".py") and name.partition("/")[0] not in TEST_FOLDERS}
    found = {}
    for file in files:
        parts = file.split("/")
        for start in range(len(parts)):
            if parts[start] in _NO_PACKAGES:
                break
            if "/".join(parts[start:]) in modules:
                found["/".join(parts[: start + 1])] = parts[start]
                break
    return found


def is_test_file(name: str) -> bool:
    """Return whether a file belongs to tests: by pytest's names, or because a folder above it does."""
    path = PurePosixPath(name)
    return (
        any(part in TEST_FOLDERS for part in path.parts[:-1])
        or path.name == "conftest.py"
        or (path.suffix == ".py" and (path.stem.startswith("test_") or path.stem.endswith("_test")))
    )


def list_packages(modules: Iterable[str]) -> list[str]:
    """Return the top-level names of modules, sorted."""
    return sorted({name.partition(".")[0] for name in modules})


def list_extension_modules(files: Iterable[str]) -> list[str]:
    """Return the import names of the extension modules among a wheel's files, sorted."""
    names = {name_module(path) for path in files if path.endswith((".so", ".pyd"))}
    return sorted(names - {""})


def name_module(path: str) -> str:
    """Return the import name of an extension module's file; "" for one that no import statement can name."""
    parts = PurePosixPath(path).parts
    names = [*parts[:-1], parts[-1].partition(".")[0]]
    return ".".join(names) if all(name.isidentifier() for name in names) else ""
