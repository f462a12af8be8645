"""Where a command writes to: what it was asked for, and what only it needs."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wheelworks.core import cache
from wheelworks.core.errors import UsageError


def writable(folder: Path) -> Path:
    """The folder, made where it isn't there. Raises UsageError where nothing can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise UsageError(f"--out {folder}: {error.strerror}", "name a folder that you may write to") from error


@contextmanager
def work_folder() -> Iterator[Path]:
    """A temporary folder, gone afterwards, also where the command is interrupted while it is being made."""
    path = Path(tempfile.gettempdir(), f"wheelworks-{secrets.token_hex(6)}")
    try:
        path.mkdir(mode=0o700)
        yield path.resolve()
    finally:
        cache.remove_tree(path)
