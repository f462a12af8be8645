"""Check that an archive is one thing to every reader: those of its central directory, and those of its local headers.

A zip file (PKWARE's APPNOTE 6.3) names each member twice: in a local header before its data (4.3.7), and in the central
directory at the end (4.3.12). Python and pip read the directory, streaming readers the local headers, and uv both. In a
sound wheel the members follow each other without gaps from the first byte on, then come the directory and its end
record (4.3.16), then nothing. Everything else is reported, because two readers may find two different wheels.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from wheelworks.audit.findings import Finding, abbreviate, sanitize

_LOCAL = struct.Struct("<4s2xHH4xIIIHH")  # flags, method, CRC-32, packed and unpacked size, lengths of name and extra
_CENTRAL = struct.Struct("<4s4xHH4xIIIHHH12x")  # the same, and the length of the comment
_END = struct.Struct("<4s16xH")  # the length of the comment
_ZIP64_END, _ZIP64_LOCATOR = 56, 20  # bytes of the records that large archives have before the end record
_LATER = 0xFFFFFFFF  # the size is in the ZIP64 extra field
_STREAMED, _ENCODING = 8, 0x801  # flags: sizes come after the data; encrypted, and names are UTF-8
_DESCRIPTORS = (12, 16, 20, 24)  # bytes that may come after the data of a streamed member
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075  # extra fields (APPNOTE 4.5.3, 4.6.9)
DIFFERENT = "W039"  # a finding of this kind means that two readers find two wheels
_BOMB, _LEAST_BOMB = 50, 64 << 20  # what the index accepts: unpacked size by packed size, above this size in bytes
_LARGEST_DIRECTORY = 256 << 20


@dataclass(frozen=True)
class Header:
    """What one header says of a member; ``end`` is the offset after the header in what was read."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    extra: bytes
    end: int

    @property
    def shown(self) -> str:
        """The name for display."""
        return sanitize(self.name.decode("utf-8", "replace"))


def check_container(archive: zipfile.ZipFile, length: int) -> Iterator[Finding]:
    """W038, W039, of an archive of ``length`` bytes that `zipfile` could open."""
    file = archive.fp
    if file is None or length - archive.start_dir > _LARGEST_DIRECTORY:
        return
    file.seek(archive.start_dir)
    directory = file.read(length - archive.start_dir)
    members, end = _read_directory(directory, [info.header_offset for info in archive.filelist])
    position = 0
    ends = [offset for offset, _ in members[1:]] + [archive.start_dir]
    for (offset, central), following in zip(members, ends, strict=False):  # an empty archive has no member
        yield from _check_gap(file, position, offset)
        local = _read_local(file, offset)
        if local is None:  # `zipfile` reports it when it reads the member: W001
            return
        yield from _compare_headers(local, central)
        position = _skip_descriptor(offset + local.end + central.packed, following, local)
    yield from _check_gap(file, position, archive.start_dir)
    yield from _check_end(directory, end)


def check_index_archive(archive: zipfile.ZipFile, length: int) -> Iterator[Finding]:
    """W052: what the index refuses in an archive of ``length`` bytes, although it is sound."""
    infos = archive.infolist()
    streamed = [info.filename for info in infos if info.flag_bits & _STREAMED]
    commented = [info.filename for info in infos if info.comment]
    packed = [info.filename for info in infos if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)]
    for names, why in (
        (streamed, "with sizes after the data"), (commented, "with comments"), (packed, "packed by another method"),
    ):  # fmt: skip
        if names:
            yield Finding("W052", f"{len(names)} members {why}: {abbreviate(map(sanitize, names))}")
    size = sum(info.file_size for info in infos)
    if size > _LEAST_BOMB and size > _BOMB * length:
        yield Finding("W052", f"{length} bytes unpack to {size}, more than {_BOMB} times as many")


def _read_directory(data: bytes, offsets: list[int]) -> tuple[list[tuple[int, Header]], int]:
    """Return each member's offset and central header, in the order of offsets, and the length of the directory."""
    found: list[tuple[int, Header]] = []
    place = 0
    for offset in offsets:
        signature, flags, method, crc, packed, size, name, extra, comment = _CENTRAL.unpack_from(data, place)
        if signature != b"PK\1\2":
            break
        place += _CENTRAL.size
        texts = data[place : place + name], data[place + name : place + name + extra]
        place += name + extra + comment
        sizes = _resolve_sizes(packed, size, texts[1])
        found.append((offset, Header(texts[0], flags, method, crc, *sizes, texts[1], place)))
    return sorted(found, key=lambda one: one[0]), place


