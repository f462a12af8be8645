"""Check the versions of the symbols that a binary needs, and its use of Python's stable ABI."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import abi3info
import lief
from abi3info.models import PyVersion, Symbol

from wheelworks.audit import platforms
from wheelworks.audit.findings import Finding, abbreviate, sanitize
from wheelworks.audit.wheel import AuditedWheel, NativeFile

# Exported by free-threaded Pythons too, but unusable with abi3t: PyModuleDef isn't part of it (PEP 803).
_DEFINITION_FUNCTIONS = frozenset(
    {"PyModuleDef_Init", "PyModule_Create2", "PyModule_FromDefAndSpec2", "PyModule_ExecDef", "PyState_AddModule",
     "PyState_FindModule", "PyState_RemoveModule"}
)  # fmt: skip


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


def check_stable_abi(native: NativeFile) -> Iterator[Finding]:
    """W116 (PEP 384, PEP 803), by CPython's list of the stable ABI."""
    wheel = native.wheel
    if not wheel.abis & {"abi3", "abi3t"} or not native.module:
        return
    needed = {name for name in native.facts.symbols if name.startswith(("Py", "_Py"))} - set(native.facts.exports)
    if wrong := {name: why for name in needed if (why := _find_abi_fault(name, wheel))}:
        shown = abbreviate(f"{sanitize(name)} ({why})" for name, why in wrong.items())
        yield native.finding("W116", f"{shown}; the tag is cp{wheel.floor[0]}{wheel.floor[1]}")


def find_stable_version(name: str) -> PyVersion | None:
    """Return the first Python whose stable ABI has a symbol; None if none has it."""
    known = abi3info.FUNCTIONS.get(Symbol(name)) or abi3info.DATAS.get(Symbol(name))
    return known.added if known else None


def _find_abi_fault(name: str, wheel: AuditedWheel) -> str:
    added = find_stable_version(name)
    if added is None:
        return "not in it"
    if name in _DEFINITION_FUNCTIONS and "abi3t" in wheel.abis:
        return "takes a PyModuleDef, whose layout differs without the GIL"
    return "" if added <= PyVersion(*wheel.floor) else f"since {added.major}.{added.minor}"
