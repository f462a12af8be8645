"""Linux's namespaces, entered by util-linux's unshare: another uid, other files in place, no rights needed."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys

_MAPPED = ("unshare", "--user", "--map-root-user", "--mount")


@functools.cache
def missing() -> str:
    """Why this host can't vary by namespaces; "" where it can."""
    if sys.platform != "linux" or not shutil.which("unshare"):
        return "needs Linux's unshare (util-linux)"
    ended = subprocess.run([*_MAPPED, *as_user(4321), "true"], capture_output=True, text=True, check=False)
    said = (ended.stderr.strip().splitlines() or ["refused"])[-1]
    return f"needs unprivileged user namespaces: {said}" if ended.returncode else ""


def as_user(uid: int) -> tuple[str, ...]:
    """The words that start a program as another uid and gid; it may do what it may do without."""
    return ("unshare", "--user", f"--map-user={uid}", f"--map-group={uid}")


def _as_ourselves() -> tuple[str, ...]:
    return ("unshare", "--user", f"--map-user={os.getuid()}", f"--map-group={os.getgid()}")


def over(file: str, other: str) -> tuple[str, ...]:
    """The words that start a program for which ``other`` stands in the place of ``file``."""
    return (*_MAPPED, "sh", "-c", 'mount --bind "$1" "$0" && shift && exec "$@"', file, other, *_as_ourselves())


def memory_on(folder: str) -> tuple[str, ...]:
    """The words that start a program for which ``folder`` is an empty file system in memory (tmpfs).

    It lists files by the order in which they were made, where a disk's file system has an order of its own.
    """
    return (*_MAPPED, "sh", "-c", 'mount -t tmpfs tmpfs "$0" && exec "$@"', folder, *_as_ourselves())
