"""Which symbols exist where a rewrapped module is loaded, and which of them an import is bound to.

An import of NAME is bound, in this order, to: the image's own definition (macOS, where no library is named); another
rewrapped library of the wheel; the shim's ``w_NAME`` or ``m_NAME``; CPython's own NAME; a function of glibc that a
list calls the same there; the twin of a system library that macOS and Linux share. Whatever is left is unresolved.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import lief

from wheelworks.core.errors import WheelworksError
from wheelworks.core.image import Bind, Image, Os
from wheelworks.foreign.rewrap.elf import Import

FOLDER = Path(__file__).parent
PREFIXES: dict[Os, str] = {"windows": "w_", "macos": "m_"}
# The CPUs whose code can be rewrapped. Windows' x86-64 calling convention differs from Linux's, so only ARM64 images
# can call the functions of a shim.
CPUS: dict[Os, tuple[str, ...]] = {"windows": ("aarch64",), "macos": ("aarch64", "x86_64")}
LISTS: dict[Os, str] = {"windows": "same_in_glibc.txt", "macos": "same_in_glibc_macos.txt"}
C_LIBRARIES = ("libc.so.6", "libm.so.6")
UNWINDER = "libgcc_s.so.1"
# The DLLs and folders of the system. An import of any other library is only found in the wheel itself.
C_RUNTIMES = re.compile(r"(api-ms-win-crt-[\w-]+|ucrtbase|msvcrt|vcruntime140(_1)?|msvcp140|kernel32|ntdll)\.dll")
SYSTEM_FOLDERS = ("/usr/lib/", "/System/Library/")
# Libraries of macOS and what they are on Linux: the same project, with a stable ABI.
TWINS = {
    "libz.1.dylib": "libz.so.1",
    "libffi.dylib": "libffi.so.8",
    "libbz2.1.0.dylib": "libbz2.so.1.0",
    "libsqlite3.dylib": "libsqlite3.so.0",
    "liblzma.5.dylib": "liblzma.so.5",
}
# The structure of a closure isn't the same in Apple's libffi: only the shim can have these.
DIFFERENT = frozenset(("ffi_closure_alloc", "ffi_closure_free", "ffi_prep_closure", "ffi_prep_closure_loc"))
SYSTEM_LIBRARIES = (*C_LIBRARIES, UNWINDER, *TWINS.values())
HIDDEN = 0x8000  # of a symbol's version: an older one, which only old programs get
LAZY_BINDER = "dyld_stub_binder"  # what stubs call at first, where imports are bound lazily; they aren't here
UNVERSIONED = 2  # version numbers below this are no versions


@dataclass(frozen=True)
class Exports:
    """The symbols of a library: its soname ("" for the Python program), and each name's default version, or ""."""

    soname: str
    symbols: Mapping[str, str]


@dataclass(frozen=True)
class Provided:
    """The symbols that exist where the module is loaded.

    ``rewrapped`` are the wheel's own libraries, by the name under which the importing image knows them (Windows: in
    lower case).
    """

    shim: Exports = field(default_factory=lambda: Exports("", {}))
    program: Exports = field(default_factory=lambda: Exports("", {}))
    libraries: tuple[Exports, ...] = ()
    rewrapped: Mapping[str, Exports] = field(default_factory=dict)

    def find_library(self, soname: str) -> Exports | None:
        """Return the library with that soname, if it exists."""
        return next((library for library in self.libraries if library.soname == soname), None)


def read_exports(path: Path, soname: str) -> Exports:
    """Return what an ELF file exports, with the default version of each name. Raises WheelworksError."""
    config = lief.ELF.ParserConfig()
    config.parse_relocations = config.parse_symtab_symbols = config.parse_notes = config.parse_overlay = False
    binary = lief.ELF.parse(str(path), config) if path.is_file() else None
    if binary is None:
        raise WheelworksError(f"{path}: not a readable ELF file")
    symbols = {}
    for symbol in binary.dynamic_symbols:
        if symbol.shndx and symbol.name:
            version = symbol.symbol_version if symbol.has_version else None
            known = version.symbol_version_auxiliary if version and version.value >= UNVERSIONED else None
            if known is None:
                symbols[str(symbol.name)] = ""
            elif version and not version.value & HIDDEN:
                symbols[str(symbol.name)] = str(known.name)
    return Exports(soname, symbols)


def read_provided(program: Path, shim: Path, folders: Iterable[Path]) -> Provided:
    """Read the exports of a Python program (or its libpython), of the shim and of the system's libraries.

    ``folders`` are searched for the libraries in turn; those that aren't there aren't provided. Raises
    WheelworksError.
    """
    listed = tuple(folders)
    paths = ((name, next((f / name for f in listed if (f / name).is_file()), None)) for name in SYSTEM_LIBRARIES)
    libraries = tuple(read_exports(path, name) for name, path in paths if path)
    return Provided(read_exports(shim, shim.name), read_exports(program, ""), libraries)


