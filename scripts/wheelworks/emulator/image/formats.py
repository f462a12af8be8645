"""Which format a file is in, and reading it."""

from __future__ import annotations

import warnings

import lief

from wheelworks.core.binary import MACHO_MAGIC
from wheelworks.emulator.image import MAX_FILE, BadImage, Image
from wheelworks.emulator.image.elf import read_elf
from wheelworks.emulator.image.macho import cpus, read_macho
from wheelworks.emulator.image.pe import read_pe

lief.logging.disable()  # what it complains about is told as BadImage


def read_image(data: bytes, name: str, cpu: str | None = None) -> Image:
    """The image in a PE, ELF or Mach-O file; ``cpu`` chooses a half of a universal one.

    Raises BadImage for anything a loader wouldn't take.
    """
    if len(data) > MAX_FILE:
        raise BadImage(f"{name}: {len(data) >> 20} MiB: larger than any small extension")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LIEF warns of numbers that it has no name for
            image = _read(data, name, cpu)
    except (ValueError, TypeError, AttributeError, UnicodeDecodeError, OverflowError) as error:
        raise BadImage(f"{name}: headers that make no sense ({type(error).__name__}: {error})") from None
    if cpu not in (None, image.cpu):
        raise BadImage(f"{name}: code for {image.cpu}, not for {cpu}")
    return image


def halves(data: bytes, name: str) -> tuple[str | None, ...]:
    """What ``cpu`` may be for :func:`read_image`: each CPU of a universal file, None for what has only one.

    Raises BadImage.
    """
    if data[:4] in MACHO_MAGIC:
        try:
            return tuple(sorted(cpus(data, name)))
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            raise BadImage(f"{name}: headers that make no sense ({error})") from None
    return (None,)


def _read(data: bytes, name: str, cpu: str | None) -> Image:
    if data[:2] == b"MZ":
        return read_pe(data, name)
    if data[:4] == b"\x7fELF":
        return read_elf(data, name)
    if data[:4] in MACHO_MAGIC:
        return read_macho(data, name, cpu)
    raise BadImage(f"{name}: neither PE, ELF nor Mach-O")
