"""A cache outside the repository, whose entries appear whole or not at all, whoever else is at work."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from wheelworks.errors import WheelworksError


def cache_folder() -> Path:
    """``WHEELWORKS_CACHE`` where set, else ``wheelworks`` in the user's cache folder (XDG Base Directory spec)."""
    if chosen := os.environ.get("WHEELWORKS_CACHE"):
        return Path(chosen).absolute()
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (base if base.is_absolute() else Path.home() / ".cache") / "wheelworks"


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """The cache's folder ``name``, filled by ``make`` if it isn't there yet.

    ``make`` fills another folder, which is then renamed: what has its final name is complete. Of several processes
    one works and the others wait. What a killed process left is removed by the next.
    Raises WheelworksError if the cache can't be written.
    """
    entry = cache_folder() / name
    if entry.is_dir():
        return entry
    _make_folder(entry.parent)
    with _locked(entry.with_name(entry.name + ".lock")):
        if not entry.is_dir():
            _fill(entry, make)
    return entry


def _fill(entry: Path, make: Callable[[Path], None]) -> None:
    for leftover in entry.parent.glob(f"{entry.name}.unfinished*"):
        remove_tree(leftover)
    unfinished = Path(tempfile.mkdtemp(dir=entry.parent, prefix=f"{entry.name}.unfinished"))
    try:
        make(unfinished)
        unfinished.chmod(0o755)
        unfinished.rename(entry)
    finally:
        remove_tree(unfinished)


@contextmanager
def run_folder() -> Iterator[Path]:
    """An empty folder for one run, removed afterwards; what killed runs left is removed as well.

    A lock on the folder says that its run is alive: the kernel drops it with the process, however that ends.
    """
    runs = cache_folder() / "runs"
    _make_folder(runs)
    with _locked(runs.with_suffix(".lock")):
        _sweep(runs)
        folder = Path(tempfile.mkdtemp(dir=runs))
        alive = os.open(folder, os.O_RDONLY)
        fcntl.flock(alive, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        remove_tree(folder)
        os.close(alive)


def _sweep(runs: Path) -> None:
    for folder in runs.iterdir():
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_tree(folder)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)


def remove_tree(folder: Path) -> None:
    """Remove a folder, also one whose subfolders may not be written; nothing happens where there is none."""
    for parent, subfolders, _ in os.walk(folder):
        for name in subfolders:
            path = Path(parent, name)
            if not path.is_symlink():
                path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "set WHEELWORKS_CACHE to a folder that you may write"
        raise WheelworksError(f"the cache can't be written: {error}", hint) from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
