"""Compile modules for macOS and load them, rewrapped, in a real CPython."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from dataclasses import replace
from pathlib import Path

from wheelworks.core.formats import read_image
from wheelworks.core.image import Image
from wheelworks.core.zig import find_zig
from wheelworks.foreign.rewrap import libcxx
from wheelworks.foreign.rewrap.rewrapper import Rewrapped, rewrap
from wheelworks.foreign.rewrap.symbols import Exports

from tests.fixtures.builds import PYCONFIG
from tests.wheelworks.foreign.rewrap import sites

HERE = Path(__file__).parent
CPUS = ("aarch64", "x86_64")
FLAGS = ("-O2", "-g0", "-fno-sanitize=all", "-Wno-everything")


def compile_module(source: str, cpu: str, folder: Path, *flags: str) -> Path:
    """Compile a C or C++ source of this folder for a macOS; C++ modules use the system's libc++."""
    headers = folder / "include"
    if not headers.exists():
        shutil.copytree(sysconfig.get_path("include"), headers)
        (headers / "pyconfig.h").write_text(PYCONFIG, encoding="utf-8")
    output = folder / f"{Path(source).stem}-{cpu}.so"
    words = ["-target", f"{cpu}-macos.11.0", "-shared", *FLAGS, *flags, f"-I{headers}", str(HERE / source)]
    words += ["-Wl,-undefined,dynamic_lookup", "-o", str(output)]
    driver = "cc"
    if source.endswith(".cpp"):
        driver = "c++"
        words += ["-std=c++20", "-nostdlib++", *libcxx.list_compile_options(), str(libcxx.build_libcxx(cpu))]
    done = subprocess.run([find_zig(), driver, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return output


def read_module(path: Path, cpu: str) -> Image:
    """Read a compiled module."""
    return read_image(path.read_bytes(), path.name, cpu, limit=1 << 28)


_made: dict[str, tuple[Rewrapped, Exports]] = {}  # by CPU


def rewrap_libcxx(python: sites.Python) -> tuple[Rewrapped, Exports]:
    """Rewrap libc++ for a Python; return also what it exports."""
    if python.cpu not in _made:
        _made[python.cpu] = _rewrap_libcxx(python)
    return _made[python.cpu]


def _rewrap_libcxx(python: sites.Python) -> tuple[Rewrapped, Exports]:
    library = libcxx.build_libcxx(python.cpu)
    made = rewrap(library.read_bytes(), python.cpu, name=libcxx.NAME, soname=libcxx.SONAME, provided=python.provided)
    return made, Exports(libcxx.SONAME, dict.fromkeys(read_module(library, python.cpu).exports, ""))


def copy_libcxx(python: sites.Python, site: Path) -> sites.Python:
    """Copy libc++ beside the shim; return the Python whose modules find it there."""
    made, exports = rewrap_libcxx(python)
    (site / sites.SHIMS / libcxx.SONAME).write_bytes(made.elf)
    rewrapped = dict.fromkeys(libcxx.INSTALL_NAMES, exports)
    return replace(python, provided=replace(python.provided, rewrapped=rewrapped))


def install_module(path: Path, name: str, python: sites.Python, site: Path, *, with_libcxx: bool = False) -> Rewrapped:
    """Rewrap a module into a site-packages folder, with the libraries that it needs."""
    sites.copy_shim(python, site)
    if with_libcxx:
        python = copy_libcxx(python, site)
    runpath = f"$ORIGIN/{sites.SHIMS}"
    result = rewrap(path.read_bytes(), python.cpu, name=name, provided=python.provided, runpath=runpath)
    (site / f"{name}{python.suffix}").write_bytes(result.elf)
    return result
