"""Check what a binary needs from others: libraries, symbol versions, and Python's symbols."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

import abi3info
import lief
from abi3info.models import PyVersion, Symbol

from wheelworks.audit import platforms
from wheelworks.audit.findings import Finding, abbreviate, sanitize
from wheelworks.audit.wheel import AuditedWheel, NativeFile

_PYTHON_DLL = re.compile(r"(?:lib)?python(\d+)(t?)(_d)?\.dll")
_PYPY_DLL = re.compile(r"libpypy\d[\w.]*-c\.dll")
_DEBUG_DLL = re.compile(r"(ucrtbased|(vcruntime|msvcp|concrt|vccorlib|mfc|msvcr)\d+(_\w+)?d)\.dll")
_MSVC_DLL = re.compile(r"(msvcp|msvcr|vcomp|concrt|vccorlib|mfc|atl|vcamp)\d+(_\w+)?\.dll|vcruntime140_threads\.dll")
_API_SETS = ("api-ms-win-", "ext-ms-win-")
_GLIBC_LOADER = re.compile(r"ld-(linux|musl)\S*\.so\.\d|ld64\.so\.\d")
_MUSL_LIBC = re.compile(r"libc\.(musl-\w+\.so\.1|so)|ld-musl-\w+\.so\.1")
_LIBPYTHON = re.compile(r"libpython3[\w.]*\.(so|dylib)|Python$")
# Exported by free-threaded Pythons too, but unusable with abi3t: PyModuleDef isn't part of it (PEP 803).
_DEFINITION_FUNCTIONS = frozenset(
    {"PyModuleDef_Init", "PyModule_Create2", "PyModule_FromDefAndSpec2", "PyModule_ExecDef", "PyState_AddModule",
     "PyState_FindModule", "PyState_RemoveModule"}
)  # fmt: skip
_APPLE_FOLDERS = ("/usr/lib/", "/System/Library/")
_RELATIVE_PATHS = ("@loader_path", "@rpath", "@executable_path")


def check_libraries(native: NativeFile) -> Iterator[Finding]:
    """W108 to W111: each library must be promised by the platform tag or be in the wheel."""
    if not native.platforms:
        return
    check = {"PE": _check_dll, "ELF": _check_shared_object, "Mach-O": _check_dylib}[native.facts.format]
    parsed = native.parsed
    delayed = (str(one.name) for one in (parsed.delay_imports if isinstance(parsed, lief.PE.Binary) else ()))
    for name in sorted({*native.facts.libraries, *delayed}):
        if name.rsplit("/", 1)[-1].casefold() not in native.wheel.bundled and (found := check(name, native)):
            code, why = found
            yield native.finding(code, f"{sanitize(name)}{why}")


def _check_dll(name: str, native: NativeFile) -> tuple[str, str] | None:
    lower = name.casefold()
    if found := _PYTHON_DLL.fullmatch(lower):
        return _check_python_dll(found, native.wheel)
    if _PYPY_DLL.fullmatch(lower) and any(tag.interpreter.startswith("pp") for tag in native.wheel.name.tags):
        return None
    if _DEBUG_DLL.fullmatch(lower):
        return "W110", ""
    if _MSVC_DLL.fullmatch(lower):
        return "W111", ""
    windows = platforms.load_table()["windows"]
    promised = lower in windows["system"] or lower in windows["python"] or lower.startswith(_API_SETS)
    return None if promised else ("W108", ", which neither Windows nor Python has")


def _check_python_dll(found: re.Match[str], wheel: AuditedWheel) -> tuple[str, str] | None:
    if found[3]:
        return "W110", ""
    wanted = {
        f"python3{abi[4:]}.dll" if abi in ("abi3", "abi3t") else f"python{abi.removeprefix('cp')}.dll"
        for abi in wheel.abis - {"none"}
    }
    name = f"python{found[1]}{found[2]}.dll"
    if name == "python3.dll" and not any(abi.endswith("t") for abi in wheel.abis):
        return None  # every version with the GIL has it
    if "python3t.dll" in wanted:  # it serves both kinds of Python, python3.dll only those with the GIL
        wanted = {"python3t.dll"}
    return None if name in wanted or not wanted else ("W109", f", where the tag needs {abbreviate(wanted)}")


def _check_shared_object(name: str, native: NativeFile) -> tuple[str, str] | None:
    if _LIBPYTHON.search(name):
        return "W109", ", which most Pythons don't have as a separate library"
    for platform in native.platforms:
        policy = platforms.find_policy(platform.libc, platform.version)
        own = _MUSL_LIBC if platform.libc == "musl" else _GLIBC_LOADER
        if policy and name not in policy["lib_whitelist"] and not own.fullmatch(name):
            return "W108", f", which {platform.tag} doesn't promise"
    return None


def _check_dylib(name: str, native: NativeFile) -> tuple[str, str] | None:
    if _LIBPYTHON.search(name):
        return "W109", ", which belongs to one Python"
    if name.startswith(_RELATIVE_PATHS):
        return "W108", ", which the wheel doesn't hold"
    return None if name.startswith(_APPLE_FOLDERS) else ("W108", ", which macOS doesn't have")


def check_symbol_versions(native: NativeFile) -> Iterator[Finding]:
    """W112: symbol versions above those that the tag promises, by auditwheel's policies."""
    if not isinstance(native.parsed, lief.ELF.Binary):
        return
    for platform in native.platforms:
        policy = platforms.find_policy(platform.libc, platform.version)
        allowed = policy["symbol_versions"].get(platform.arch, {}) if policy else {}
        if new := sorted(_find_new_versions(native.parsed, native.wheel, allowed)):
            users = _list_symbols(native.parsed)
            symbols = abbreviate(f"{version} of {library}{users.get(version, '')}" for library, version in new)
            yield native.finding("W112", f"{symbols}, in a wheel for {platform.tag}")
            return


