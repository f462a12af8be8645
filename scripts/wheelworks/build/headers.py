"""CPython's C headers for an ABI: found on this machine or fetched from Debian, and adapted to every target.

An interpreter's headers are the same on every platform except for ``pyconfig.h``, which is replaced by ours. They are
the same in every release of a version except for ``patchlevel.h``, into which the version's first release is written.
Without that, code that uses the release (``PY_VERSION_HEX``, or ``PyABIInfo_VAR`` of PEP 793) would differ from one
machine to the next.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wheelworks.core import debian, process
from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import get_cached_folder, remove_tree
from wheelworks.core.targets import Abi

_PYCONFIG = Path(__file__).with_name("pyconfig.h")
_FIRST_RELEASE = {"MICRO_VERSION": "0", "RELEASE_LEVEL": "PY_RELEASE_LEVEL_FINAL", "RELEASE_SERIAL": "0"}

INSTALL_HINT = """\
install them in one of these ways:
  uv python install {version}                      (any system)
  pyenv install {version}                          (Linux, macOS)
  sudo apt install libpython{version}-dev          (Debian, Ubuntu; if that release has it)
  brew install python@{version}                    (macOS)
  winget install Python.Python.{version}           (Windows)
or, on Linux, install the program that fetches Debian's:
  """


@dataclass(frozen=True)
class Headers:
    """A folder of C headers for an ABI, their release ("3.14.2"), and their SHA-256 in hexadecimal."""

    folder: Path
    release: str
    sha256: str


def find_headers(abi: Abi) -> Headers:
    """Return the headers of an ABI's Python: the newest release on this machine, else Debian's.

    Raises WheelworksError with the ways to install them.
    """
    found: dict[int, Path] = {}
    for folder in list_header_folders(abi.python):
        version, _, micro = read_release(folder).rpartition(".")
        if version == abi.python:
            found.setdefault(int(micro), folder)
    return adapt_headers(found[max(found)] if found else fetch_debian_headers(abi.python), abi)


def list_header_folders(version: str) -> Iterator[Path]:
    """Yield the folders in which each system and installer keeps the headers of a Python version."""
    home, nodot = Path.home(), version.replace(".", "")
    own = f"include/python{version}*"
    tools = os.environ.get("AGENT_TOOLSDIRECTORY") or os.environ.get("RUNNER_TOOL_CACHE") or home / "none"
    patterns = {
        Path(sys.base_prefix): (own,),
        Path("/usr"): (own, f"local/{own}", f"local/opt/python@{version}/Frameworks/Python.framework/Versions/*/{own}"),
        Path("/opt/homebrew/opt"): (f"python@{version}/Frameworks/Python.framework/Versions/*/{own}",),
        Path("/Library/Frameworks"): (f"Python.framework/Versions/*/{own}", f"PythonT.framework/Versions/*/{own}"),
        Path(os.environ.get("PYENV_ROOT") or home / ".pyenv"): (f"versions/*/{own}",),
        Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or home / ".local/share/uv/python"): (f"*/{own}", "*/include"),
        Path(os.environ.get("APPDATA") or home / "none", "uv/data/python"): ("*/include",),
        Path(os.environ.get("LOCALAPPDATA") or home / "none", "Programs/Python"): (f"Python{nodot}*/Include",),
        # installed by setup-python on hosted CI machines: release, then architecture ("x64-freethreaded")
        Path(tools, "Python"): (f"{version}.*/*/{own}", f"{version}.*/*/include"),
    }
    for root, globs in patterns.items():
        for pattern in globs:
            yield from sorted(root.glob(pattern))


def read_release(folder: Path) -> str:
    """Return the release of a folder of headers, "3.14.2"; "" if it has none, or a prerelease."""
    file = folder / "patchlevel.h"
    if not file.is_file() or not (folder / "Python.h").is_file():
        return ""
    text = file.read_text(encoding="utf-8", errors="replace")
    stated = re.search(r'^#define PY_VERSION\s+"(\d+\.\d+\.\d+)"', text, re.MULTILINE)
    return stated[1] if stated else ""


def fetch_debian_headers(version: str) -> Path:
    """Return the folder of Debian's headers of a version, downloaded (6 MB) unless they are cached.

    Raises WheelworksError if mmdebstrap is missing or fails.
    """
    return get_cached_folder(f"debian-headers/{version}", lambda folder: _download_package(version, folder))


def _download_package(version: str, folder: Path) -> None:
    missing = f"no headers of CPython {version} on this machine"
    hint = INSTALL_HINT.format(version=version) + debian.MMDEBSTRAP_HINT
    if version not in debian.DEBIAN_SUITES or not shutil.which("mmdebstrap"):
        raise WheelworksError(missing, hint)
    hook = f'cd "$1" && APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get download libpython{version}-dev'
    archive = folder / "root.tar"
    suite = debian.DEBIAN_SUITES[version]
    command = debian.make_mmdebstrap_command("custom", suite, f"--customize-hook={hook}")
    ended = process.run([*command[:-1], archive], timeout=600)
    if ended.status != 0:
        lines = [line for line in ended.output.splitlines() if line.startswith("E:")]
        raise WheelworksError("\n".join([f"{missing}, and Debian's can't be fetched:", *lines[-5:]]), hint)
    _extract_headers(archive, version, folder)


def _extract_headers(archive: Path, version: str, folder: Path) -> None:
    package, files = folder / "package.deb", folder / "files"
    with tarfile.open(archive) as tar:
        member = next(member for member in tar if re.fullmatch(r"\./libpython[^/]*\.deb", member.name))
        contents = tar.extractfile(member)
        assert contents is not None  # a package is a regular file
        package.write_bytes(contents.read())
    failure = f"Debian's package of CPython {version} can't be unpacked"
    process.run_checked(["dpkg-deb", "--extract", package, files], failure)
    for path in sorted((files / "usr/include" / f"python{version}").iterdir()):
        path.rename(folder / path.name)
    archive.unlink()
    package.unlink()
    remove_tree(files)


def adapt_headers(folder: Path, abi: Abi) -> Headers:
    """Return a cached copy of an interpreter's headers that fits every target of an ABI.

    It is a copy because Python.h includes the pyconfig.h in its own folder, whatever the search path.
    """
    names = sorted(path.relative_to(folder) for path in folder.rglob("*.h"))
    contents = {name: _adapt_header(name.as_posix(), folder / name, abi) for name in names}
    digest = hashlib.sha256()
    for name, data in contents.items():
        digest.update(f"{name.as_posix()}\0{len(data)}\0".encode() + data)

    def make(place: Path) -> None:
        for name, data in contents.items():
            (place / name).parent.mkdir(exist_ok=True, parents=True)
            (place / name).write_bytes(data)

    kept = get_cached_folder(f"headers/{abi.nodot}-{digest.hexdigest()[:16]}", make)
    return Headers(kept, read_release(folder), digest.hexdigest())


def _adapt_header(name: str, path: Path, abi: Abi) -> bytes:
    if name == "pyconfig.h":
        return b"#define Py_GIL_DISABLED 1\n" * abi.free_threaded + _PYCONFIG.read_bytes()
    data = path.read_bytes()
    if name == "patchlevel.h":
        return set_first_release(data.decode("utf-8", "surrogateescape"), abi.python).encode()
    return data


def set_first_release(text: str, version: str) -> str:
    """Return a ``patchlevel.h`` as it is in the first release of a version."""
    for name, value in _FIRST_RELEASE.items():
        text = re.sub(rf"^(#define PY_{name}\s+)\S+", rf"\g<1>{value}", text, flags=re.MULTILINE)
    return re.sub(r'^(#define PY_VERSION\s+)"[^"]*"', rf'\g<1>"{version}.0"', text, flags=re.MULTILINE)
