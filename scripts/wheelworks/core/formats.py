"""Readers of the three binary formats: PE (Windows), ELF (Linux) and Mach-O (macOS), each to an :class:`Image`.

Headers are never believed: the readers and :func:`check_image` check every offset, size and count.
"""

from __future__ import annotations

import struct

from wheelworks.core import formats_macho, formats_pe
from wheelworks.core.errors import Unsupported
from wheelworks.core.image import MAX_FILE, BadImage, Image, check_image

MACHO_MAGIC = (formats_macho.MAGIC, *formats_macho.FAT_ARCHITECTURES)
# What parsing of damaged bytes raises, besides BadImage.
DAMAGE = (ValueError, TypeError, AttributeError, OverflowError, struct.error)


def read_image(data: bytes, name: str, cpu: str | None = None, *, limit: int = MAX_FILE) -> Image:
    """Read a PE, ELF or Mach-O file of at most ``limit`` bytes; ``cpu`` selects a part of a universal one.

    Raises BadImage for a file that no loader accepts, Unsupported for one that this program can't load: of another
    CPU, with unknown features, or too large.
    """
    if len(data) > limit:
        raise Unsupported(f"{name}: {len(data) >> 20} MiB: larger than {limit >> 20} MiB, the limit here")
    try:
        found = check_image(_read_format(data, name, cpu, limit), name, limit)
    except DAMAGE as error:
        raise BadImage(f"{name}: invalid headers ({type(error).__name__}: {error})") from None
    if cpu not in (None, found.cpu):
        raise BadImage(f"{name}: code for {found.cpu}, not for {cpu}")
    return found


def list_cpus(data: bytes, name: str) -> tuple[str | None, ...]:
    """Return the values of ``cpu`` for :func:`read_image`: each CPU of a universal file, None for other files.

    Raises BadImage.
    """
    return formats_macho.list_cpus(data, name) if data[:4] in MACHO_MAGIC else (None,)


def _read_format(data: bytes, name: str, cpu: str | None, limit: int) -> Image:
    if data[:2] == b"MZ":
        return formats_pe.read_pe(data, name, limit)
    if data[:4] == b"\x7fELF":
        from wheelworks.core.formats_elf import read_elf  # it needs LIEF, which takes 0.3 s to import

        return read_elf(data, name)
    if data[:4] in MACHO_MAGIC:
        return formats_macho.read_macho(data, name, cpu, limit)
    raise BadImage(f"{name}: neither PE, ELF nor Mach-O")
