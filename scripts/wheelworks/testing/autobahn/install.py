"""The Autobahn test suite in a folder of its own: pinned in ``requirements.txt``, installed once, then cached."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from wheelworks.core import process
from wheelworks.core.cache import keep
from wheelworks.core.errors import WheelworksError
from wheelworks.core.interpreters import pyenv_pythons, without_shims

PINS, ACCELERATOR = (Path(__file__).with_name(f"{name}.txt") for name in ("requirements", "accelerator"))
WAYS = "pyenv install 2.7.18, or name a program: --python2 PATH; the suite knows no later Python"


def check(system: str, machine: str) -> None:
    """Raises WheelworksError where the pinned files don't fit: the suite tests a protocol, which is alike anywhere."""
    if (system, machine) != ("Linux", "x86_64"):
        raise WheelworksError(f"the Autobahn test suite is pinned for Linux on x86-64, not for {system} on {machine}")


def find_python2(environ: Mapping[str, str], home: Path) -> Path:
    """A CPython 2.7: of pyenv's, or on PATH. Raises WheelworksError where there is none."""
    known = pyenv_pythons(environ, home, os.name == "nt", "2.7.*")
    path = without_shims(environ, os.pathsep)["PATH"]
    on_path = shutil.which("python2.7", path=path)
    candidates = [*known, *([Path(on_path)] if on_path else [])]
    if not candidates:
        raise WheelworksError("no Python 2.7 on this machine, which the Autobahn test suite needs", WAYS)
    return candidates[-1]


def suite(python2: Path) -> Path:
    """The folder with the suite and what it imports. Raises WheelworksError where it can't be installed."""
    key = hashlib.sha256(PINS.read_bytes() + ACCELERATOR.read_bytes() + str(python2).encode()).hexdigest()
    return keep(f"autobahn/{key[:12]}", lambda folder: _install(python2, folder))


def _install(python2: Path, folder: Path) -> None:
    pip = [str(python2), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    pinned = ["--require-hashes", "--no-deps", "--requirement"]
    _do([*pip, "install", *pinned, str(PINS), "--target", str(folder)])
    # A namespace package's .pth file works in a site folder only; as a plain package it is found anywhere.
    (folder / "zope" / "__init__.py").touch()
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        _do([*pip, "download", *pinned, str(ACCELERATOR), "--dest", work], folder)
        [archive] = Path(work).glob("*.tar.gz")
        with tarfile.open(archive) as opened:
            opened.extractall(work)  # pip has checked its hash
        [source] = Path(work).glob("*/")
        _do([str(python2), "setup.py", "--quiet", "build", "--build-lib", str(folder)], folder, source)


def _do(command: list[str], imports: Path | None = None, cwd: Path | None = None) -> None:
    env = {**os.environ, "PYTHONPATH": str(imports)} if imports else None
    failure = f"the Autobahn test suite can't be installed for {command[0]}"
    process.run_checked(command, failure, WAYS, lines=5, env=env, cwd=cwd, timeout=600)
