"""A binary as the loader sees it, in any format: segments, relocations, imports and exports.

Every address is relative to the start of the image. Binaries are untrusted: what a header claims is checked against
the file, the segments and the limits below.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from mmap import mmap
from typing import Literal, NamedTuple

from wheelworks.core.errors import Unsupported, WheelworksError

Os = Literal["windows", "macos", "linux"]
CPUS_64 = ("aarch64", "x86_64", "riscv64", "s390x")
CPUS_32 = ("x86", "arm")
MAX_FILE = 64 << 20
MAX_IMAGE = 256 << 20  # or four times the largest file, if that is more
BYTES_PER_ENTRY = 32  # a file of the largest size has one relocation in so many bytes at most
PAGE = 0x1000


class BadImage(WheelworksError):
    """No loader accepts this file."""


@dataclass(frozen=True)
class Segment:
    """``size`` bytes at ``address``: ``data`` from the file, then zeros."""

    address: int
    size: int
    data: bytes
    writable: bool
    executable: bool


class Rebase(NamedTuple):
    """The word at ``address`` is the absolute address of ``target``.

    A target may lie outside the image, since a pointer may have flags (the highest bit of C++ type names on macOS).
    """

    address: int
    target: int


class Bind(NamedTuple):
    """The word at ``address`` is the address of the imported ``name`` plus ``addend``, or 0 if ``weak`` and unknown.

    ``library`` is empty if any library may have the symbol: ELF, and flat or weak lookup on macOS. The name of a
    Windows import by ordinal is "#" and the ordinal.
    """

    address: int
    name: str
    library: str = ""
    addend: int = 0
    weak: bool = False


@dataclass(frozen=True)
class ThreadLocal:
    """The template of each thread's block of thread-local variables: ``size`` bytes, aligned to ``alignment``.

    ``filled`` bytes at ``address`` are copied to its start, the rest is zero. On Windows, ``index`` is the address of
    ``_tls_index`` and ``callbacks`` are functions that the loader calls at the start and end of each thread; on macOS,
    ``descriptors`` are the addresses of the 24-byte TLV descriptors.
    """

    address: int
    filled: int
    size: int
    alignment: int
    index: int = 0
    descriptors: tuple[int, ...] = ()
    callbacks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Image:
    """One binary for one CPU. Fields that a format doesn't have are empty.

    ``header`` is PE's headers, which the loader maps read-only at address 0, and ``entry`` the function that the loader
    of Windows calls with DllMain's arguments, or 0. ``functions`` are the starts and ends that unwind data or
    LC_FUNCTION_STARTS name, sorted. ``unwind_info`` (__TEXT,__unwind_info), ``eh_frame`` (__TEXT,__eh_frame) and
    ``exception_table`` (PE's exception directory) are addresses and sizes. ``delayed`` are the libraries whose imports
    PE binds at their first use; these are among ``binds`` too. ``forwarded`` maps exports to the library and
    name that they stand for (PE's forwarders, Mach-O's re-exports); of ``reexported`` libraries, all exports are too.
    No two relocations overlap.
    """

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
    header: bytes = b""
    entry: int = 0
    thread_local: ThreadLocal | None = None
    functions: tuple[tuple[int, int], ...] = ()
    unwind_info: tuple[int, int] = (0, 0)
    eh_frame: tuple[int, int] = (0, 0)
    exception_table: tuple[int, int] = (0, 0)
    install_name: str = ""
    rpaths: tuple[str, ...] = ()
    delayed: tuple[str, ...] = ()
    forwarded: dict[str, tuple[str, str]] = field(default_factory=dict)
    reexported: tuple[str, ...] = ()
    _starts: list[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_starts", [address for address, _ in self.symbols])

    @property
    def size(self) -> int:
        """Return the number of bytes from the start of the image to its end."""
        return max(segment.address + segment.size for segment in self.segments)

    def symbol_at(self, address: int) -> str:
        """Return SYMBOL+OFFSET, or module+OFFSET in a stripped binary."""
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return f"module+{address:#x}"
        start, name = self.symbols[index]
        return f"{name}+{address - start:#x}"


def sort_symbols(pairs: Iterable[tuple[int, str]]) -> tuple[tuple[int, str], ...]:
    """Sort symbols by address, with one name for each address (the first in alphabetical order)."""
    kept: dict[int, str] = {}
    for address, name in sorted(pairs):
        kept.setdefault(address, name)
    return tuple(kept.items())


# -- checks


def check_image(image: Image, name: str, limit: int = MAX_FILE) -> Image:
    """Check every range in an image and return it. Raises BadImage, or Unsupported for one that is too large."""
    check_segments(image.segments, name, limit)
    _check_relocations(image, name, limit)
    size = image.size
    for address, length in _list_ranges(image):
        if address < 0 or length < 0 or address + length > round_up(size):
            raise BadImage(f"{name}: a table of {length:#x} bytes at {address:#x}, beyond the image")
    for address in _list_addresses(image):
        if not 0 <= address <= size:
            raise BadImage(f"{name}: refers to {address:#x}, beyond the image of {size:#x} bytes")
    _check_functions(image, name)
    return image


def check_segments(segments: Iterable[Segment], name: str, limit: int = MAX_FILE) -> None:
    """Check sizes and overlaps. Raises BadImage, or Unsupported for segments that are too large."""
    if not segments:
        raise BadImage(f"{name}: no segments to load")
    end = 0
    for segment in sorted(segments, key=lambda segment: segment.address):
        start, size = segment.address, segment.size
        if start < 0 or size < max(len(segment.data), 1):
            raise BadImage(f"{name}: a segment at {start:#x} claims {size:#x} bytes")
        if start + size > max(MAX_IMAGE, 4 * limit):
            raise Unsupported(f"{name}: a segment at {start:#x} claims {size:#x} bytes: too large to be loaded here")
        if start < end:
            raise BadImage(f"{name}: segments overlap at {start:#x}")
        end = start + size


def check_count(count: int, what: str, name: str, limit: int) -> None:
    """Raise Unsupported for more relocations, functions or symbols than a file of ``limit`` bytes may have here."""
    if count > limit // BYTES_PER_ENTRY:
        raise Unsupported(f"{name}: more than {limit // BYTES_PER_ENTRY} {what}: too many to be loaded here")


def _check_relocations(image: Image, name: str, limit: int) -> None:
    """Check that no two relocations overlap and that each is within a segment."""
    check_count(len(image.rebases) + len(image.binds), "relocations", name, limit)
    addresses = [rebase.address for rebase in image.rebases]
    addresses += [bind.address for bind in image.binds]
    addresses.sort()
    width = 4 if image.cpu in CPUS_32 else 8
    for first, second in pairwise(addresses):
        if second - first < width:
            raise BadImage(f"{name}: relocations overlap at {second:#x}")
    inside = [_find_inside(addresses, segment, width) for segment in image.segments]
    if sum(stop - start for start, stop in inside) != len(addresses):
        covered = {index for start, stop in inside for index in range(start, stop)}
        outside = next(address for index, address in enumerate(addresses) if index not in covered)
        raise BadImage(f"{name}: a relocation at {outside:#x}, outside every segment")


def _find_inside(addresses: list[int], segment: Segment, width: int) -> tuple[int, int]:
    """Return the first and the last plus one of the sorted addresses whose words are in a segment."""
    start = bisect_left(addresses, segment.address)
    return start, max(start, bisect_right(addresses, segment.address + segment.size - width))


def _list_ranges(image: Image) -> Iterable[tuple[int, int]]:
    yield from (*image.read_only_after_binding, image.unwind_info, image.eh_frame, image.exception_table)
    if block := image.thread_local:
        yield (block.address if block.filled else 0), block.filled  # one without data may have any address
        yield from ((address, 24) for address in block.descriptors)


def _list_addresses(image: Image) -> Iterable[int]:
    yield from (*image.constructors, *image.exports.values(), image.entry)
    if block := image.thread_local:
        yield from (block.index, *block.callbacks)


def _check_functions(image: Image, name: str) -> None:
    """Check that the functions are in the code. Loaders don't, so that a wrong one proves nothing."""
    code = [(part.address, part.address + part.size) for part in image.segments if part.executable]
    outside = [
        function
        for function in image.functions
        if not any(first <= function[0] < function[1] <= last for first, last in code)
    ]
    if outside:
        raise Unsupported(f"{name}: a function from {outside[0][0]:#x} to {outside[0][1]:#x} isn't in its code")


# -- reading


def round_up(number: int, unit: int = PAGE) -> int:
    """Return the smallest multiple of ``unit`` that isn't below a number."""
    return -(-number // unit) * unit


def read_word(
    segments: Iterable[Segment], address: int, width: int, order: Literal["big", "little"] = "little"
) -> int | None:
    """Return the number of ``width`` bytes at an address, or None outside every segment."""
    for segment in segments:
        if segment.address <= address <= segment.address + segment.size - width:
            at = address - segment.address
            return int.from_bytes(segment.data[at : at + width].ljust(width, b"\0"), order)
    return None


def map_segments(segments: Iterable[Segment], header: bytes = b"") -> bytearray:
    """Return the image in memory at its preferred address, with zeros between the segments."""
    segments = tuple(segments)
    memory = bytearray(max(segment.address + segment.size for segment in segments))
    copy_segments(memory, segments, header)
    return memory


def copy_segments(memory: bytearray | mmap, segments: Iterable[Segment], header: bytes) -> None:
    """Copy the headers and the segments to their addresses in ``memory``, which is filled with zeros."""
    memory[: len(header)] = header
    for segment in segments:
        memory[segment.address : segment.address + len(segment.data)] = segment.data
