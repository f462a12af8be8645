"""The environment of one rebuild, and the host features that change it: namespaces and libfaketime."""

from __future__ import annotations

import functools
import glob
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wheelworks.core import process
from wheelworks.core.files import get_cache_folder
from wheelworks.core.zig import FRESH_VARIABLE

SUITE = Path(__file__).parents[2]

_UNSHARE = ("unshare", "--user", "--map-root-user", "--mount")
# The multi-threaded library comes first because the builder uses threads.
_FAKETIME_FILES = ("faketime/libfaketimeMT.so.1", "faketime/libfaketime.so.1")
_LIBRARIES = ("/usr/lib/*", "/usr/lib", "/usr/lib64", "/usr/local/lib")


@dataclass(frozen=True)
class RebuildEnvironment:
    """The environment of one build, as a value that variations change."""

    work: Path  # a folder that only this build uses
    folder: Path  # the folder that the build runs in
    source: Path  # the sdist or project to build
    env: Mapping[str, str]  # the environment variables of the builder
    launcher: tuple[str, ...] = ()  # the command that starts the builder, such as unshare
    passed_env: tuple[str, ...] = ()  # variables (NAME=VALUE) that the builder passes to the project's build
    python: str = ""  # the CPython whose headers are used; empty to let the builder choose
    suite: Path = SUITE  # the folder that contains the wheelworks package

    def with_env(self, **more: str) -> RebuildEnvironment:
        """Return a copy with more environment variables."""
        return replace(self, env={**self.env, **more})

    def with_launcher(self, *words: str) -> RebuildEnvironment:
        """Return a copy in which the existing launcher starts one more, which starts the builder."""
        return replace(self, launcher=(*self.launcher, *words))

    @property
    def out(self) -> Path:
        """The folder for the wheels."""
        return self.folder / "dist"


def create_environment(work: Path, source: Path, passed_env: Sequence[str] = ()) -> RebuildEnvironment:
    """Return the environment of this process, with its own working folder and temporary folder below ``work``.

    The hash seed is the same for all builds: a random seed would make every dependency on it look nondeterministic.
    """
    folder, temporary = work / "run", work / "tmp"
    folder.mkdir(parents=True)
    temporary.mkdir()
    own = {name: str(temporary) for name in ("TMPDIR", "TEMP", "TMP")}
    own |= {"WHEELWORKS_CACHE": str(get_cache_folder()), FRESH_VARIABLE: "1"}
    env = {"PYTHONHASHSEED": "0", **os.environ, **own}
    return RebuildEnvironment(work, folder, source, env, passed_env=tuple(passed_env))


def run_command(environment: RebuildEnvironment, command: Sequence[str]) -> process.CompletedProgram:
    """Run a wheelworks command as a separate program in an environment, for at most an hour."""
    paths = [str(environment.suite), environment.env.get("PYTHONPATH", "")]
    env = {**environment.env, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    words = [*environment.launcher, sys.executable, "-m", "wheelworks", *command]
    return process.run(words, env=env, cwd=environment.folder, timeout=3600)


@functools.cache
def check_namespaces() -> str:
    """Return why this host can't create unprivileged namespaces; "" if it can."""
    if sys.platform != "linux" or not shutil.which("unshare"):
        return "needs Linux's unshare (util-linux)"
    ended = process.run([*_UNSHARE, *unshare_user(4321, 4321), "true"])
    return f"needs unprivileged user namespaces: {ended.last_lines(1) or 'refused'}" if ended.status else ""


def unshare_user(uid: int, gid: int) -> tuple[str, ...]:
    """Return the launcher that runs a program under another uid and gid; its real permissions stay the same."""
    return ("unshare", "--user", f"--map-user={uid}", f"--map-group={gid}")


def unshare_with_bind_mount(target: str, source: str) -> tuple[str, ...]:
    """Return the launcher that runs a program for which the file ``source`` is mounted over ``target``."""
    mount = 'mount --bind "$1" "$0" && shift && exec "$@"'
    return (*_UNSHARE, "sh", "-c", mount, target, source, *unshare_user(os.getuid(), os.getgid()))


def unshare_with_tmpfs(folder: str) -> tuple[str, ...]:
    """Return the launcher that runs a program for which an empty tmpfs is mounted on ``folder``."""
    mount = 'mount -t tmpfs tmpfs "$0" && exec "$@"'
    return (*_UNSHARE, "sh", "-c", mount, folder, *unshare_user(os.getuid(), os.getgid()))


@functools.cache
def _find_faketime() -> str:
    patterns = [f"{folder}/{file}" for file in _FAKETIME_FILES for folder in _LIBRARIES]
    return next((found for pattern in patterns for found in sorted(glob.glob(pattern))), "")


def check_faketime() -> str:
    """Return why the clock can't be changed on this host; "" if it can."""
    return "" if _find_faketime() else "libfaketime isn't installed: sudo apt install faketime"


def _set_clock(environment: RebuildEnvironment, when: str, *, for_builder: bool) -> RebuildEnvironment:
    # The monotonic clock is changed as well: otherwise libfaketime 0.9.10 makes time.sleep() fail.
    variables = {"LD_PRELOAD": _find_faketime(), "FAKETIME": when, "NO_FAKE_STAT": "1"}
    changed = environment.with_env(**variables) if for_builder else environment
    # The builder's hermetic environment drops these variables unless they are passed on explicitly.
    passed = (f"{name}={value}" for name, value in variables.items())
    return replace(changed, passed_env=(*environment.passed_env, *passed))


def shift_clock(environment: RebuildEnvironment) -> RebuildEnvironment:
    """Set the clock 20 years and a day ahead, for the builder and the project's build; TLS certificates expire."""
    return _set_clock(environment, "+7306d", for_builder=True)


def freeze_clock(environment: RebuildEnvironment) -> RebuildEnvironment:
    """Stop the clock for the project's build only: the builder itself waits with timeouts."""
    return _set_clock(environment, "2031-04-05 06:07:08", for_builder=False)
