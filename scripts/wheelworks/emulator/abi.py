"""The C ABI and the CPython ABI that a binary was built for, and the sizes of types in them."""

from __future__ import annotations

import functools
import re
import struct
from dataclasses import dataclass
from typing import Literal

from wheelworks.core.errors import WheelworksError
from wheelworks.core.image import CPUS_32, CPUS_64, Os


@dataclass(frozen=True)
class PythonAbi:
    """A CPython ABI: its oldest version, with or without the GIL, stable (opaque objects) or not."""

    version: tuple[int, int]
    free_threaded: bool = False
    stable: bool = True

    def __str__(self) -> str:
        name = f"CPython {self.version[0]}.{self.version[1]}{'t' if self.free_threaded else ''}"
        return f"{name} stable ABI" if self.stable else name


@dataclass(frozen=True)
class Abi:
    """Sizes in bytes of C types and object headers on one operating system, CPU and CPython ABI."""

    os: Os
    cpu: str
    python: PythonAbi

    def __post_init__(self) -> None:
        if self.cpu not in CPUS_64 + CPUS_32:
            raise WheelworksError(f"no emulated CPU for {self.cpu}")

    @property
    def pointer(self) -> int:
        """Return the size of a pointer, ``size_t`` and ``Py_ssize_t``."""
        return 8 if self.cpu in CPUS_64 else 4

    @property
    def long(self) -> int:
        """Return the size of ``long``: 4 bytes on Windows (LLP64), that of a pointer elsewhere."""
        return 4 if self.os == "windows" else self.pointer

    @property
    def order(self) -> Literal["big", "little"]:
        """Return the byte order, as ``int.from_bytes`` names it."""
        return "big" if self.cpu == "s390x" else "little"

    @property
    def header(self) -> int:
        """Return the size of PyObject_HEAD (CPython: Include/object.h)."""
        if not self.python.free_threaded:
            return 2 * self.pointer
        return 32 if self.pointer == 8 else 20

    @property
    def immortal(self) -> bool:
        """Return whether None, types and other permanent objects are immortal (PEP 683): from 3.12 on."""
        return self.python.version >= (3, 12)

    @property
    def immortal_count(self) -> int:
        """Return the reference count of immortal objects (CPython: Include/refcount.h)."""
        if self.python.free_threaded:
            return 0xFFFFFFFF
        if self.pointer == 8:
            return 3 << 30
        return 0x3FFFFFFF if self.python.version < (3, 14) else 5 << 28

    def packer(self, codes: str) -> struct.Struct:
        """Return a Struct in the target's byte order; ``P`` is a pointer, ``n`` a Py_ssize_t, ``l`` a long."""
        return _create_struct(self.order, self.pointer, self.long, codes)

    def __str__(self) -> str:
        system = {"windows": "Windows", "macos": "macOS", "linux": "Linux"}[self.os]
        return f"{self.cpu} {system}, {self.python}"


@functools.lru_cache(maxsize=256)
def _create_struct(order: str, pointer: int, long: int, codes: str) -> struct.Struct:
    sizes, signed = {8: "Q", 4: "I"}, {8: "q", 4: "i"}
    swap = {"P": sizes[pointer], "n": signed[pointer], "l": signed[long], "L": sizes[long]}
    return struct.Struct((">" if order == "big" else "<") + "".join(swap.get(code, code) for code in codes))


def detect_python_abi(file_name: str, libraries: tuple[str, ...], tags: tuple[str, ...] = ()) -> PythonAbi:
    """Return the CPython ABI of an extension, from its file name, the DLLs that it imports and its wheel's tags.

    A file without a suffix in its name (``NAME.so``) is known only by the tags. Without a tag, a file for the stable
    ABI counts as built for 3.11. Sources: PEP 384, 425, 803; importlib.machinery for the suffixes.
    """
    stem = file_name.rsplit("/", 1)[-1]
    exact = re.search(r"\.(?:cpython-|cp)3(\d+)(t?)[-.]", stem)
    dll = next((found for name in libraries if (found := re.fullmatch(r"(?i)python3(\d+)(t?)\.dll", name))), None)
    tagged = next((found for tag in tags if (found := re.match(r"cp3\d+-cp3(\d+)(t?)-", tag))), None)
    known = exact or dll or tagged
    if known:
        return PythonAbi((3, int(known[1])), free_threaded=bool(known[2]), stable=False)
    free_threaded = ".abi3t." in stem or any(name.lower() == "python3t.dll" for name in libraries)
    floors = [int(found[1]) for tag in tags if (found := re.match(r"cp3(\d+)-", tag))]
    return PythonAbi((3, floors[0] if floors else 15 if free_threaded else 11), free_threaded=free_threaded)
