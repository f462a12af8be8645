"""Wheels as files: read any wheel within limits, and write one whose bytes depend on its contents alone.

Binary distribution format: PEP 427, PEP 425, and the PyPA specifications that keep them.
"""

from __future__ import annotations

import base64
import csv
import errno
import hashlib
import io
import lzma
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import deflate
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from wheelworks.core.errors import WheelworksError

DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, RuntimeError, ValueError, IndexError)
# Windows' separators and streams, and control characters, which no line of RECORD could hold.
_NEVER_IN_A_NAME = frozenset("\\:\x7f") | frozenset(map(chr, range(32)))


@dataclass(frozen=True)
class Limits:
    """The most that a wheel may hold: bytes after unpacking, and members."""

    size: int = 1 << 30
    members: int = 50_000


@dataclass(frozen=True)
class Member:
    """A file of a wheel: its contents, and whether it is executable."""

    data: bytes
    executable: bool = False


@dataclass(frozen=True)
class Name:
    """What a wheel's file name says."""

    distribution: str
    version: str
    build: str
    tags: frozenset[Tag]

    @property
    def abi(self) -> str:
        """The Python and ABI tags, such as ``cp311-abi3``."""
        return "-".join(
            ".".join(sorted(kind)) for kind in ({t.interpreter for t in self.tags}, {t.abi for t in self.tags})
        )

    @property
    def platforms(self) -> frozenset[str]:
        """The platform tags."""
        return frozenset(tag.platform for tag in self.tags)


def parse_name(filename: str) -> Name:
    """Take a wheel's file name apart. Raises WheelworksError."""
    try:
        _, _, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise WheelworksError(f"{filename}: no wheel's name: {error}") from error
    parts = filename.removesuffix(".whl").split("-")
    return Name(parts[0], parts[1], parts[2] if len(parts) == 6 else "", tags)


def read(path: Path, limits: Limits = Limits(), wanted: Callable[[str], bool] = lambda name: True) -> dict[str, Member]:
    """Every file of a wheel that is ``wanted`` by its name, in the archive's order; only those are unpacked.

    Raises WheelworksError for a damaged archive, one beyond the limits, and names that would escape a folder.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            _within(path.name, infos, limits, wanted)
            return {info.filename: _member(archive, info) for info in infos if wanted(info.filename)}
    except DAMAGE as error:
        raise WheelworksError(f"{path.name}: damaged, or no wheel: {error}") from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # bz2's damage, and a place before the file's start
            raise
        raise WheelworksError(f"{path.name}: damaged, or no wheel: {error}") from error


def _within(name: str, infos: list[zipfile.ZipInfo], limits: Limits, wanted: Callable[[str], bool]) -> None:
    size = sum(info.file_size for info in infos if wanted(info.filename))
    if len(infos) > limits.members or size > limits.size:
        raise WheelworksError(f"{name}: holds more than {limits.size >> 20} MiB or {limits.members} files: refused")
    for info in infos:
        parts = info.filename.split("/")
        if ".." in parts or "" in parts or set(info.orig_filename) & _NEVER_IN_A_NAME:
            raise WheelworksError(f"{name}: the member {info.filename!r} would be written outside its folder: refused")
    if len({info.filename for info in infos}) != len(infos):
        raise WheelworksError(f"{name}: holds two files of one name: refused")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    with archive.open(info) as file:
        data = file.read(info.file_size + 1)
    if len(data) != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename} is not of the size that it declares")
    return Member(data, bool(info.external_attr >> 16 & 0o100))


def dist_info(members: Mapping[str, Member], name: str) -> str:
    """The one ``*.dist-info`` folder of a wheel. Raises WheelworksError where there is none, or more than one."""
    found = {member.split("/")[0] for member in members if member.split("/")[0].endswith(".dist-info")}
    if len(found) != 1:
        raise WheelworksError(f"{name}: a wheel has one .dist-info folder, this has {len(found)}")
    return found.pop()


def check_record(members: Mapping[str, Member], name: str) -> None:
    """Whether RECORD names every file with its SHA-256 hash. Raises WheelworksError that names the one at fault."""
    record = f"{dist_info(members, name)}/RECORD"
    if record not in members:
        raise WheelworksError(f"{name}: it has no RECORD, so that nothing in it can be checked")
    try:
        rows = list(csv.reader(io.StringIO(members[record].data.decode())))
    except (csv.Error, UnicodeDecodeError) as error:
        raise WheelworksError(f"{name}: its RECORD can't be read: {error}") from error
    hashes = {row[0]: row[1] for row in rows if len(row) == 3}
    for file, member in members.items():
        if not file.startswith(record) and hashes.get(file) != _sha256(member.data):
            raise WheelworksError(f"{name}: {file} isn't in RECORD with its SHA-256 hash")


def _sha256(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def with_tags(members: Mapping[str, Member], tags: frozenset[Tag], info: str) -> dict[str, Member]:
    """The same files with the WHEEL file's tags replaced, one line for each tag, expanded and sorted.

    Raises WheelworksError where there is no WHEEL file.
    """
    if f"{info}/WHEEL" not in members:
        raise WheelworksError(f"{info}: no wheel: it has no WHEEL file")
    lines = members[f"{info}/WHEEL"].data.decode("utf-8", "replace").splitlines()
    kept = [line for line in lines if line.strip() and not line.startswith("Tag:")]
    text = "\n".join([*kept, *sorted(f"Tag: {tag}" for tag in tags)]) + "\n"
    return {**members, f"{info}/WHEEL": Member(text.encode())}


def with_record(members: Mapping[str, Member], info: str) -> dict[str, Member]:
    """The same files with RECORD made anew, in a wheel's order: ``.dist-info`` behind all others, RECORD last."""
    names = sorted(members.keys() - {f"{info}/RECORD"}, key=lambda name: (name.startswith(info + "/"), name))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    for name in names:
        writer.writerow([name, _sha256(members[name].data), len(members[name].data)])
    writer.writerow([f"{info}/RECORD", "", ""])
    return {**{name: members[name] for name in names}, f"{info}/RECORD": Member(table.getvalue().encode())}


