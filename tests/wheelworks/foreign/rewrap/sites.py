"""Lay a wheel out as a site-packages folder with rewrapped modules, and run Python code with it."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from wheelworks.foreign.cpus import find_cpu
from wheelworks.foreign.rewrap.rewrapper import Rewrapped, rewrap
from wheelworks.foreign.rewrap.shims import System, build_shim
from wheelworks.foreign.rewrap.symbols import Provided, read_provided
from wheelworks.foreign.rootfs import choose_recipe, make_rootfs

from tests.fixtures import tools

SHIMS = ".wheelworks-libs"
HOST = f"{sys.version_info[0]}.{sys.version_info[1]}"
DEBIAN = "3.13"


@dataclass(frozen=True)
class Python:
    """A CPython that loads rewrapped modules: the command that starts it, and the symbols that it has."""

    system: System
    cpu: str
    version: str
    command: tuple[str, ...]
    provided: Provided
    shim: Path

    @property
    def suffix(self) -> str:
        return f".cpython-{self.version.replace('.', '')}-{self.cpu}-linux-gnu.so"


def find_python(system: System, cpu: str) -> Python:
    """Return Debian's CPython under qemu-user for ARM64, and this one for x86-64."""
    if cpu == "aarch64":
        tools.require("mmdebstrap", "qemu-user")
    shim = build_shim(system, cpu)
    if cpu == "aarch64":
        root = make_rootfs(choose_recipe(find_cpu(cpu), DEBIAN))
        program = root / f"usr/bin/python{DEBIAN}"
        provided = read_provided(program, shim, [root / "usr/lib/aarch64-linux-gnu"])
        command = ("qemu-aarch64-static", "-cpu", "max,pauth=off", "-L", str(root), str(program))
        return Python(system, cpu, DEBIAN, command, provided, shim)
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip("runs x86-64 code natively")
    provided = read_provided(find_host_program(), shim, [Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib64")])
    return Python(system, cpu, HOST, (sys.executable,), provided, shim)


def find_host_program() -> Path:
    """Return the file with this Python's C API: its libpython, or the program itself."""
    library = Path(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME") or "none")
    return library if library.suffix != ".a" and library.is_file() else Path(sys.executable).resolve()


def copy_shim(python: Python, site: Path) -> None:
    """Copy the shim to where modules find it."""
    (site / SHIMS).mkdir(parents=True, exist_ok=True)
    shutil.copy(python.shim, site / SHIMS)


def download_wheel(requirement: str, platforms: Iterable[str], version: str, folder: Path, *, seconds: float) -> Path:
    """Download the official wheel of a requirement for one of the platforms and a version of CPython."""
    what = ["--only-binary=:all:", "--no-deps", f"--dest={folder}", f"--python-version={version}"]
    what += ["--implementation=cp", f"--abi=cp{version.replace('.', '')}", "--abi=abi3", requirement]
    what += [f"--platform={tag}" for tag in platforms]
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", *what], check=True, timeout=seconds)
    return next(folder.glob("*.whl"))


def lay_out(wheel: Path, site: Path, python: Python) -> dict[str, Rewrapped]:
    """Unpack a wheel; rewrap its modules, which are returned by the names that they are imported by."""
    copy_shim(python, site)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
        members = [member for member in archive.namelist() if re.search(r"\.(pyd|so)$", member)]
    found = {}
    for path in (site / member for member in sorted(members)):
        inside = path.relative_to(site)
        stem = path.name.partition(".")[0]
        above = "/".join([".."] * (len(inside.parts) - 1))
        runpath = f"$ORIGIN/{above}/{SHIMS}"
        made = rewrap(path.read_bytes(), python.cpu, name=str(inside), provided=python.provided, runpath=runpath)
        path.with_name(stem + python.suffix).write_bytes(made.elf)
        if path.name != stem + python.suffix:
            path.unlink()
        found[".".join([*inside.parts[:-1], stem])] = made
    return found


def run(
    python: Python, site: Path, code: str, *arguments: str, seconds: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run Python code that imports from a site-packages folder."""
    variables = {
        "PYTHONPATH": str(site),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONFAULTHANDLER": "1",
        "PATH": "/usr/bin:/bin",
        "HOME": str(site),
        "LANG": "C.UTF-8",
    }
    command = [*python.command, "-c", code, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=variables, timeout=seconds)
