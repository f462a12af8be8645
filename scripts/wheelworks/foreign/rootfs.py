"""Roots with Debian's CPython of a foreign CPU: laid down by mmdebstrap, kept in the cache, never run to be made.

mmdebstrap's extract variant only unpacks packages, which takes seconds and needs no emulator.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from wheelworks.core import debian
from wheelworks.core.cache import keep
from wheelworks.core.debian import HOW_TO_GET, SUITES
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.foreign.machines import Machine
from wheelworks.foreign.supervisor import start

LAYOUT = 3  # raise it when what is added to a root changes: roots in the cache are then laid again
TIME_LIMIT = 600.0
PAUSES = (3.0, 20.0)  # seconds before the second and third try: a mirror of unstable is renewed four times a day
MOUNT_POINTS = ("dev", "proc", "tmp", "site", "job")


class CannotLay(WheelworksError):
    """The root can't be laid on this machine: a tool or a right is missing, or the archive lacks that Python."""


class NotServed(CannotLay):
    """mmdebstrap failed, most likely since the archive changed under its hands: the next try may do."""


@dataclass(frozen=True)
class Recipe:
    """What a root is made from; equal recipes share a root."""

    suite: str
    architecture: str
    packages: tuple[str, ...]

    @property
    def key(self) -> str:
        """The root's name in the cache."""
        digest = hashlib.sha256(repr((LAYOUT, self)).encode()).hexdigest()
        return f"{self.suite}-{self.architecture}-{digest[:12]}"


def recipe(machine: Machine, python: str) -> Recipe:
    """The recipe for CPython ``python`` ("3.11") on ``machine``; raises UsageError for a version Debian hasn't."""
    if python not in SUITES:
        raise UsageError(f"Debian has no CPython {python}", f"the versions to be had are {', '.join(SUITES)}")
    return Recipe(SUITES[python], machine.debian, (f"python{python}",))


def lay_root(wanted: Recipe) -> Path:
    """The root for a recipe, laid down now (5 to 10 s, 70 MB) if the cache hasn't got it.

    Raises CannotLay if mmdebstrap is missing or fails, WheelworksError if the cache can't be written.
    """
    for pause in PAUSES:
        try:
            return _keep(wanted)
        except NotServed:
            time.sleep(pause)
    return _keep(wanted)


def _keep(wanted: Recipe) -> Path:
    return keep(f"roots/{wanted.key}", lambda folder: _lay(wanted, folder))


def command(wanted: Recipe) -> list[str]:
    """mmdebstrap's command line; the root comes as a tar file on its standard output."""
    options = [f"--architectures={wanted.architecture}", f"--include={','.join(wanted.packages)}"]
    return debian.command("extract", wanted.suite, *options)


def _lay(wanted: Recipe, folder: Path) -> None:
    if not shutil.which("mmdebstrap"):
        raise CannotLay("mmdebstrap, which lays the foreign root, isn't installed", HOW_TO_GET)
    with tempfile.TemporaryFile() as log:
        try:
            status = _stream(command(wanted), folder, log)
        except subprocess.TimeoutExpired:
            raise _failure(wanted, log, f"not done after {TIME_LIMIT:.0f} s") from None
        if any(status):
            failure = _failure(wanted, log, f"mmdebstrap and tar ended with exit codes {status}")
            raise NotServed(failure.message, "try again later: a mirror of the archive may be half renewed")
        _furnish(folder)
        if not (folder / "usr/bin" / wanted.packages[0]).exists():
            raise _failure(wanted, log, f"{wanted.suite} has no {wanted.packages[0]} for {wanted.architecture}")


def _stream(maker: list[str], folder: Path, log: IO[bytes]) -> tuple[int, int]:
    """Unpack the tar file that ``maker`` writes; gives both exit codes.

    The files come to belong to whoever unpacks them, so that they can be removed without a namespace.
    """
    unpacker = ["tar", "--extract", "--no-same-owner", "--exclude=./dev", f"--directory={folder}"]
    making = start(maker, stdout=subprocess.PIPE, stderr=log, on_death="TERM")
    unpacking = start(unpacker, stdin=making.stdout, stdout=log, stderr=log)
    assert making.stdout
    making.stdout.close()
    try:
        return making.wait(TIME_LIMIT), unpacking.wait(TIME_LIMIT)
    finally:
        making.terminate()
        unpacking.kill()
        making.wait()
        unpacking.wait()


def _failure(wanted: Recipe, log: IO[bytes], reason: str) -> CannotLay:
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()
    telling = [line for line in lines if line.startswith("E:")] or lines
    message = f"no root with {', '.join(wanted.packages)} from Debian {wanted.suite}, {wanted.architecture}: {reason}"
    return CannotLay("\n".join([message, *telling[-5:]]), HOW_TO_GET)


def _furnish(root: Path) -> None:
    """Add what the packages' own scripts, which never ran, or an administrator would have added."""
    for name in ("bin", "sbin", "lib", "lib64"):
        if not (root / name).exists() and (root / "usr" / name).is_dir():
            (root / name).symlink_to(f"usr/{name}")
    for name in MOUNT_POINTS:
        (root / name).mkdir(exist_ok=True)
    _make_links_relative(root)
    (root / "etc").mkdir(exist_ok=True)
    for name in ("resolv.conf", "hostname"):  # copies of the host's
        (root / "etc" / name).unlink(missing_ok=True)
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost ip6-localhost\n")
    (root / "etc/host.conf").write_text("multi on\n")  # so that localhost has an IPv4 and an IPv6 address
    (root / "etc/nsswitch.conf").write_text("hosts: files\npasswd: files\ngroup: files\n")
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nguest:x:1000:1000::/job:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nguest:x:1000:\n")


def _make_links_relative(root: Path) -> None:
    """Keep links inside the root also where it isn't the guest's root folder (see `sandbox.EmulatorAlone`)."""
    for folder, folders, files in os.walk(root):
        for path in (Path(folder, name) for name in [*folders, *files]):
            if path.is_symlink() and (target := path.readlink()).is_absolute():
                path.unlink()
                path.symlink_to(os.path.relpath(root / target.relative_to("/"), folder))
