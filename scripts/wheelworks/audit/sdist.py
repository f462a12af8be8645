"""Audit an sdist (PEP 625, PEP 643, PEP 721): read it as a stream, within limits, and unpack nothing."""

from __future__ import annotations

import gzip
import posixpath
import stat
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace
from packaging.utils import InvalidSdistFilename, parse_sdist_filename

from wheelworks.audit import archive, upload
from wheelworks.audit.findings import FileAudit, Finding, abbreviate, sanitize
from wheelworks.audit.policy import DEFAULT_POLICY
from wheelworks.audit.wheel import ArchiveEntry, AuditedWheel
from wheelworks.core.archive import MAX_HEADER_SIZE, LimitedReader, Limits
from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheel import WheelName

LIMITS = Limits(size=4 << 30)
SDIST_SUFFIX = ".tar.gz"
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, struct.error, ValueError, OverflowError, RecursionError)
_LARGEST_TEXT = 4 << 20
_SOURCE_FILES = (".gitignore", ".gitattributes")  # stray in a wheel, but not in a source tree


@dataclass
class Sdist:
    """An sdist under audit: what its file name declares, its members, and the texts that checks need."""

    distribution: str
    version: str
    entries: list[ArchiveEntry] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)  # the targets of links, from the archive's root
    texts: dict[str, bytes] = field(default_factory=dict)

    @property
    def top(self) -> str:
        """The top folder of the first member, which should be that of all."""
        return self.entries[0].name.split("/")[0] if self.entries else ""

    @property
    def names(self) -> frozenset[str]:
        """The names of all files."""
        return frozenset(one.name for one in self.entries)


def inspect_sdist(path: Path) -> FileAudit:
    """Audit one sdist. Anything wrong with the file becomes a finding, never an exception."""
    found: list[Finding] = []
    try:
        name, version = parse_sdist_filename(path.name)
        sdist = Sdist(name, str(version))
        _read_members(path, sdist)
        found += upload.check_size(path.stat().st_size)
        found += (finding for check in SDIST_CHECKS for finding in check(sdist))
    except InvalidSdistFilename as error:
        found.append(Finding("W003", sanitize(str(error))))
    except WheelworksError as error:
        found.append(Finding("W002", sanitize(error.message)))
    except OSError as error:  # gzip's errors for damage have no strerror
        found.append(Finding("W001", sanitize(error.strerror or str(error))))
    except _DAMAGE as error:
        found.append(Finding("W001", sanitize(f"{type(error).__name__}: {error}")))
    findings = tuple(replace(one, wheel=path.name) for one in dict.fromkeys(found))
    return FileAudit(path.name, findings, groups=("archive",))


def read_setup(path: Path) -> str:
    """Return the text of an sdist's setup.py; "" where it has none, or can't be read."""
    sdist = Sdist("", "")
    try:
        _read_members(path, sdist)
        return sdist.texts.get(f"{sdist.top}/setup.py", b"").decode()
    except (WheelworksError, OSError, *_DAMAGE):
        return ""


def _read_members(path: Path, sdist: Sdist) -> None:
    with gzip.open(path) as stream:
        limited = LimitedReader(stream, path.name, LIMITS)
        with tarfile.open(fileobj=limited, mode="r|") as tar:  # type: ignore[call-overload]  # it only reads
            for member in tar:
                if len(sdist.entries) >= LIMITS.members:
                    raise WheelworksError(f"more than {LIMITS.members} members")
                limited.room = max(member.size, 0) + MAX_HEADER_SIZE
                _add_member(tar, member, sdist)
                tar.members = []  # tarfile would keep every member of the stream
        while limited.read(1 << 16):  # up to gzip's checksum
            limited.room = MAX_HEADER_SIZE


def _add_member(tar: tarfile.TarFile, member: tarfile.TarInfo, sdist: Sdist) -> None:
    if member.isdir():
        return
    is_link = member.issym() or member.islnk()
    kind = stat.S_IFREG if member.isreg() or is_link else stat.S_IFIFO
    sdist.entries.append(ArchiveEntry(member.name, member.size, kind | member.mode & 0o7777))
    if is_link:
        base = "" if member.islnk() else posixpath.dirname(member.name)
        sdist.links[member.name] = posixpath.normpath(posixpath.join(base, member.linkname))
    elif member.name.count("/") == 1 and member.name.endswith(("/PKG-INFO", "/setup.py")):
        source = tar.extractfile(member) if member.size <= _LARGEST_TEXT else None
        sdist.texts[member.name] = source.read() if source else b""


def _check_members(sdist: Sdist) -> Iterator[Finding]:
    """W004, W005, W006, W007, W013, as in wheels."""
    name = WheelName(sdist.distribution, sdist.version, "", frozenset())
    wheel = AuditedWheel("", name, tuple(sdist.entries), DEFAULT_POLICY)
    checks = (archive.check_member_names, archive.check_duplicates, archive.check_file_types, archive.check_modes)
    for check in (*checks, archive.check_bytecode):
        yield from check(wheel)


def _check_links(sdist: Sdist) -> Iterator[Finding]:
    """W004: a link may only lead to a member of the same archive (PEP 721)."""
    for name, target in sdist.links.items():
        if target.startswith(("/", "..")) or target.split("/")[0] != sdist.top:
            yield Finding("W004", f"it links to {sanitize(target)}, outside of the sdist", sanitize(name))


def _check_stray_files(sdist: Sdist) -> Iterator[Finding]:
    """W014."""
    if found := [one for one in sdist.names if archive.STRAY.search(one) and not one.endswith(_SOURCE_FILES)]:
        yield Finding("W014", abbreviate(map(sanitize, found)))


def _check_top_folder(sdist: Sdist) -> Iterator[Finding]:
    """W028."""
    tops = {name.split("/")[0] for name in sdist.names}
    name, _, version = sdist.top.rpartition("-")
    if len(tops) != 1:
        yield Finding("W028", f"it has {len(tops)} top folders: {abbreviate(map(sanitize, tops))}")
    elif not archive.is_same_release(name, version, sdist.distribution, sdist.version):
        yield Finding("W028", f"it is {sanitize(sdist.top)}")


def _check_metadata(sdist: Sdist) -> Iterator[Finding]:
    """W017, W018, W021, W022, W027, W031 to W036, W051."""
    place = f"{sdist.top}/PKG-INFO"
    if place not in sdist.texts:
        yield Finding("W017", f"there is no {sanitize(place)}")
        return
    text, place = sdist.texts[place], sanitize(place)
    yield from archive.check_core_metadata(text, place, sdist.distribution, sdist.version)
    yield from upload.check_metadata(text, place)
    for stated in archive.read_field(text, "License-File"):
        if f"{sdist.top}/{stated}" not in sdist.names:
            yield Finding("W021", f"PKG-INFO names {sanitize(stated)}", place)
    yield from archive.check_any_licence(sdist.names)


SDIST_CHECKS: tuple[Callable[[Sdist], Iterator[Finding]], ...] = (
    _check_members, _check_links, _check_stray_files, _check_top_folder, _check_metadata,
)  # fmt: skip
