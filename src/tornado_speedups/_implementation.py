"""The one switch between C and Python, set once, at import, by TORNADO_SPEEDUPS_EXTENSION.

"1" insists on C, "0" on Python; unset or empty takes C where there is one.
"""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from typing import Literal

SWITCH = "TORNADO_SPEEDUPS_EXTENSION"


def _c_is_wanted() -> bool:
    wish = os.environ.get(SWITCH, "")
    if wish not in ("", "0", "1"):
        raise ValueError(f"{SWITCH} must be 1 (C), 0 (Python) or unset (C where there is one), not {wish!r}")
    return wish != "0"


def _on_missing_c(error: ImportError) -> None:
    """Refuse to go on where C was asked for; say so where C is there and broken."""
    if os.environ.get(SWITCH) == "1":
        raise ImportError(
            f"{SWITCH}=1 asks for the C extension of tornado_speedups, which cannot be imported: {error}. "
            "Install a wheel of tornado-speedups that has it for this Python and platform, "
            f"or unset {SWITCH} to use the Python implementation."
        ) from error
    if not isinstance(error, ModuleNotFoundError):
        warnings.warn(
            f"tornado_speedups uses Python: its C extension cannot be imported: {error}. "
            f"{SWITCH}=0 says that this is wanted.",
            RuntimeWarning,
            stacklevel=3,
        )


def _finds_c() -> bool:
    """Whether the functions are those in C. Raises ImportError if they were asked for, and are not to be had."""
    if not _c_is_wanted():
        return False
    try:
        module = import_module("tornado_speedups._speedups")
        if module.__file__ is None:  # the folder of its source
            raise ModuleNotFoundError("it hasn't been compiled")
    except ImportError as error:
        _on_missing_c(error)
        return False
    return True


implementation: Literal["c", "python"] = "c" if _finds_c() else "python"

if implementation == "c":
    from tornado_speedups._speedups import (
        build_frame,
        build_frame_into,
        parse_frames,
        parse_head,
        parse_headers,
        parse_start_line,
        serialize_head,
        websocket_mask,
        websocket_mask_inplace,
    )
else:
    from tornado_speedups._fallback import (
        build_frame,
        build_frame_into,
        parse_frames,
        parse_head,
        parse_headers,
        parse_start_line,
        serialize_head,
        websocket_mask,
        websocket_mask_inplace,
    )

__all__ = [
    "SWITCH",
    "build_frame",
    "build_frame_into",
    "implementation",
    "parse_frames",
    "parse_head",
    "parse_headers",
    "parse_start_line",
    "serialize_head",
    "websocket_mask",
    "websocket_mask_inplace",
]