def _read_local(file: IO[bytes], offset: int) -> Header | None:
    file.seek(offset)
    head = file.read(_LOCAL.size)
    if len(head) < _LOCAL.size or not head.startswith(b"PK\3\4"):
        return None
    _, flags, method, crc, packed, size, name, extra = _LOCAL.unpack(head)
    texts = file.read(name), file.read(extra)
    sizes = _resolve_sizes(packed, size, texts[1])
    return Header(texts[0], flags, method, crc, *sizes, texts[1], _LOCAL.size + name + extra)


def _resolve_sizes(packed: int, size: int, extra: bytes) -> tuple[int, int]:
    """Return the packed and unpacked size, from the ZIP64 extra field where the header says so (APPNOTE 4.5.3)."""
    field = next((data for kind, data in _list_fields(extra) if kind == _ZIP64), b"")
    numbers = [number for (number,) in struct.iter_unpack("<Q", field[: len(field) // 8 * 8])]
    size = numbers.pop(0) if size == _LATER and numbers else size
    packed = numbers.pop(0) if packed == _LATER and numbers else packed
    return packed, size


def _list_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the kind and the data of each extra field (APPNOTE 4.5.1)."""
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, place)
        yield kind, extra[place + 4 : place + 4 + length]
        place += 4 + length


def _compare_headers(local: Header, central: Header) -> Iterator[Finding]:
    """W039: one finding for a member, which names the first difference."""
    if found := _find_difference(local, central) or _find_other_path(local) or _find_other_path(central):
        yield Finding("W039", found, central.shown)


def _find_difference(local: Header, central: Header) -> str:
    if local.name != central.name:
        return f"the local header calls it {local.shown}"
    if local.method != central.method:
        return f"it is packed by method {central.method}, by its local header {local.method}"
    if (local.flags ^ central.flags) & _ENCODING:
        return f"its flags are {central.flags:#x}, in its local header {local.flags:#x}"
    stated = (local.crc, local.packed, local.size)
    if stated == (central.crc, central.packed, central.size) or (local.flags & _STREAMED and not any(stated[:2])):
        return ""
    shown = f"CRC-32 {local.crc:08x}, {local.packed} bytes packed, {local.size} unpacked"
    return f"the local header says {shown}; the directory {central.crc:08x}, {central.packed}, {central.size}"


def _find_other_path(header: Header) -> str:
    """Return the name in the extra field for Unicode paths, if it differs: Python reads it since 3.12 only."""
    for kind, data in _list_fields(header.extra):
        if kind == _UNICODE_PATH and data[5:] != header.name:
            return f"an extra field calls it {sanitize(data[5:].decode('utf-8', 'replace'))}"
    return ""


def _skip_descriptor(position: int, following: int, local: Header) -> int:
    """Return where a member ends: after the descriptor, for one that was written as a stream (APPNOTE 4.3.9)."""
    return following if local.flags & _STREAMED and following - position in _DESCRIPTORS else position


def _check_gap(file: IO[bytes], position: int, following: int) -> Iterator[Finding]:
    """W038, W039: what lies between the end of one record and the offset of the next."""
    if position > following:
        yield Finding("W039", f"two members share {position - following} bytes, at {following:#x}")
    elif position < following:
        hidden = _read_local(file, position)
        where = "before the archive" if not position else f"at {position:#x}"
        if hidden is None:
            yield Finding("W038", f"{following - position} bytes {where} belong to no member")
        else:
            yield Finding("W039", "only a local header names it", hidden.shown)


def _check_end(directory: bytes, end: int) -> Iterator[Finding]:
    """W038: what comes after the last entry of the directory."""
    for signature, length in ((b"PK\6\6", _ZIP64_END), (b"PK\6\7", _ZIP64_LOCATOR)):
        end += length if directory.startswith(signature, end) else 0
    if not directory.startswith(b"PK\5\6", end) or len(directory) < end + _END.size:
        yield Finding("W038", "there are bytes between the directory and its end record")
        return
    _, comment = _END.unpack_from(directory, end)
    rest = directory[end + _END.size :]
    if len(rest) > comment:
        yield Finding("W038", f"{len(rest) - comment} bytes after the archive")
    elif b"PK" in rest:
        yield Finding("W038", f"the comment of {comment} bytes contains an archive's records")
