"""Files that appear whole or not at all, and the cache: one folder outside the repository for what is slow to make.

The cache holds headers, build environments, libcs and root file systems, and can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from wheelworks.core.errors import WheelworksError


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal; "" where there is no file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def write_file(path: Path, data: bytes) -> Path:
    """Write a file so that it appears whole or not at all; returns its path."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(name, 0o644)  # mkstemp's 600 is for secrets
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Remove the temporary files that a killed `write_file` left for files with these names."""
    prefixes = tuple(f".{name}." for name in names)
    for path in folder.iterdir():
        if path.name.startswith(prefixes) and re.fullmatch(r"[a-z0-9_]{8}", path.name.rpartition(".")[2]):
            path.unlink(missing_ok=True)


@contextmanager
def wait_for_turn(lock_file: Path, report: Callable[[], None]) -> Iterator[bool]:
    """Hold a lock meanwhile; yields whether another process had it, after a call of ``report()``.

    The lock ends with the process, even a killed one. Its file stays, because others may be waiting for it.
    """
    lock = FileLock(lock_file)
    try:
        lock.acquire(blocking=False)
        waited = False
    except Timeout:
        report()
        lock.acquire()
        waited = True
    try:
        yield waited
    finally:
        lock.release()


def remove_tree(path: Path) -> None:
    """Remove a folder, even one with read-only subfolders; do nothing where there is none."""
    for parent, subfolders, _ in os.walk(path):
        for name in subfolders:
            subfolder = Path(parent, name)
            if not subfolder.is_symlink():
                subfolder.chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)


def get_cache_folder() -> Path:
    """Return the cache folder: ``WHEELWORKS_CACHE``, or this system's place for caches."""
    return Path(os.environ.get("WHEELWORKS_CACHE") or platformdirs.user_cache_path("wheelworks")).absolute()


def create_cache_folder(path: Path) -> None:
    """Create a folder of the cache and its parents. Raises WheelworksError where that isn't possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "set WHEELWORKS_CACHE to a folder that you may write"
        raise WheelworksError(f"the cache can't be written: {error}", hint) from None


def get_cached_folder(name: str, create: Callable[[Path], None]) -> Path:
    """Return the cached folder ``name``; ``create(folder)`` fills it the first time.

    It appears whole or not at all. One process fills it while others wait; the next process removes what a killed one
    left. Raises WheelworksError where the cache can't be written.
    """
    place = get_cache_folder() / name
    if place.is_dir():
        return place
    create_cache_folder(place.parent)
    with FileLock(place.with_name(f"{place.name}.lock")):
        if not place.is_dir():
            _fill(place, create)
    return place


def _fill(place: Path, create: Callable[[Path], None]) -> None:
    for leftover in place.parent.glob(f"{place.name}.unfinished*"):
        remove_tree(leftover)
    fresh = Path(tempfile.mkdtemp(prefix=f"{place.name}.unfinished", dir=place.parent))
    try:
        create(fresh)
        fresh.chmod(0o755)
        fresh.rename(place)
    finally:
        remove_tree(fresh)
