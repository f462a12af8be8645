"""Wheel files: parse their names, open them within limits, and replace their tags and RECORD.

Binary distribution format: PEP 427, PEP 425, and the PyPA specifications that maintain them.
"""

from __future__ import annotations

import base64
import csv
import errno
import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from wheelworks.core.archive import DAMAGE, DEFAULT_LIMITS, Limits, Member
from wheelworks.core.errors import Unsupported, WheelworksError

# Windows' separators and streams, and control characters, which no line of RECORD can hold.
_FORBIDDEN_IN_NAMES = frozenset("\\:\x7f") | frozenset(map(chr, range(32)))


class DamagedWheel(WheelworksError):
    """A file that no installer should accept: not an archive, names that would escape a folder, a wrong RECORD."""

    def __init__(self, message: str, hint: str = "build or download the wheel again") -> None:
        super().__init__(message, hint)


@dataclass(frozen=True)
class WheelName:
    """The parts of a wheel's file name."""

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


@cache
def parse_wheel_name(filename: str) -> WheelName:
    """Parse a wheel's file name, once for each name. Raises WheelworksError."""
    try:
        _, _, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise WheelworksError(f"{filename}: not a wheel's file name: {error}") from error
    parts = filename.removesuffix(".whl").split("-")
    return WheelName(parts[0], parts[1], parts[2] if len(parts) == 6 else "", tags)


def format_wheel_name(name: WheelName, tags: frozenset[Tag]) -> str:
    """Return the file name of a wheel with other tags, as sorted compressed tag sets (PEP 425)."""
    kinds = ({t.interpreter for t in tags}, {t.abi for t in tags}, {t.platform for t in tags})
    parts = [name.distribution, name.version, *([name.build] if name.build else [])]
    return "-".join([*parts, *(".".join(sorted(kind)) for kind in kinds)]) + ".whl"


def claims_extension(name: WheelName) -> bool:
    """Return whether a wheel's tags name an ABI of CPython, so that it must have an extension module."""
    return all(tag.abi != "none" for tag in name.tags)


@dataclass(frozen=True, eq=False)
class Wheel:
    """A wheel that was opened once: its path, its parsed file name, and its members in the archive's order."""

    path: Path
    name: WheelName
    members: Mapping[str, Member]


def open_wheel(path: Path, limits: Limits = DEFAULT_LIMITS, wanted: Callable[[str], bool] = lambda name: True) -> Wheel:
    """Open a wheel and unpack the members whose names are ``wanted``. Raises WheelworksError as `read_members` does."""
    return Wheel(path, parse_wheel_name(path.name), read_members(path, limits, wanted))


def read_members(
    path: Path, limits: Limits = DEFAULT_LIMITS, wanted: Callable[[str], bool] = lambda name: True
) -> dict[str, Member]:
    """Return the members of a zip file whose names are ``wanted``, in the archive's order; only these are unpacked.

    Raises WheelworksError for a damaged archive, one beyond the limits, and names that would escape a folder.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            _check_limits(path.name, infos, limits, wanted)
            return {info.filename: _read_member(archive, info) for info in infos if wanted(info.filename)}
    except DAMAGE as error:
        raise DamagedWheel(f"{path.name}: damaged, or not a wheel: {error}") from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # damage in bz2 data, and a position before the file's start
            raise
        raise DamagedWheel(f"{path.name}: damaged, or not a wheel: {error}") from error


def _check_limits(name: str, infos: list[zipfile.ZipInfo], limits: Limits, wanted: Callable[[str], bool]) -> None:
    size = sum(info.file_size for info in infos if wanted(info.filename))
    if len(infos) > limits.members or size > limits.size:
        raise Unsupported(f"{name}: holds more than {limits.size >> 20} MiB or {limits.members} files: refused")
    for info in infos:
        parts = info.filename.split("/")
        if ".." in parts or "" in parts or set(info.orig_filename) & _FORBIDDEN_IN_NAMES:
            raise DamagedWheel(f"{name}: the member {info.filename!r} would be written outside its folder: refused")
    if len({info.filename for info in infos}) != len(infos):
        raise DamagedWheel(f"{name}: holds two files with the same name: refused")


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    with archive.open(info) as file:
        data = file.read(info.file_size + 1)
    if len(data) != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename} does not have its declared size")
    return Member(data, bool(info.external_attr >> 16 & 0o100))


def find_dist_info(members: Mapping[str, Member], name: str) -> str:
    """Return the one ``*.dist-info`` folder of a wheel. Raises WheelworksError for none, or more than one."""
    found = {member.split("/")[0] for member in members if member.split("/")[0].endswith(".dist-info")}
    if len(found) != 1:
        raise DamagedWheel(f"{name}: a wheel has one .dist-info folder, this one has {len(found)}")
    return found.pop()


def check_record(members: Mapping[str, Member], name: str) -> None:
    """Check that RECORD names every file with its SHA-256 hash. Raises WheelworksError that names the first fault."""
    record = f"{find_dist_info(members, name)}/RECORD"
    if record not in members:
        raise DamagedWheel(f"{name}: it has no RECORD, so its files cannot be checked")
    try:
        rows = list(csv.reader(io.StringIO(members[record].data.decode())))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DamagedWheel(f"{name}: its RECORD cannot be read: {error}") from error
    hashes = {row[0]: row[1] for row in rows if len(row) == 3}
    for file, member in members.items():
        if not file.startswith(record) and hashes.get(file) != _hash_for_record(member.data):
            raise DamagedWheel(f"{name}: {file} is not in RECORD with its SHA-256 hash")


def _hash_for_record(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def replace_tags(members: Mapping[str, Member], tags: frozenset[Tag], info: str) -> dict[str, Member]:
    """Return the members with the WHEEL file's tags replaced: one line a tag, expanded and sorted.

    Raises WheelworksError without a WHEEL file in the folder ``info``.
    """
    if f"{info}/WHEEL" not in members:
        raise WheelworksError(f"{info}: not a wheel: it has no WHEEL file")
    lines = members[f"{info}/WHEEL"].data.decode("utf-8", "replace").splitlines()
    kept = [line for line in lines if line.strip() and not line.startswith("Tag:")]
    text = "\n".join([*kept, *sorted(f"Tag: {tag}" for tag in tags)]) + "\n"
    return {**members, f"{info}/WHEEL": Member(text.encode())}


def replace_record(members: Mapping[str, Member], info: str) -> dict[str, Member]:
    """Return the members with a new RECORD, in a wheel's order: ``.dist-info`` after all others, RECORD last."""
    names = sorted(members.keys() - {f"{info}/RECORD"}, key=lambda name: (name.startswith(info + "/"), name))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    for name in names:
        writer.writerow([name, _hash_for_record(members[name].data), len(members[name].data)])
    writer.writerow([f"{info}/RECORD", "", ""])
    return {**{name: members[name] for name in names}, f"{info}/RECORD": Member(table.getvalue().encode())}
