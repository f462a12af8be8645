"""Build the C extension, whose flags depend on the target's ABI. The metadata is in pyproject.toml.

TORNADO_SPEEDUPS_EXTENSION=1 makes a failing extension an error, 0 builds a pure wheel without it, unset or empty builds
it where that works. The platform is taken from sysconfig only, which knows the target when cross-compiling.
"""

import os
import sys
import sysconfig
from glob import glob
from typing import Any

from setuptools import Extension, setup

SWITCH = "TORNADO_SPEEDUPS_EXTENSION"
SOURCES = "src/tornado_speedups/_speedups"

switch = os.environ.get(SWITCH, "")
if switch not in ("", "0", "1"):
    sys.exit(f"{SWITCH} must be 1 (C is needed), 0 (Python only) or unset (C where it can be built), not {switch!r}")


def find_oldest_abi() -> tuple[int, int] | None:
    """Return the oldest version with the stable ABI of this Python; None if it has none (PEP 384, PEP 803)."""
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return (3, 11)
    return (3, 15) if sys.version_info >= (3, 15) else None


def define_macros(oldest: tuple[int, int] | None) -> list[tuple[str, str | None]]:
    """Return the macros that select this stable ABI in Python.h; since 3.15, one serves both builds of Python."""
    if oldest is None:
        return []
    name = "Py_TARGET_ABI3T" if oldest >= (3, 15) else "Py_LIMITED_API"
    return [(name, f"0x{oldest[0]:02x}{oldest[1]:02x}0000")]


oldest = find_oldest_abi()
extension = Extension(
    "tornado_speedups._speedups",
    sources=[f"{SOURCES}/module.c"],
    depends=sorted(glob(f"{SOURCES}/*.[ch]")),
    define_macros=define_macros(oldest),
    py_limited_api=oldest is not None,
    optional=switch != "1",
)
options: dict[str, Any] = {"bdist_wheel": {"py_limited_api": f"cp{oldest[0]}{oldest[1]}"}} if oldest else {}

if switch == "0":
    setup()
else:
    setup(ext_modules=[extension], options=options)
