"""Compile modules for Windows ARM64, rewrap them, and run them under qemu, for tests of the shim."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from wheelworks.build.headers import find_headers
from wheelworks.build.objects import Symbols, read_symbols
from wheelworks.core.targets import find_abi
from wheelworks.core.zig import find_zig, make_cache_variables
from wheelworks.foreign.cpus import find_cpu
from wheelworks.foreign.rewrap.rewrapper import Rewrapped, rewrap
from wheelworks.foreign.rewrap.shims import build_shim
from wheelworks.foreign.rewrap.symbols import read_provided
from wheelworks.foreign.rootfs import Rootfs, choose_recipe, make_rootfs

from tests.fixtures import tools

CPU = "aarch64"
TARGET = "aarch64-windows-gnu"
COMPILE = ("-O1", "-fno-sanitize=undefined", "-Wno-everything", "-c")


def run_zig(folder: Path, *words: str | Path) -> None:
    environment = {**os.environ, **make_cache_variables(folder / "zig")}
    ended = subprocess.run(
        [find_zig(), *map(str, words)], env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]


def make_import_library(folder: Path, dll: str, functions: Iterable[str], imported: Iterable[str] = ()) -> Path:
    """Make the import library of a DLL: functions that are called by name, and names only in the import table."""
    definition, library = folder / f"{dll}.def", folder / f"{dll}.lib"
    lines = ["LIBRARY " + dll, "EXPORTS", *sorted(functions), *(f"{name} DATA" for name in sorted(imported)), ""]
    definition.write_text("\n".join(lines))
    run_zig(folder, "dlltool", "-d", definition, "-m", "arm64", "-l", library)
    return library


def compile_module(folder: Path, *sources: Path, link: Iterable[str | Path] = (), target: str = TARGET) -> Path:
    """Compile C and C++ files into an extension module of the stable ABI; return its path."""
    headers = find_headers(find_abi("cp311-abi3")).folder
    objects = []
    for source in sources:
        objects.append(folder / f"{source.stem}.obj")
        msvc = source.suffix == ".cpp"  # the exceptions of C++ are Microsoft's only there
        language = (
            ["c++", "-target", "aarch64-windows-msvc", "-fexceptions", "-nostdinc"]
            if msvc
            else ["cc", "-target", target]
        )
        include: list[str | Path] = [] if msvc else ["-I", headers]
        run_zig(folder, *language, *COMPILE, *include, source, "-o", objects[-1])
    symbols = Symbols()
    for file in objects:
        symbols |= read_symbols(file.read_bytes())
    python = {name for name in symbols.imported if name.startswith(("Py", "_Py"))}
    module = folder / f"{sources[0].stem}.pyd"
    library = make_import_library(folder, "python3.dll", (), python)
    run_zig(folder, "cc", "-target", target, "-shared", "-s", *objects, library, *link, "-o", module)
    return module


def get_root() -> Rootfs:
    tools.require("mmdebstrap", "qemu-user")
    cpu = find_cpu(CPU)
    return Rootfs(make_rootfs(choose_recipe(cpu, "3.11")), "3.11", cpu, "")


def rewrap_module(module: Path, folder: Path, name: str) -> Rewrapped:
    """Rewrap a module for the CPython of the root, beside the shim, as ``name``."""
    root, shim = get_root(), build_shim("windows", CPU)
    libraries = [root.folder / "usr/lib/aarch64-linux-gnu", root.folder / "lib/aarch64-linux-gnu"]
    provided = read_provided(
        root.folder / root.interpreter.lstrip("/"), shim, [path for path in libraries if path.is_dir()]
    )
    result = rewrap(module.read_bytes(), CPU, name=name, provided=provided)
    (folder / f"{name}.abi3.so").write_bytes(result.elf)
    (folder / shim.name).write_bytes(shim.read_bytes())
    return result


def run_python(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the root's Python under qemu with modules of ``folder``."""
    root = get_root()
    qemu = ["qemu-aarch64-static", "-cpu", "cortex-a53", "-L", root.folder, root.folder / root.interpreter.lstrip("/")]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), "PYTHONHOME": str(root.folder / "usr")}
    environment["TMP"] = str(folder)  # qemu looks for a folder in the root first, and a root has a /tmp
    environment |= {"LC_ALL": "C.UTF-8", "PYTHONFAULTHANDLER": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*map(str, qemu), *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
