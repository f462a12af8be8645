"""A binary as the loader sees it, whatever its format: segments, what to patch, what to import, what it exports.

Every address is relative to where the image is loaded. Binaries come from elsewhere: whatever a header claims is
checked against the file and against ``MAX_IMAGE`` before it is believed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from wheelworks.core.errors import WheelworksError
from wheelworks.emulator.abi import CPUS_32, Os

MAX_FILE = 64 << 20
MAX_IMAGE = 256 << 20
MAX_ENTRIES = 200_000
PAGE = 0x1000


class BadImage(WheelworksError):
    """The file isn't a binary that a loader would accept."""


@dataclass(frozen=True)
class Segment:
    """``size`` bytes at ``address``, of which the first come from the file and the rest are zero."""

    address: int
    size: int
    data: bytes
    writable: bool
    executable: bool


@dataclass(frozen=True)
class Rebase:
    """At ``address`` stands the address of ``target``, both relative to the image.

    A target may lie outside the image: a pointer may carry flags, such as the highest bit of C++ type names on macOS.
    """

    address: int
    target: int


@dataclass(frozen=True)
class Bind:
    """At ``address`` stands the address of the imported ``name``, plus ``addend``; 0 if ``weak`` and unknown."""

    address: int
    name: str
    library: str = ""
    addend: int = 0
    weak: bool = False


@dataclass(frozen=True)
class Image:
    """One binary for one CPU."""

    os: Os
    cpu: str
    segments: tuple[Segment, ...]
    rebases: tuple[Rebase, ...]
    binds: tuple[Bind, ...]
    exports: dict[str, int]
    symbols: tuple[tuple[int, str], ...]
    constructors: tuple[int, ...] = ()
    libraries: tuple[str, ...] = ()
    read_only_after_binding: tuple[tuple[int, int], ...] = ()
    _starts: list[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_starts", [address for address, _ in self.symbols])

    @property
    def size(self) -> int:
        """Bytes from the start of the image to its end."""
        return max(segment.address + segment.size for segment in self.segments)

    def symbol_at(self, address: int) -> str:
        """``symbol+0x…``, or the plain offset in a stripped binary."""
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return f"module+{address:#x}"
        start, name = self.symbols[index]
        return f"{name}+{address - start:#x}"


def sort_symbols(pairs: Iterable[tuple[int, str]]) -> tuple[tuple[int, str], ...]:
    """Sorted symbols, one name for each address (the first in alphabetical order)."""
    kept: dict[int, str] = {}
    for address, name in sorted(pairs):
        kept.setdefault(address, name)
    return tuple(kept.items())


def check_image(image: Image, name: str) -> Image:
    """The image, once every range in it is known to lie where it may.

    Raises BadImage that names the file and what lies.
    """
    if not image.segments:
        raise BadImage(f"{name}: no segments to load")
    _check_segments(image.segments, name)
    patched = [rebase.address for rebase in image.rebases] + [bind.address for bind in image.binds]
    if len(patched) > MAX_ENTRIES:
        raise BadImage(f"{name}: {len(patched)} relocations: more than a small extension has")
    width = 4 if image.cpu in CPUS_32 else 8
    for address in patched:
        _check_inside(image, address, width, f"{name}: a relocation")
    for address, size in image.read_only_after_binding:
        if address < 0 or size < 0 or address + size > -(-image.size // PAGE) * PAGE:
            raise BadImage(f"{name}: {size:#x} bytes at {address:#x} are to be made read-only, beyond the image")
    for address in (*image.constructors, *image.exports.values()):
        if not 0 <= address <= image.size:
            raise BadImage(f"{name}: refers to {address:#x}, beyond the image of {image.size:#x} bytes")
    return image


def _check_segments(segments: tuple[Segment, ...], name: str) -> None:
    end = 0
    for segment in sorted(segments, key=lambda segment: segment.address):
        start, size = segment.address, segment.size
        if start < 0 or size < max(len(segment.data), 1) or start + size > MAX_IMAGE:
            raise BadImage(f"{name}: a segment at {start:#x} claims {size:#x} bytes")
        if start < end:
            raise BadImage(f"{name}: segments overlap at {start:#x}")
        end = start + size


def _check_inside(image: Image, address: int, width: int, what: str) -> None:
    if not any(part.address <= address <= part.address + part.size - width for part in image.segments):
        raise BadImage(f"{what} at {address:#x}, outside every segment")


def read_range(data: bytes, offset: int, size: int, name: str) -> bytes:
    """``size`` bytes of the file. Raises BadImage where the file is shorter."""
    if offset < 0 or size < 0 or offset + size > len(data):
        raise BadImage(f"{name}: declares {size:#x} bytes at {offset:#x}, but the file ends at {len(data):#x}")
    return data[offset : offset + size]
