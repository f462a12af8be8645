"""Check that every symbol that a binary needs is defined: by the libraries that the tag promises, or in the wheel.

The lists of :mod:`wheelworks.audit.symbol_lists` are complete for glibc, musl, macOS's libSystem and the DLLs of
Windows. A library without a list may have any symbol, so what it could define isn't reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from abi3info.models import PyVersion

from wheelworks.audit.findings import Finding, abbreviate, sanitize
from wheelworks.audit.imports import find_stable_version
from wheelworks.audit.libraries import is_promised
from wheelworks.audit.linkage import Linkage, Need, Symbol
from wheelworks.audit.loading import Load
from wheelworks.audit.symbol_lists import load_dll, load_glibc, load_libsystem, load_musl
from wheelworks.audit.wheel import AuditedWheel
from wheelworks.core.tags import Platform

_PYTHON_NAMES = ("Py", "_Py", "GraalPy", "_GraalPy")
_GLIBC_LIBRARY = re.compile(r"lib(c|m|dl|rt|util|pthread|resolv)\.so\.\d+|ld-linux[\w.-]*\.so\.\d|ld64\.so\.\d")
_MUSL_LIBRARY = re.compile(r"lib(c|m|dl|rt|util|pthread|resolv)\.(musl-\w+\.)?so(\.\d)?|ld-musl-\w+\.so\.1")
# Run-time libraries of compilers, by name, and what their symbols look like. Linkers record a version for each of them;
# but a symbol without one, of a library that isn't named, is found in them as well once another binary loads them.
_RUNTIME_LIBRARY = re.compile(r"lib(stdc\+\+|gcc_s|gomp|gfortran|quadmath|atomic)[\w.-]*\.so\.\d+")
_RUNTIME_NAMES = re.compile(
    r"_Z\w+|__cxa_\w+|__gxx_\w+|__dynamic_cast|_Unwind_\w+|__(\w+)[sdtxc][fi]\d?|GOMP_\w+|omp_\w+|_gfortran_\w+"
    r"|\w+q|__atomic_\w+|__emutls_\w+|__(de)?register_frame\w*|__gcc_\w+|__aeabi_\w+|__gnu_\w+|__(aarch64|cpu)_\w+"
)
_LINKER_NAMES = frozenset({"_DYNAMIC", "_GLOBAL_OFFSET_TABLE_", "__dso_handle", "_init", "_fini", "_edata", "_end"})
# What libc++, the Objective-C run-time library and CoreFoundation define. Python and its modules load them on macOS.
_APPLE_NAMES = re.compile(
    r"_Z(T[ISV])?N?K?(St|S[abdios]|3std|10__cxxabiv1)\w*|_Z(n|d)[wal]\w+|_ZT[ISV]P?K?[a-z]|_ZTh\w+|__cxa_\w+|__gxx_\w+"
    r"|objc_\w+|_objc_\w+|OBJC_\w+|_{0,2}(CF|NS)[A-Z]\w+|kCF\w+|_Unwind_\w+|__dynamic_cast|_ZSt\w+|_ZNK?St\w+"
)
_LIBSYSTEM = re.compile(r"/usr/lib/(libSystem(\.B)?|libc|libm|libpthread|libdl)\.dylib")
_LIBCXX = re.compile(r"/usr/lib/(libc\+\+(\.1)?|libc\+\+abi|libobjc(\.A)?)\.dylib|/System/Library/Frameworks/Python\S*")
_PYTHON3_DLL = re.compile(r"python3(t?)\.dll")
_PYTHON_DLL = re.compile(r"python3\d+t?(_d)?\.dll")


@dataclass(frozen=True)
class _Fault:
    """A symbol that nothing defines, or whose definition is too new, and why."""

    code: str
    symbol: str
    why: str = ""


def check_undefined_symbols(wheel: AuditedWheel) -> Iterator[Finding]:
    """W118, W112, W116: a module may use no symbol that neither Python, the promised libraries nor the wheel has."""
    for loader in wheel.loaders:
        find = {"ELF": _find_elf_faults, "Mach-O": _find_macho_faults, "PE": _find_pe_faults}[loader.format]
        exported = frozenset[str]().union(*(one.exports for one in loader.linkages))
        reported: set[str] = set()
        for load in loader.loads:
            faults: dict[tuple[str, str], list[str]] = {}
            is_checked = load.root.is_root and bool(load.root.platforms)
            new = [one for one in load.order if is_checked and one.member not in reported]
            for member, fault in find(new, load, exported, wheel) if new else ():
                faults.setdefault((member, fault.code), []).append(f"{sanitize(fault.symbol)}{fault.why}")
            for (member, code), symbols in faults.items():
                yield Finding(code, abbreviate(symbols), member)
            reported |= {one.member for one in load.order}


# -- ELF


def _find_elf_faults(
    binaries: Sequence[Linkage], load: Load, exported: frozenset[str], wheel: AuditedWheel
) -> Iterator[tuple[str, _Fault]]:
    """Yield the symbols that these binaries need and no binary of the load has.

    A loader looks for each symbol in Python, and in all binaries of the load (gABI, "Shared Object Dependencies").
    Other binaries of the wheel may be loaded before, if Python code loads libraries.
    """
    defined = _LINKER_NAMES.union(*(one.exports for one in load.order))
    foreign = {library.name for _, library, _ in load.missing} | load.unread
    for platform in load.root.platforms:
        is_libc = _MUSL_LIBRARY if platform.libc == "musl" else _GLIBC_LIBRARY
        unknown = {name for name in foreign if not is_libc.fullmatch(name)}
        faults = [
            (one.member, fault)
            for one in binaries
            for symbol in one.links.symbols
            if symbol.name not in defined and not symbol.name.startswith(_PYTHON_NAMES)
            if not (symbol.name in exported and wheel.loading_code)
            if (fault := _judge_elf_symbol(symbol, platform, unknown, has_libraries=bool(foreign)))
        ]
        if faults:
            yield from faults
            return


def _judge_elf_symbol(symbol: Symbol, platform: Platform, unknown: set[str], *, has_libraries: bool) -> _Fault | None:
    if not has_libraries:
        return _Fault("W118", symbol.name)
    known = _load_libc(platform)
    first = known.get(symbol.name) if known else None
    if first is None:
        return _judge_unknown_name(symbol, platform, unknown) if known else None
    if not symbol.version and first > platform.version and platform.libc == "glibc":
        return _Fault("W112", symbol.name, f" (glibc has it since {first[0]}.{first[1]}, the tag is {platform.tag})")
    return None


@cache
def _load_libc(platform: Platform) -> Mapping[str, tuple[int, int]] | None:
    """Return the symbols of the tag's libc with the first version that has each; None without a list."""
    if platform.libc == "musl":
        return dict.fromkeys(load_musl(), (0, 0))
    return load_glibc(platform.arch) if platform.libc else None


