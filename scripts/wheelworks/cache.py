"""The one folder outside the repository, for what is slow to make: headers, build environments, compiled libcs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs


def folder() -> Path:
    """The cache folder: ``WHEELWORKS_CACHE``, else where this system keeps caches. Safe to delete at any time."""
    return Path(os.environ.get("WHEELWORKS_CACHE") or platformdirs.user_cache_path("wheelworks")).absolute()


def keep(name: str, make: Callable[[Path], None]) -> Path:
    """The cached folder ``name``, made by ``make(new_folder)`` where it isn't there yet.

    It appears whole or not at all, also when two processes make it at once.
    """
    place = folder() / name
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    try:
        make(fresh)
        fresh.chmod(0o755)
        fresh.rename(place)
    except OSError:
        if not place.is_dir():  # else another process was first, and its folder is as good
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return place
