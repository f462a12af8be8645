"""A binary as the loader sees it, in any format: segments, relocations, imports and exports.

Every address is relative to the start of the image. Binaries are untrusted: what a header claims is checked against
the file and against ``MAX_IMAGE``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from wheelworks.core.errors import WheelworksError

Os = Literal["windows", "macos", "linux"]
CPUS_64 = ("aarch64", "x86_64", "riscv64", "s390x")
CPUS_32 = ("x86", "arm")
MAX_FILE = 64 << 20
MAX_IMAGE = 256 << 20
MAX_ENTRIES = 200_000
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


@dataclass(frozen=True)
class Rebase:
    """The word at ``address`` is the absolute address of ``target``.

    A target may lie outside the image, since a pointer may have flags (the highest bit of C++ type names on macOS).
    """

    address: int
    target: int


@dataclass(frozen=True)
class Bind:
    """The word at ``address`` is the address of the imported ``name`` plus ``addend``, or 0 if ``weak`` and unknown."""

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

    ``header`` is PE's headers, which the loader maps read-only at address 0, and ``entry`` the address of DllMain's
    caller, or 0. ``functions`` are the starts and ends that unwind data or LC_FUNCTION_STARTS name. ``unwind_info``
    (__TEXT,__unwind_info), ``eh_frame`` (__TEXT,__eh_frame) and ``exception_table`` (PE's exception directory) are
    addresses and sizes. ``delayed`` are the libraries whose imports PE binds at their first use; these are among
    ``binds`` too.
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


def check_image(image: Image, name: str) -> Image:
    """Check every range in an image and return it. Raises BadImage."""
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
    """Return ``size`` bytes of the file. Raises BadImage if the file is shorter."""
    if offset < 0 or size < 0 or offset + size > len(data):
        raise BadImage(f"{name}: declares {size:#x} bytes at {offset:#x}, but the file ends at {len(data):#x}")
    return data[offset : offset + size]


def read_word(
    segments: Iterable[Segment], address: int, width: int, order: Literal["big", "little"] = "little"
) -> int | None:
    """Return the number of ``width`` bytes at an address, or None outside every segment."""
    for segment in segments:
        if segment.address <= address <= segment.address + segment.size - width:
            at = address - segment.address
            return int.from_bytes(segment.data[at : at + width].ljust(width, b"\0"), order)
    return None


def read_relocated(segments: tuple[Segment, ...], address: int, width: int, name: str) -> int:
    """Return the number that a relocation changes. Raises BadImage outside every segment."""
    word = read_word(segments, address, width)
    if word is None:
        raise BadImage(f"{name}: a relocation at {address:#x}, outside every segment")
    return word
