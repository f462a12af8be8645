"""Child processes that die with the process that started them."""

from __future__ import annotations

import os
import subprocess
from typing import IO

# The kernel signals a child when its parent dies. Should the parent have died before that was asked for, its id is no
# longer the child's parent's, and the child stops by itself.
_TETHER = '[ "$PPID" = "$0" ] && exec "$@"'


def tethered(command: list[str], parent: int, on_death: str = "KILL") -> list[str]:
    """``command``, to be sent the signal ``on_death`` when its parent, the process ``parent``, dies in any way."""
    return ["setpriv", "--pdeathsig", on_death, "sh", "-c", _TETHER, str(parent), *command]


def start(
    command: list[str],
    *,
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = subprocess.DEVNULL,
    stderr: int | IO[bytes] | None = subprocess.DEVNULL,
    environment: dict[str, str] | None = None,
    folder: str | os.PathLike[str] | None = None,
    on_death: str = "KILL",
) -> subprocess.Popen[bytes]:
    """Start a tethered child in a process group of its own, so that Ctrl-C reaches this process alone."""
    return subprocess.Popen(
        tethered(command, os.getpid(), on_death),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=environment,
        cwd=folder,
        start_new_session=True,
    )
