"""The one folder outside the repository, for what is slow to make: headers, build environments, libcs, roots."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs
from filelock import FileLock

from wheelworks.core.errors import WheelworksError


def folder() -> Path:
    """The cache folder: ``WHEELWORKS_CACHE``, else where this system keeps caches. Safe to delete at any time."""
    return Path(os.environ.get("WHEELWORKS_CACHE") or platformdirs.user_cache_path("wheelworks")).absolute()


def keep(name: str, make: Callable[[Path], None]) -> Path:
    """The cached folder ``name``, made by ``make(new_folder)`` where it isn't there yet.

    It appears whole or not at all. Of several processes one makes it and the others wait; what a killed one left is
    removed by the next. Raises WheelworksError if the cache can't be written.
    """
    place = folder() / name
    if place.is_dir():
        return place
    make_folder(place.parent)
    with FileLock(place.with_name(f"{place.name}.lock")):
        if not place.is_dir():
            _fill(place, make)
    return place


def _fill(place: Path, make: Callable[[Path], None]) -> None:
    for leftover in place.parent.glob(f"{place.name}.unfinished*"):
        remove_tree(leftover)
    fresh = Path(tempfile.mkdtemp(prefix=f"{place.name}.unfinished", dir=place.parent))
    try:
        make(fresh)
        fresh.chmod(0o755)
        fresh.rename(place)
    finally:
        remove_tree(fresh)


def make_folder(path: Path) -> None:
    """A folder of the cache, with those above it. Raises WheelworksError if it can't be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "set WHEELWORKS_CACHE to a folder that you may write"
        raise WheelworksError(f"the cache can't be written: {error}", hint) from None


def remove_tree(path: Path) -> None:
    """Remove a folder, also one whose subfolders may not be written; nothing happens where there is none."""
    for parent, subfolders, _ in os.walk(path):
        for name in subfolders:
            subfolder = Path(parent, name)
            if not subfolder.is_symlink():
                subfolder.chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)
