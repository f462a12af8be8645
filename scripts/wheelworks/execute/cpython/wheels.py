"""Reading a wheel of unknown origin: whether a Python of another platform would take it, and its files, checked.

Wheels are unpacked here, on the host, and not by pip in the root: an emulated pip takes half a minute, pip checks no
hash of what it unpacks, and whoever looks at every file can refuse a hostile wheel before anything runs.
The format is that of the "Binary distribution format" specification; platform tags are those of PEP 600 and PEP 656.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from wheelworks.errors import WheelworksError

SIZE_LIMIT = 200 << 20  # bytes of one wheel's files, unpacked
COUNT_LIMIT = 20_000
_GLIBC = re.compile(r"(?:linux|manylinux_2_\d+|manylinux1|manylinux2010|manylinux2014)_(.+)")
_UNREADABLE = (zipfile.BadZipFile, zlib.error, OSError, ValueError, EOFError, RuntimeError, KeyError)


def project(wheel: Path) -> str:
    """The normalised name of the wheel's project; raises WheelworksError for a file name that is no wheel's."""
    return _parsed(wheel)[0]


def mismatch(wheel: Path, cpu: str, python: str) -> str:
    """Why CPython ``python`` ("3.11", with the GIL) of glibc Linux on ``cpu`` wouldn't take the wheel; "" if it would.

    Raises WheelworksError for a file name that is no wheel's.
    """
    tags = _parsed(wheel)[1]
    here = [tag for tag in tags if (match := _GLIBC.fullmatch(tag.platform)) and match[1] == cpu]
    if not here:
        return f"it is for {_listed(tag.platform for tag in tags)}, not for glibc Linux on {cpu}"
    if not any(_abi_fits(tag, python) for tag in here):
        abis = _listed(f"{tag.interpreter}-{tag.abi}" for tag in here)
        return f"it is for {abis}, not for CPython {python} with the GIL"
    return ""


def unpack(wheel: Path, site: Path, *, native: bool = True) -> list[str]:
    """Unpack a wheel into ``site`` and give the files' names there; without ``native``, shared objects stay out.

    Every file must be in RECORD with its right SHA-256 hash. Scripts, headers and data are not installed.
    Raises WheelworksError for what is no wheel, is damaged, would leave ``site``, or is too large.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            _check_size(infos)
            hashes = _record(archive, infos)
            wanted = [info for info in infos if native or not info.filename.endswith(".so")]
            return sorted(name for info in wanted if (name := _place(archive, info, hashes, site)))
    except _UNREADABLE as error:
        raise WheelworksError(f"{wheel.name}: not a sound wheel: {error}", "build it or download it again") from None


def extension_modules(files: Iterable[str]) -> list[str]:
    """The import names of the extension modules among a wheel's files, sorted."""
    paths = [PurePosixPath(name) for name in files if name.endswith(".so")]
    names = [".".join([*path.parts[:-1], path.name.partition(".")[0]]) for path in paths]
    return sorted(name for name in names if all(part.isidentifier() for part in name.split(".")))


def _parsed(wheel: Path) -> tuple[str, frozenset[Tag]]:
    try:
        name, _, _, tags = parse_wheel_filename(wheel.name)
    except InvalidWheelFilename as error:
        raise WheelworksError(
            f"{wheel.name}: {error}", "a wheel is named NAME-VERSION-PYTHON-ABI-PLATFORM.whl"
        ) from None
    return name, tags


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(set(words)))


def _abi_fits(tag: Tag, python: str) -> bool:
    major, minor = map(int, python.split("."))
    this = f"cp{major}{minor}"
    if tag.abi == "none":
        return tag.interpreter in (this, f"py{major}", f"py{major}{minor}")
    if tag.abi == "abi3":  # PEP 384: that version and every later one
        return bool(re.fullmatch(rf"cp{major}\d+", tag.interpreter)) and int(tag.interpreter[3:]) <= minor
    return tag.interpreter == this and tag.abi == this


def _check_size(infos: list[zipfile.ZipInfo]) -> None:
    if len(infos) > COUNT_LIMIT:
        raise ValueError(f"{len(infos)} files; the limit is {COUNT_LIMIT}")
    if (size := sum(info.file_size for info in infos)) > SIZE_LIMIT:
        raise ValueError(f"{size >> 20} MiB unpacked; the limit is {SIZE_LIMIT >> 20} MiB")
    if len({info.filename for info in infos}) != len(infos):
        raise ValueError("a file is in it twice")


def _record(archive: zipfile.ZipFile, infos: list[zipfile.ZipInfo]) -> dict[str, str]:
    records = [info for info in infos if re.fullmatch(r"[^/]+\.dist-info/RECORD", info.filename)]
    if len(records) != 1:
        raise ValueError(f"{len(records)} files named RECORD; it must have one")
    rows = csv.reader(io.StringIO(archive.read(records[0]).decode()))
    return {row[0]: row[1] for row in rows if len(row) == 3}


def _place(archive: zipfile.ZipFile, info: zipfile.ZipInfo, hashes: dict[str, str], site: Path) -> str:
    """Write one file; gives its name in ``site``, or "" for one that isn't installed there."""
    path = PurePosixPath(info.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in info.filename or "\0" in info.orig_filename:
        raise ValueError(f"{info.filename!r} would leave the folder it is unpacked into")
    content = archive.read(info)
    if not path.match("*.dist-info/RECORD*") and hashes.get(info.filename) != _sha256(content):
        raise ValueError(f"{info.filename} isn't in RECORD with its SHA-256 hash")
    parts = path.parts
    if parts[0].endswith(".data"):
        if len(parts) < 3 or parts[1] not in ("purelib", "platlib"):
            return ""
        parts = parts[2:]
    target = site.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return "/".join(parts)


def _sha256(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
