"""Rehearse a release with a package index on loopback: upload, download, compare, install, smoke test.

The index is pypiserver, run as a program that ends with this one, however this one ends. Its files are deleted
afterwards; those of a killed rehearsal are deleted by the next one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from wheelworks.core import process, venv
from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import hash_file, remove_tree
from wheelworks.core.targets import PlannedWheel, Target

FOLDER = ".rehearsal"
INSTALLERS = ("pip", "uv")
_SERVER = Path(__file__).with_name("indexserver.py")
_SMOKE_TEST = Path(__file__).with_name("smoke_test.py")
_PIP_ONLY = ("--isolated", "--no-cache-dir")  # uv has other options for this


@contextmanager
def serve_index(folder: Path) -> Iterator[str]:
    """Run an index server that keeps uploads in ``folder``; yield its address. Raises WheelworksError."""
    command: list[str | Path] = [sys.executable, _SERVER, folder]
    with process.start_server(command, quiet=True) as server:
        assert server.stdout  # a pipe
        if not (port := server.stdout.readline().strip()):
            raise WheelworksError("the index server for the rehearsal doesn't start", "pip install pypiserver")
        yield f"http://127.0.0.1:{port}/"


def rehearse_release(files: Sequence[Path], planned: Sequence[PlannedWheel], pin: str, work: Path) -> None:
    """Rehearse the release ``pin`` (NAME==VERSION) in the folder ``work``, which is removed before and afterwards.

    ``planned`` are the wheels among the release's ``files``. Raises WheelworksError that says which part failed.
    """
    remove_tree(work)
    (work / "index").mkdir(parents=True)
    try:
        _run_module("twine check", "twine", "check", "--strict", *files)
        _run_module("pip download tornado", "pip", "download", "--quiet", "--dest", work / "tornado", "tornado")
        with serve_index(work / "index") as address:
            upload_files(files, work / "index", address)
            compare_folder(files, work / "index")
            download_files(files, planned, pin, work / "back", address)
            for installer in INSTALLERS:
                install_package(installer, pin, work / installer, get_index_options(address, work / "tornado"))
    finally:
        remove_tree(work)


def upload_files(files: Sequence[Path], uploaded: Path, address: str) -> None:
    """Upload the files that the folder ``uploaded`` of the index lacks, or has only in part."""
    missing = [path for path in files if hash_file(uploaded / path.name) != hash_file(path)]
    if missing:
        login = ("--username", "rehearsal", "--password", "rehearsal", "--disable-progress-bar")
        _run_module("twine upload", "twine", "upload", "--repository-url", address, *login, *missing)


def compare_folder(files: Sequence[Path], folder: Path) -> None:
    """Check that a folder holds exactly these files. Raises WheelworksError for a different, missing or extra one."""
    ours = {path.name: hash_file(path) for path in files}
    theirs = {path.name: hash_file(path) for path in folder.iterdir()}
    if wrong := sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)):
        raise WheelworksError(f"{wrong[0]}: the index has different bytes than were uploaded")


def download_files(files: Sequence[Path], planned: Sequence[PlannedWheel], pin: str, into: Path, address: str) -> None:
    """Download what pip picks for every platform and ABI. Raises WheelworksError if it isn't the planned wheel."""
    ours = {path.name: hash_file(path) for path in files}

    def check(one: PlannedWheel, row: Target) -> str:
        assert one.abi
        folder = into / row.id / one.abi.id
        tags = [word for tag in row.tags for word in ("--platform", tag)]
        words = ("download", "--quiet", "--no-deps", "--only-binary", ":all:", "--python-version", one.abi.python)
        abi = ("--implementation", "cp", "--abi", one.abi.id.rpartition("-")[2].rpartition(".")[2])
        options = (*words, *abi, *get_index_options(address), *tags, "--dest", folder)
        _run_module(f"pip download for {row.id}", "pip", *options, pin)
        (found,) = folder.iterdir()
        same = found.name == one.name and ours.get(found.name) == hash_file(found)
        return "" if same else f"{row.id}: pip picks {found.name}, which isn't {one.name} with the uploaded bytes"

    with process.thread_pool() as pool:
        errors = list(pool.map(lambda place: check(*place), [(one, row) for one in planned for row in one.targets]))
    if wrong := [error for error in errors if error]:
        raise WheelworksError(wrong[0])


def install_package(installer: str, pin: str, place: Path, options: Sequence[str | Path]) -> None:
    """Install a release by pip or uv into a new environment, and run the smoke test there. Raises WheelworksError."""
    python = venv.create_venv(sys.executable, place)
    if installer == "uv":
        words = ("uv", "--no-config", "--no-cache", "pip", "install", "--quiet", "--python", python)
        _run_module("uv pip install", *words, *[word for word in options if word not in _PIP_ONLY], pin)
    else:
        _run_module("pip install", "pip", "--python", python, "install", "--quiet", *options, pin)
    failure = f"the package installed by {installer} fails the smoke test"
    process.run_checked([python, "-I", _SMOKE_TEST], failure, lines=20, timeout=60)


def get_index_options(address: str, *folders: Path) -> tuple[str | Path, ...]:
    """Return pip's options to use this index and these folders, and nothing else."""
    links = (word for folder in folders for word in ("--find-links", folder))
    return (*_PIP_ONLY, "--index-url", f"{address}simple/", *links)


def _run_module(what: str, module: str, *words: str | Path) -> None:
    # pip's own settings may name more indexes, which must not be asked instead of ours.
    kept = {name: value for name, value in os.environ.items() if "INDEX" not in name and "FIND_LINKS" not in name}
    env = {**kept, "PIP_CONFIG_FILE": os.devnull} if "--index-url" in words else dict(os.environ)
    process.run_checked([sys.executable, "-m", module, *words], f"{what} failed", lines=20, env=env)
