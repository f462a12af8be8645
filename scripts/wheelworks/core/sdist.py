"""Unpack untrusted sdists.

Unpacking writes each file itself and never makes a link, so that no member can redirect a later one, and limits the
size. The filter of the standard library's `tarfile` had several vulnerabilities in its first years (CVE-2024-12718,
CVE-2025-4138, CVE-2025-4330, CVE-2025-4517).
"""

from __future__ import annotations

import errno
import gzip
import math
import posixpath
import tarfile
from pathlib import Path, PurePosixPath

from wheelworks.core.archive import DAMAGE, DEFAULT_LIMITS, MAX_HEADER_SIZE, LimitedReader, Limits, size_error
from wheelworks.core.errors import WheelworksError

# Windows' separators and streams, C's string end, and the surrogates that stand for bytes which aren't UTF-8.
_FORBIDDEN_CHARACTERS = frozenset("\\:\0") | frozenset(map(chr, range(0xD800, 0xE000)))


def unpack_sdist(archive: Path, into: Path, limits: Limits = DEFAULT_LIMITS) -> tuple[Path, int]:
    """Unpack ``archive`` (.tar.gz, PEP 625) into the new folder ``into``.

    Returns the project's folder and the time of the newest file, in seconds since 1970. Raises WheelworksError for an
    archive that is damaged, too large, or has a member that doesn't belong in an sdist.
    """
    try:
        with gzip.open(archive) as stream:
            reader = LimitedReader(stream, archive.name, limits)
            with tarfile.open(fileobj=reader, mode="r|") as tar:  # type: ignore[call-overload]  # it only reads
                newest = _Unpacker(archive.name, into, limits).unpack_all(tar, reader)
            while reader.read(1 << 16):  # up to gzip's checksum
                pass
    except (*DAMAGE, tarfile.TarError, OverflowError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise WheelworksError(f"{archive.name}: damaged or not an sdist: {error}", "download it again") from error
    roots = sorted(into.iterdir())
    if len(roots) != 1 or not roots[0].is_dir():
        names = ", ".join(path.name for path in roots[:4]) + (", ..." if len(roots) > 4 else "") or "nothing"
        raise WheelworksError(f"{archive.name}: an sdist has one top folder, this has {len(roots)}: {names}")
    return roots[0], newest


class _Unpacker:
    def __init__(self, archive: str, into: Path, limits: Limits) -> None:
        self.archive, self.into, self.limits = archive, into, limits
        self.size = self.count = self.newest = 0

    def unpack_all(self, tar: tarfile.TarFile, stream: LimitedReader) -> int:
        self.into.mkdir(parents=True, exist_ok=True)
        for member in tar:
            self.count += 1
            self._add_size(max(member.size, 0))
            stream.room = max(member.size, 0) + MAX_HEADER_SIZE
            try:
                self._unpack_member(tar, member)
            except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
                message = f"a part of {member.name[:200]} is both a file and a folder"
                raise WheelworksError(f"{self.archive}: {message}") from error
            except OSError as error:
                if error.errno not in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
                    raise
                message = f"{member.name[:200]}: the name is too long or not allowed here"
                raise WheelworksError(f"{self.archive}: {message}") from error
        return self.newest

    def _add_size(self, size: int) -> None:
        self.size += size
        if self.size > self.limits.size or self.count > self.limits.members:
            raise size_error(self.archive, self.limits)

    def _unpack_member(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        place = self._resolve(member.name)
        if member.isdir():
            place.mkdir(parents=True, exist_ok=True)
        elif member.isreg():
            self._write_file(tar, member, place)
        elif member.issym() or member.islnk():
            self._copy_link_target(member, place)
        else:
            raise WheelworksError(f"{self.archive}: {member.name} is no file, folder or link (type {member.type!r})")

    def _resolve(self, name: str) -> Path:
        """Return the path of a member. Raises WheelworksError for a name that leaves the folder on any system."""
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or any(p == ".." or set(p) & _FORBIDDEN_CHARACTERS for p in parts):
            raise WheelworksError(f"{self.archive}: the member {name!r} would be written outside its folder: refused")
        return self.into.joinpath(*parts)

    def _write_file(self, tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
        contents = tar.extractfile(member)
        assert contents is not None  # the member is a regular file
        place.parent.mkdir(parents=True, exist_ok=True)
        with open(place, "wb") as file:
            while block := contents.read(1 << 20):
                file.write(block)
        place.chmod(0o755 if member.mode & 0o100 else 0o644)
        if math.isfinite(member.mtime):  # a pax header can say "nan"
            self.newest = max(self.newest, int(member.mtime))

    def _copy_link_target(self, member: tarfile.TarInfo, place: Path) -> None:
        """Replace a link by a copy of its target, which must come before it in the archive."""
        base = PurePosixPath() if member.islnk() else PurePosixPath(member.name).parent
        target = self._resolve(posixpath.normpath(base / member.linkname))
        if not target.is_file():
            raise WheelworksError(f"{self.archive}: {member.name} links to {member.linkname}, no file before it")
        self._add_size(target.stat().st_size)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(target.read_bytes())
