"""Ways into a root: by private namespaces, or by the emulator alone where those are forbidden.

Both give the command line of one guest program; neither needs root, and neither registers anything on the host.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from wheelworks.foreign import namespace_init
from wheelworks.foreign.machines import Machine, binfmt_rule, is_host
from wheelworks.foreign.supervisor import start

PROBE_LIMIT = 60.0
UNSHARE = ("unshare", "--user", "--map-root-user", "--mount", "--pid", "--net", "--ipc", "--uts", "--kill-child")
ENVIRONMENT = {
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONNOUSERSITE": "1",
    # For Tornado's suite: the seconds that its tests wait (5 unless told, too few for an emulator), and its own choice
    # of fewer examples for tests that generate them.
    "ASYNC_TEST_TIMEOUT": "60",
    "HYPOTHESIS_PROFILE": "tornado-quick",
}
PROBE = """import subprocess, sys
subprocess.run([sys.executable, '-c', ''], check=True) if sys.argv[1] == 'children' else None
print('.'.join(map(str, sys.version_info[:3])))"""


@dataclass(frozen=True)
class Place:
    """A root to run programs in: its Python's version ("3.11"), its CPU, and the emulator's full path (or "")."""

    root: Path
    python: str
    machine: Machine
    emulator: str


class Way(Protocol):
    """A way of running a guest program."""

    name: str
    limits: str

    def command(self, place: Place, site: Path, work: Path, arguments: list[str]) -> list[str]:
        """The host's command line for ``python ARGUMENTS``, with /site and /job in reach (see `path_of`)."""

    def environment(self, place: Place, site: Path) -> dict[str, str] | None:
        """The whole environment of that command."""

    def path_of(self, inside: str, site: Path, work: Path) -> str:
        """Where the guest sees ``/site/...`` or ``/job/...``."""


class Namespaces:
    """The root is the guest's whole world: processes, network, file system and binfmt_misc are its own."""

    name = "in private namespaces"
    limits = ""

    def command(self, place: Place, site: Path, work: Path, arguments: list[str]) -> list[str]:
        """The host's command line for a guest's."""
        rule = binfmt_rule(place.machine, place.emulator) if place.emulator else ""
        python = [f"/usr/bin/python{place.python}", *arguments]
        environment = {**guest_environment(place.machine), "PYTHONPATH": "/site"}
        entry = namespace_init.Entry(str(place.root), str(site), str(work), rule, python, environment)
        return [*UNSHARE, sys.executable, "-I", str(namespace_init.__file__), json.dumps(asdict(entry))]

    def environment(self, place: Place, site: Path) -> dict[str, str] | None:
        """The host's environment for it; None for this process's own."""
        return None

    def path_of(self, inside: str, site: Path, work: Path) -> str:
        """Where the guest sees a path under ``/site`` or ``/job``."""
        return inside


class EmulatorAlone:
    """The emulator looks files up in the root first, and else on the host: no isolation, no child processes."""

    name = "by the emulator alone"
    limits = "no child processes and no isolation, since namespaces are forbidden here"

    def command(self, place: Place, site: Path, work: Path, arguments: list[str]) -> list[str]:
        """The host's command line for a guest's."""
        return [place.emulator, "-L", str(place.root), f"{place.root}/usr/bin/python{place.python}", *arguments]

    def environment(self, place: Place, site: Path) -> dict[str, str] | None:
        """The host's environment for it; None for this process's own."""
        own = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "HOME": tempfile.gettempdir()}
        return {**guest_environment(place.machine), **own}

    def path_of(self, inside: str, site: Path, work: Path) -> str:
        """Where the guest sees a path under ``/site`` or ``/job``."""
        return inside.replace("/site", str(site), 1).replace("/job", str(work), 1)


@dataclass(frozen=True)
class Probed:
    """Whether a way works here: the guest's full Python version, or why not."""

    version: str = ""
    why: str = ""


def guest_environment(machine: Machine) -> dict[str, str]:
    """The environment of every guest program; EMULATION has Tornado's tests wait 0.5 s where they would 0.1 s."""
    model = {"QEMU_CPU": machine.model} if machine.model else {}
    return ENVIRONMENT if is_host(machine) else {**ENVIRONMENT, "EMULATION": "1", **model}


def find_emulator(machine: Machine) -> str | None:
    """The emulator's full path, "" if this CPU needs none, None if it isn't installed.

    Debian's newer packages have it without the suffix, statically linked all the same.
    """
    if is_host(machine):
        return ""
    return shutil.which(machine.emulator) or shutil.which(machine.emulator.removesuffix("-static"))


def probe(way: Way, place: Place, folder: Path) -> Probed:
    """Start the guest's Python by ``way``, at most `PROBE_LIMIT` seconds; ``folder`` is one to work in."""
    what = "" if way.limits else "children"
    command = way.command(place, folder, folder, ["-c", PROBE, what])
    process = start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, environment=way.environment(place, folder))
    try:
        out, err = process.communicate(timeout=PROBE_LIMIT)
    except subprocess.TimeoutExpired:
        return Probed(why=f"Python didn't start within {PROBE_LIMIT:.0f} s")
    finally:
        process.kill()
        process.communicate()
    if process.returncode == 0:
        return Probed(version=out.decode().strip())
    lines = err.decode(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"]
    return Probed(why=lines[-1])
