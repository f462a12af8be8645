"""Prepare wheels of musl for a CPython that was built with glibc, whose functions their modules then call.

A module of musl names musl's library, which isn't there, and its symbols have no versions, so that glibc's loader binds
them to any library of the process. Two changes are enough: the loader must not look for musl's library, and the file's
name must be one that this CPython imports. The machine code stays as it is.

That proves what the module does with CPython and with functions that take numbers and memory. The two libraries lay out
some structures differently (mutexes, signal sets, jump buffers), so a failure of a module that calls other functions
proves nothing. Sources: the System V ABI ("Dynamic Section"); musl's and glibc's headers.
"""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import lief

from wheelworks.core.formats import DAMAGE
from wheelworks.core.formats_elf import parse_elf
from wheelworks.core.image import BadImage
from wheelworks.core.text import abbreviate
from wheelworks.testing.project_source import name_module

NAMES = re.compile(r"libc\.so|libc\.musl-\w+\.so\.1|ld-musl-\w+\.so\.1")
# A tag for the system's own use that no loader knows: glibc's and musl's pass over such entries.
IGNORED = 0x6000_0F00
# Functions that exchange only numbers, memory, text, or the environment with their callers.
_ALIKE = re.compile(
    r"_?_?(mem\w+|str(?!signal|fmon|ptime|ftime)\w+|stp?n?cpy|bcmp|bcopy|bzero|ffs\w*|malloc|calloc|realloc|free|abort"
    r"|abs|labs|aligned_alloc|posix_memalign|reallocarray|qsort|bsearch|ato[ifl]+|v?sn?printf|v?sscanf|div|ldiv"
    r"|rand|srand|is(alnum|alpha|ascii|blank|cntrl|digit|graph|lower|print|punct|space|upper|xdigit)"
    r"|to(lower|upper|ascii)"
    r"|a?(sin|cos|tan)h?f?l?|atan2[fl]?|(exp|exp2|expm1|log|log2|log10|log1p|pow|sqrt|cbrt|hypot|fabs|floor|ceil|round"
    r"|trunc|rint|nearbyint|l?lround|l?lrint|fmod|remainder|ldexp|frexp|modf|fma|fmin|fmax|copysign|nextafter|erfc?"
    r"|tgamma|lgamma|logb|ilogb|scalbl?n|fdim|nan)[fl]?|getenv|secure_getenv|errno_location|cxa_atexit|cxa_finalize|"
    r"stack_chk_fail|stack_chk_guard|dl_iterate_phdr|tls_get_addr|gmon_start__|ITM_\w+|aeabi_\w+|getauxval)"
)


def relink_files(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return files of a wheel of musl, by path, as a CPython of glibc loads them. Raises BadImage."""
    return {rename(path): relink(path, data) if _is_elf(data) else data for path, data in files.items()}


def rename(path: str) -> str:
    """Return the path of a module on glibc: ``_c.cpython-313-arm-linux-musleabihf.so`` ends in ``gnueabihf.so``."""
    return re.sub(r"(\.cpython-3[\w-]+-linux-)musl(\w*\.so)$", r"\1gnu\2", path)


def relink(path: str, data: bytes) -> bytes:
    """Return an ELF file that doesn't name musl's library. Raises BadImage for a file that can't be read."""
    made = bytearray(data)
    with _reading(path):
        entries = list(_find_entries(parse_elf(data, path)))
    for offset, layout in entries:
        if offset + layout.size > len(data):
            raise BadImage(f"{path}: its dynamic section lies outside the file")
        layout.pack_into(made, offset, IGNORED)
    return bytes(made)


def find_limits(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return the modules among a wheel's files whose failure wouldn't speak against the wheel, with the reasons.

    A library of the wheel counts for each module. Raises BadImage.
    """
    called: set[str] = set()
    for path, data in files.items():
        if _is_elf(data):
            with _reading(path):
                called.update(_list_calls(parse_elf(data, path)))
    if not called:
        return {}
    reason = f"it calls {abbreviate(sorted(called))}, for which glibc stands in here: musl's may differ"
    return {name: reason for path in files if path.endswith(".so") and (name := name_module(path))}


def is_alike(name: str) -> bool:
    """Return whether a function is CPython's, or does the same in musl and glibc for every caller."""
    return bool(_ALIKE.fullmatch(name) or re.fullmatch(r"_?_?Py[A-Z_]\w*", name))


def _is_elf(data: bytes) -> bool:
    return data[:4] == b"\x7fELF"


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """Raise BadImage for what LIEF raises for a damaged file. It warns of numbers that it has no name for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except DAMAGE as error:
            raise BadImage(f"{path}: invalid headers ({type(error).__name__}: {error})") from None


def _find_entries(binary: lief.ELF.Binary) -> Iterator[tuple[int, struct.Struct]]:
    """Yield the offset in the file and the format of each entry's tag that names musl's library."""
    header = binary.header
    wide = header.identity_class == lief.ELF.Header.CLASS.ELF64
    order = "<" if header.identity_data == lief.ELF.Header.ELF_DATA.LSB else ">"
    tag = struct.Struct(order + ("Q" if wide else "I"))
    starts = [segment.file_offset for segment in binary.segments if segment.type == lief.ELF.Segment.TYPE.DYNAMIC]
    for index, entry in enumerate(binary.dynamic_entries if starts else ()):
        if isinstance(entry, lief.ELF.DynamicEntryLibrary) and NAMES.fullmatch(str(entry.name)):
            yield starts[0] + index * 2 * tag.size, tag


def _list_calls(binary: lief.ELF.Binary) -> Iterator[str]:
    """Yield the symbols that a binary needs, and that may differ between the libraries."""
    for symbol in binary.dynamic_symbols:
        name = str(symbol.name)
        if name and not symbol.shndx and not is_alike(name):
            yield name
