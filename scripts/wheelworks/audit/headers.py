"""What an ELF file's headers claim, before LIEF reads it: that copies each part, however often the same is claimed."""

from __future__ import annotations

import struct
from collections.abc import Iterator

# For ELFCLASS32 and ELFCLASS64 (gABI): where in the header the tables' places are, in what form, and their sizes and
# counts; where in a row a section's and a segment's size is.
_FORMS = {1: (28, "II", 42, "I", 20, 16), 2: (32, "QQ", 54, "Q", 32, 32)}
_NOBITS = 8  # a section that is in memory alone


def claimed(data: bytes) -> int:
    """The bytes that sections and segments of an ELF file claim in all; 0 for another file."""
    try:
        return sum(_claims(data)) if data[:4] == b"\x7fELF" and data[4] in _FORMS else 0
    except (struct.error, IndexError):
        return 0  # the tables aren't there: whoever reads them will tell


def _claims(data: bytes) -> Iterator[int]:
    place, form, counts, number, in_section, in_segment = _FORMS[data[4]]
    order = "<" if data[5] == 1 else ">"
    segments, sections = struct.unpack_from(order + form, data, place)
    segment, how_many, section, how_many_more = struct.unpack_from(order + "HHHH", data, counts)
    for row in range(segments, segments + segment * how_many, segment or 1):
        yield from struct.unpack_from(order + number, data, row + in_segment)
    for row in range(sections, sections + section * how_many_more, section or 1):
        if struct.unpack_from(order + "I", data, row + 4)[0] != _NOBITS:
            yield from struct.unpack_from(order + number, data, row + in_section)
