"""Find what a run under a real CPython could leave on the host: mounts, binfmt_misc entries and processes."""

from __future__ import annotations

import os
from pathlib import Path

MARK = f"WHEELWORKS_TEST_{os.getpid()}"  # a variable of this process's children


def list_mounts() -> tuple[str, list[str]]:
    """Return the mounts of this process and the entries of binfmt_misc."""
    binfmt = Path("/proc/sys/fs/binfmt_misc")
    return Path("/proc/self/mounts").read_text(), sorted(map(str, binfmt.glob("*")))


def find_workers() -> dict[int, str]:
    """Return the first processes of this test's namespaces, found by the environment that they inherit."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            marked = f"{MARK}=1".encode() in (process / "environ").read_bytes()
            words = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if marked and "namespace_init.py" in words:
            found[int(process.name)] = words
    return found


def find_descendants(processes: set[int]) -> set[int]:
    """Return the processes that any of ``processes`` has started, and those that these have started."""
    parents = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            # The name, in parentheses, may have spaces: proc(5).
            parents[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = set(processes)
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - processes
