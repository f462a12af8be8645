"""Where a command writes to."""

from __future__ import annotations

import tempfile
from pathlib import Path

from wheelworks.errors import UsageError


def writable(folder: Path) -> Path:
    """The folder, made where it isn't there. Raises UsageError where nothing can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise UsageError(f"--out {folder}: {error.strerror}", "name a folder that you may write to") from error
