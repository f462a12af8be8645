"""Turn the compact unwind information of a macOS image into DWARF's, which the unwinder of Linux reads.

Apple's unwinder finds a function in ``__TEXT,__unwind_info``: a number says how to restore the caller's registers, or
that DWARF in ``__TEXT,__eh_frame`` does. Linux's (libgcc) finds each function by a sorted table, ``.eh_frame_hdr``. So
each function with a compact encoding gets an FDE in a new ``.eh_frame``, and the table points to these and to the FDEs
in ``__eh_frame``, which stay where they are. Personality routines and LSDAs are those of the Itanium ABI on both.

Sources: Apple's <mach-o/compact_unwind_encoding.h>; LLVM's libunwind, ``CompactUnwinder.hpp``, for what each encoding
restores; the Linux Standard Base Core Specification, "Exception Frames", for ``.eh_frame`` and ``.eh_frame_hdr``;
DWARF 5, section 6.4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from wheelworks.core.image import BadImage, Image, Segment
from wheelworks.foreign.rewrap import cfi
from wheelworks.foreign.rewrap.cfi import Function

# Fields of an encoding that all CPUs share
_HAS_LSDA = 0x40000000
_PERSONALITY_SHIFT, _PERSONALITY_MASK = 28, 0x3
_MODE_MASK = 0x0F000000

_REGULAR_PAGE, _COMPRESSED_PAGE = 2, 3
_HEADER = struct.Struct("<7I")
_INDEX_ENTRY = struct.Struct("<3I")
_VERSION = 1
MAX_FUNCTIONS = 1_000_000  # more than in any library of 256 MiB


@dataclass(frozen=True)
class EhFrame:
    """The new sections, to be put into one read-only segment, and what is in them.

    ``frames`` are the addresses of FDEs by those of their functions. ``skipped`` are functions whose encoding isn't
    understood: an exception that reaches one ends the process.
    """

    address: int
    eh_frame: bytes
    header_address: int
    header: bytes
    skipped: tuple[int, ...] = ()
    frames: dict[int, int] = field(default_factory=dict)


def make_eh_frame(image: Image, address: int) -> EhFrame | None:
    """Return ``.eh_frame`` for ``address`` (a multiple of 8) and ``.eh_frame_hdr`` right behind it.

    Returns None for an image without unwind information. Raises BadImage where it points outside of the image, or isn't
    sorted.
    """
    if not image.unwind_info[1] and not image.eh_frame[1]:
        return None
    existing = find_frames(image)
    builder = cfi.FrameBuilder(image.cpu, address)
    table: dict[int, int] = {}  # the start of each function -> the address of its FDE
    skipped = []
    for function in read_functions(image):
        rules = cfi.read_rules(image, function.start, function.encoding)
        if rules is not None:
            table[function.start] = builder.add(function, rules)
        elif function.encoding & _MODE_MASK and function.start not in existing:
            skipped.append(function.start)
    # Encodings that say "see __eh_frame" have an offset that is too small for large sections: the start decides.
    for start, fde in existing.items():
        table.setdefault(start, fde)
    eh_frame = builder.finish()
    header_address = address + len(eh_frame)
    header = _make_header(header_address, address, table)
    return EhFrame(address, eh_frame, header_address, header, tuple(skipped), table)


def _make_header(address: int, eh_frame: int, table: dict[int, int]) -> bytes:
    """Return ``.eh_frame_hdr``: version 1, the distance to ``.eh_frame``, and pairs relative to the header itself."""
    encodings = bytes([1, cfi.PC_RELATIVE | cfi.SIGNED_4, cfi.UNSIGNED_4, cfi.DATA_RELATIVE | cfi.SIGNED_4])
    head = encodings + struct.pack("<iI", eh_frame - (address + 4), len(table))
    return head + b"".join(struct.pack("<ii", start - address, fde - address) for start, fde in sorted(table.items()))


# -- reading __unwind_info


def read_functions(image: Image) -> list[Function]:
    """Return the functions of ``__TEXT,__unwind_info``, sorted by address. Raises BadImage."""
    address, size = image.unwind_info
    if not size:
        return []
    data = _read(image, address, size, "unwind information")
    try:
        return list(_iterate_functions(data, image))
    except struct.error:
        raise BadImage("the unwind information points behind its own end") from None


def _iterate_functions(data: bytes, image: Image) -> Iterator[Function]:
    version, common_at, common_count, people_at, people_count, index_at, index_count = _HEADER.unpack_from(data)
    if version != _VERSION:
        raise BadImage(f"unwind information of version {version}")
    common = _read_words(data, common_at, common_count)
    personalities = _read_words(data, people_at, people_count)
    index = [_INDEX_ENTRY.unpack_from(data, index_at + 12 * i) for i in range(_check_count(index_count, data, 12))]
    lsdas = _read_lsdas(data, index)
    _check_addresses((*personalities, *lsdas.values()), image)
    entries = list(_iterate_entries(data, index, common))
    if not entries:
        return
    if len(entries) > MAX_FUNCTIONS:
        raise BadImage(f"unwind information of {len(entries)} functions")
    ends = [start for start, _ in entries[1:]] + [index[-1][0]]
    for (start, encoding), end in zip(entries, ends, strict=True):
        if not start <= end <= image.size:
            raise BadImage(f"unwind information isn't sorted, or leaves the image, at {start:#x}")
        if start < end:
            yield _make_function(start, end, encoding, personalities, lsdas)


def _make_function(
    start: int, end: int, encoding: int, personalities: tuple[int, ...], lsdas: dict[int, int]
) -> Function:
    number = encoding >> _PERSONALITY_SHIFT & _PERSONALITY_MASK
    if number > len(personalities):
        raise BadImage(f"unwind information names a personality routine that doesn't exist, at {start:#x}")
    lsda = lsdas.get(start, 0) if encoding & _HAS_LSDA else 0
    return Function(start, end, encoding, personalities[number - 1] if number else 0, lsda)


def _check_addresses(addresses: Iterable[int], image: Image) -> None:
    beyond = next((address for address in addresses if address >= image.size), None)
    if beyond is not None:
        raise BadImage(f"unwind information refers to {beyond:#x}, beyond the image")


def _check_count(count: int, data: bytes, width: int) -> int:
    if count * width > len(data):
        raise BadImage(f"unwind information claims {count} entries in {len(data)} bytes")
    return count


def _read_words(data: bytes, at: int, count: int) -> tuple[int, ...]:
    return struct.unpack_from(f"<{_check_count(count, data, 4)}I", data, at)


def _read_lsdas(data: bytes, index: list[tuple[int, int, int]]) -> dict[int, int]:
    """Return the LSDA of each function: one array for the whole image, which the index points into."""
    if not index:
        return {}
    first, last = index[0][2], index[-1][2]
    if last < first:
        raise BadImage("unwind information with an LSDA index that ends before it starts")
    words = _read_words(data, first, (last - first) // 8 * 2)
    return dict(zip(words[::2], words[1::2], strict=True))


def _iterate_entries(
    data: bytes, index: list[tuple[int, int, int]], common: tuple[int, ...]
) -> Iterator[tuple[int, int]]:
    """Yield the start and the encoding of each entry; the last entry of the index only says where functions end."""
    left = len(data) // 4  # an entry takes 4 bytes or more, and no two pages share one
    for base, page_at, _ in index[:-1]:
        if not page_at:
            continue  # a gap
        (kind,) = struct.unpack_from("<I", data, page_at)
        if kind == _REGULAR_PAGE:
            entries = _read_regular_page(data, page_at)
        elif kind == _COMPRESSED_PAGE:
            entries = _read_compressed_page(data, page_at, base, common)
        else:
            raise BadImage(f"unwind information with a page of kind {kind}")
        left -= len(entries)
        if left < 0:
            raise BadImage("unwind information whose pages overlap")
        yield from entries


def _read_regular_page(data: bytes, at: int) -> list[tuple[int, int]]:
    entries_at, count = struct.unpack_from("<2H", data, at + 4)
    words = struct.unpack_from(f"<{2 * count}I", data, at + entries_at)
    return list(zip(words[::2], words[1::2], strict=True))


def _read_compressed_page(data: bytes, at: int, base: int, common: tuple[int, ...]) -> list[tuple[int, int]]:
    entries_at, count, encodings_at, encodings_count = struct.unpack_from("<4H", data, at + 4)
    encodings = common + struct.unpack_from(f"<{encodings_count}I", data, at + encodings_at)
    words = struct.unpack_from(f"<{count}I", data, at + entries_at)
    if any(word >> 24 >= len(encodings) for word in words):
        raise BadImage("unwind information names an encoding that doesn't exist")
    return [(base + (word & 0xFFFFFF), encodings[word >> 24]) for word in words]


# -- reading __eh_frame


def find_frames(image: Image) -> dict[int, int]:
    """Return the addresses of the FDEs in ``__TEXT,__eh_frame`` by those of their functions. Raises BadImage."""
    return dict(_iterate_frames(image))


def _iterate_frames(image: Image) -> Iterator[tuple[int, int]]:
    """Yield the start of each function with an FDE in ``__eh_frame``, and the FDE's address.

    Only FDEs whose CIE says "pc-relative" are found (all compilers' are); an end that isn't understood ends the walk.
    """
    section, size = image.eh_frame
    if not size:
        return
    data = _read(image, section, size, "frame information")
    at = 0
    while at + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, at)
        if not 4 <= length <= len(data) - at - 4:  # zero ends the section; 64-bit lengths aren't used
            return
        cie = struct.unpack_from("<I", data, at + 4)[0]
        if cie and cie <= at + 4:
            width = cfi.read_pointer_width(data, at + 4 - cie)
            if width and at + 8 + width <= at + 4 + length:
                start = int.from_bytes(data[at + 8 : at + 8 + width], "little", signed=True) + section + at + 8
                if 0 <= start < image.size:
                    yield start, section + at
        at += 4 + length


def _read(image: Image, address: int, size: int, what: str) -> bytes:
    """Return ``size`` bytes of one segment. Raises BadImage."""
    for segment in image.segments:
        if segment.address <= address and address + size <= segment.address + segment.size:
            return _slice(segment, address, size)
    raise BadImage(f"{what} of {size:#x} bytes at {address:#x}, outside of every segment")


def _slice(segment: Segment, address: int, size: int) -> bytes:
    at = address - segment.address
    return segment.data[at : at + size]