def _judge_unknown_name(symbol: Symbol, platform: Platform, unknown: set[str]) -> _Fault | None:
    is_libc_version = symbol.version.startswith("GLIBC_") and bool(_GLIBC_LIBRARY.fullmatch(symbol.library))
    others = {name for name in unknown if not _RUNTIME_LIBRARY.fullmatch(name)}
    if not is_libc_version and (others or symbol.version):
        return None  # the version or one of these libraries may have it
    if not is_libc_version and unknown and _RUNTIME_NAMES.fullmatch(symbol.name):
        return None
    return _Fault("W118", symbol.name, f" (not in {platform.libc}'s libraries)")


# -- Mach-O


def _find_macho_faults(
    binaries: Sequence[Linkage], load: Load, exported: frozenset[str], wheel: AuditedWheel
) -> Iterator[tuple[str, _Fault]]:
    for one in binaries:
        for symbol in one.links.symbols:
            if symbol.library:
                fault = _judge_bound_symbol(symbol, one, load)
            else:
                fault = _judge_flat_symbol(symbol, load, exported)
            if fault:
                yield one.member, fault


def _judge_bound_symbol(symbol: Symbol, binary: Linkage, load: Load) -> _Fault | None:
    """Judge a symbol of a two-level namespace, which names its library."""
    if _LIBSYSTEM.fullmatch(symbol.library):
        found = symbol.name in load_libsystem()
    elif bundled := load.found.get((binary.member, symbol.library)):
        found = _exports_symbol(bundled, symbol.name, load, set())
    else:
        return None
    return None if found else _Fault("W118", symbol.name, f" (not in {sanitize(symbol.library)})")


