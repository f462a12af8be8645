"""Run programs of a root file system: in private namespaces, or by the emulator alone where those are forbidden.

Both ways need no root, and register nothing on the host. A program imports from ``/site``, its site-packages folder,
and writes to ``/job``, its work folder.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from wheelworks.core import process
from wheelworks.foreign import namespace_init
from wheelworks.foreign.cpus import CPUS, Cpu, binfmt_rule, is_host
from wheelworks.foreign.rootfs import CannotMakeRootfs, Rootfs, choose_recipe, die_with_parent, make_rootfs

PROBE_LIMIT = 60.0  # seconds
COMPILE_LIMIT = 180.0  # seconds
UNSHARE = ("unshare", "--user", "--map-root-user", "--mount", "--pid", "--net", "--ipc", "--uts", "--kill-child")
VARIABLES = {
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONNOUSERSITE": "1",
    # For Tornado's suite: the seconds that its tests wait (default 5, too few for an emulator), and its own profile
    # with fewer generated examples.
    "ASYNC_TEST_TIMEOUT": "60",
    "HYPOTHESIS_PROFILE": "tornado-quick",
}
PROBE = """import subprocess, sys
subprocess.run([sys.executable, '-c', ''], check=True) if sys.argv[1] == 'children' else None
print('.'.join(map(str, sys.version_info[:3])))"""


class Isolation(Protocol):
    """A way of running programs of a root; ``limits`` says what they can't do, or is empty."""

    name: str
    limits: str

    def command(
        self, rootfs: Rootfs, site: Path, work: Path, arguments: list[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        """Return the host's command line and environment (None for this process's own) for ``python ARGUMENTS``.

        Arguments may be paths below ``/site/`` and ``/job/``.
        """


class Namespaces:
    """The program sees the root alone: its processes, network, file system and binfmt_misc are its own."""

    name = "in private namespaces"
    limits = ""

    def command(
        self, rootfs: Rootfs, site: Path, work: Path, arguments: list[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        """Return the host's command line and environment."""
        rule = binfmt_rule(rootfs.cpu, rootfs.emulator) if rootfs.emulator else ""
        python = [f"/usr/bin/python{rootfs.python}", *arguments]
        environment = {**choose_variables(rootfs.cpu), "PYTHONPATH": "/site"}
        entry = namespace_init.Entry(str(rootfs.folder), str(site), str(work), rule, python, environment)
        command = [*UNSHARE, sys.executable, "-I", str(namespace_init.__file__), json.dumps(asdict(entry))]
        return die_with_parent(command), None


class EmulatorOnly:
    """The emulator looks files up in the root first, then on the host: no isolation, no child processes."""

    name = "by the emulator alone"
    limits = "no child processes and no isolation, since namespaces are forbidden here"

    def command(
        self, rootfs: Rootfs, site: Path, work: Path, arguments: list[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        """Return the host's command line and environment."""
        root = str(rootfs.folder)
        words = [self._translate(word, site, work) for word in arguments]
        own = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "HOME": tempfile.gettempdir()}
        command = [rootfs.emulator, "-L", root, f"{root}/usr/bin/python{rootfs.python}", *words]
        return die_with_parent(command), {**choose_variables(rootfs.cpu), **own}

    def _translate(self, word: str, site: Path, work: Path) -> str:
        for prefix, folder in (("/site/", site), ("/job/", work)):
            if word.startswith(prefix):
                return f"{folder}/{word.removeprefix(prefix)}"
        return word


@dataclass(frozen=True)
class Probe:
    """Whether a way of isolation works here: the root's full Python version, or why not."""

    version: str = ""
    why: str = ""


def choose_variables(cpu: Cpu) -> dict[str, str]:
    """Return the environment variables of every program.

    EMULATION makes Tornado's tests wait 0.5 s in place of 0.1 s. It is not the host's CPU that needs it.
    """
    model = {"QEMU_CPU": cpu.model} if cpu.model else {}
    return VARIABLES if is_host(cpu) else {**VARIABLES, "EMULATION": "1", **model}


def find_emulator(cpu: Cpu) -> str | None:
    """Return the emulator's full path, "" if this CPU needs none, None if it isn't installed.

    Debian's newer packages drop the suffix. Their programs are statically linked all the same.
    """
    if is_host(cpu):
        return ""
    return shutil.which(cpu.emulator) or shutil.which(cpu.emulator.removesuffix("-static"))


def probe_isolation(isolation: Isolation, rootfs: Rootfs, folder: Path) -> Probe:
    """Start the root's Python, for `PROBE_LIMIT` seconds at most. ``folder`` is its work folder."""
    arguments = ["-c", PROBE, "" if isolation.limits else "children"]
    command, environment = isolation.command(rootfs, folder, folder, arguments)
    try:
        ended = process.run(command, env=environment, timeout=PROBE_LIMIT, separate_stderr=True)
    except process.TimedOut:
        return Probe(why=f"Python didn't start within {PROBE_LIMIT:.0f} s")
    if ended.status == 0:
        return Probe(version=ended.output.strip())
    lines = ended.errors.strip().splitlines() or [f"exit code {ended.status}"]
    return Probe(why=lines[-1])


def compile_folder(python: str, folder: Path, seen_as: str) -> bool:
    """Compile the Python files of ``folder``, which a root with CPython ``python`` sees as ``seen_as``.

    Bytecode is the same on every CPU, and an emulated compiler is ten times slower: this machine's own CPU compiles
    for all. Returns whether it could; only speed depends on it. Files that don't compile are left alone.
    """
    native = next((cpu for cpu in CPUS if is_host(cpu)), None)
    if native is None:
        return False
    try:
        rootfs = Rootfs(make_rootfs(choose_recipe(native, python)), python, native, "")
    except CannotMakeRootfs:
        return False
    options = ["-qq", "-j0", "--invalidation-mode=unchecked-hash", "-s/job", f"-p{seen_as}"]
    command, environment = Namespaces().command(rootfs, folder, folder, ["-m", "compileall", *options, "/job"])
    try:
        process.run(command, env=environment, timeout=COMPILE_LIMIT)
    except process.TimedOut:
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
