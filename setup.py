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

limited_api = not sysconfig.get_config_var("Py_GIL_DISABLED")

extension = Extension(
    "tornado_speedups._speedups",
    sources=[f"{SOURCES}/speedups.c"],
    depends=sorted(glob(f"{SOURCES}/*.[ch]")),
    define_macros=[("Py_LIMITED_API", "0x030b0000")] if limited_api else [],
    py_limited_api=limited_api,
    optional=wish != "1",
)
options: dict[str, Any] = {"bdist_wheel": {"py_limited_api": "cp311"}} if limited_api else {}

if wish == "0":
    setup()
else:
    setup(ext_modules=[extension], options=options)
