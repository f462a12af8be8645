"""Run Nox on a machine that has nothing but Python: ``python bootstrap.py -s cross-arm64``.

If you have Nox, type ``nox -s cross-arm64`` instead. This script installs Nox from its lock file into .nox/.

noxfile.py uses `keep_environment` too: there is one environment for each lock file. Sessions share it, and it is
installed again only when the lock file or Python changes, so that a session starts at once. Its name has a hash of
both. A running session holds a shared lock on it, and a session that installs or removes it an exclusive one. A stamp,
written last, says that it is whole; without the stamp it is removed and installed again.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent
LOCK = ROOT / "requirements" / "nox.txt"
ENVIRONMENTS = ROOT / ".nox"
STAMP, WHEEL_STAMP = "installed.txt", "wheel.txt"
HINT = "if this machine reaches the package index only by a mirror or a proxy, pip's configuration must name it"
_held: dict[Path, IO[str]] = {}  # the locks of the environments in use: they end with this process


class InstallError(Exception):
    """A package or an environment can't be installed; its arguments are a message and a hint."""


def keep_environment(lock: Path, environments: Path, create: Sequence[str], wheel: Path | None = None) -> Path:
    """Return the folder of the environment with a lock file's packages, installed if it is missing or out of date.

    ``create`` is a command that creates an empty environment with pip; the folder is added to it. ``wheel`` is
    installed too, in place of another one, as soon as no other session uses that. The environment can't be changed
    while this process lives, except on Windows (see `_try_lock`). Raises InstallError.
    """
    folder = name_environment(lock, environments)
    held = _held[folder] = _held.get(folder) or _open_lock(folder)
    while True:
        _lock(held, folder, exclusive=False)
        if is_installed(folder, wheel):
            return folder
        _lock(held, folder, exclusive=True)  # this releases the shared lock first: others may install in between
        if not is_installed(folder):
            _install(folder, lock, create, held)
            _remove_unused(folder, lock.stem)
        if wheel and not is_installed(folder, wheel):
            _install_wheel(folder, wheel, held)


def name_environment(lock: Path, environments: Path) -> Path:
    """Return the folder of a lock file's environment for this Python."""
    identity = (lock.read_bytes(), sys.version.encode(), sys.base_prefix.encode())
    return environments / f"{lock.stem}-{hashlib.sha256(b'|'.join(identity)).hexdigest()[:12]}"


def is_installed(folder: Path, wheel: Path | None = None) -> bool:
    """Return whether an environment is whole, and has a wheel of these bytes.

    It must have been installed where it is, because its programs contain its path.
    """
    return (
        _has_stamp(folder / STAMP, str(folder))
        and (not wheel or _has_stamp(folder / WHEEL_STAMP, _hash(wheel)))
        and get_program(folder).exists()
    )


def get_program(folder: Path, name: str = "python") -> Path:
    """Return the path of a program in an environment."""
    return folder / (f"Scripts/{name}.exe" if sys.platform == "win32" else f"bin/{name}")


