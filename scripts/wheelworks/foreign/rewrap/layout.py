"""Lay an image's segments out as loadable parts, and choose how its read-only data gets relocated.

An ELF loader maps whole pages, and each page has one set of rights. Mach-O segments start at multiples of 16 KiB (on
ARM64) or 4 KiB, PE sections usually at multiples of 4 KiB, but both formats allow less: what shares a page is merged,
and the merged part has the rights of all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

from wheelworks.core.errors import Unsupported
from wheelworks.core.image import PAGE, Image, Segment, round_up
from wheelworks.foreign.rewrap.elf import Part, Rights

MAX_PARTS = 64  # program headers that fit into the first page
MAX_GAP = 1 << 20  # zeros between two segments that share a page, which have to be stored


class CannotRewrap(Unsupported):
    """The image uses something that the rewrapper doesn't understand, which the message names."""


@dataclass(frozen=True)
class Protection:
    """The parts with the rights that the loader needs, a range for PT_GNU_RELRO, and whether DT_TEXTREL is needed."""

    parts: tuple[Part, ...]
    read_only: tuple[int, int] = (0, 0)
    text_relocations: bool = False


def lay_out(image: Image, name: str) -> list[Part]:
    """Return the image's parts by address, each with data that may be changed. Raises CannotRewrap."""
    parts: list[Part] = []
    for segment in _list_segments(image):
        if parts and segment.address < parts[-1].end:
            parts[-1] = _merge(parts[-1], segment, name)
        else:
            start = segment.address // PAGE * PAGE
            data = bytearray(segment.address - start) + segment.data
            parts.append(Part(start, data, segment.address - start + segment.size, _get_rights(segment)))
    if len(parts) > MAX_PARTS:
        raise CannotRewrap(f"{name}: {len(parts)} segments: more than the {MAX_PARTS} that are supported")
    for part in parts:
        _fill_last_page(part)
    return parts


def _list_segments(image: Image) -> list[Segment]:
    """Return the segments by address; the first one is PE's headers."""
    segments = sorted(image.segments, key=lambda segment: segment.address)
    header = image.header[: segments[0].address]
    return [Segment(0, len(header), header, False, False), *segments] if header else segments


def _get_rights(segment: Segment) -> Rights:
    rights = Rights.READ
    if segment.writable:
        rights |= Rights.WRITE
    return rights | Rights.EXECUTE if segment.executable else rights


def _merge(part: Part, segment: Segment, name: str) -> Part:
    gap = segment.address - part.address - len(part.data)
    if gap > MAX_GAP:
        raise CannotRewrap(f"{name}: the segment at {segment.address:#x} starts in the last page of a large one")
    data = bytearray(part.data) + bytes(gap) + segment.data
    return Part(part.address, data, segment.address - part.address + segment.size, part.rights | _get_rights(segment))


def _fill_last_page(part: Part) -> None:
    """Store the zeros of the last page that has data, so that the loader needn't write to a read-only page."""
    part.data.extend(bytes(-len(part.data) % PAGE))


def protect(parts: Iterable[Part], image: Image, relocated: Iterable[int]) -> Protection:
    """Choose how read-only data is relocated; ``relocated`` are the addresses of all relocations.

    One run of adjoining parts without code becomes PT_GNU_RELRO: writable until relocated, as a linker would have it.
    glibc knows only one such range, so that anything else needs DT_TEXTREL, with which its loader lifts the
    protection of all parts while it relocates.
    """
    listed = sorted(parts, key=lambda part: part.address)
    protected = {(start, round_up(start + size)) for start, size in image.read_only_after_binding}
    pages = {address // PAGE for address in relocated} | {(address + 7) // PAGE for address in relocated}
    places = [place for place, part in enumerate(listed) if _is_protected(part, protected, pages)]
    if not places:
        return Protection(tuple(listed))
    run = listed[places[0] : places[-1] + 1]
    adjoining = all(first.end == second.address for first, second in pairwise(run))
    if len(run) == len(places) and adjoining and not any(part.rights & Rights.EXECUTE for part in run):
        for place in places:
            listed[place] = replace(listed[place], rights=listed[place].rights | Rights.WRITE)
        return Protection(tuple(listed), read_only=(run[0].address, run[-1].end - run[0].address))
    for place in places:
        listed[place] = replace(listed[place], rights=listed[place].rights & ~Rights.WRITE)
    return Protection(tuple(listed), text_relocations=True)


def _is_protected(part: Part, protected: set[tuple[int, int]], pages: set[int]) -> bool:
    """Return whether a part is to be read-only, but has relocations or is marked as writable at first."""
    if part.rights & Rights.WRITE:
        return (part.address, part.end) in protected
    return any(page in pages for page in range(part.address // PAGE, part.end // PAGE))
