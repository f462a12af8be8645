"""A release into an index of our own, on loopback, and back: upload, install, download, compare, echo.

The index is pypiserver as a program that ends with this one, however this one ends. What it holds is thrown away; of a
rehearsal that was killed, by the next one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from wheelworks.core import cache, manifest, process, venv
from wheelworks.core.errors import WheelworksError
from wheelworks.core.plan import Planned
from wheelworks.core.targets import Target

FOLDER = ".rehearsal"
SMOKE_TEST = Path(__file__).with_name("smoke_test.py")
INSTALLERS = ("pip", "uv")
_PIPS = ("--isolated", "--no-cache-dir")  # which uv says otherwise
SERVER = Path(__file__).with_name("indexserver.py")


@contextmanager
def serve_index(folder: Path) -> Iterator[str]:
    """An index server that keeps what is uploaded in ``folder``; yields its address, and is gone afterwards.

    Raises WheelworksError where it doesn't start.
    """
    command: list[str | Path] = [sys.executable, SERVER, folder]
    with process.start_server(command, quiet=True) as server:
        assert server.stdout  # a pipe
        if not (port := server.stdout.readline().strip()):
            raise WheelworksError("the index for the rehearsal doesn't start", "pip install pypiserver")
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def _empty_folder(folder: Path) -> Iterator[Path]:
    """A folder with nothing in it, gone afterwards, or, if we are killed, when it is asked for again."""
    cache.remove_tree(folder)
    folder.mkdir()
    try:
        yield folder
    finally:
        cache.remove_tree(folder)


def rehearse_release(files: Sequence[Path], planned: Sequence[Planned], pin: str, place: Path) -> None:
    """Do all of it with the files of a release, the wheels among them being ``planned``, in a folder of its own.

    Raises WheelworksError that says which part failed.
    """
    with _empty_folder(place) as work:
        (work / "index").mkdir()
        _run("twine check", "twine", "check", "--strict", *files)
        _run("pip download tornado", "pip", "download", "--quiet", "--dest", work / "tornado", "tornado")
        with serve_index(work / "index") as address:
            upload_files(files, work / "index", address)
            compare_folder(files, work / "index")
            download_files(files, planned, pin, work / "back", address)
            for installer in INSTALLERS:
                install_package(installer, pin, work / installer, index_options(address, work / "tornado"))


def upload_files(files: Sequence[Path], there: Path, address: str) -> None:
    """Upload what the index hasn't got: an upload that was cut off is completed, and nothing is doubled."""
    missing = [path for path in files if manifest.sha256(there / path.name) != manifest.sha256(path)]
    if missing:
        login = ("--username", "rehearsal", "--password", "rehearsal", "--disable-progress-bar")
        _run("twine upload", "twine", "upload", "--repository-url", address, *login, *missing)


def compare_folder(files: Sequence[Path], there: Path) -> None:
    """Hold the files of a folder against ours, to the byte and to the last one."""
    ours = {path.name: manifest.sha256(path) for path in files}
    theirs = {path.name: manifest.sha256(path) for path in there.iterdir()}
    if wrong := sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)):
        raise WheelworksError(f"{wrong[0]} came back otherwise than it was sent")


def download_files(files: Sequence[Path], planned: Sequence[Planned], pin: str, into: Path, address: str) -> None:
    """Download what pip chooses for every platform and ABI, and compare it. Raises WheelworksError."""
    ours = {path.name: manifest.sha256(path) for path in files}

    def get(one: Planned, row: Target) -> str:
        assert one.abi
        place = into / row.id / one.abi.id
        tags = [word for tag in row.tags for word in ("--platform", tag)]
        words = ("download", "--quiet", "--no-deps", "--only-binary", ":all:", "--python-version", one.abi.python)
        abi = ("--implementation", "cp", "--abi", one.abi.id.rpartition("-")[2].rpartition(".")[2])
        _run(f"pip download for {row.id}", "pip", *words, *abi, *index_options(address), *tags, "--dest", place, pin)
        (found,) = place.iterdir()
        same = found.name == one.name and ours.get(found.name) == manifest.sha256(found)
        return "" if same else f"{row.id}: pip chooses {found.name}, which isn't {one.name}, or not as it was sent"

    places = [(one, row) for one in planned for row in one.targets]
    with process.thread_pool() as pool:
        wrong = [said for said in pool.map(lambda place: get(*place), places) if said]
    if wrong:
        raise WheelworksError(wrong[0])


def install_package(installer: str, pin: str, place: Path, only: Sequence[str | Path]) -> None:
    """Install by pip or uv into a clean environment, Tornado too, and echo a message over a WebSocket."""
    python = venv.create_venv(sys.executable, place)
    if installer == "uv":
        words = ("uv", "--no-config", "--no-cache", "pip", "install", "--quiet", "--python", python)
        _run("uv pip install", *words, *[word for word in only if word not in _PIPS], pin)
    else:
        _run("pip install", "pip", "--python", python, "install", "--quiet", *only, pin)
    failure = f"the package that {installer} has installed doesn't echo"
    process.run_checked([python, "-I", SMOKE_TEST], failure, lines=20, timeout=60)


def index_options(address: str, *folders: Path) -> tuple[str | Path, ...]:
    """pip's options that make it ask this index and these folders, and nothing else."""
    found = (word for folder in folders for word in ("--find-links", folder))
    return (*_PIPS, "--index-url", f"{address}simple/", *found)


def _run(what: str, module: str, *words: str | Path) -> None:
    # pip's own settings may name more indexes, which must not answer in the place of ours
    theirs = ("INDEX", "FIND_LINKS")
    kept = {name: value for name, value in os.environ.items() if not any(word in name for word in theirs)}
    quiet = {**kept, "PIP_CONFIG_FILE": os.devnull} if "--index-url" in words else dict(os.environ)
    process.run_checked([sys.executable, "-m", module, *words], f"{what} failed", lines=20, env=quiet)
