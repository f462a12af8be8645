"""Which C ABI and which CPython ABI a binary was built for, and the sizes that follow from it."""

from __future__ import annotations

import functools
import re
import struct
from dataclasses import dataclass
from typing import Literal

from wheelworks.core.errors import WheelworksError

Os = Literal["windows", "macos", "linux"]
CPUS_64 = ("aarch64", "x86_64", "riscv64", "s390x")
CPUS_32 = ("x86", "armv7l")


@dataclass(frozen=True)
class PythonAbi:
    """A CPython ABI: the oldest version served, with or without the GIL, opaque objects (stable ABI) or not."""

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
        """The size of a pointer, ``size_t`` and ``Py_ssize_t``."""
        return 8 if self.cpu in CPUS_64 else 4

    @property
    def long(self) -> int:
        """Windows is LLP64: its ``long`` has 4 bytes everywhere."""
        return 4 if self.os == "windows" else self.pointer

    @property
    def wchar(self) -> int:
        """The size of ``wchar_t``."""
        return 2 if self.os == "windows" else 4

    @property
    def big_endian(self) -> bool:
        """Whether the most significant byte comes first."""
        return self.cpu == "s390x"

    @property
    def order(self) -> Literal["big", "little"]:
        """The byte order as ``int.from_bytes`` names it."""
        return "big" if self.big_endian else "little"

    @property
    def header(self) -> int:
        """Size of PyObject_HEAD (CPython: Include/object.h)."""
        if not self.python.free_threaded:
            return 2 * self.pointer
        return 32 if self.pointer == 8 else 20

    @property
    def immortal(self) -> bool:
        """From 3.12 on, None and its like have no reference count (PEP 683)."""
        return self.python.version >= (3, 12)

    @property
    def immortal_count(self) -> int:
        """The reference count of what is never freed, from 3.12 on (CPython: Include/refcount.h)."""
        if self.python.free_threaded:
            return 0xFFFFFFFF
        if self.pointer == 8:
            return 3 << 30
        return 0x3FFFFFFF if self.python.version < (3, 14) else 5 << 28

    def packer(self, codes: str) -> struct.Struct:
        """A Struct in the target's byte order; ``P`` is a pointer, ``n`` a Py_ssize_t, ``l`` a long."""
        return _packer(self.big_endian, self.pointer, self.long, codes)

    def __str__(self) -> str:
        system = {"windows": "Windows", "macos": "macOS", "linux": "Linux"}[self.os]
        return f"{self.cpu} {system}, {self.python}"


@functools.lru_cache(maxsize=256)
def _packer(big_endian: bool, pointer: int, long: int, codes: str) -> struct.Struct:
    sizes, signed = {8: "Q", 4: "I"}, {8: "q", 4: "i"}
    swap = {"P": sizes[pointer], "n": signed[pointer], "l": signed[long], "L": sizes[long]}
    return struct.Struct((">" if big_endian else "<") + "".join(swap.get(code, code) for code in codes))


def python_abi(file_name: str, libraries: tuple[str, ...], tags: tuple[str, ...] = ()) -> PythonAbi:
    """The CPython ABI that an extension was built for, from its file name, the DLLs it imports and its wheel's tags.

    Sources: PEP 384, 425, 803; the file name suffixes are those of importlib.machinery. A file for CPythons of any libc
    is called ``NAME.so``: there only the tags tell. Without a tag, a stable ABI file is taken to be for 3.11.
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
