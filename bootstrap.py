"""Run Nox on a machine that has nothing but Python: ``python bootstrap.py -s cross-arm64``.

If you have Nox, type ``nox -s cross-arm64`` instead. This script installs Nox from its lock file into .nox/bootstrap.
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


def create_environment() -> Path:
    """Return the Python of an environment with Nox as locked; create it if it is missing or out of date."""
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
    """Pass the arguments on to Nox; returns its exit status."""
    if sys.version_info < (3, 11):
        print(f"error: this is Python {sys.version.split()[0]}; 3.11 or newer is needed", file=sys.stderr)
        return 2
    try:
        python = create_environment()
    except subprocess.CalledProcessError as error:
        shutil.rmtree(FOLDER, ignore_errors=True)
        print(f"error: {' '.join(map(str, error.cmd))} failed", file=sys.stderr)
        print(
            "hint: if it names ensurepip, install your system's package for it: apt install python3-venv",
            file=sys.stderr,
        )
        return 1
    return run_nox([str(python), "-m", "nox", *sys.argv[1:]])


def run_nox(command: list[str]) -> int:
    """Replace this process with Nox, so that Nox alone handles Ctrl-C and gives its programs time to stop."""
    os.chdir(ROOT)
    if os.name == "posix":
        os.execv(command[0], command)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Windows cannot replace a process, and sends Ctrl-C to both
    return subprocess.call(command)


if __name__ == "__main__":
    sys.exit(main())
