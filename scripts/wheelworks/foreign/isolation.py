"""Run programs of a root file system: in private namespaces, or by the emulator alone where those are forbidden.

Both ways need no root, and register nothing on the host. A program imports from ``/site``, its site-packages folder,
and writes to ``/job``, its work folder.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from wheelworks.core import process
from wheelworks.core.debian import DEBIAN_SUITES
from wheelworks.core.files import get_cached_folder
from wheelworks.foreign import namespace_init
from wheelworks.foreign.cpus import CPUS, Cpu, binfmt_rule, is_host
from wheelworks.foreign.rootfs import CannotMakeRootfs, Rootfs, choose_recipe, die_with_parent, make_rootfs

PROBE_LIMIT = 60.0  # seconds
UNSHARE = ("unshare", "--user", "--map-root-user", "--mount", "--pid", "--net", "--ipc", "--uts", "--kill-child")
VARIABLES = {
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONNOUSERSITE": "1",
}
PROBE = """import subprocess, sys
subprocess.run([sys.executable, '-c', ''], check=True) if sys.argv[1] == 'children' else None
print('.'.join(map(str, sys.version_info[:3])))"""


Command = tuple[list[str], dict[str, str] | None]  # the host's command line, and its environment (None: inherited)


@dataclass(frozen=True)
class Isolation:
    """A way of running ``python ARGUMENTS`` in a root; ``limits`` says what the program can't do, or is empty.

    ``command`` takes the root, the folders for ``/site`` and ``/job``, the arguments, which may be paths in both, and
    environment variables besides those of every program.
    """

    name: str
    limits: str
    command: Callable[[Rootfs, Path, Path, list[str], Mapping[str, str]], Command]


def enter_namespaces(
    rootfs: Rootfs, site: Path, work: Path, arguments: list[str], variables: Mapping[str, str]
) -> Command:
    """Return the command of a program that sees the root alone, with its own processes, network and binfmt_misc."""
    rule = binfmt_rule(rootfs.cpu, rootfs.emulator) if rootfs.emulator else ""
    python = [rootfs.interpreter, *arguments]
    environment = {**choose_variables(rootfs.cpu), **variables, "PYTHONPATH": "/site"}
    folder = get_cached_folder("mount-point", lambda _: None) if rootfs.layers else rootfs.folder
    entry = namespace_init.Entry(str(folder), str(site), str(work), rule, python, environment, rootfs.layers)
    command = [*UNSHARE, sys.executable, "-I", str(namespace_init.__file__), json.dumps(asdict(entry))]
    return die_with_parent(command), None


def run_emulator(rootfs: Rootfs, site: Path, work: Path, arguments: list[str], variables: Mapping[str, str]) -> Command:
    """Return the command of an emulator that looks files up in the root first, then on the host."""
    root = str(rootfs.folder)
    words = [re.sub(r"^/site/", f"{site}/", re.sub(r"^/job/", f"{work}/", word)) for word in arguments]
    command = [rootfs.emulator, "-L", root, f"{root}{rootfs.interpreter}", *words]
    own = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "HOME": tempfile.gettempdir()}
    return die_with_parent(command), {**choose_variables(rootfs.cpu), **variables, **own}


NAMESPACES = Isolation("in private namespaces", "", enter_namespaces)
NO_NAMESPACES = "no child processes and no isolation, since namespaces are forbidden here"
EMULATOR_ALONE = Isolation("by the emulator alone", NO_NAMESPACES, run_emulator)


def choose_variables(cpu: Cpu) -> dict[str, str]:
    """Return the environment variables of every program, which must not change what a project's tests do."""
    return {**VARIABLES, "QEMU_CPU": cpu.model} if cpu.model and not is_host(cpu) else VARIABLES


def find_emulator(cpu: Cpu) -> str | None:
    """Return the emulator's full path, "" if this CPU needs none, None if it isn't installed.

    Debian's newer packages drop the suffix. Their programs are statically linked all the same.
    """
    if is_host(cpu):
        return ""
    return shutil.which(cpu.emulator) or shutil.which(cpu.emulator.removesuffix("-static"))


def probe_isolation(isolation: Isolation, rootfs: Rootfs, folder: Path) -> tuple[str, str]:
    """Start the root's Python in a work folder. Return its full version; or "", and why it doesn't start."""
    arguments = ["-c", PROBE, "" if isolation.limits else "children"]
    command, environment = isolation.command(rootfs, folder, folder, arguments, {})
    try:
        ended = process.run(command, env=environment, timeout=PROBE_LIMIT, separate_stderr=True)
    except process.TimedOut:
        return "", f"Python didn't start within {PROBE_LIMIT:.0f} s"
    if ended.status == 0:
        return ended.output.strip(), ""
    return "", (ended.errors.strip().splitlines() or [f"exit code {ended.status}"])[-1]


def compile_folder(python: str, folder: Path, seen_as: str) -> bool:
    """Compile the Python files of ``folder``, which a root with CPython ``python`` sees as ``seen_as``.

    Bytecode is the same on every CPU, and an emulated compiler is ten times slower: this machine's own CPU compiles
    for all. Returns whether it could; only speed depends on it. Files that don't compile are left alone.
    """
    native = next((cpu for cpu in CPUS if is_host(cpu)), None)
    if native is None or python not in DEBIAN_SUITES:
        return False
    options = ["-qq", "-j0", "--invalidation-mode=unchecked-hash", "-s/job", f"-p{seen_as}"]
    try:
        rootfs = Rootfs(make_rootfs(choose_recipe(native, python)), python, native, "")
        command, environment = enter_namespaces(rootfs, folder, folder, ["-m", "compileall", *options, "/job"], {})
        process.run(command, env=environment, timeout=180)
    except (CannotMakeRootfs, process.TimedOut):
        return False
    return any(folder.rglob("*.pyc"))


def make_compiled_rootfs(cpu: Cpu, python: str) -> Path:
    """Return the folder of a root with CPython ``python``; its standard library is compiled if that is possible here.

    Raises CannotMakeRootfs as `rootfs.make_rootfs` does, and UsageError for a version that Debian doesn't have.
    """
    root = make_rootfs(choose_recipe(cpu, python))
    library = f"usr/lib/python{python}"
    done = root / "compiled"
    if not done.exists() and compile_folder(python, root / library, f"/{library}"):
        done.touch()
    return root
