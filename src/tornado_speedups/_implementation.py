"""Choose between C and Python once, at import, by the variable TORNADO_SPEEDUPS_EXTENSION.

"1" requires C, "0" selects Python; unset or empty selects C where it can be imported.
"""

from __future__ import annotations

import os
import sys
import warnings
from importlib import import_module
from typing import Literal

SWITCH = "TORNADO_SPEEDUPS_EXTENSION"

# pip prefers a wheel with C to one without. It would reuse an old one from its cache.
REINSTALL = "python -m pip install --no-cache-dir --force-reinstall --no-deps tornado-speedups"


def _report_missing_c(error: ImportError) -> None:
    """Raise ImportError if C is required, and warn if the extension is there but broken."""
    if os.environ.get(SWITCH) == "1":
        raise ImportError(
            f"{SWITCH}=1 asks for the C extension of tornado_speedups, which cannot be imported: {error}. "
            f"Install a wheel of tornado-speedups that has it for this Python and platform ({REINSTALL}), "
            f"or unset {SWITCH} to use the Python implementation."
        ) from error
    if not isinstance(error, ModuleNotFoundError):
        warnings.warn(
            f"tornado_speedups uses Python: its C extension cannot be imported: {error}. "
            f"{SWITCH}=0 says that this is wanted.",
            RuntimeWarning,
            stacklevel=3,
        )


def _explain(error: ImportError) -> str:
    """Return why there is no C, as a clause that begins with "not compiled" where that is so."""
    if not isinstance(error, ModuleNotFoundError):
        return f"the C extension cannot be imported: {error}"
    names = [name for name in os.listdir(os.path.dirname(__file__)) if name.startswith("_speedups.")]
    others = sorted(name for name in names if name.endswith((".so", ".pyd")))
    if others:
        return f"not compiled for this Python, but for another: {', '.join(others)}"
    return "not compiled: the package was installed without its C extension"


def _choose_implementation() -> tuple[Literal["c", "python"], str]:
    """Return the implementation, and why C is missing; "" if it isn't, or isn't wanted."""
    switch = os.environ.get(SWITCH, "")
    if switch not in ("", "0", "1"):
        raise ValueError(f"{SWITCH} must be 1 (C), 0 (Python) or unset (C where there is one), not {switch!r}")
    if switch == "0":
        return "python", ""
    try:
        module = import_module("tornado_speedups._speedups")
        if module.__file__ is None:  # the folder with its sources
            raise ModuleNotFoundError("it hasn't been compiled")
    except ImportError as error:
        _report_missing_c(error)
        return "python", _explain(error)
    return "c", ""


def _is_command() -> bool:
    """Return whether this import is the beginning of ``python -m tornado_speedups``."""
    # The interpreter sets argv[0] to "-m" until it has found the module to run.
    return sys.argv[:1] == ["-m"] and any(word in ("tornado_speedups", "-mtornado_speedups") for word in sys.orig_argv)


try:
    implementation, why_no_c = _choose_implementation()
except (ImportError, ValueError) as fault:
    if not _is_command():
        raise
    sys.stderr.write(f"error: {fault}\n")
    sys.exit(2)

if implementation == "c":
    from tornado_speedups._speedups import *  # noqa: F403
else:
    from tornado_speedups._python import *  # noqa: F403
