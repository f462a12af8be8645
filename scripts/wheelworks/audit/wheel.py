"""What the checks are given: a wheel, and each of its binaries while it is in memory."""

from __future__ import annotations

import base64
import calendar
import hashlib
import re
import stat
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from packaging.tags import Tag

from wheelworks.audit import platforms
from wheelworks.audit.disassembly import CodeRegion, find_code_regions
from wheelworks.audit.findings import Finding, sanitize
from wheelworks.core.archive import Limits
from wheelworks.core.binary import SUFFIXES, Binary, Parsed
from wheelworks.core.tags import Platform, parse_platforms
from wheelworks.core.wheel import WheelName

P = TypeVar("P")

# Module suffixes that carry no tag of their own; PEP 3149, PEP 384, PEP 803.
_PLAIN = ("abi3", "abi3t")


@dataclass(frozen=True)
class Policy:
    """What the caller declares: instruction sets that the wheels' users are known to have; the PE files' time."""

    cpu: frozenset[str] = frozenset()
    epoch: int | None = None


DEFAULT_POLICY = Policy()


@dataclass(frozen=True)
class ArchiveEntry:
    """What the archive's directory says of a member, as it stands there."""

    name: str
    size: int
    mode: int
    date: tuple[int, ...] = ()
    packed: int = 0


@dataclass
class AuditedWheel:
    """A wheel that is being audited: what its name and its directory say, and what reading its members brought."""

    file: str
    name: WheelName
    entries: tuple[ArchiveEntry, ...]
    policy: Policy
    hashes: dict[str, tuple[str, int]] = field(default_factory=dict)  # member: SHA-256 as in RECORD, bytes
    texts: dict[str, bytes] = field(default_factory=dict)  # the members below .dist-info
    natives: list[tuple[str, Binary]] = field(default_factory=list)

    @cached_property
    def names(self) -> frozenset[str]:
        """The members' names."""
        return frozenset(entry.name for entry in self.entries)

    @cached_property
    def info(self) -> str:
        """The ``.dist-info`` folder that carries the metadata; the one that the file name asks for if there are two."""
        found = {name.split("/")[0] for name in self.names if name.split("/")[0].endswith(".dist-info")}
        wanted = f"{self.name.distribution}-{self.name.version}.dist-info"
        return wanted if wanted in found or not found else min(found)

    @cached_property
    def platforms(self) -> tuple[Platform, ...]:
        """The platforms of the tags, the oldest promise first."""
        return parse_platforms(self.name.platforms)

    @property
    def tags(self) -> frozenset[Tag]:
        """The tags of the file's name."""
        return self.name.tags

    @cached_property
    def is_pure(self) -> bool:
        """Whether the tag is for any platform."""
        return self.name.platforms == {"any"}

    @cached_property
    def abis(self) -> frozenset[str]:
        """The ABI tags."""
        return frozenset(tag.abi for tag in self.tags)

    @cached_property
    def floor(self) -> tuple[int, int]:
        """The lowest CPython of the tags; (0, 0) where they name none."""
        versions = [tag.interpreter[2:] for tag in self.tags if tag.interpreter.startswith("cp")]
        return min(((int(one[:1]), int(one[1:] or 0)) for one in versions if one.isdigit()), default=(0, 0))

    @cached_property
    def epoch(self) -> int | None:
        """The one time (seconds since 1970) that all members bear, as SOURCE_DATE_EPOCH makes it; else None."""
        dates = {entry.date for entry in self.entries}
        return calendar.timegm((*dates.pop(), 0, 0, 0)) if len(dates) == 1 else None

    @cached_property
    def bundled(self) -> frozenset[str]:
        """The file names, in lower case, of what the wheel brings along."""
        return frozenset(name.rsplit("/", 1)[-1].casefold() for name in self.names)


