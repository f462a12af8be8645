"""Where two archives of one name differ: the member, the section or header field, and both values.

Beyond that, `run_diffoscope` asks diffoscope, if it is installed.
"""

from __future__ import annotations

import gzip
import io
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from wheelworks.core import process
from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheel import read_members

if TYPE_CHECKING:
    from wheelworks.reproduce.regions import FileRegion

ABSENT, PRESENT = "(absent)", "present"
_MAX_UNPACKED = 1 << 28  # bytes of an unpacked sdist
_MAX_REGIONS = 6  # reported differences of one binary
_MAX_LINE = 120  # reported characters of a line
_DIFFOSCOPE_SECONDS = 240
_PRINTABLE = re.compile(rb"[\x20-\x7e]{4,}")

# For each member ("" for the archive itself) what the archive stores besides its contents.
_Headers = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True)
class ByteDifference:
    """A difference: the member ("" for the archive itself), the place in it, and the value on both sides."""

    member: str
    where: str
    first: str
    second: str


def compare_files(first: Path, second: Path) -> list[ByteDifference]:
    """Return the differences between two wheels or two sdists; an empty list if their bytes are equal.

    Raises WheelworksError for another or damaged file, and for one that exceeds the limits on unpacked size.
    """
    if first.read_bytes() == second.read_bytes():
        return []
    read = _read_wheel if first.suffix == ".whl" else _read_sdist
    (ones, one_headers), (others, other_headers) = read(first), read(second)
    found = [*_compare_contents(ones, others), *_compare_headers(one_headers, other_headers)]
    return found or [ByteDifference("", "compressed data", "one compressor's", "another's, or another level")]


def find_equal_members(first: Path, second: Path) -> list[str]:
    """Return the members that are the same in two wheels. Raises WheelworksError for a damaged wheel."""
    (ones, _), (others, _) = _read_wheel(first), _read_wheel(second)
    return [name for name in sorted(ones.keys() & others.keys()) if ones[name] == others[name]]


def _read_wheel(path: Path) -> tuple[dict[str, bytes], _Headers]:
    """Return a wheel's members, and the fields of its central directory (APPNOTE 4.3.12) besides sizes and hashes."""
    contents = {name: member.data for name, member in read_members(path).items()}
    with zipfile.ZipFile(path) as archive:
        return contents, {
            one.filename: {
                "date": "{}-{:02}-{:02} {:02}:{:02}:{:02}".format(*one.date_time),
                "mode": f"{one.external_attr >> 16:o}",
                "compression method": one.compress_type,
                "flags": one.flag_bits,
                "system": one.create_system,
                "extra field": one.extra.hex(),
            }
            for one in archive.infolist()
        }


def _read_sdist(path: Path) -> tuple[dict[str, bytes], _Headers]:
    """Return the members of an sdist, and their tar fields (POSIX.1-2001); the gzip header (RFC 1952) is under ""."""
    contents, head = {}, path.read_bytes()[:10]
    fields: dict[str, Mapping[str, object]] = {}
    try:
        with gzip.open(path) as stream:
            data = stream.read(_MAX_UNPACKED + 1)
        if len(data) > _MAX_UNPACKED:
            raise WheelworksError(f"{path.name}: unpacks to more than {_MAX_UNPACKED >> 20} MiB: refused")
        fields[""] = {"gzip time": int.from_bytes(head[4:8], "little"), "gzip level": head[8], "gzip system": head[9]}
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for one in tar.getmembers():
                file = tar.extractfile(one) if one.isreg() else None
                contents[one.name] = file.read() if file else b""
                names = {"user": f"{one.uname} ({one.uid})", "group": f"{one.gname} ({one.gid})", "link": one.linkname}
                fields[one.name] = {"mtime": one.mtime, "mode": f"{one.mode:o}", "type": one.type, **names}
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError) as error:
        raise WheelworksError(f"{path.name}: damaged, or not an sdist: {error}", "download it again") from error
    return contents, fields


def _compare_contents(ones: Mapping[str, bytes], others: Mapping[str, bytes]) -> Iterator[ByteDifference]:
    """Compare members. RECORD, which lists the hashes of the others, is only reported if nothing else differs."""
    changed = [name for name in sorted({*ones, *others}) if ones.get(name) != others.get(name)]
    for name in [one for one in changed if not one.endswith(".dist-info/RECORD")] or changed:
        if name in ones and name in others:
            yield from _compare_member(name, ones[name], others[name])
        else:
            yield ByteDifference(name, "the file itself", *_describe_presence(name in ones, name in others))


def _describe_presence(first: bool, second: bool) -> tuple[str, str]:
    return PRESENT if first else ABSENT, PRESENT if second else ABSENT


def _compare_member(name: str, first: bytes, second: bytes) -> list[ByteDifference]:
    if first.replace(b"\r\n", b"\n") == second.replace(b"\r\n", b"\n") and b"\0" not in first:
        return [ByteDifference(name, "line ends only", _describe_line_ends(first), _describe_line_ends(second))]
    if line := _compare_lines(first, second):
        return [ByteDifference(name, *line)]
    return [ByteDifference(name, *found) for found in compare_binaries(first, second)]


