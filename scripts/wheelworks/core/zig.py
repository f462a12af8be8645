"""The compiler: zig, a C toolchain for every platform in one package."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from pathlib import Path

from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import create_cache_folder, get_cache_folder

# Set to any text, it has every source compiled again: a rebuild with objects of an earlier build would prove nothing.
FRESH_VARIABLE = "WHEELWORKS_FRESH_OBJECTS"


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


def make_cache_variables(local: Path) -> dict[str, str]:
    """Return the variables that make the compiler use `find_zig_cache`, and the folder ``local`` for the rest."""
    return {"ZIG_GLOBAL_CACHE_DIR": str(find_zig_cache()), "ZIG_LOCAL_CACHE_DIR": str(local)}


def find_object_cache() -> Path | None:
    """Return the folder with the objects of earlier compilations; None where every source is to be compiled again."""
    if os.environ.get(FRESH_VARIABLE):
        return None
    folder = get_cache_folder() / "objects"
    create_cache_folder(folder)
    return folder
