"""Bounds-checked reading of binary structures: fields, tables, strings and variable-length numbers."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

from wheelworks.core.errors import Unsupported
from wheelworks.core.image import BadImage, Rebase

LONGEST_NAME = 1 << 16


class BinaryReader:
    """Bytes of an untrusted file, or of its image in memory. Every read outside them raises BadImage.

    Names may overlap, and so may the contents of segments, so that a small file could claim any amount of them: names
    may be four times as long as the file in total, and contents as long as the file.
    """

    def __init__(self, data: bytes | bytearray, name: str, what: str = "the file") -> None:
        self.data, self.name, self.what = data, name, what
        self._texts: dict[int, str] = {}
        self._names_left = 4 * len(data) + LONGEST_NAME
        self._contents_left = len(data)

    def read(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes."""
        self.check_range(offset, size)
        return bytes(self.data[offset : offset + size])

    def read_content(self, offset: int, size: int) -> bytes:
        """Return the ``size`` bytes of one segment. Raises Unsupported if many segments share bytes of the file."""
        self._contents_left -= size
        if self._contents_left < 0 <= size:
            self.check_range(offset, size)
            raise Unsupported(f"{self.name}: its segments share bytes of the file")
        return self.read(offset, size)

    def unpack(self, layout: struct.Struct, offset: int) -> tuple[Any, ...]:
        """Return the fields of one structure."""
        self.check_range(offset, layout.size)
        return layout.unpack_from(self.data, offset)

    def unpack_all(self, layout: struct.Struct, offset: int, count: int) -> list[tuple[Any, ...]]:
        """Return the fields of ``count`` consecutive structures."""
        self.check_range(offset, count * layout.size)
        return list(layout.iter_unpack(memoryview(self.data)[offset : offset + count * layout.size]))

    def read_rebases(self, layout: struct.Struct, addresses: Iterable[int], base: int) -> list[Rebase]:
        """Return the rebases of the words at ``addresses`` of an image that is linked to be loaded at ``base``."""
        unpack, data, last = layout.unpack_from, self.data, len(self.data) - layout.size
        found = []
        for address in addresses:
            if not 0 <= address <= last:
                raise BadImage(f"{self.name}: a relocation at {address:#x}, outside every segment")
            found.append(Rebase(address, unpack(data, address)[0] - base))
        return found

    def read_text(self, offset: int) -> str:
        """Return the string up to the next zero byte."""
        known = self._texts.get(offset)
        if known is not None:
            return known
        self.check_range(offset, 1)
        end = self.data.find(b"\0", offset, offset + LONGEST_NAME)
        if end < 0:
            raise BadImage(f"{self.name}: a name at {offset:#x} of {self.what} has no end")
        self.charge_names(end - offset)
        text = self._texts[offset] = bytes(self.data[offset:end]).decode()
        return text

    def charge_names(self, size: int) -> None:
        """Count ``size`` bytes of names. Raises Unsupported if they are too many by now."""
        self._names_left -= size
        if self._names_left < 0:
            raise Unsupported(f"{self.name}: its names share bytes, and together are longer than the file")

    def check_range(self, offset: int, size: int) -> None:
        """Raise BadImage for bytes that don't exist."""
        if offset < 0 or size < 0 or offset + size > len(self.data):
            end = len(self.data)
            raise BadImage(f"{self.name}: declares {size:#x} bytes at {offset:#x}, but {self.what} ends at {end:#x}")


def read_uleb(data: bytes, at: int) -> tuple[int, int]:
    """Return the unsigned LEB128 number at ``at``, of 64 bits at most, and the position after it.

    Raises IndexError at the end of the data, ValueError for a longer number. Source: DWARF 5, 7.6.
    """
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
        shift += 7
        if shift > 63:
            raise ValueError(f"a number at {at:#x} has more than 64 bits")


def read_sleb(data: bytes, at: int) -> tuple[int, int]:
    """Return the signed LEB128 number at ``at`` and the position after it. Raises as :func:`read_uleb` does."""
    start = at
    value, at = read_uleb(data, at)
    bits = 7 * (at - start)
    if bits <= 63 and value >> bits - 1:
        value -= 1 << bits
    elif value >> 63:
        value -= 1 << 64
    return value, at
