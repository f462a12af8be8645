"""Read a wheel as it comes: each member once, a piece at a time, within limits that are the audit's own.

The archive is somebody else's: what it declares is compared with what it holds, and nothing is written anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import re
import stat
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wheelworks.audit.finding import Finding, printable
from wheelworks.audit.subject import Entry, Wheel
from wheelworks.core.archive import Limits

LIMITS = Limits(size=4 << 30)
LARGEST_BINARY = 200 << 20
_LARGEST_TEXT = 2 << 20
_LARGEST_LIST = 32 << 20  # of RECORD, which has a row for each file, and of an SBOM
_PIECE = 1 << 20
_OVERLAP = 256
_BOMB = 200  # times larger unpacked than packed; what deflate makes of real code and text is 3 to 20

_BINARY = re.compile(rb"\x7fELF|MZ|\xcf\xfa\xed\xfe|\xce\xfa\xed\xfe|\xca\xfe\xba[\xbe\xbf]\0\0\0[\x01-\x10]")
# Folders that only a building machine has. Those of hosted runners and build tools are looked for in every file,
# a person's home in binaries and in what builds write: in other texts such a name is an example more often than not.
_BUILDERS = re.compile(
    rb"(?:/home/runner/\w+/|/Users/runner/|/private/var/folders/|[A-Z]:[\\/]a[\\/]|/tmp/(?:pip|build|cibw|tmp)[-_\w])"
    rb"[ -~]{1,120}"
)
_HOMES = re.compile(rb"(?:/(?:home|Users|root|project|tmp)/|[A-Z]:[\\/]Users[\\/])[\w.@+-]+[\\/][ -~]{1,120}")
# Folders of the images that wheels are built in; not in binaries, whose static libraries others have built so.
_IMAGES = re.compile(rb"(?:(?<=-[IL])|(?<![\w.)}\]-]))/(?:io|build|opt/_internal)/[\w.@+-]+/[ -~]{1,120}")
_GENERATED = re.compile(r"(^|/)(__config__\.py|direct_url\.json|DELVEWHEEL|[^/]+\.(pc|cmake|la|pyc))$")


@dataclass(frozen=True)
class Content:
    """What reading a member brought: its hash as RECORD has it, its size, and its bytes where a check needs them."""

    name: str
    sha256: str
    size: int
    data: bytes | None
    is_binary: bool
    path: str


def entries(archive: zipfile.ZipFile) -> tuple[Entry, ...]:
    """The files of an archive, with their names as they stand there."""
    return tuple(
        Entry(info.orig_filename, info.file_size, info.external_attr >> 16, info.date_time, info.compress_size)
        for info in archive.infolist()
        if not info.orig_filename.endswith("/") or info.file_size
    )


def within(found: tuple[Entry, ...], packed: int) -> Iterator[Finding]:
    """Whether the archive is one that may be read at all."""
    size = sum(entry.size for entry in found)
    if len(found) > LIMITS.members:
        yield Finding("W002", f"{len(found)} members; no more than {LIMITS.members} are read")
    if size > LIMITS.size:
        yield Finding("W002", f"declares {size} bytes; no more than {LIMITS.size} are read")
    elif (claimed := sum(entry.packed for entry in found)) > packed:
        yield Finding("W002", f"the members claim {claimed} bytes of a file of {packed}: they lie over each other")
    elif size > 64 << 20 and size > _BOMB * packed:
        yield Finding("W002", f"{packed} bytes would unpack to {size}")


def contents(archive: zipfile.ZipFile, wheel: Wheel) -> Iterator[Content]:
    """Every member, read to its end. Raises zipfile.BadZipFile and its kin for a damaged one."""
    for info in archive.infolist():
        if info.is_dir() or stat.S_ISLNK(info.external_attr >> 16):
            continue
        yield _read(archive, info, most_text(info.filename, wheel))


def most_text(name: str, wheel: Wheel) -> int:
    """The bytes of a text that are kept for the checks: of the metadata alone."""
    if not name.startswith(f"{wheel.info}/"):
        return 0
    return _LARGEST_LIST if name.endswith("/RECORD") or "/sboms/" in name else _LARGEST_TEXT


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> Content:
    digest, size, path, tail = hashlib.sha256(), 0, "", b""
    pieces: list[bytes] = []
    is_binary = keep = False
    places: Sequence[re.Pattern[bytes]] = ()
    with archive.open(info) as file:
        while piece := file.read(_PIECE):
            if not size:
                is_binary = bool(_BINARY.match(piece))
                places = _places(info.filename, is_binary=is_binary)
                keep = info.file_size <= (LARGEST_BINARY if is_binary else most)
            size += len(piece)
            digest.update(piece)
            path = path or _build_path(tail + piece, places)
            tail = piece[-_OVERLAP:]
            if keep:
                pieces.append(piece)
    if size != info.file_size:
        raise zipfile.BadZipFile(f"{printable(info.filename)} is not of the size that it declares")
    sha256 = "sha256=" + base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
    data = b"".join(pieces) if keep or not size else None
    return Content(info.filename, sha256, size, data, is_binary, path)


def _places(name: str, *, is_binary: bool) -> Sequence[re.Pattern[bytes]]:
    """What to look for in a member."""
    if is_binary:
        return (_BUILDERS, _HOMES)
    return (_BUILDERS, _HOMES, _IMAGES) if _GENERATED.search(name) else (_BUILDERS,)


def _build_path(data: bytes, places: Sequence[re.Pattern[bytes]]) -> str:
    found = next((match for place in places if (match := place.search(data))), None)
    return printable(found[0].decode("ascii", "replace"), 120) if found else ""