def _describe_line_ends(text: bytes) -> str:
    crlf, lines = text.count(b"\r\n"), text.count(b"\n")
    return "LF" if not crlf else "CRLF" if crlf == lines else f"{crlf} CRLF of {lines}"


def _compare_lines(first: bytes, second: bytes) -> tuple[str, str, str] | None:
    if b"\0" in first or b"\0" in second:
        return None
    try:
        texts = first.decode().splitlines(keepends=True), second.decode().splitlines(keepends=True)
    except UnicodeDecodeError:
        return None
    lines = enumerate(zip_longest(*texts, fillvalue=""), 1)
    return next((f"line {at}", _format_line(one), _format_line(other)) for at, (one, other) in lines if one != other)


def _format_line(line: str) -> str:
    return repr(line[:_MAX_LINE]) + ("..." if len(line) > _MAX_LINE else "") if line else ABSENT


def _compare_headers(ones: _Headers, others: _Headers) -> list[ByteDifference]:
    found = []
    if list(ones) != list(others) and ones.keys() == others.keys():
        at = next(number for number, (a, b) in enumerate(zip(ones, others, strict=True)) if a != b)
        found.append(ByteDifference("", f"order of members, from number {at + 1} on", list(ones)[at], list(others)[at]))
    for name in ones.keys() & others.keys():
        for field, value in ones[name].items():
            if value != others[name].get(field):
                found.append(ByteDifference(name, f"archive's {field}", str(value), str(others[name].get(field))))
    return sorted(found, key=lambda one: (one.member, one.where))


def compare_binaries(first: bytes, second: bytes) -> list[tuple[str, str, str]]:
    """Return the places where two binaries differ, with both values, and finally how many more there are."""
    from wheelworks.reproduce.regions import find_regions  # LIEF takes half a second to import

    ones, others = _index_regions(find_regions(first)), _index_regions(find_regions(second))
    if ones.keys() != others.keys() and len(first) == len(second):  # a changed header made one unreadable
        ones = others = max(ones, others, key=len)
    found = [] if len(first) == len(second) else [("size of the file", f"{len(first)} bytes", f"{len(second)} bytes")]
    for name in dict.fromkeys([*ones, *others]):
        if name not in ones or name not in others:
            found.append((name, *_describe_presence(name in ones, name in others)))
        elif part := _compare_region(ones[name], others[name], first, second):
            found.append(part)
    if not found:
        size = min(len(first), len(second))
        found = [_find_first(first, second, 0, 0, size, "outside of all sections" if ones else "data")]
    more = len(found) - _MAX_REGIONS
    return found[:_MAX_REGIONS] + ([(f"and {more} more places", "", "")] if more > 0 else [])


def _index_regions(regions: list[FileRegion]) -> dict[str, FileRegion]:
    """Return regions by name; those that share a name are numbered."""
    found: dict[str, FileRegion] = {}
    for region in regions:
        same = sum(name == region.name or name.startswith(f"{region.name} #") for name in found)
        found[f"{region.name} #{same + 1}" if same else region.name] = region
    return found


def _compare_region(one: FileRegion, other: FileRegion, first: bytes, second: bytes) -> tuple[str, str, str] | None:
    a, b = first[one.offset : one.offset + one.size], second[other.offset : other.offset + other.size]
    if a == b:
        return None
    if one.field:
        values = f"{int.from_bytes(a, 'little'):#x}", f"{int.from_bytes(b, 'little'):#x}"
        return f"{one.name}, offset {one.offset:#x}", *values
    if len(a) != len(b) and (a.startswith(b) or b.startswith(a)):
        return f"{one.name}, size", f"{len(a)} bytes", f"{len(b)} bytes"
    return _find_first(first, second, one.offset, other.offset, min(len(a), len(b)), one.name)


def _find_first(first: bytes, second: bytes, one: int, other: int, size: int, name: str) -> tuple[str, str, str]:
    """Return the first difference of two areas of ``size`` bytes, at the offsets ``one`` and ``other``."""
    a, b = first[one : one + size], second[other : other + size]
    at = next((n for n, (x, y) in enumerate(zip(a, b, strict=True)) if x != y), size)
    return f"{name}, offset {one + at:#x}", _format_value(first, one + at), _format_value(second, other + at)


def _format_value(data: bytes, offset: int) -> str:
    """Return the text around an offset, or eight bytes in hexadecimal if it isn't text."""
    start = max(0, offset - 80)
    for match in _PRINTABLE.finditer(data[start : offset + 80]):
        if match.start() <= offset - start < match.end():
            return repr(match.group().decode())
    return data[offset : offset + 8].hex(" ") or "(the end)"


def run_diffoscope(first: Path, second: Path) -> str:
    """Return diffoscope's report on two files, limited in time and size; "" if it isn't installed."""
    if not shutil.which("diffoscope"):
        return ""
    limits = ("--max-text-report-size", "200000", "--timeout", str(_DIFFOSCOPE_SECONDS))
    try:
        return process.run(["diffoscope", *limits, first, second], timeout=_DIFFOSCOPE_SECONDS + 60).output
    except WheelworksError as error:
        return error.message
