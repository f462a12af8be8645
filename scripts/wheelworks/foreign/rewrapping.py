"""Rewrap a wheel's binaries for one CPython: what it, its system and the shim provide is read from their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from wheelworks.core.errors import Unsupported, WheelworksError
from wheelworks.foreign.pythons import Runtime, resolve_in_root
from wheelworks.foreign.rewrap.bundle import LIBRARIES, TRIPLETS, Bundle, rewrap_files
from wheelworks.foreign.rewrap.shims import build_shim
from wheelworks.foreign.rewrap.symbols import Provided, read_exports, read_provided
from wheelworks.foreign.rootfs import Rootfs

ANY_PYTHON_FUNCTION = "PyModule_Create2"


def make_rewrapper(runtime: Runtime, rootfs: Rootfs) -> Callable[[Mapping[str, bytes]], Bundle]:
    """Return the function that rewraps the binaries of wheels for a CPython in a root, and adds the shim to them.

    Raises Unsupported for a root without glibc, and where the shim can't be built.
    """
    assert runtime.system != "linux"
    try:
        shim = build_shim(runtime.system, runtime.cpu.name)
    except WheelworksError as error:
        raise Unsupported(error.message, error.hint) from error
    provided = _read_symbols(rootfs.folder, rootfs.interpreter, runtime.cpu.name, shim)

    def rewrap_all(files: Mapping[str, bytes]) -> Bundle:
        bundle = rewrap_files(files, runtime.cpu.name, runtime.python, provided)
        return replace(bundle, files={**bundle.files, f"{LIBRARIES}/{shim.name}": shim.read_bytes()})

    return rewrap_all


@cache
def _read_symbols(root: Path, interpreter: str, cpu: str, shim: Path) -> Provided:
    """Return what a Python program in a root, its libraries and the shim export."""
    triplet = TRIPLETS[cpu]
    names = [f"usr/lib/{triplet}", f"lib/{triplet}", "usr/lib64", "lib64", "usr/lib", "lib"]
    folders = [root / name for name in names if (root / name).is_dir()]
    program = resolve_in_root(root, root / interpreter.lstrip("/"))
    if ANY_PYTHON_FUNCTION not in read_exports(program, "").symbols:
        program = _find_libpython(program, folders)
    provided = read_provided(program, shim, folders)
    if not provided.find_library("libc.so.6"):
        raise Unsupported(f"{root} has no glibc for {cpu}, which rewrapped code needs")
    return provided


def _find_libpython(program: Path, folders: list[Path]) -> Path:
    """Return the library of a CPython that was built with ``--enable-shared``."""
    name = f"lib{program.name}.so.1.0"
    for folder in (program.parents[1] / "lib", *folders):
        if (folder / name).is_file():
            return folder / name
    raise Unsupported(f"{program} doesn't export CPython's functions, and there is no {name} beside it")
