"""Find what a run needs on this machine: the emulator, the root with the CPython, and an isolation that works."""

from __future__ import annotations

import time
from pathlib import Path

from wheelworks.core import process
from wheelworks.core.errors import Unsupported
from wheelworks.foreign.isolation import (
    EMULATOR_ALONE,
    NAMESPACES,
    Isolation,
    find_emulator,
    make_compiled_rootfs,
    probe_isolation,
)
from wheelworks.foreign.pythons import HOST_ROOT, SYSTEM_NAMES, Runtime
from wheelworks.foreign.rootfs import (
    CannotMakeRootfs,
    Rootfs,
    choose_recipe,
    is_made,
    open_host_root,
    open_users_root,
)
from wheelworks.testing.suites import Update

NEWER_QEMU = "a newer qemu-user-static may help: Debian's backports and unstable have one"
HOW_TO_GET_QEMU = "apt-get install --no-install-recommends qemu-user-static"


def name_platform(runtime: Runtime) -> str:
    """Return the name of a run's CPU, and of another system whose code runs there, with how it is run."""
    if runtime.system == "linux":
        return runtime.cpu.debian
    how = "rewrapped" if runtime.is_rewrapped else "with glibc"
    return f"{runtime.cpu.debian}, code of {SYSTEM_NAMES[runtime.system]} {how}"


def require_emulator(runtime: Runtime) -> str:
    """Return the emulator's full path, "" if the CPU needs none. Raises Unsupported if it isn't installed."""
    if (emulator := find_emulator(runtime.cpu)) is None:
        raise Unsupported(f"{runtime.cpu.emulator} isn't installed: {HOW_TO_GET_QEMU}")
    return emulator


def is_ready(runtime: Runtime) -> bool:
    """Return whether a CPython can start at once: the emulator is installed, and the root needn't be made."""
    if find_emulator(runtime.cpu) is None:
        return False
    return runtime.root is not None or is_made(choose_recipe(runtime.cpu, runtime.python))


def require_rootfs(runtime: Runtime, emulator: str, update: Update) -> Rootfs:
    """Return the root of a run: this machine itself, the user's, or Debian's, which is made if it isn't in the cache.

    Raises Unsupported if it can't be made.
    """
    if runtime.root == HOST_ROOT:
        return open_host_root(runtime.python, runtime.program, runtime.cpu)
    if runtime.root:
        return open_users_root(runtime.root, runtime.python, runtime.program, runtime.cpu, emulator)
    began = time.monotonic()
    try:
        root = make_compiled_rootfs(runtime.cpu, runtime.python)
    except CannotMakeRootfs as error:
        raise Unsupported(error.message, error.hint) from None
    update(f"root with {runtime}: {root} ({time.monotonic() - began:.1f} s)")
    return Rootfs(root, runtime.python, runtime.cpu, emulator)


def choose_isolation(runtime: Runtime, rootfs: Rootfs, folder: Path, update: Update) -> tuple[Isolation, str]:
    """Return the first isolation that works here, with the verdict's description of how the wheel was run.

    Raises Unsupported if none works.
    """
    reasons: list[str] = []
    for isolation in [NAMESPACES, EMULATOR_ALONE] if rootfs.emulator else [NAMESPACES]:
        version, why = probe_isolation(isolation, rootfs, folder)
        if version:
            how = _describe_run(version, runtime, rootfs, isolation)
            update(how + (f" ({reasons[0]})" if reasons else ""))
            return isolation, how
        reasons.append(f"{isolation.name}: {why}")
    hint = f"; {NEWER_QEMU}" if rootfs.emulator else ""
    raise Unsupported(f"the foreign Python doesn't start; {'; '.join(reasons)}{hint}")


def _describe_run(version: str, runtime: Runtime, rootfs: Rootfs, isolation: Isolation) -> str:
    """Return how a wheel is run: the CPython's full version, its platform, the emulator and the isolation."""
    model = f" as {rootfs.cpu.model}" if rootfs.cpu.model else ""
    emulator = f" under {_describe_emulator(rootfs.emulator)}{model}" if rootfs.emulator else ""
    limits = f": {isolation.limits}" if isolation.limits else ""
    return f"CPython {version} for {name_platform(runtime)}{emulator}, {isolation.name}{limits}"


def _describe_emulator(emulator: str) -> str:
    words = process.run([emulator, "--version"], timeout=30).output.split()
    return f"qemu {words[words.index('version') + 1]}" if "version" in words else "qemu"
