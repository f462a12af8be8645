"""Unpack untrusted sdists.

Unpacking writes each file itself, copies the targets of links at the end, and never makes a link, so that no member can
redirect a later one. It limits the size. The filter of the standard library's `tarfile` had several vulnerabilities in
its first years (CVE-2024-12718, CVE-2025-4138, CVE-2025-4330, CVE-2025-4517).
"""

from __future__ import annotations

import errno
import gzip
import math
import posixpath
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from wheelworks.core.archive import DAMAGE, DEFAULT_LIMITS, MAX_HEADER_SIZE, LimitedReader, Limits, size_error
from wheelworks.core.errors import WheelworksError

_MAX_LINKS = 40  # from one to the next, as on Linux (path_resolution(7))
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
        self.links: dict[Path, tuple[str, Path]] = {}  # by place: the member's name, and the place of its target

    def unpack_all(self, tar: tarfile.TarFile, stream: LimitedReader) -> int:
        self.into.mkdir(parents=True, exist_ok=True)
        for member in tar:
            self.count += 1
            self._add_size(max(member.size, 0))
            stream.room = max(member.size, 0) + MAX_HEADER_SIZE
            with self._name_errors(member.name):
                self._unpack_member(tar, member)
        with self._name_errors(next((name for name, _ in self.links.values()), "")):
            self._copy_link_targets()
        return self.newest

    @contextmanager
    def _name_errors(self, name: str) -> Iterator[None]:
        """Turn errors that the archive causes into ones that name its member."""
        try:
            yield
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            message = f"a part of {name[:200]} is both a file and a folder, or there twice"
            raise WheelworksError(f"{self.archive}: {message}") from error
        except OSError as error:
            if error.errno not in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
                raise
            message = f"{name[:200]}: the name is too long or not allowed here"
            raise WheelworksError(f"{self.archive}: {message}") from error

    def _add_size(self, size: int) -> None:
        self.size += size
        if self.size > self.limits.size or self.count > self.limits.members:
            raise size_error(self.archive, self.limits)

    def _unpack_member(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        place = self._resolve(member.name)
        self.links.pop(place, None)  # a later member of the same name counts
        if member.isdir():
            place.mkdir(parents=True, exist_ok=True)
        elif member.isreg():
            self._write_file(tar, member, place)
        elif member.issym() or member.islnk():
            self._note_link(member, place)
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

    def _note_link(self, member: tarfile.TarInfo, place: Path) -> None:
        """Note a link, whose target may come after it in the archive (PEP 721), and must be inside its folder."""
        base = PurePosixPath() if member.islnk() else PurePosixPath(member.name).parent
        target = self._resolve(posixpath.normpath(base / member.linkname))
        self.links[place] = member.name, target

    def _copy_link_targets(self) -> None:
        """Replace every link by a copy of its target, those to other links after these."""
        for _ in range(_MAX_LINKS):
            unfinished = {folder for place in self.links for folder in place.parents}
            ready = {
                place: target
                for place, (_, target) in self.links.items()
                if target.is_file() or (target.is_dir() and target not in unfinished)
            }
            for place, target in ready.items():
                del self.links[place]
                self._copy_link_target(place, target)
            if not ready:
                break
        for name, target in self.links.values():
            problem = f"{name} links to {target.relative_to(self.into)}, which isn't in the archive or contains it"
            raise WheelworksError(f"{self.archive}: {problem}")

    def _copy_link_target(self, place: Path, target: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        if target.is_file():
            self._add_size(target.stat().st_size)
            with open(target, "rb") as source, open(place, "xb") as copy:
                shutil.copyfileobj(source, copy)
            return
        place.mkdir()
        for path in sorted(target.iterdir()):
            self._add_size(0)
            self._copy_link_target(place / path.name, path)
