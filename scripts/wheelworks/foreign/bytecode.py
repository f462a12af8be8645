"""Compiling Python files for a root on this machine's own CPU, since an emulated compiler is ten times slower.

Bytecode is the same on every CPU, so a root of this machine's own kind, with the same CPython, compiles for all.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from wheelworks.foreign.isolation import Namespaces, Place
from wheelworks.foreign.machines import MACHINES, Machine, is_host
from wheelworks.foreign.rootfs import CannotLay, lay_root, recipe
from wheelworks.foreign.supervisor import start

TIME_LIMIT = 180.0


def compile_folder(python: str, folder: Path, seen_as: str) -> bool:
    """Compile all of ``folder``, which guests with CPython ``python`` will see as ``seen_as``; False if that can't be.

    Nothing depends on it but time. Files that don't compile are left alone.
    """
    native = next((machine for machine in MACHINES if is_host(machine)), None)
    if native is None:
        return False
    try:
        place = Place(lay_root(recipe(native, python)), python, native, "")
    except CannotLay:
        return False
    options = ["-qq", "-j0", "--invalidation-mode=unchecked-hash", "-s/job", f"-p{seen_as}"]
    command = Namespaces().command(place, folder, folder, ["-m", "compileall", *options, "/job"])
    process = start(command)
    try:
        process.wait(TIME_LIMIT)
    except subprocess.TimeoutExpired:
        return False
    finally:
        process.kill()
        process.wait()
    return any(folder.rglob("*.pyc"))


def root_for(machine: Machine, python: str) -> Path:
    """The root with CPython ``python`` for ``machine``, its standard library compiled where that can be done here.

    Raises CannotLay as `roots.lay_root` does, and UsageError for a version that Debian hasn't.
    """
    root = lay_root(recipe(machine, python))
    library = f"usr/lib/python{python}"
    done = root / "compiled"
    if not done.exists() and compile_folder(python, root / library, f"/{library}"):
        done.touch()
    return root