@dataclass(frozen=True)
class NativeFile:
    """A binary, or one half of a universal one, while it is in memory.

    ``parsed`` is LIEF's, and dies with the file that it came from: nothing may keep it.
    """

    wheel: AuditedWheel
    member: str
    data: bytes
    parsed: Parsed
    facts: Binary
    halves: frozenset[str]

    @property
    def file(self) -> str:
        """The file's own name."""
        return self.member.rsplit("/", 1)[-1]

    @property
    def label(self) -> str:
        """The machine, where the file has several."""
        return f"{self.facts.machine}: " if len(self.halves) > 1 else ""

    @cached_property
    def platforms(self) -> tuple[Platform, ...]:
        """The platforms of the wheel that this binary is for, the oldest promise first."""
        return tuple(
            one
            for one in self.wheel.platforms
            if platforms.FORMATS[one.os] == self.facts.format and self.facts.machine in one.cpus
        )

    @cached_property
    def regions(self) -> list[CodeRegion]:
        """Its code."""
        return find_code_regions(self.parsed)

    @property
    def module(self) -> str:
        """The name of the extension module that the file's name promises; "" for a plain library or a program."""
        return module_name(self.file, self.wheel)


def module_name(file: str, wheel: AuditedWheel) -> str:
    """The module that Python would import from a file of that name; "" where it is a shared library or a program."""
    stem, dot, ending = file.partition(".")
    middle, _, last = ending.rpartition(".")
    if not dot or f".{last}" not in SUFFIXES:
        return ""
    if last == "pyd":
        return stem
    if last == "so" and (middle in _PLAIN or middle.startswith(("cpython-", "cp", "pypy", "graalpy"))):
        return stem
    return stem if last == "so" and not middle and not stem.startswith("lib") else ""


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
class MemberContent:
    """What reading a member brought: its hash as RECORD has it, its size, and its bytes where a check needs them."""

    name: str
    sha256: str
    size: int
    data: bytes | None
    is_binary: bool
    path: str


def list_entries(archive: zipfile.ZipFile) -> tuple[ArchiveEntry, ...]:
    """The files of an archive, with their names as they stand there."""
    return tuple(
        ArchiveEntry(info.orig_filename, info.file_size, info.external_attr >> 16, info.date_time, info.compress_size)
        for info in archive.infolist()
        if not info.orig_filename.endswith("/") or info.file_size
    )


def check_limits(found: tuple[ArchiveEntry, ...], packed: int) -> Iterator[Finding]:
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


def read_members(archive: zipfile.ZipFile, wheel: AuditedWheel) -> Iterator[MemberContent]:
    """Every member, read to its end. Raises zipfile.BadZipFile and its kin for a damaged one."""
    for info in archive.infolist():
        if info.is_dir() or stat.S_ISLNK(info.external_attr >> 16):
            continue
        yield _read_member(archive, info, text_limit(info.filename, wheel))


def text_limit(name: str, wheel: AuditedWheel) -> int:
    """The bytes of a text that are kept for the checks: of the metadata alone."""
    if not name.startswith(f"{wheel.info}/"):
        return 0
    return _LARGEST_LIST if name.endswith("/RECORD") or "/sboms/" in name else _LARGEST_TEXT


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> MemberContent:
    digest, size, path, tail = hashlib.sha256(), 0, "", b""
    pieces: list[bytes] = []
    is_binary = keep = False
    places: Sequence[re.Pattern[bytes]] = ()
    with archive.open(info) as file:
        while piece := file.read(_PIECE):
            if not size:
                is_binary = bool(_BINARY.match(piece))
                places = _path_patterns(info.filename, is_binary=is_binary)
                keep = info.file_size <= (LARGEST_BINARY if is_binary else most)
            size += len(piece)
            digest.update(piece)
            path = path or _find_build_path(tail + piece, places)
            tail = piece[-_OVERLAP:]
            if keep:
                pieces.append(piece)
    if size != info.file_size:
        raise zipfile.BadZipFile(f"{sanitize(info.filename)} is not of the size that it declares")
    sha256 = "sha256=" + base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
    data = b"".join(pieces) if keep or not size else None
    return MemberContent(info.filename, sha256, size, data, is_binary, path)


def _path_patterns(name: str, *, is_binary: bool) -> Sequence[re.Pattern[bytes]]:
    """What to look for in a member."""
    if is_binary:
        return (_BUILDERS, _HOMES)
    return (_BUILDERS, _HOMES, _IMAGES) if _GENERATED.search(name) else (_BUILDERS,)


def _find_build_path(data: bytes, places: Sequence[re.Pattern[bytes]]) -> str:
    found = next((match for place in places if (match := place.search(data))), None)
    return sanitize(found[0].decode("ascii", "replace"), 120) if found else ""
