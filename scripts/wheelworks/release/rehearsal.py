"""A release into an index of our own, on loopback, and back: upload, install, download, compare, echo.

The index is pypiserver in a thread of this process, so that none can outlive it; its folder is a temporary one.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import wsgiref.simple_server
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn

import pypiserver

from wheelworks import manifest, processes, targets
from wheelworks.errors import WheelworksError

ECHO = Path(__file__).with_name("echo.py")


class _Server(ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


class _Silent(wsgiref.simple_server.WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: the steps tell what is done."""


@contextmanager
def index(folder: Path) -> Iterator[str]:
    """An index server that keeps what is uploaded in ``folder``; yields its address, and is gone afterwards."""
    app = pypiserver.app(roots=[folder], password_file=".", authenticate=[], disable_fallback=True)
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, app, _Server, _Silent)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


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
