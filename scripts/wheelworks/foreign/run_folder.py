"""The folder of one run: locked while the run lives, removed afterwards, also if the run was killed."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wheelworks.core.files import create_cache_folder, get_cache_folder, remove_tree


@contextmanager
def create_run_folder() -> Iterator[Path]:
    """Create an empty folder for one run, and remove it afterwards, with those that killed runs left.

    A lock on the folder tells that its run is alive: the kernel drops it when the process ends in any way.
    Raises WheelworksError if the cache can't be written.
    """
    runs = get_cache_folder() / "runs"
    create_cache_folder(runs)
    with runs.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _remove_leftovers(runs)
        folder = Path(tempfile.mkdtemp(dir=runs))
        alive = os.open(folder, os.O_RDONLY)
        fcntl.flock(alive, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        remove_tree(folder)
        os.close(alive)


def _remove_leftovers(runs: Path) -> None:
    for folder in runs.iterdir():
        try:
            lock = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # its run has just ended
            continue
        try:
            with suppress(BlockingIOError):  # its run is alive
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(folder)
        finally:
            os.close(lock)
