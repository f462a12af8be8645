"""Run Nox on a machine that has nothing but Python: ``python bootstrap.py -s cross-arm64``.

Whoever has Nox types ``nox -s cross-arm64`` instead: this only installs it, from its lock file, into .nox/bootstrap.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
LOCK = ROOT / "requirements" / "nox.txt"
FOLDER = ROOT / ".nox" / "bootstrap"


def environment() -> Path:
    """The Python of an environment that holds Nox as locked, made where it isn't there or is another."""
    stamp = FOLDER / "lock.sha256"
    python = FOLDER / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest() + sys.version
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != digest:
        shutil.rmtree(FOLDER, ignore_errors=True)
        venv.create(FOLDER, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--require-hashes", "-r", LOCK], check=True)
        stamp.write_text(digest, encoding="utf-8")
    return python


def main() -> int:
    """Hand the arguments to Nox; returns its exit status."""
    if sys.version_info < (3, 11):
        print(f"error: this is Python {sys.version.split()[0]}; 3.11 or newer is needed", file=sys.stderr)
        return 2
    try:
        python = environment()
    except subprocess.CalledProcessError as error:
        shutil.rmtree(FOLDER, ignore_errors=True)
        print(f"error: {' '.join(map(str, error.cmd))} failed", file=sys.stderr)
        print(
            "try: where it says ensurepip, install your system's package for it (Debian: python3-venv)", file=sys.stderr
        )
        return 1
    return hand_over([str(python), "-m", "nox", *sys.argv[1:]])


def hand_over(command: list[str]) -> int:
    """Become Nox, so that Ctrl-C is its affair alone: it gives what it runs the time to end."""
    os.chdir(ROOT)
    if os.name == "posix":
        os.execv(command[0], command)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Windows can't replace a process, but sends Ctrl-C to both
    return subprocess.call(command)


if __name__ == "__main__":
    sys.exit(main())
