"""Rewrap a wheel's binaries for one CPython: what it, its system and the shim provide is read from their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from wheelworks.core.errors import Unsupported, WheelworksError
from wheelworks.core.formats import read_image
from wheelworks.foreign.pythons import Runtime, resolve_in_root
from wheelworks.foreign.rewrap import libcxx
from wheelworks.foreign.rewrap.bundle import LIBRARIES, TRIPLETS, Bundle, rewrap_files
from wheelworks.foreign.rewrap.rewrapper import MAX_FILE, rewrap_image
from wheelworks.foreign.rewrap.shims import build_shim
from wheelworks.foreign.rewrap.symbols import Exports, Provided, read_exports, read_provided
from wheelworks.foreign.rootfs import Rootfs

ANY_PYTHON_FUNCTION = "PyModule_Create2"


def make_rewrapper(runtime: Runtime, rootfs: Rootfs) -> Callable[[Mapping[str, bytes]], Bundle]:
    """Return the function that rewraps the binaries of wheels for a CPython in a root, and adds what they load.

    Raises Unsupported for a root without glibc, and where the shim can't be built.
    """
    assert runtime.system == "windows" or runtime.system == "macos"
    cpu = runtime.cpu.name
    try:
        shim = build_shim(runtime.system, cpu)
    except WheelworksError as error:
        raise Unsupported(error.message, error.hint) from error
    provided = _read_symbols(rootfs.folder, rootfs.interpreter, cpu, shim)

    def rewrap_all(files: Mapping[str, bytes]) -> Bundle:
        added, known = {shim.name: shim.read_bytes()}, provided
        if any(name.encode() in data for data in files.values() for name in libcxx.INSTALL_NAMES):
            added[libcxx.SONAME], known = _add_libcxx(cpu, provided)
        bundle = rewrap_files(files, cpu, runtime.python, known)
        extra = {f"{LIBRARIES}/{name}": data for name, data in added.items()}
        return replace(bundle, files={**bundle.files, **extra})

    return rewrap_all


def _add_libcxx(cpu: str, provided: Provided) -> tuple[bytes, Provided]:
    """Return Apple's C++ library, rewrapped, and the symbols that are provided with it.

    Raises Unsupported where it can't be built.
    """
    try:
        path = libcxx.build_libcxx(cpu)
    except WheelworksError as error:
        raise Unsupported(error.message, error.hint) from error
    image = read_image(path.read_bytes(), path.name, cpu, limit=MAX_FILE)
    made = rewrap_image(image, name=path.name, soname=libcxx.SONAME, provided=provided, runpath="$ORIGIN")
    exports = Exports(libcxx.SONAME, dict.fromkeys(image.exports, ""))
    return made.elf, replace(provided, rewrapped=dict.fromkeys(libcxx.INSTALL_NAMES, exports))


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
