"""Root file systems with Debian's CPython for another CPU: made by mmdebstrap, kept in the cache.

mmdebstrap's variant "extract" only unpacks packages, which takes seconds and needs no emulator.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from wheelworks.core.debian import DEBIAN_SUITES, MMDEBSTRAP_HINT, make_mmdebstrap_command
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.files import get_cache_folder, get_cached_folder
from wheelworks.foreign.cpus import Cpu
from wheelworks.foreign.namespace_init import MOUNT_POINTS

LAYOUT = 4  # increase it when `_complete` changes: roots in the cache are then made again
HOST_FOLDERS = (
    *("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"),
    *("etc/ld.so.cache", "etc/ld.so.conf", "etc/ld.so.conf.d", "etc/ssl", "etc/localtime", "etc/alternatives"),
)
# Debian's CPythons of all versions read .pth files there. This one adds /site where PYTHONPATH is ignored (python -I).
SITE_LINK = "usr/lib/python3/dist-packages/wheelworks.pth"
# Libraries of GCC that manylinux lets a wheel expect of its system (PEP 600): of C++, and of unwinding and arithmetic.
GCC_LIBRARIES = ("libstdc++6", "libgcc-s1")
TIME_LIMIT = 600.0  # seconds
PAUSES = (3.0, 20.0)  # seconds before the second and third try: mirrors of unstable are updated four times a day

# The kernel signals a child when its parent dies. If the parent died before setpriv asked for that, the child's parent
# has another id by now, and the child exits.
_CHECK_PARENT = '[ "$PPID" = "$0" ] && exec "$@"'


class CannotMakeRootfs(WheelworksError):
    """This machine can't make the root: a tool or permission is missing, or Debian has no such Python."""


class ArchiveChanged(CannotMakeRootfs):
    """mmdebstrap failed, most likely because the archive was being updated: another try may succeed."""


@dataclass(frozen=True)
class Rootfs:
    """A root file system: its folder, its Python's version ("3.11"), its CPU, the emulator's path ("" if native).

    ``program`` is the Python's path in it. ``layers`` has pairs (path in the root, path on the host): if there are any,
    programs see a root that consists of these alone. Links are copied, everything else is bound read-only.
    """

    folder: Path
    python: str
    cpu: Cpu
    emulator: str
    program: str = ""
    layers: tuple[tuple[str, str], ...] = ()

    @property
    def interpreter(self) -> str:
        """Return the Python's path in the root."""
        return self.program or f"/usr/bin/python{self.python}"


@dataclass(frozen=True)
class Recipe:
    """The Debian suite, architecture and packages of a root, CPython's first; equal recipes share a root."""

    suite: str
    architecture: str
    packages: tuple[str, ...]

    @property
    def key(self) -> str:
        """Return the root's place in the cache."""
        digest = hashlib.sha256(repr((LAYOUT, self)).encode()).hexdigest()
        return f"roots/{self.suite}-{self.architecture}-{digest[:12]}"


def choose_recipe(cpu: Cpu, python: str) -> Recipe:
    """Return the recipe for CPython ``python`` ("3.11") on a CPU. Raises UsageError for other versions."""
    if python not in DEBIAN_SUITES:
        raise UsageError(f"Debian has no CPython {python}", f"available versions: {', '.join(DEBIAN_SUITES)}")
    return Recipe(DEBIAN_SUITES[python], cpu.debian, (f"python{python}", *GCC_LIBRARIES))


def make_rootfs(recipe: Recipe) -> Path:
    """Return the folder of a recipe's root. It is made (5 to 10 s, 70 MB) if it isn't in the cache.

    Raises CannotMakeRootfs if mmdebstrap is missing or fails, WheelworksError if the cache can't be written.
    """
    for pause in PAUSES:
        try:
            return _keep(recipe)
        except ArchiveChanged:
            time.sleep(pause)
    return _keep(recipe)


def is_made(recipe: Recipe) -> bool:
    """Return whether a recipe's root is in the cache."""
    return (get_cache_folder() / recipe.key).is_dir()


def _keep(recipe: Recipe) -> Path:
    return get_cached_folder(recipe.key, lambda folder: _make(recipe, folder))


def mmdebstrap_command(recipe: Recipe) -> list[str]:
    """Return mmdebstrap's command line, which writes the root as a tar file to standard output."""
    options = [f"--architectures={recipe.architecture}", f"--include={','.join(recipe.packages)}"]
    return make_mmdebstrap_command("extract", recipe.suite, *options)


def die_with_parent(command: list[str], signal: str = "KILL") -> list[str]:
    """Return a command that gets ``signal`` when this process dies in any way. The command is Linux's."""
    return ["setpriv", "--pdeathsig", signal, "sh", "-c", _CHECK_PARENT, str(os.getpid()), *command]


def _make(recipe: Recipe, folder: Path) -> None:
    if not shutil.which("mmdebstrap"):
        raise CannotMakeRootfs("mmdebstrap, which makes root file systems, isn't installed", MMDEBSTRAP_HINT)
    with tempfile.TemporaryFile() as log:
        try:
            status = _unpack(mmdebstrap_command(recipe), folder, log)
        except subprocess.TimeoutExpired:
            raise _failure(recipe, log, f"not done after {TIME_LIMIT:.0f} s") from None
        if any(status):
            failure = _failure(recipe, log, f"mmdebstrap and tar ended with exit codes {status}")
            raise ArchiveChanged(failure.message, "try again later: the archive's mirror may be half updated")
        _complete(folder)
        if not (folder / "usr/bin" / recipe.packages[0]).exists():
            raise _failure(recipe, log, f"{recipe.suite} has no {recipe.packages[0]} for {recipe.architecture}")


