"""Unpack an sdist from anywhere: nothing leaves the folder, and nothing grows without bound.

The files are made one by one from what the archive says, and no link is ever made, so that no later member can be
led astray by an earlier one; the standard library's own filter has had holes in each of its first years.
"""

from __future__ import annotations

import errno
import gzip
import io
import math
import struct
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

import deflate

from wheelworks.core.archive import MAX_HEADER_SIZE, LimitedReader, Limits, size_error
from wheelworks.core.errors import WheelworksError
from wheelworks.core.manifest import write

LIMITS = Limits()

_DAMAGE_ERRORS = (tarfile.TarError, EOFError, zlib.error, struct.error, ValueError, OverflowError, RecursionError)
# Windows' separators and streams, C's end, and what stands for bytes that are no UTF-8.
_FORBIDDEN_CHARACTERS = frozenset("\\:\0") | frozenset(map(chr, range(0xD800, 0xE000)))


def unpack_sdist(archive: Path, into: Path, limits: Limits = LIMITS) -> tuple[Path, int]:
    """Unpack ``archive`` (.tar.gz, PEP 625) into the new folder ``into``.

    Returns the project's folder and the time of the newest file, in seconds since 1970. Raises WheelworksError for
    an archive that is damaged, too large, or has a member that an sdist has no business to have.
    """
    try:
        with gzip.open(archive) as stream:
            capped = LimitedReader(stream, archive.name, limits)
            with tarfile.open(fileobj=capped, mode="r|") as tar:  # type: ignore[call-overload]  # it only reads
                newest = _Unpacking(archive.name, into, limits).all(tar, capped)
            while capped.read(1 << 16):  # up to gzip's checksum
                pass
    except _DAMAGE_ERRORS as error:
        raise WheelworksError(f"{archive.name}: damaged, or no sdist: {error}", "download it again") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise WheelworksError(f"{archive.name}: damaged, or no .tar.gz: {error}", "download it again") from error
    roots = sorted(path for path in into.iterdir())
    if len(roots) != 1 or not roots[0].is_dir():
        raise WheelworksError(f"{archive.name}: an sdist has one top folder, this has {len(roots)}: {_list_few(roots)}")
    return roots[0], newest


def _list_few(paths: list[Path]) -> str:
    names = [path.name for path in paths[:4]]
    return ", ".join(names) + (", ..." if len(paths) > 4 else "") or "nothing"


class _Unpacking:
    def __init__(self, archive: str, into: Path, limits: Limits) -> None:
        self.archive, self.into, self.limits = archive, into, limits
        self.size = self.count = self.newest = 0

    def all(self, tar: tarfile.TarFile, stream: LimitedReader) -> int:
        self.into.mkdir(parents=True, exist_ok=True)
        for member in tar:
            self.count += 1
            self.size += max(member.size, 0)
            if self.size > self.limits.size or self.count > self.limits.members:
                raise size_error(self.archive, self.limits)
            stream.room = max(member.size, 0) + MAX_HEADER_SIZE
            self.placed(tar, member)
        return self.newest

    def placed(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        try:
            self.one(tar, member)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise WheelworksError(
                f"{self.archive}: a part of {member.name[:200]} is both a file and a folder"
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
                raise
            raise WheelworksError(f"{self.archive}: {member.name[:200]}: too long a name, or none here") from error

    def one(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        place = self.place(member.name)
        if member.isdir():
            place.mkdir(parents=True, exist_ok=True)
        elif member.isreg():
            source = tar.extractfile(member)
            assert source is not None  # a regular file has contents
            self.write(source, place, member)
        elif member.issym() or member.islnk():
            self.copy(member, place)
        else:
            raise WheelworksError(f"{self.archive}: {member.name} is no file, folder or link (type {member.type!r})")

    def place(self, name: str) -> Path:
        """Where a member goes. Raises WheelworksError for a name that would leave the folder, on any system."""
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or any(p == ".." or set(p) & _FORBIDDEN_CHARACTERS for p in parts):
            raise WheelworksError(f"{self.archive}: the member {name!r} would be written outside its folder: refused")
        return self.into.joinpath(*parts)

    def write(self, source: IO[bytes], place: Path, member: tarfile.TarInfo) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        with open(place, "wb") as file:
            while block := source.read(1 << 20):
                file.write(block)
        place.chmod(0o755 if member.mode & 0o100 else 0o644)
        if math.isfinite(member.mtime):  # a pax header can say "nan"
            self.newest = max(self.newest, int(member.mtime))

    def copy(self, member: tarfile.TarInfo, place: Path) -> None:
        """A link becomes a copy of the file it names, which must stand in the archive before it."""
        base = PurePosixPath() if member.islnk() else PurePosixPath(member.name).parent
        parts: list[str] = []
        for part in (base / member.linkname).parts:
            if part == ".." and parts:
                parts.pop()
            else:
                parts.append(part)
        target = self.place("/".join(parts) if not member.linkname.startswith("/") else member.linkname)
        if not target.is_file():
            raise WheelworksError(f"{self.archive}: {member.name} links to {member.linkname}, no file before it")
        self.size += target.stat().st_size
        if self.size > self.limits.size:
            raise size_error(self.archive, self.limits)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(target.read_bytes())


def write_sdist(tree: Path, epoch: int, place: Path) -> Path:
    """The sdist of an unpacked one: every file dated ``epoch`` (seconds since 1970), in order, owned by nobody.

    setuptools' own bears the time of its making (pypa/setuptools#2133), and its builder's name.
    """
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in (tree, *_iter_tree(tree)):
            info = tarfile.TarInfo(path.relative_to(tree.parent).as_posix())
            info.mtime, info.mode = epoch, 0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644
            if path.is_dir():
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            else:
                info.size = path.stat().st_size
                with path.open("rb") as file:
                    tar.addfile(info, file)
    # the compressor that the lock file pins; its header names no time
    return write(place, bytes(deflate.gzip_compress(raw.getvalue(), 9)))


def _iter_tree(tree: Path) -> Iterator[Path]:
    return iter(sorted(tree.rglob("*"), key=lambda path: path.relative_to(tree).as_posix()))
