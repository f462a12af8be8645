"""A release into an index of our own, on loopback, and back: upload, install, download, compare, echo.

The index is pypiserver as a program that ends with this one, however this one ends; its folder is a temporary one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from wheelworks import manifest, processes, targets
from wheelworks.errors import WheelworksError

ECHO = Path(__file__).with_name("echo.py")
SERVER = Path(__file__).with_name("indexserver.py")


@contextmanager
def index(folder: Path) -> Iterator[str]:
    """An index server that keeps what is uploaded in ``folder``; yields its address, and is gone afterwards.

    Raises WheelworksError where it doesn't start.
    """
    command: list[str | Path] = [sys.executable, SERVER, folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdin and server.stdout  # both are pipes
        try:
            if not (port := server.stdout.readline().decode().strip()):
                raise WheelworksError("the index for the rehearsal doesn't start", "pip install pypiserver")
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.stdin.close()


def rehearse(files: Sequence[Path], stem: str) -> None:
    """Do all of it. Raises WheelworksError that says which part failed."""
    with tempfile.TemporaryDirectory(prefix="wheelworks-rehearsal-") as place:
        work = Path(place)
        (work / "index").mkdir()
        _run("twine check", "twine", "check", "--strict", *files)
        with index(work / "index") as address:
            upload(files, work / "index", address)
            compare(files, work / "index")
            download(files, stem.replace("-", "=="), work / "back", address)
            install(stem.replace("-", "=="), work / "installed", address)


def upload(files: Sequence[Path], there: Path, address: str) -> None:
    """Upload what the index hasn't got: an upload that was cut off is completed, and nothing is doubled."""
    missing = [path for path in files if manifest.sha256(there / path.name) != manifest.sha256(path)]
    if missing:
        login = ("--username", "rehearsal", "--password", "rehearsal", "--disable-progress-bar")
        _run("twine upload", "twine", "upload", "--repository-url", address, *login, *missing)


def compare(files: Sequence[Path], there: Path) -> None:
    """Hold the files of a folder against ours, to the byte and to the last one."""
    ours = {path.name: manifest.sha256(path) for path in files}
    theirs = {path.name: manifest.sha256(path) for path in there.iterdir()}
    if wrong := sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)):
        raise WheelworksError(f"{wrong[0]} came back otherwise than it was sent")


def download(files: Sequence[Path], pin: str, into: Path, address: str) -> None:
    """Download what pip chooses for every platform, and compare it."""
    ours = {path.name: manifest.sha256(path) for path in files}
    for row in targets.all_targets():
        place = into / row.id
        tags = [word for tag in row.tags for word in ("--platform", tag)]
        words = ("download", "--quiet", "--no-deps", "--only-binary", ":all:", "--python-version", "3.11")
        _run(f"pip download for {row.id}", "pip", *words, *_only(address), *tags, "--dest", place, pin)
        (found,) = place.iterdir()
        if "-any." in found.name or ours.get(found.name) != manifest.sha256(found):
            raise WheelworksError(f"{row.id}: pip chooses {found.name}, which isn't the wheel for it")


def install(pin: str, place: Path, address: str) -> None:
    """Install into a clean environment, Tornado from the usual index, and echo a message over a WebSocket."""
    _run("venv", "venv", place)
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    _run("pip install", "pip", "install", "--quiet", "--no-deps", *_only(address), pin, python=python)
    _run("pip install tornado", "pip", "install", "--quiet", "tornado", python=python)
    ended = processes.run([python, "-I", ECHO], seconds=60)
    if ended.status:
        raise WheelworksError(f"the installed package doesn't echo:\n{ended.output[-2000:]}")


def _only(address: str) -> tuple[str, ...]:
    return ("--isolated", "--no-cache-dir", "--index-url", f"{address}simple/")


def _run(what: str, module: str, *words: str | Path, python: str | Path = sys.executable) -> None:
    # pip's own settings may name more indexes, which must not answer in the place of ours
    kept = {name: value for name, value in os.environ.items() if "INDEX" not in name and "FIND_LINKS" not in name}
    quiet = {**kept, "PIP_CONFIG_FILE": os.devnull} if "--index-url" in words else dict(os.environ)
    ended = processes.run([python, "-m", module, *words], env=quiet)
    if ended.status:
        raise WheelworksError(f"{what} failed:\n{ended.output.strip()[-2000:]}")
