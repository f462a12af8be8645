"""Readers of the three binary formats: PE (Windows), ELF (Linux) and Mach-O (macOS), each to an :class:`Image`.

LIEF parses the headers; what they claim is checked by the readers and by :func:`check_image`.
"""

from __future__ import annotations

import warnings

import lief

from wheelworks.core.binary import MACHO_MAGIC
from wheelworks.core.formats_elf import read_elf
from wheelworks.core.formats_macho import list_binaries, parse_macho, read_macho
from wheelworks.core.formats_pe import read_pe
from wheelworks.core.image import MAX_FILE, BadImage, Image, check_image

lief.logging.disable()  # its complaints are reported as BadImage


def read_image(data: bytes, name: str, cpu: str | None = None, *, limit: int = MAX_FILE) -> Image:
    """Read a PE, ELF or Mach-O file of at most ``limit`` bytes; ``cpu`` selects a part of a universal one.

    Raises BadImage for a file that no loader accepts, Unsupported for one that can't be emulated.
    """
    if len(data) > limit:
        raise BadImage(f"{name}: {len(data) >> 20} MiB: larger than any small extension")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LIEF warns about numbers that it has no name for
            found = check_image(_read_format(data, name, cpu), name)
    except (ValueError, TypeError, AttributeError, UnicodeDecodeError, OverflowError) as error:
        raise BadImage(f"{name}: invalid headers ({type(error).__name__}: {error})") from None
    if cpu not in (None, found.cpu):
        raise BadImage(f"{name}: code for {found.cpu}, not for {cpu}")
    return found


def list_cpus(data: bytes, name: str) -> tuple[str | None, ...]:
    """Return the values of ``cpu`` for :func:`read_image`: each CPU of a universal file, None for other files.

    Raises BadImage.
    """
    if data[:4] not in MACHO_MAGIC:
        return (None,)
    try:
        fat = parse_macho(data, name)
        return tuple(sorted(list_binaries(fat)))
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise BadImage(f"{name}: invalid headers ({error})") from None


def _read_format(data: bytes, name: str, cpu: str | None) -> Image:
    if data[:2] == b"MZ":
        return read_pe(data, name)
    if data[:4] == b"\x7fELF":
        return read_elf(data, name)
    if data[:4] in MACHO_MAGIC:
        return read_macho(data, name, cpu)
    raise BadImage(f"{name}: neither PE, ELF nor Mach-O")