def _has_stamp(stamp: Path, text: str) -> bool:
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == text


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _install(folder: Path, lock: Path, create: Sequence[str], held: IO[str]) -> None:
    print(f"installing {lock.parent.name}/{lock.name} into {folder}", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _run([*create, str(folder)], held, "your system's package for environments may be missing: python3-venv")
        _run([*_pip_install(folder), "--require-hashes", "-r", str(lock)], held, HINT)
        (folder / STAMP).write_text(str(folder), encoding="utf-8")
    finally:
        if not is_installed(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _install_wheel(folder: Path, wheel: Path, held: IO[str]) -> None:
    stamp = folder / WHEEL_STAMP
    stamp.unlink(missing_ok=True)
    _run([*_pip_install(folder), "--no-deps", "--no-index", "--force-reinstall", str(wheel)], held, HINT)
    stamp.write_text(_hash(wheel), encoding="utf-8")


def _pip_install(folder: Path) -> list[str]:
    return [str(get_program(folder)), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]


def _run(command: list[str], held: IO[str], hint: str) -> None:
    """Run a step of an installation. It holds the lock too: if this process is killed, nobody disturbs the step.

    PYTHONPATH is dropped: pip would take the packages in its folders for installed.
    """
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    inherited = [held.fileno()] if os.name == "posix" else []
    try:
        status = subprocess.run(command, env=env, pass_fds=inherited, check=False).returncode
    except OSError as error:
        raise InstallError(f"{command[0]} can't be run: {error.strerror}", hint) from error
    if status:
        raise InstallError(f"{' '.join(command)} ended with exit status {status}", hint)


def wait_for_turn(output: Path) -> None:
    """Let no other session write to an output folder while this process lives: wait until none does."""
    held = _held[output] = _held.get(output) or _open_lock(ENVIRONMENTS / output.name)
    _lock(held, output, exclusive=True)


def _remove_unused(folder: Path, name: str) -> None:
    """Remove the environments of other versions of a lock file, except those that other sessions are using."""
    if sys.platform == "win32":
        return  # `_try_lock` can't find out which ones are in use
    for other in folder.parent.glob(f"{name}-{'?' * 12}"):
        if other == folder:
            continue
        with _open_lock(other) as held:
            if _try_lock(held, exclusive=True):
                (other / STAMP).unlink(missing_ok=True)  # a removal that is interrupted leaves no whole environment
                shutil.rmtree(other, ignore_errors=True)


def _open_lock(folder: Path) -> IO[str]:
    """Open the lock of an environment: a file beside it, which stays, since others may be waiting for it."""
    folder.parent.mkdir(exist_ok=True, parents=True)
    return open(folder.with_name(f"{folder.name}.lock"), "a+", encoding="utf-8")


def _lock(held: IO[str], folder: Path, *, exclusive: bool) -> None:
    """Lock an environment for use or, exclusively, for installing; say so if that takes a while."""
    if _try_lock(held, exclusive=exclusive):
        return
    doing = "uses" if exclusive else "installs"
    print(f"waiting for another session that {doing} {folder}", file=sys.stderr, flush=True)
    while not _try_lock(held, exclusive=exclusive):
        time.sleep(0.1)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(held: IO[str], *, exclusive: bool) -> bool:
        """Lock a file exclusively; to share it, only check that no other process has locked it.

        msvcrt has no shared locks, so that a session on Windows doesn't show that it uses an environment.
        """
        held.seek(0)
        with suppress(OSError):  # this process's own lock, which it couldn't lock again
            msvcrt.locking(held.fileno(), msvcrt.LK_UNLCK, 1)
        try:
            msvcrt.locking(held.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        if not exclusive:
            msvcrt.locking(held.fileno(), msvcrt.LK_UNLCK, 1)
        return True

else:
    import fcntl

    def _try_lock(held: IO[str], *, exclusive: bool) -> bool:
        """Lock a file, instead of the lock that this process has of it; return whether that was possible at once."""
        try:
            fcntl.flock(held, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def main() -> int:
    """Pass the arguments on to Nox; returns its exit status."""
    if sys.version_info < (3, 11):
        print(f"error: this is Python {sys.version.split()[0]}; 3.11 or newer is needed", file=sys.stderr)
        return 2
    try:
        if not importlib.util.find_spec("ensurepip"):
            raise InstallError("this Python can't create environments", "Debian, Ubuntu: apt install python3-venv")
        folder = keep_environment(LOCK, ENVIRONMENTS, [sys.executable, "-m", "venv"])
    except InstallError as error:
        print("error: {}\nhint: {}".format(*error.args), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted; what was half installed is removed", file=sys.stderr)
        return 1
    return run_nox([str(get_program(folder)), "-m", "nox", *sys.argv[1:]])


def run_nox(command: list[str]) -> int:
    """Replace this process with Nox, so that Nox alone handles Ctrl-C and gives its programs time to stop.

    Nox inherits the lock of its environment.
    """
    os.chdir(ROOT)
    if os.name == "posix":
        for held in _held.values():
            os.set_inheritable(held.fileno(), True)
        os.execv(command[0], command)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Windows cannot replace a process, and sends Ctrl-C to both
    return subprocess.call(command)


if __name__ == "__main__":
    sys.exit(main())
