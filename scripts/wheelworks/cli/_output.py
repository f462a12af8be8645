"""Folders that a command writes to."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wheelworks.core.errors import UsageError
from wheelworks.core.files import remove_tree


def ensure_writable(folder: Path) -> Path:
    """Create a folder where it doesn't exist; returns it. Raises UsageError where it can't be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise UsageError(f"--out {folder}: {error.strerror}", "name a folder that you may write to") from error


@contextmanager
def create_work_folder() -> Iterator[Path]:
    """Create a temporary folder; it is removed afterwards, even where an interrupt arrives during its creation."""
    path = Path(tempfile.gettempdir(), f"wheelworks-{secrets.token_hex(6)}")
    try:
        path.mkdir(mode=0o700)
        yield path.resolve()
    finally:
        remove_tree(path)
