"""The C extension, and nothing else: its flags depend on the target's ABI. The metadata is in pyproject.toml.

TORNADO_SPEEDUPS_EXTENSION: 1 makes a failing extension an error, 0 builds without it (a pure wheel), unset or empty
builds it where that works. Whatever is asked of the platform is asked of sysconfig, which knows the target's.
"""

import os
import sys
import sysconfig
from glob import glob
from typing import Any

from setuptools import Extension, setup

SWITCH = "TORNADO_SPEEDUPS_EXTENSION"
SOURCES = "src/tornado_speedups/_speedups"

wish = os.environ.get(SWITCH, "")
if wish not in ("", "0", "1"):
    sys.exit(f"{SWITCH} must be 1 (C is needed), 0 (Python only) or unset (C where it can be built), not {wish!r}")


def oldest_stable() -> tuple[int, int] | None:
    """The version whose stable ABI this Python's wheel keeps to; None where there is none for it (PEP 384, PEP 803)."""
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return (3, 11)
    return (3, 15) if sys.version_info >= (3, 15) else None


def macros(oldest: tuple[int, int] | None) -> list[tuple[str, str | None]]:
    """What asks Python.h for that stable ABI: from 3.15 on there is one for both builds of Python."""
    if oldest is None:
        return []
    name = "Py_TARGET_ABI3T" if oldest >= (3, 15) else "Py_LIMITED_API"
    return [(name, f"0x{oldest[0]:02x}{oldest[1]:02x}0000")]


oldest = oldest_stable()
extension = Extension(
    "tornado_speedups._speedups",
    sources=[f"{SOURCES}/speedups.c"],
    depends=sorted(glob(f"{SOURCES}/*.[ch]")),
    define_macros=macros(oldest),
    py_limited_api=oldest is not None,
    optional=wish != "1",
)
options: dict[str, Any] = {"bdist_wheel": {"py_limited_api": f"cp{oldest[0]}{oldest[1]}"}} if oldest else {}

if wish == "0":
    setup()
else:
    setup(ext_modules=[extension], options=options)