def archive(members: Mapping[str, Member], epoch: int) -> bytes:
    """A zip archive (PKWARE's APPNOTE 6.3) of ``members`` in their order, each dated ``epoch`` (seconds since 1970).

    zlib and its replacements differ in the bytes that they make, from one Python to the next: the compressor is
    libdeflate, pinned by the lock file. Modes are 755 or 644, whatever the umask; no host is named.
    """
    moment = time.gmtime(epoch)
    date = (moment.tm_year - 1980) << 9 | moment.tm_mon << 5 | moment.tm_mday
    clock = moment.tm_hour << 11 | moment.tm_min << 5 | moment.tm_sec // 2
    body, directory = bytearray(), bytearray()
    for name, member in members.items():
        encoded = name.encode()
        packed = bytes(deflate.deflate_compress(member.data, 9))
        method, packed = (8, packed) if len(packed) < len(member.data) else (0, member.data)
        utf8 = 0 if name.isascii() else 0x800
        common = (utf8, method, clock, date, zlib.crc32(member.data), len(packed), len(member.data), len(encoded), 0)
        mode = (0o100755 if member.executable else 0o100644) << 16
        directory += (
            struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 0x314, 20, *common, 0, 0, 0, mode, len(body)) + encoded
        )
        body += struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, *common) + encoded + packed
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, len(members), len(members), len(directory), len(body), 0)
    return bytes(body + directory + end)


def file_name(name: Name, tags: frozenset[Tag]) -> str:
    """The file name of a wheel with other tags: compressed tag sets, sorted (PEP 425)."""
    kinds = ({t.interpreter for t in tags}, {t.abi for t in tags}, {t.platform for t in tags})
    parts = [name.distribution, name.version, *([name.build] if name.build else [])]
    return "-".join([*parts, *(".".join(sorted(kind)) for kind in kinds)]) + ".whl"