def _unpack(command: list[str], folder: Path, log: IO[bytes]) -> tuple[int, int]:
    """Unpack the tar file that ``command`` writes. Return the exit codes of both programs.

    The files belong to this user, so that they can be removed without a namespace.
    """
    tar = ["tar", "--extract", "--no-same-owner", "--exclude=./dev", f"--directory={folder}"]
    # In sessions of their own, so that Ctrl-C reaches this process alone. TERM lets mmdebstrap clean up.
    start = partial(subprocess.Popen, stderr=log, start_new_session=True)
    making = start(die_with_parent(command, "TERM"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    unpacking = start(die_with_parent(tar), stdin=making.stdout, stdout=log)
    assert making.stdout
    making.stdout.close()
    try:
        return making.wait(TIME_LIMIT), unpacking.wait(TIME_LIMIT)
    finally:
        making.terminate()
        unpacking.kill()
        making.wait()
        unpacking.wait()


def _failure(recipe: Recipe, log: IO[bytes], reason: str) -> CannotMakeRootfs:
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()
    errors = [line for line in lines if line.startswith("E:")] or lines
    message = f"no root with {', '.join(recipe.packages)} from Debian {recipe.suite}, {recipe.architecture}: {reason}"
    return CannotMakeRootfs("\n".join([message, *errors[-5:]]), MMDEBSTRAP_HINT)


def open_users_root(folder: Path, python: str, program: str, cpu: Cpu, emulator: str) -> Rootfs:
    """Return a root that the user made, which is never written to: it may lack the mount points."""
    own = {"dev", "proc", "sys", "run", *MOUNT_POINTS}
    layers = [(path.name, str(path)) for path in sorted(folder.iterdir()) if path.name not in own]
    return Rootfs(folder, python, cpu, emulator, program, tuple(layers))


def open_host_root(python: str, program: str, cpu: Cpu) -> Rootfs:
    """Return a root that consists of this machine's programs and libraries, for one of its CPythons.

    Of its settings, only those of the dynamic loader, of TLS and of the time zone are in it. A file that adds /site to
    the path takes the place of the packages that are installed for that CPython.
    """
    interpreter = Path(program).resolve()
    prefix = interpreter.parents[1]
    paths = [Path("/", name) for name in HOST_FOLDERS if Path("/", name).exists()]
    if not prefix.is_relative_to("/usr"):
        paths.append(prefix)
    layers = [(str(path), str(path)) for path in paths]
    link = get_cached_folder("site-link", _write_site_link).resolve()  # a link would be copied, not bound
    layers += [(str(folder), str(link)) for folder in _list_installed_packages(python, prefix)]
    settings = get_cached_folder("settings", _write_settings)
    layers += [(f"/etc/{path.name}", str(path)) for path in sorted(settings.iterdir())]
    return Rootfs(Path("/"), python, cpu, "", str(interpreter), tuple(layers))


def _list_installed_packages(python: str, prefix: Path) -> list[Path]:
    """Return the folders from which a CPython of this machine imports installed packages (sysconfig, and Debian's)."""
    version = python.removesuffix("t")
    names = [f"{prefix}/lib/python{python}/site-packages", f"{prefix}/lib/python{version}/site-packages"]
    names += [f"/usr/local/lib/python{version}/dist-packages", "/usr/lib/python3/dist-packages"]
    return [folder for folder in map(Path, dict.fromkeys(names)) if folder.is_dir()]


def _complete(root: Path) -> None:
    """Add what an administrator, or the packages' own scripts, which never ran, would have added."""
    for name in ("bin", "sbin", "lib", "lib64"):
        if not (root / name).exists() and (root / "usr" / name).is_dir():
            (root / name).symlink_to(f"usr/{name}")
    for name in MOUNT_POINTS:
        (root / name).mkdir(exist_ok=True)
    _make_links_relative(root)
    _write_site_link((root / SITE_LINK).parent)
    (root / "etc").mkdir(exist_ok=True)
    for name in ("resolv.conf", "hostname"):  # copies of the host's
        (root / "etc" / name).unlink(missing_ok=True)
    _write_settings(root / "etc")


def _write_site_link(folder: Path) -> None:
    """Let CPython add /site to its path when it starts, after its own folders, unless PYTHONPATH has it already."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / Path(SITE_LINK).name).write_text("/site\n")


def _write_settings(folder: Path) -> None:
    (folder / "hosts").write_text("127.0.0.1 localhost\n::1 localhost ip6-localhost\n")
    (folder / "host.conf").write_text("multi on\n")  # so that localhost has an IPv4 and an IPv6 address
    (folder / "nsswitch.conf").write_text("hosts: files\npasswd: files\ngroup: files\n")
    (folder / "passwd").write_text("root:x:0:0::/:/bin/sh\nguest:x:1000:1000::/job:/bin/sh\n")
    (folder / "group").write_text("root:x:0:\nguest:x:1000:\n")


def _make_links_relative(root: Path) -> None:
    """Keep links inside the root where it isn't a program's root folder (see `isolation.run_emulator`)."""
    for folder, folders, files in os.walk(root):
        for path in (Path(folder, name) for name in [*folders, *files]):
            if path.is_symlink() and (target := path.readlink()).is_absolute():
                path.unlink()
                path.symlink_to(os.path.relpath(root / target.relative_to("/"), folder))
