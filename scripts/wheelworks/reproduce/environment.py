"""What a rebuild could depend on beside its source and tools, as one value that variations change."""

from __future__ import annotations

import functools
import glob
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wheelworks.core import cache, process

SUITE = Path(__file__).parents[2]


@dataclass(frozen=True)
class RebuildEnvironment:
    """The surroundings of one build.

    ``place`` is a folder of this build's own, ``folder`` the one it runs in, ``source`` the sdist or project,
    ``before`` the programs that start it, one inside the other, ``seen`` what the project's build is shown
    (NAME=VALUE), ``python`` the CPython whose headers are used ("": whichever is found), ``suite`` the
    folder that this suite's package lies in.
    """

    place: Path
    folder: Path
    source: Path
    env: Mapping[str, str]
    before: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    python: str = ""
    suite: Path = SUITE

    def with_env(self, **more: str) -> RebuildEnvironment:
        """The same with more environment variables."""
        return replace(self, env={**self.env, **more})

    def inside(self, *words: str) -> RebuildEnvironment:
        """The same, started by one more program, which those there already start."""
        return replace(self, before=(*self.before, *words))

    @property
    def out(self) -> Path:
        """Where the wheels go."""
        return self.folder / "dist"


def create_environment(place: Path, source: Path, seen: Sequence[str] = ()) -> RebuildEnvironment:
    """The surroundings that this process has, with a folder and a temporary folder of the build's own.

    The hash seed is one number for all builds: of a random one, whatever depends on it would seem to be chance.
    """
    folder, temporary = place / "run", place / "tmp"
    folder.mkdir(parents=True)
    temporary.mkdir()
    own = {name: str(temporary) for name in ("TMPDIR", "TEMP", "TMP")}
    env = {"PYTHONHASHSEED": "0", **os.environ, **own, "WHEELWORKS_CACHE": str(cache.folder())}
    return RebuildEnvironment(place, folder, source, env, seen=tuple(seen))


def run_command(
    surroundings: RebuildEnvironment, command: Sequence[str], timeout: float = 3600
) -> process.CompletedProgram:
    """Run a command of wheelworks in these surroundings, as a program of its own, for at most so many seconds."""
    paths = [str(surroundings.suite), surroundings.env.get("PYTHONPATH", "")]
    env = {**surroundings.env, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    words = [*surroundings.before, sys.executable, "-m", "wheelworks", *command]
    return process.run(words, env=env, cwd=surroundings.folder, timeout=timeout)


_UNSHARE = ("unshare", "--user", "--map-root-user", "--mount")


@functools.cache
def check_namespaces() -> str:
    """Why this host can't vary by namespaces; "" where it can."""
    if sys.platform != "linux" or not shutil.which("unshare"):
        return "needs Linux's unshare (util-linux)"
    ended = process.run([*_UNSHARE, *unshare_user(4321), "true"])
    return f"needs unprivileged user namespaces: {ended.last_lines(1) or 'refused'}" if ended.status else ""


def unshare_user(uid: int) -> tuple[str, ...]:
    """The words that start a program as another uid and gid; it may do what it may do without."""
    return ("unshare", "--user", f"--map-user={uid}", f"--map-group={uid}")


def _unshare_current_user() -> tuple[str, ...]:
    return ("unshare", "--user", f"--map-user={os.getuid()}", f"--map-group={os.getgid()}")


def unshare_with_bind_mount(file: str, other: str) -> tuple[str, ...]:
    """The words that start a program for which ``other`` stands in the place of ``file``."""
    return (
        *_UNSHARE,
        "sh",
        "-c",
        'mount --bind "$1" "$0" && shift && exec "$@"',
        file,
        other,
        *_unshare_current_user(),
    )


def unshare_with_tmpfs(folder: str) -> tuple[str, ...]:
    """The words that start a program for which ``folder`` is an empty file system in memory (tmpfs).

    It lists files by the order in which they were made, where a disk's file system has an order of its own.
    """
    return (*_UNSHARE, "sh", "-c", 'mount -t tmpfs tmpfs "$0" && exec "$@"', folder, *_unshare_current_user())


# The multi-threaded library first: the builder has threads.
_FAKETIME_PATTERNS = tuple(
    f"{folder}/faketime/libfaketime{kind}.so.1"
    for kind in ("MT", "")
    for folder in ("/usr/lib/*", "/usr/lib", "/usr/lib64", "/usr/local/lib")
)
SHIFTED_TIME, FROZEN_TIME = "+7306d", "2031-04-05 06:07:08"


@functools.cache
def _find_faketime() -> str:
    return next((found for pattern in _FAKETIME_PATTERNS for found in sorted(glob.glob(pattern))), "")


def check_faketime() -> str:
    """Why the clock can't be changed here; "" where it can."""
    return "" if _find_faketime() else "libfaketime isn't installed: sudo apt install faketime"


def _faketime_variables(when: str) -> dict[str, str]:
    # The monotonic clock is changed as well: where it isn't, libfaketime 0.9.10 makes time.sleep() fail.
    return {"LD_PRELOAD": _find_faketime(), "FAKETIME": when, "NO_FAKE_STAT": "1"}


def _pass_variables(now: RebuildEnvironment, clock: dict[str, str]) -> RebuildEnvironment:
    """The builder keeps its own environment from the project's build, so that the clock must be handed on."""
    return replace(now, seen=(*now.seen, *(f"{name}={value}" for name, value in clock.items())))


def shift_clock(now: RebuildEnvironment) -> RebuildEnvironment:
    """Twenty years and a day on, for the builder and for the project's build: servers' certificates have expired."""
    return _pass_variables(now.with_env(**_faketime_variables(SHIFTED_TIME)), _faketime_variables(SHIFTED_TIME))


def freeze_clock(now: RebuildEnvironment) -> RebuildEnvironment:
    """A clock that doesn't go, for the project's build alone: the builder waits for programs, by the clock."""
    return _pass_variables(now, _faketime_variables(FROZEN_TIME))