@cache
def read_same_names(os: Os, cpu: str) -> frozenset[str]:
    """Return the names of glibc's functions that are the same on a system, from the shim's list.

    Names after a line ``[x86_64]`` are only for that CPU.
    """
    names: set[str] = set()
    section = cpu
    for line in (FOLDER / "shim" / LISTS[os]).read_text(encoding="utf-8").splitlines():
        words = line.partition("#")[0].split()
        if words and words[0].startswith("["):
            section = words[0].strip("[]")
        elif section == cpu:
            names.update(words)
    return frozenset(names)


@cache
def read_ordinals() -> dict[str, dict[str, str]]:
    """Return the table of names by DLL (in lower case) and ordinal ("#115")."""
    tables: dict[str, dict[str, str]] = {}
    table: dict[str, str] = {}
    for line in (FOLDER / "ordinals.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            tables[line.strip("[]")] = table = {}
        elif line and not line.startswith("#"):
            table |= {f"#{number}": name for number, name in (word.split("=") for word in line.split())}
    return tables


def choose_import(bind: Bind, image: Image, provided: Provided) -> Import | int | None:
    """Return what an import is bound to: a symbol, an address in the image itself, or None if nothing has that name."""
    choose = _choose_windows if image.os == "windows" else _choose_macos
    return choose(bind, image, provided)


def name_import(bind: Bind) -> str:
    """Return ``library!name``, by which an unresolved import is reported; names of known ordinals are filled in."""
    name = _find_ordinal(bind)
    library = bind.library.rpartition("/")[2]
    return f"{library}!{name}" if library else name


def _find_ordinal(bind: Bind) -> str:
    """Return an import's name; an ordinal is looked up in the table of its DLL."""
    return read_ordinals().get(bind.library.lower(), {}).get(bind.name, bind.name)


def _choose_windows(bind: Bind, image: Image, provided: Provided) -> Import | None:
    name, library = _find_ordinal(bind), bind.library.lower()
    if own := provided.rewrapped.get(library):
        return _find_rewrapped(name, own)
    if f"w_{name}" in provided.shim.symbols:
        return Import(f"w_{name}", provided.shim.soname)
    if library.startswith("python3"):
        return Import(name) if name in provided.program.symbols else None
    if not C_RUNTIMES.fullmatch(library) or name not in read_same_names("windows", image.cpu):
        return None
    return _find_in_c_libraries(name, provided)


def _choose_macos(bind: Bind, image: Image, provided: Provided) -> Import | int | None:
    if not bind.library and bind.name in image.exports:
        return image.exports[bind.name]
    for library in [bind.library] if bind.library else image.libraries:
        if (own := provided.rewrapped.get(library)) and (bind.library or bind.name in own.symbols):
            return _find_rewrapped(bind.name, own)
    if bind.library and not bind.library.startswith(SYSTEM_FOLDERS) and not _is_python(bind.name):
        return None
    plain = bind.name.partition("$")[0]  # without the variant: stat$INODE64
    for variant in (f"m_{bind.name}", f"m_{plain}"):
        if variant in provided.shim.symbols:
            return Import(variant, provided.shim.soname)
    return _choose_system(bind, plain, image.cpu, provided)


def _choose_system(bind: Bind, plain: str, cpu: str, provided: Provided) -> Import | None:
    """Choose what macOS and Linux have in common: Python, libraries of the same projects, the unwinder, C."""
    name = bind.name
    if _is_python(name) and name in provided.program.symbols:
        return Import(name)
    twin = UNWINDER if name.startswith("_Unwind_") else TWINS.get(bind.library.rpartition("/")[2], "")
    if library := provided.find_library(twin):
        return None if name in DIFFERENT else _find_in(name, library)
    return _find_in_c_libraries(plain, provided) if plain in read_same_names("macos", cpu) else None


def _is_python(name: str) -> bool:
    """Return whether this is a name of the C API, which the wheel may expect in a framework or libpython."""
    return name.lstrip("_").startswith("Py")


def _find_rewrapped(name: str, library: Exports) -> Import | None:
    return Import(qualify(library.soname, name), library.soname) if name in library.symbols else None


def qualify(soname: str, name: str) -> str:
    """Return the name under which rewrapped libraries find a symbol of another one.

    The plain name could be found in a library that the Python program loaded before.
    """
    return f"{soname}!{name}"


def _find_in(name: str, library: Exports) -> Import | None:
    if name not in library.symbols:
        return None
    return Import(name, library.soname, library.symbols[name])


def _find_in_c_libraries(name: str, provided: Provided) -> Import | None:
    libraries = [library for soname in C_LIBRARIES if (library := provided.find_library(soname))]
    return next((found for library in libraries if (found := _find_in(name, library))), None)
