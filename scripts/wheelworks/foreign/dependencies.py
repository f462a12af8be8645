"""The pure-Python packages that tests need inside a root: pinned in ``carried.txt``, downloaded once, then cached."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from wheelworks.core.cache import keep, remove_tree
from wheelworks.core.errors import WheelworksError
from wheelworks.foreign.supervisor import start
from wheelworks.foreign.wheels import unpack

PINS = Path(__file__).with_name("dependencies.txt")
TIME_LIMIT = 300.0


def carried() -> Path:
    """A folder with all pinned packages, unpacked; from the network if the cache hasn't got it.

    Raises WheelworksError if they can't be downloaded.
    """
    digest = hashlib.sha256(PINS.read_bytes()).hexdigest()
    return keep(f"carried/{digest[:12]}", _fetch)


def command(folder: Path) -> list[str]:
    """pip's command line: exactly the pinned wheels, whatever Python and CPU this machine has."""
    what = ["--only-binary=:all:", "--no-deps", "--require-hashes", f"--requirement={PINS}", f"--dest={folder}"]
    where = ["--implementation=cp", "--python-version=3.11", "--abi=none", "--abi=abi3"]
    where += ["--platform=any", "--platform=manylinux2014_x86_64"]
    return [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *what, *where]


def _fetch(folder: Path) -> None:
    wheels = folder / "wheels"
    process = start(command(wheels), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said = process.communicate(timeout=TIME_LIMIT)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        said = f"not done after {TIME_LIMIT:.0f} s"
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        lines = "\n".join(said.strip().splitlines()[-3:])
        raise WheelworksError(f"the packages that tests need couldn't be downloaded:\n{lines}", "pip must be installed")
    for wheel in sorted(wheels.glob("*.whl")):
        unpack(wheel, folder, native=False)
    remove_tree(wheels)
