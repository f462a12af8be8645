"""Archives: limits for untrusted ones, and zip files whose bytes depend on their contents alone."""

from __future__ import annotations

import gzip
import lzma
import struct
import time
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import deflate

from wheelworks.core.errors import WheelworksError

# Everything that `zipfile` raises for a damaged archive, besides OSError.
DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, RuntimeError, ValueError, IndexError)

# The most that `tarfile` may read to learn about one member, in bytes: its name and the pax headers that tools add.
MAX_HEADER_SIZE = 1 << 18


@dataclass(frozen=True)
class Limits:
    """The most that an archive may hold: bytes after unpacking, and members."""

    size: int = 1 << 30
    members: int = 50_000


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Member:
    """A file in an archive: its contents, and whether it is executable."""

    data: bytes
    executable: bool = False


class LimitedReader:
    """A gzip stream that raises an error instead of returning more bytes than an archive may hold.

    ``room`` is how many bytes may come before the next member is known, because `tarfile` keeps a member's headers
    in memory. The caller sets it for each member.
    """

    def __init__(self, stream: gzip.GzipFile, name: str, limits: Limits) -> None:
        self.stream, self.name, self.limits = stream, name, limits
        self.left = limits.size + limits.members * 2048
        self.room = MAX_HEADER_SIZE

    def read(self, size: int = -1) -> bytes:
        """Return bytes of the stream. Raises WheelworksError beyond the limits."""
        data = self.stream.read(size)
        self.left -= len(data)
        self.room -= len(data)
        if self.left < 0 or self.room < 0:
            raise size_error(self.name, self.limits)
        return data


def size_error(name: str, limits: Limits) -> WheelworksError:
    """Return the error for an archive beyond its limits."""
    return WheelworksError(f"{name}: unpacks to more than {limits.size >> 20} MiB or {limits.members} members: refused")


def build_archive(members: Mapping[str, Member], epoch: int) -> bytes:
    """Return a zip archive (PKWARE's APPNOTE 6.3) of ``members`` in their order, all dated ``epoch`` (Unix seconds).

    zlib and its replacements compress to different bytes, from one Python to the next. The compressor is libdeflate,
    pinned by the lock file. File modes are 755 or 644 whatever the umask, and no host system is named.
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
        entry = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 0x314, 20, *common, 0, 0, 0, mode, len(body))
        directory += entry + encoded
        body += struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, *common) + encoded + packed
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, len(members), len(members), len(directory), len(body), 0)
    return bytes(body + directory + end)
