"""Parts of the wheels that tests generate."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path

TAG = "cp311-abi3-manylinux_2_17_aarch64"
WheelMaker = Callable[..., Path]


def record_row(name: str, content: bytes) -> str:
    """Return a file's row in RECORD."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    return f"{name},sha256={digest},{len(content)}"
