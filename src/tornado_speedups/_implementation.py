"""Choose between C and Python once, at import, by the variable TORNADO_SPEEDUPS_EXTENSION.

"1" requires C, "0" selects Python; unset or empty selects C where it can be imported.
"""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from typing import Literal

SWITCH = "TORNADO_SPEEDUPS_EXTENSION"


def _report_missing_c(error: ImportError) -> None:
    """Raise ImportError if C is required, and warn if the extension is there but broken."""
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


def _choose_implementation() -> Literal["c", "python"]:
    switch = os.environ.get(SWITCH, "")
    if switch not in ("", "0", "1"):
        raise ValueError(f"{SWITCH} must be 1 (C), 0 (Python) or unset (C where there is one), not {switch!r}")
    if switch == "0":
        return "python"
    try:
        module = import_module("tornado_speedups._speedups")
        if module.__file__ is None:  # the folder with its sources
            raise ModuleNotFoundError("it hasn't been compiled")
    except ImportError as error:
        _report_missing_c(error)
        return "python"
    return "c"


implementation = _choose_implementation()

if implementation == "c":
    from tornado_speedups._speedups import *  # noqa: F403
else:
    from tornado_speedups._python import *  # noqa: F403