def _exports_symbol(binary: Linkage, name: str, load: Load, seen: set[str]) -> bool:
    """Return whether a library, or one that it re-exports, has or may have a symbol."""
    seen.add(binary.member)
    if name in binary.exports:
        return True
    for library in binary.links.libraries:
        if library.reexported:
            other = load.found.get((binary.member, library.name))
            if other is None or (other.member not in seen and _exports_symbol(other, name, load, seen)):
                return True  # it isn't in the wheel, so nothing is known of it
    return False


def _judge_flat_symbol(symbol: Symbol, load: Load, exported: frozenset[str]) -> _Fault | None:
    """Judge a symbol that dyld looks for in every image of the process (flat namespace, ``-undefined dynamic_lookup``).

    CPython loads modules with RTLD_GLOBAL's visibility on macOS, so other modules of the wheel count, too.
    """
    known = symbol.name.startswith(_PYTHON_NAMES) or symbol.name in load_libsystem() or symbol.name in exported
    if known or _APPLE_NAMES.fullmatch(symbol.name):
        return None
    foreign = {library.name for _, library, _ in load.missing if library.need is Need.REQUIRED} | load.unread
    if any(not _LIBSYSTEM.fullmatch(name) and not _LIBCXX.fullmatch(name) for name in foreign):
        return None
    return _Fault("W118", symbol.name, " (dynamic lookup; neither Python, macOS nor the wheel has it)")


# -- PE


def _find_pe_faults(
    binaries: Sequence[Linkage], load: Load, exported: frozenset[str], wheel: AuditedWheel
) -> Iterator[tuple[str, _Fault]]:
    for one in binaries:
        for symbol in one.links.symbols:
            if fault := _judge_pe_symbol(symbol, one, load, wheel):
                yield one.member, fault


def _judge_pe_symbol(symbol: Symbol, binary: Linkage, load: Load, wheel: AuditedWheel) -> _Fault | None:
    if bundled := load.found.get((binary.member, symbol.library)):
        return _judge_bundled_dll(symbol, bundled, load)
    lower = symbol.library.casefold()
    if python := _PYTHON3_DLL.fullmatch(lower):
        return _judge_stable_symbol(symbol, wheel, is_free_threaded=bool(python[1]))
    if _PYTHON_DLL.fullmatch(lower) or not is_promised(symbol.library, binary, wheel):
        return None
    return _judge_system_symbol(symbol)


def _judge_system_symbol(symbol: Symbol) -> _Fault | None:
    known = load_dll(symbol.library)
    if known is None or symbol.name in known or symbol.name.startswith("?"):
        return None
    return _Fault("W118", symbol.name, f" (not in {sanitize(symbol.library)})")


def _judge_bundled_dll(symbol: Symbol, bundled: Linkage, load: Load) -> _Fault | None:
    """Judge a symbol of a DLL in the wheel, which may forward it to another one."""
    seen: set[tuple[str, str]] = set()
    name, current = symbol.name, bundled
    while (target := current.links.forwards.get(name)) and (current.member, name) not in seen:
        seen.add((current.member, name))
        library, name = target
        other = next((one for one in load.order if one.file_name.casefold() == library.casefold()), None)
        if other is None:
            fault = None if name.startswith("#") else _judge_system_symbol(Symbol(name, library))
            return fault and _Fault("W118", symbol.name, f" (forwarded to {sanitize(name)} of {sanitize(library)})")
        current = other
    if name in current.exports and name not in current.links.forwards:
        return None
    return _Fault("W118", symbol.name, f" (not in {sanitize(current.file_name)})")


def _judge_stable_symbol(symbol: Symbol, wheel: AuditedWheel, *, is_free_threaded: bool) -> _Fault | None:
    """Judge a symbol of python3.dll, which has the stable ABI of its version, whatever the wheel's ABI tag says."""
    if wheel.abis & {"abi3", "abi3t"} or is_free_threaded or wheel.floor == (0, 0):
        return None  # check_stable_abi reports it
    added = find_stable_version(symbol.name)
    if added is None:
        return _Fault("W116", symbol.name, f" (not in {sanitize(symbol.library)})")
    if added > PyVersion(*wheel.floor):
        return _Fault("W116", symbol.name, f" (in python3.dll since {added.major}.{added.minor})")
    return None
