"""Build the shim libraries: what a rewrapped module of Windows or macOS calls in place of its own system.

The C sources are in ``shim/``, one file a subject. A library is built once for each version of its sources, of the
compiler and of these options, and kept in the cache.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Literal

from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import get_cached_folder, hash_file, remove_tree
from wheelworks.core.process import run_checked
from wheelworks.core.zig import find_zig, make_cache_variables, read_zig_version
from wheelworks.foreign.rewrap import symbols

System = Literal["windows", "macos"]

SOURCES = Path(__file__).with_name("shim")
SONAMES: dict[System, str] = {"windows": "libwheelworks-windows.so", "macos": "libwheelworks-macos.so"}
_GLIBC = "2.28"  # older than that of every Python that runs rewrapped modules; also this machine's, natively
_COMPILE = (
    *("-fPIC", "-O2", "-g0", "-std=gnu17", "-D_GNU_SOURCE"),
    *("-fvisibility=hidden", "-fno-stack-protector", "-fno-sanitize=all"),
    # Functions of the C library are called as they are declared, and none is replaced by a call of itself.
    *("-fno-builtin", "-fwrapv", "-ffp-contract=off"),
    *("-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-missing-field-initializers"),
)
# Python's functions are those of the program that loads the module.
_LINK = ("-shared", "-s", "-Wl,-z,undefs", "-Wl,-z,now", "-Wl,-z,relro", "-lm", "-lpthread", "-ldl")


def build_shim(system: System, cpu: str) -> Path:
    """Return the shim library of a system for a CPU ("aarch64", "x86_64"), built unless the cache has it.

    Raises WheelworksError for a CPU that can't have one, and where the compiler is missing or fails.
    """
    if cpu not in symbols.CPUS[system]:
        raise WheelworksError(f"no modules of {system} for the CPU {cpu} can be rewrapped")
    folder = get_cached_folder(
        f"shims/{system}-{cpu}-{compute_digest(system)}", lambda fresh: _build(system, cpu, fresh)
    )
    return folder / SONAMES[system]


def list_sources(system: System) -> list[Path]:
    """Return the C files of a system's shim, sorted: its own and those that both share."""
    other = "macos" if system == "windows" else "windows"
    return sorted(path for path in SOURCES.glob("*.c") if not path.name.startswith(f"{other}_"))


def compute_digest(system: System) -> str:
    """Return a digest of all that the library depends on: sources, lists, the compiler's version and options."""
    files = [*list_sources(system), *sorted(SOURCES.glob("*.h")), symbols.FOLDER / "shim" / symbols.LISTS[system]]
    words = [read_zig_version(), _GLIBC, *_COMPILE, *_LINK, *(f"{path.name} {hash_file(path)}" for path in files)]
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


def _build(system: System, cpu: str, folder: Path) -> None:
    soname, local, made = SONAMES[system], folder / ".zig", folder / ".made"
    made.mkdir()
    names = "".join(f'    "{name}",\n' for name in sorted(symbols.read_same_names(system, cpu)))
    (made / "same_names.inc").write_text(names, encoding="utf-8")
    options = (f"-I{made}", "-target", f"{cpu}-linux-gnu.{_GLIBC}", f"-DSHIM_{system.upper()}", *_COMPILE, *_LINK)
    environment = {**os.environ, **make_cache_variables(local)}
    words: list[str | Path] = [*options, f"-Wl,-soname,{soname}", *list_sources(system), "-o", folder / soname]
    run_checked([find_zig(), "cc", *words], "the shim library can't be built", lines=40, env=environment)
    remove_tree(local)
    remove_tree(made)
