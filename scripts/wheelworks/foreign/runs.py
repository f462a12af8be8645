"""A folder for each run in a root, gone afterwards, however the run ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wheelworks.core.cache import folder as cache_folder
from wheelworks.core.cache import make_folder, remove_tree


@contextmanager
def run_folder() -> Iterator[Path]:
    """An empty folder for one run, removed afterwards; what killed runs left is removed as well.

    A lock on the folder says that its run is alive: the kernel drops it with the process, however that ends.
    Raises WheelworksError if the cache can't be written.
    """
    runs = cache_folder() / "runs"
    make_folder(runs)
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
            with contextlib.suppress(BlockingIOError):  # its run is alive
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(folder)
        finally:
            os.close(lock)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
