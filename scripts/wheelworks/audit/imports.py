"""Checks of what a binary asks of others: libraries, symbol versions, Python's own symbols."""

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
from wheelworks.core.tags import Platform

_PYTHON_DLL = re.compile(r"(?:lib)?python(\d+)(t?)(_d)?\.dll")
_PYPY_DLL = re.compile(r"libpypy\d[\w.]*-c\.dll")
_DEBUG_DLL = re.compile(r"(ucrtbased|(vcruntime|msvcp|concrt|vccorlib|mfc|msvcr)\d+(_\w+)?d)\.dll")
_MSVC_DLL = re.compile(r"(msvcp|msvcr|vcomp|concrt|vccorlib|mfc|atl|vcamp)\d+(_\w+)?\.dll|vcruntime140_threads\.dll")
_UNIVERSAL = ("api-ms-win-", "ext-ms-win-")
_LOADER = re.compile(r"ld-(linux|musl)\S*\.so\.\d|ld64\.so\.\d")
_LIBPYTHON = re.compile(r"libpython3[\w.]*\.(so|dylib)|Python$")
# Exported with and without the GIL, but of no use to abi3t: the structure that they take isn't part of it (PEP 803).
_OF_DEFINITIONS = frozenset(
    {"PyModuleDef_Init", "PyModule_Create2", "PyModule_FromDefAndSpec2", "PyModule_ExecDef", "PyState_AddModule",
     "PyState_FindModule", "PyState_RemoveModule"}
)  # fmt: skip
_APPLE = ("/usr/lib/", "/System/Library/")
_RELATIVE = ("@loader_path", "@rpath", "@executable_path")


def check_libraries(native: NativeFile) -> Iterator[Finding]:
    """W108 to W111: what the platform's tag promises, and what the wheel brings along."""
    if not native.platforms:
        return
    wanted = [name for name in _needed(native) if _base(name) not in native.wheel.bundled]
    judge = {"PE": _dll, "ELF": _shared_object, "Mach-O": _dylib}[native.facts.format]
    for name in wanted:
        if found := judge(name, native):
            code, why = found
            yield Finding(code, f"{native.label}{sanitize(name)}{why}", native.member)


def _needed(native: NativeFile) -> list[str]:
    delayed = (
        [str(one.name) for one in native.parsed.delay_imports] if isinstance(native.parsed, lief.PE.Binary) else []
    )
    return sorted({*native.facts.libraries, *delayed})


def _base(name: str) -> str:
    return name.rsplit("/", 1)[-1].casefold()


def _dll(name: str, native: NativeFile) -> tuple[str, str] | None:
    lower = name.casefold()
    if found := _PYTHON_DLL.fullmatch(lower):
        return _python_dll(found, native.wheel)
    if _PYPY_DLL.fullmatch(lower) and any(tag.interpreter.startswith("pp") for tag in native.wheel.tags):
        return None
    if _DEBUG_DLL.fullmatch(lower):
        return "W110", ""
    if _MSVC_DLL.fullmatch(lower):
        return "W111", ""
    windows = platforms.load_table()["windows"]
    promised = lower in windows["system"] or lower in windows["python"] or lower.startswith(_UNIVERSAL)
    return None if promised else ("W108", ", which neither Windows nor Python has")


def _python_dll(found: re.Match[str], wheel: AuditedWheel) -> tuple[str, str] | None:
    if found[3]:
        return "W110", ""
    wanted = {_dll_of(tag.interpreter, tag.abi) for tag in wheel.tags if tag.abi != "none"}
    have = f"python{found[1]}{found[2]}.dll"
    if have == "python3.dll" and not any(tag.abi.endswith("t") for tag in wheel.tags):
        return None  # of every version
    if "python3t.dll" in wanted:  # it serves both kinds of Python, and python3.dll only the one with the GIL
        wanted = {"python3t.dll"}
    return None if have in wanted or not wanted else ("W109", f", where the tag asks for {abbreviate(wanted)}")


def _dll_of(interpreter: str, abi: str) -> str:
    if abi in ("abi3", "abi3t"):
        return f"python3{abi[4:]}.dll"
    return f"python{abi.removeprefix('cp')}.dll"


def _shared_object(name: str, native: NativeFile) -> tuple[str, str] | None:
    if _LIBPYTHON.search(name):
        return "W109", ", which most Pythons don't have as a library of its own"
    for platform in native.platforms:
        policy = platforms.find_policy(platform.libc, platform.version)
        if policy and not _promised(name, platform, policy["lib_whitelist"]):
            return "W108", f", which {platform.tag} doesn't promise"
    return None


