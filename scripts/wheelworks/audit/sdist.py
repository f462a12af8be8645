"""Audit an sdist (PEP 625, PEP 643, PEP 721): read as a stream, within limits, and nothing is unpacked."""

from __future__ import annotations

import gzip
import posixpath
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.utils import InvalidSdistFilename, parse_sdist_filename

from wheelworks.audit import archive
from wheelworks.audit.findings import FileAudit, Finding, abbreviate, sanitize
from wheelworks.audit.wheel import DEFAULT_POLICY, ArchiveEntry, AuditedWheel
from wheelworks.core.archive import MAX_HEADER_SIZE, LimitedReader, Limits
from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheel import WheelName

LIMITS = Limits(size=4 << 30)
SDIST_SUFFIX = ".tar.gz"
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, struct.error, ValueError, OverflowError, RecursionError)
_LARGEST_TEXT = 4 << 20
_OF_SOURCES = (".gitignore", ".gitattributes")  # a source tree may have them


@dataclass
class Sdist:
    """An sdist that is being audited: what its file's name says, its members, and the two texts that are kept."""

    distribution: str
    version: str
    entries: list[ArchiveEntry] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)  # where each leads, from the archive's root
    texts: dict[str, bytes] = field(default_factory=dict)

    @property
    def top(self) -> str:
        """The folder that all members are in, as the first of them says."""
        return self.entries[0].name.split("/")[0] if self.entries else ""

    @property
    def names(self) -> frozenset[str]:
        """The names of all files."""
        return frozenset(one.name for one in self.entries)


def inspect_sdist(path: Path) -> FileAudit:
    """Audit one sdist. Whatever is wrong with the file is a finding, never an exception."""
    found: list[Finding] = []
    try:
        name, version = parse_sdist_filename(path.name)
        sdist = Sdist(name, str(version))
        _read(path, sdist)
        found += (finding for check in SDIST_CHECKS for finding in check(sdist))
    except InvalidSdistFilename as error:
        found.append(Finding("W003", sanitize(str(error))))
    except WheelworksError as error:
        found.append(Finding("W002", sanitize(error.message)))
    except OSError as error:  # gzip's damage has no number
        found.append(Finding("W001", sanitize(error.strerror or str(error))))
    except _DAMAGE as error:
        found.append(Finding("W001", sanitize(f"{type(error).__name__}: {error}")))
    return FileAudit(path.name, tuple(replace(one, wheel=path.name) for one in dict.fromkeys(found)), (), ("archive",))


def _read(path: Path, sdist: Sdist) -> None:
    with gzip.open(path) as stream:
        capped = LimitedReader(stream, path.name, LIMITS)
        with tarfile.open(fileobj=capped, mode="r|") as tar:  # type: ignore[call-overload]  # it only reads
            for member in tar:
                if len(sdist.entries) >= LIMITS.members:
                    raise WheelworksError(f"more than {LIMITS.members} members")
                capped.room = max(member.size, 0) + MAX_HEADER_SIZE
                _note(tar, member, sdist)
                tar.members = []  # of a stream, none is asked for again
        while capped.read(1 << 16):  # up to gzip's checksum
            capped.room = MAX_HEADER_SIZE


def _note(tar: tarfile.TarFile, member: tarfile.TarInfo, sdist: Sdist) -> None:
    if member.isdir():
        return
    kind = 0o100000 if member.isreg() or member.issym() or member.islnk() else 0o010000
    sdist.entries.append(ArchiveEntry(member.name, member.size, kind | member.mode & 0o7777))
    if member.issym() or member.islnk():
        base = "" if member.islnk() else posixpath.dirname(member.name)
        sdist.links[member.name] = posixpath.normpath(posixpath.join(base, member.linkname))
    elif member.name.count("/") == 1 and member.name.endswith(("/PKG-INFO", "/setup.py")):
        source = tar.extractfile(member) if member.size <= _LARGEST_TEXT else None
        sdist.texts[member.name] = source.read() if source else b""


def _names(sdist: Sdist) -> Iterator[Finding]:
    """W004, W005, W006, W007, W013: as of wheels."""
    plain = AuditedWheel(
        "", WheelName(sdist.distribution, sdist.version, "", frozenset()), tuple(sdist.entries), DEFAULT_POLICY
    )
    for check in (
        archive.check_member_names,
        archive.check_duplicates,
        archive.check_file_types,
        archive.check_modes,
        archive.check_bytecode,
    ):
        yield from check(plain)


def _links(sdist: Sdist) -> Iterator[Finding]:
    """W004: a link may lead to a member of the same archive (PEP 721), and nowhere else."""
    for name, target in sdist.links.items():
        if target.startswith(("/", "..")) or target.split("/")[0] != sdist.top:
            yield Finding("W004", f"it links to {sanitize(target)}, outside of the sdist", sanitize(name))


def _stray(sdist: Sdist) -> Iterator[Finding]:
    """W014."""
    if found := [one for one in sdist.names if archive.STRAY.search(one) and not one.endswith(_OF_SOURCES)]:
        yield Finding("W014", abbreviate(map(sanitize, found)))


def _top(sdist: Sdist) -> Iterator[Finding]:
    """W028."""
    tops = {name.split("/")[0] for name in sdist.names}
    name, _, version = sdist.top.rpartition("-")
    if len(tops) != 1:
        yield Finding("W028", f"{len(tops)} of them: {abbreviate(map(sanitize, tops))}")
    elif not archive.is_same_release(name, version, sdist.distribution, sdist.version):
        yield Finding("W028", f"it is {sanitize(sdist.top)}")


def _metadata(sdist: Sdist) -> Iterator[Finding]:
    """W017, W018, W021, W022, W027."""
    place = f"{sdist.top}/PKG-INFO"
    if place not in sdist.texts:
        yield Finding("W017", f"there is no {sanitize(place)}")
        return
    yield from archive.check_core_metadata(sdist.texts[place], place, sdist.distribution, sdist.version)
    for stated in archive.read_field(sdist.texts[place], "License-File"):
        if f"{sdist.top}/{stated}" not in sdist.names:
            yield Finding("W021", f"PKG-INFO names {sanitize(stated)}", place)
    yield from archive.check_any_licence(sdist.names)


SDIST_CHECKS: tuple[Callable[[Sdist], Iterator[Finding]], ...] = (_names, _links, _stray, _top, _metadata)


def read_setup(path: Path) -> str:
    """The text of an sdist's setup.py; "" where it has none, or can't be read."""
    sdist = Sdist("", "")
    try:
        _read(path, sdist)
        return sdist.texts.get(f"{sdist.top}/setup.py", b"").decode()
    except (WheelworksError, OSError, *_DAMAGE):
        return ""
