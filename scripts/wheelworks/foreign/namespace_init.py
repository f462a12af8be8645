"""The first process of new namespaces: set up a file system as their root user, then run a program as a plain user.

``python -I namespace_init.py ENTRY`` takes an `Entry` as JSON. As the namespace's first process it also collects
orphans, and all processes of the namespace die with it. It imports only the standard library, since it runs without the
environment of the process that started it. If the set-up fails, it exits with `CANNOT_ENTER`.

The program sees the root and its site-packages read-only, one work folder, a /tmp and /proc of its own, the few devices
that every program needs, and a network with a loopback device only. It runs in a second, inner user namespace without
rights: the kernel allows it no mounts, and no way out of its root.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import resource
import socket
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CANNOT_ENTER = 97
USER = "1000"
MOUNT_POINTS = ("dev", "proc", "tmp", "site", "job")
DEVICES = ("null", "zero", "full", "random", "urandom")
MEMORY = 6 << 30  # bytes of private memory of one process, the emulator's included
FILE = 1 << 30  # bytes of one file that the program writes

# From <sys/mount.h>, <linux/sockios.h> and <net/if.h>.
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 32, 4096, 16384
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR, IFF_UP = 0x8913, 0x8914, 0x8916, 1

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Entry:
    """The root to enter and the program to run. ``binfmt`` is empty if this CPU runs the program itself.

    If there are ``layers``, pairs (path in the root, path on the host), the root consists of these alone.
    """

    root: str
    site: str
    work: str
    binfmt: str
    command: list[str]
    environment: dict[str, str]
    layers: Sequence[Sequence[str]] = ()


def mount(source: str, target: str, kind: str = "none", flags: int = 0, data: str = "") -> None:
    """Call mount(2). Raises OSError, which names the target."""
    arguments = (source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())
    if _libc.mount(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"mounting {kind if kind != 'none' else source} on {target}: {os.strerror(number)}")


def bind(source: str, target: str, *, writable: bool = False) -> None:
    """Bind the folder or file ``source`` to ``target``."""
    mount(source, target, flags=MS_BIND)
    if not writable:
        # A user namespace locks the flags of the source's own mount (nosuid, nodev): they must be repeated.
        locked = os.statvfs(source).f_flag & (MS_NOSUID | MS_NODEV)
        mount("none", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | locked)


def register(rule: str) -> None:
    """Let this user namespace start foreign executables by an emulator (its own binfmt_misc: Linux 6.7)."""
    mount("binfmt_misc", "/proc/sys/fs/binfmt_misc", "binfmt_misc")
    Path("/proc/sys/fs/binfmt_misc/register").write_text(rule)


def add_layers(root: str, layers: Sequence[Sequence[str]]) -> None:
    """Add folders and files of the host to a root, which are bound read-only; links are copied."""
    for name, source in layers:
        target = Path(root, name.lstrip("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        if Path(source).is_symlink():
            target.symlink_to(Path(source).readlink())
        elif Path(source).is_dir():
            target.mkdir(exist_ok=True)
            bind(source, str(target))
        else:
            target.touch()
            bind(source, str(target))


def make_root(root: str) -> None:
    """Make an empty root in memory, with its mount points. It is read-only once `set_up` has ended."""
    mount("tmpfs", root, "tmpfs", data="size=64m,mode=755")
    for name in MOUNT_POINTS:
        Path(root, name).mkdir()


def set_up(entry: Entry) -> None:
    """Mount everything that the program sees."""
    root = entry.root
    mount("proc", "/proc", "proc")
    if entry.binfmt:
        register(entry.binfmt)
    if entry.layers:
        make_root(root)
    else:
        bind(root, root)
    bind(entry.site, f"{root}/site")
    bind(entry.work, f"{root}/job", writable=True)
    mount("proc", f"{root}/proc", "proc")
    mount("tmpfs", f"{root}/tmp", "tmpfs", data="size=1g")
    # Not sticky: in a sticky folder only a device's owner may open it with O_CREAT.
    mount("tmpfs", f"{root}/dev", "tmpfs", data="size=64m,mode=755")
    for name in DEVICES:
        Path(root, "dev", name).touch()
        bind(f"/dev/{name}", f"{root}/dev/{name}", writable=True)
    Path(root, "dev/shm").mkdir(mode=0o1777)
    Path(root, "dev/fd").symlink_to("/proc/self/fd")
    if entry.layers:
        add_layers(root, entry.layers)
        mount("none", root, flags=MS_REMOUNT | MS_BIND | MS_RDONLY)


def network_up() -> None:
    """Bring up the loopback device, the only one of the new network namespace.

    It gets an IPv4 and an IPv6 address besides 127.0.0.1 and ::1: glibc's AI_ADDRCONFIG (RFC 3493, 6.1) leaves out a
    family for which the host has no other address.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        flags = struct.unpack("16sh14x", fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0)))[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))
        address = socket.inet_aton("10.0.0.1")
        fcntl.ioctl(control, SIOCSIFADDR, struct.pack("16sHH4s8x", b"lo:1", socket.AF_INET, 0, address))
    if Path("/proc/net/if_inet6").exists():
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control:
            address = socket.inet_pton(socket.AF_INET6, "fd00::1")
            fcntl.ioctl(control, SIOCSIFADDR, struct.pack("=16sIi", address, 128, socket.if_nametoindex("lo")))


def launch(entry: Entry) -> int:
    """Start the program as a plain user in the new root. Return its process id."""
    inner = ["unshare", "--user", f"--map-user={USER}", f"--map-group={USER}", f"--root={entry.root}", "--wd=/job"]
    if child := os.fork():
        return child
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE, FILE))
    environment = {"PATH": os.environ["PATH"], **entry.environment}
    return os.execvpe(inner[0], [*inner, *entry.command], environment)  # it never returns


def collect(child: int) -> int:
    """Wait for the program and for orphans. Return the program's exit code, as a shell would."""
    while True:
        process, status = os.wait()
        if process == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def main() -> int:
    """Enter the root of the command line's `Entry`. Return the program's exit code."""
    entry = Entry(**json.loads(sys.argv[1]))
    try:
        set_up(entry)
        network_up()
    except OSError as error:
        sys.stderr.write(f"cannot enter: {error}\n")
        return CANNOT_ENTER
    return collect(launch(entry))


if __name__ == "__main__":
    sys.exit(main())
