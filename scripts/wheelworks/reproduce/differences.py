"""How two files of one name differ: which member, where in it, and both values."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheel import read_members
from wheelworks.reproduce import regions

_ABSENT = "(not there)"
_MOST = 1 << 28  # bytes of an sdist that are unpacked to be compared
_WIDTH = 120


@dataclass(frozen=True)
class Difference:
    """One difference: the member ("": the archive itself), where in it, and what the first and the second have."""

    member: str
    where: str
    first: str
    second: str


def files(first: Path, second: Path) -> list[Difference]:
    """How two wheels or two sdists differ; nothing where they are equal to the byte.

    Raises WheelworksError for what is neither, is damaged, or unpacks to more than an archive may hold.
    """
    if first.read_bytes() == second.read_bytes():
        return []
    members = _wheel if first.suffix == ".whl" else _sdist
    (ones, others), heads = (members(first), members(second)), _heads(first, second)
    found = list(_members(ones, others)) + heads
    return found or [Difference("", "compressed data", "one compressor's", "another's, or another level")]


def members(first: Path, second: Path) -> dict[str, bool]:
    """For each member of either wheel, whether both have it and it is the same. Raises WheelworksError."""
    ones, others = _wheel(first), _wheel(second)
    return {name: ones.get(name) == others.get(name) for name in sorted({*ones, *others})}


def _wheel(path: Path) -> dict[str, bytes]:
    return {name: member.data for name, member in read_members(path).items()}


def _sdist(path: Path) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(_unpacked(path))) as tar:
        return {one.name: _data(tar, one) for one in tar.getmembers()}


def _unpacked(path: Path) -> bytes:
    try:
        with gzip.open(path) as stream:
            data = stream.read(_MOST + 1)
        if len(data) > _MOST:
            raise WheelworksError(f"{path.name}: unpacks to more than {_MOST >> 20} MiB: refused")
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            tar.getmembers()
        return data
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError) as error:
        raise WheelworksError(f"{path.name}: damaged, or no sdist: {error}", "download it again") from error


def _data(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member) if member.isreg() else None
    return file.read() if file else b""


def _members(ones: Mapping[str, bytes], others: Mapping[str, bytes]) -> Iterator[Difference]:
    """RECORD, which lists the hashes of the others, is told of only where it alone differs."""
    changed = [name for name in sorted({*ones, *others}) if ones.get(name) != others.get(name)]
    for name in [one for one in changed if not one.endswith(".dist-info/RECORD")] or changed:
        if name not in ones or name not in others:
            yield Difference(name, "the file itself", _presence(name in ones), _presence(name in others))
        else:
            yield from contents(name, ones[name], others[name])


def _presence(there: bool) -> str:
    return "there" if there else _ABSENT


def contents(name: str, first: bytes, second: bytes) -> list[Difference]:
    """How one member's two contents differ: a line of text, or regions of a binary."""
    if first.replace(b"\r\n", b"\n") == second.replace(b"\r\n", b"\n") and b"\0" not in first:
        return [Difference(name, "line ends alone", _ends(first), _ends(second))]
    if lines := _first_line(first, second):
        number, one, other = lines
        return [Difference(name, f"line {number}", one, other)]
    return [Difference(name, *found) for found in regions.compare(first, second)]


def _ends(text: bytes) -> str:
    crlf, all_ = text.count(b"\r\n"), text.count(b"\n")
    return "LF" if not crlf else "CRLF" if crlf == all_ else f"{crlf} CRLF of {all_}"


def _first_line(first: bytes, second: bytes) -> tuple[int, str, str] | None:
    if b"\0" in first or b"\0" in second:
        return None
    try:
        texts = first.decode().splitlines(keepends=True), second.decode().splitlines(keepends=True)
    except UnicodeDecodeError:
        return None
    for number, (one, other) in enumerate(zip_longest(*texts, fillvalue=""), 1):
        if one != other:
            return number, _shown(one), _shown(other)
    return None


def _shown(line: str) -> str:
    return repr(line[:_WIDTH]) + ("..." if len(line) > _WIDTH else "") if line else _ABSENT


# --- what an archive says beside its members' contents --------------------------------------------------------------


def _heads(first: Path, second: Path) -> list[Difference]:
    read: Callable[[Path], dict[str, dict[str, object]]] = _zip_heads if first.suffix == ".whl" else _tar_heads
    ones, others = read(first), read(second)
    found = []
    if list(ones) != list(others) and ones.keys() == others.keys():
        at = next(number for number, (a, b) in enumerate(zip(ones, others, strict=True)) if a != b)
        found.append(Difference("", f"order of members, from the {at + 1}th on", list(ones)[at], list(others)[at]))
    for name in ones.keys() & others.keys():
        for field, value in ones[name].items():
            if value != others[name].get(field):
                found.append(Difference(name, f"archive's {field}", str(value), str(others[name].get(field))))
    return sorted(found, key=lambda one: (one.member, one.where))


def _zip_heads(path: Path) -> dict[str, dict[str, object]]:
    """The fields of a zip archive's central directory (APPNOTE 4.3.12) that don't follow from the contents."""
    with zipfile.ZipFile(path) as archive:  # core.read_members has found it whole
        return {
            one.filename: {
                "date": "{}-{:02}-{:02} {:02}:{:02}:{:02}".format(*one.date_time),
                "mode": f"{one.external_attr >> 16:o}",
                "compression method": one.compress_type,
                "flags": one.flag_bits,
                "system": one.create_system,
                "extra field": one.extra.hex(),
            }
            for one in archive.infolist()
        }


def _tar_heads(path: Path) -> dict[str, dict[str, object]]:
    """The gzip header (RFC 1952), under "", and the fields of each tar member (POSIX.1-2001)."""
    head = path.read_bytes()[:10]
    zipped = {"gzip time": int.from_bytes(head[4:8], "little"), "gzip level": head[8], "gzip system": head[9]}
    found: dict[str, dict[str, object]] = {"": dict(zipped)}
    with tarfile.open(fileobj=io.BytesIO(_unpacked(path))) as tar:
        for one in tar.getmembers():
            names = {"user": f"{one.uname} ({one.uid})", "group": f"{one.gname} ({one.gid})", "link": one.linkname}
            found[one.name] = {"mtime": one.mtime, "mode": f"{one.mode:o}", "type": one.type, **names}
    return found