def _find_new_versions(
    parsed: lief.ELF.Binary, wheel: AuditedWheel, allowed: dict[str, list[str]]
) -> Iterator[tuple[str, str]]:
    for requirement in parsed.symbols_version_requirement:
        library = str(requirement.name)
        if library.casefold() in wheel.bundled:
            continue
        for auxiliary in requirement.get_auxiliary_symbols():
            prefix, _, version = str(auxiliary.name).partition("_")
            if prefix in allowed and version not in allowed[prefix]:
                yield library, str(auxiliary.name)


def _list_symbols(parsed: lief.ELF.Binary) -> dict[str, str]:
    """Return the symbols of each version, in parentheses."""
    found: dict[str, list[str]] = defaultdict(list)
    for symbol in parsed.dynamic_symbols:
        version = symbol.symbol_version
        if version and version.has_auxiliary_version and (auxiliary := version.symbol_version_auxiliary):
            found[str(auxiliary.name)].append(sanitize(str(symbol.name)))
    return {version: f" ({abbreviate(names)})" for version, names in found.items()}


def check_undefined_symbols(native: NativeFile) -> Iterator[Finding]:
    """W118: a binary that needs no library may use no symbols except Python's."""
    if not isinstance(native.parsed, lief.ELF.Binary) or native.facts.libraries or not native.module:
        return
    needed = {
        str(symbol.name)
        for symbol in native.parsed.dynamic_symbols
        if symbol.shndx == 0 and symbol.name and symbol.binding != lief.ELF.Symbol.BINDING.WEAK
    }
    if wrong := [name for name in needed if not name.startswith(("Py", "_Py"))]:
        yield native.finding("W118", abbreviate(map(sanitize, wrong)))


def check_stable_abi(native: NativeFile) -> Iterator[Finding]:
    """W116 (PEP 384, PEP 803), by CPython's list of the stable ABI."""
    wheel = native.wheel
    if not wheel.abis & {"abi3", "abi3t"} or not native.module:
        return
    needed = {name for name in native.facts.symbols if name.startswith(("Py", "_Py"))} - set(native.facts.exports)
    if wrong := {name: why for name in needed if (why := _find_abi_fault(name, wheel))}:
        shown = abbreviate(f"{sanitize(name)} ({why})" for name, why in wrong.items())
        yield native.finding("W116", f"{shown}; the tag is cp{wheel.floor[0]}{wheel.floor[1]}")


def _find_abi_fault(name: str, wheel: AuditedWheel) -> str:
    known = abi3info.FUNCTIONS.get(Symbol(name)) or abi3info.DATAS.get(Symbol(name))
    if known is None:
        return "not in it"
    if name in _DEFINITION_FUNCTIONS and "abi3t" in wheel.abis:
        return "takes a PyModuleDef, whose layout differs without the GIL"
    return "" if known.added <= PyVersion(*wheel.floor) else f"since {known.added.major}.{known.added.minor}"
