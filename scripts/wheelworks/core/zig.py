"""The compiler: zig, a C toolchain for every platform in one package."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from pathlib import Path

from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import get_cache_folder


def find_zig() -> str:
    """Return the path of the compiler's program in the ``ziglang`` package. Raises WheelworksError without it."""
    spec = importlib.util.find_spec("ziglang")
    if spec is None or not spec.submodule_search_locations:
        raise WheelworksError("the compiler isn't installed", "run this through nox, or: pip install ziglang")
    return str(Path(spec.submodule_search_locations[0], "zig.exe" if os.name == "nt" else "zig"))


def read_zig_version() -> str:
    """Return the version of the ``ziglang`` package."""
    return importlib.metadata.version("ziglang")


def find_zig_cache() -> Path:
    """Return the folder in which the compiler keeps what it made, such as each system's libc."""
    return get_cache_folder() / f"zig-{read_zig_version()}"