def _promised(name: str, platform: Platform, allowed: list[str]) -> bool:
    if platform.libc == "musl" and re.fullmatch(r"libc\.(musl-\w+\.so\.1|so)|ld-musl-\w+\.so\.1", name):
        return True
    return name in allowed or (platform.libc == "glibc" and bool(_LOADER.fullmatch(name)))


def _dylib(name: str, native: NativeFile) -> tuple[str, str] | None:
    if _LIBPYTHON.search(name):
        return "W109", ", which is one Python's own"
    if name.startswith(_RELATIVE):
        return "W108", ", which the wheel doesn't hold"
    return None if name.startswith(_APPLE) else ("W108", ", which macOS doesn't have")


def check_symbol_versions(native: NativeFile) -> Iterator[Finding]:
    """W112: symbol versions above what the tag promises, by auditwheel's policies."""
    if not isinstance(native.parsed, lief.ELF.Binary):
        return
    for platform in native.platforms:
        policy = platforms.find_policy(platform.libc, platform.version)
        allowed = policy["symbol_versions"].get(platform.arch, {}) if policy else {}
        if new := sorted(_too_new(native, allowed)):
            users = _users(native)
            symbols = abbreviate(f"{version} of {library}{users.get(version, '')}" for library, version in new)
            yield Finding("W112", f"{symbols}, in a wheel for {platform.tag}", native.member)
            return


def _too_new(native: NativeFile, allowed: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    assert isinstance(native.parsed, lief.ELF.Binary)
    for requirement in native.parsed.symbols_version_requirement:
        library = str(requirement.name)
        if library.casefold() in native.wheel.bundled:
            continue
        for auxiliary in requirement.get_auxiliary_symbols():
            prefix, _, version = str(auxiliary.name).partition("_")
            if prefix in allowed and version not in allowed[prefix]:
                yield library, str(auxiliary.name)


def _users(native: NativeFile) -> dict[str, str]:
    """The symbols of each version, in words."""
    assert isinstance(native.parsed, lief.ELF.Binary)
    found: dict[str, list[str]] = defaultdict(list)
    for symbol in native.parsed.dynamic_symbols:
        if (one := symbol.symbol_version) and one.has_auxiliary_version:
            found[_aux(one)].append(sanitize(str(symbol.name)))
    return {version: f" ({abbreviate(names)})" for version, names in found.items()}


def _aux(version: lief.ELF.SymbolVersion) -> str:
    auxiliary = version.symbol_version_auxiliary
    return str(auxiliary.name) if auxiliary else ""


def check_undefined_symbols(native: NativeFile) -> Iterator[Finding]:
    """W118: without any library of its own, a binary may count on Python's symbols alone."""
    if not isinstance(native.parsed, lief.ELF.Binary) or native.facts.libraries or not native.module:
        return
    needed = {
        str(symbol.name)
        for symbol in native.parsed.dynamic_symbols
        if symbol.shndx == 0 and symbol.name and symbol.binding != lief.ELF.Symbol.BINDING.WEAK
    }
    if wrong := [name for name in needed if not name.startswith(("Py", "_Py"))]:
        yield Finding("W118", abbreviate(map(sanitize, wrong)), native.member)


def check_stable_abi(native: NativeFile) -> Iterator[Finding]:
    """W116 (PEP 384, PEP 803), by CPython's own list of the stable ABI."""
    wheel = native.wheel
    if not wheel.abis & {"abi3", "abi3t"} or not native.module:
        return
    asked = {name for name in native.facts.symbols if name.startswith(("Py", "_Py"))} - set(native.facts.exports)
    wrong = {name: why for name in asked if (why := _unstable(name, wheel))}
    if wrong:
        shown = abbreviate(f"{sanitize(name)} ({why})" for name, why in wrong.items())
        yield Finding("W116", f"{native.label}{shown}; the tag is cp{wheel.floor[0]}{wheel.floor[1]}", native.member)


def _unstable(name: str, wheel: AuditedWheel) -> str:
    known = abi3info.FUNCTIONS.get(Symbol(name)) or abi3info.DATAS.get(Symbol(name))
    if known is None:
        return "not in it"
    if name in _OF_DEFINITIONS and "abi3t" in wheel.abis:
        return "takes a PyModuleDef, which begins otherwise without the GIL"
    return "" if known.added <= PyVersion(*wheel.floor) else f"since {known.added.major}.{known.added.minor}"
