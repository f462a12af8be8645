"""Check that the loader finds every library that a binary needs: in the system, or where it lies in the wheel."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from wheelworks.audit import archive, platforms
from wheelworks.audit.findings import Finding, abbreviate, sanitize
from wheelworks.audit.linkage import Library, Linkage, Need
from wheelworks.audit.loading import SITE_PACKAGES, Chain, Loader, find_folder, list_search_folders
from wheelworks.audit.symbol_lists import find_api_set, load_api_sets
from wheelworks.audit.wheel import AuditedWheel

_PYTHON_DLL = re.compile(r"(?:lib)?python(\d+)(t?)(_d)?\.dll")
_OTHER_PYTHON_DLLS = {"pp": re.compile(r"libpypy\d[\w.]*-c\.dll"), "graalpy": re.compile(r"python-native\.dll")}
_DEBUG_DLL = re.compile(r"(ucrtbased|(vcruntime|msvcp|concrt|vccorlib|mfc|msvcr)\d+(_\w+)?d)\.dll")
_MSVC_DLL = re.compile(r"(msvcp|msvcr|vcomp|concrt|vccorlib|mfc|atl|vcamp)\d+(_\w+)?\.dll|vcruntime140_threads\.dll")
_GLIBC_LOADER = re.compile(r"ld-(linux|musl)\S*\.so\.\d|ld64\.so\.\d")
_MUSL_LIBC = re.compile(r"libc\.(musl-\w+\.so\.1|so)|ld-musl-\w+\.so\.1")
_LIBPYTHON = re.compile(r"libpython3[\w.]*\.(so|dylib)|Python$")
_APPLE_FOLDERS = ("/usr/lib/", "/System/Library/")
_RELATIVE_PATHS = ("@loader_path", "@rpath", "@executable_path")
_HASH = re.compile(r"-[0-9a-f]{6,}$")  # what auditwheel and delvewheel append to the names of libraries
_MOST_MISSING = 200  # libraries that are reported
_LEAST_NAME = 4  # letters of a project's name that a library's must contain, to be taken for that project's


@dataclass
class _Missing:
    """A library that some loads didn't find: the binaries that need it, and the chain of the first of them."""

    library: Library
    chain: Chain
    members: set[str] = field(default_factory=set)


class _Verdict(NamedTuple):
    """The code of a missing library, and the reason, which libraries with the same cause share."""

    code: str
    why: str
    cause: str = ""


def check_libraries(wheel: AuditedWheel) -> Iterator[Finding]:
    """W108 to W111, W121, W122: each library must be promised by the platform tag, or be found in the wheel."""
    required = list(archive.list_requirements(wheel))
    for loader in wheel.loaders:
        groups: dict[tuple[str, str], list[tuple[_Missing, str]]] = defaultdict(list)
        for missing in islice(_list_missing(loader, wheel), _MOST_MISSING):
            if verdict := _judge(missing, loader, wheel, required):
                groups[verdict.code, verdict.cause or missing.library.name].append((missing, verdict.why))
        for (code, _), rows in groups.items():
            yield _report(code, [missing for missing, _ in rows], rows[0][1])
        if not loader.is_complete:
            yield Finding("W122", "too many libraries need each other: the search was given up")


def _report(code: str, missing: list[_Missing], why: str) -> Finding:
    """Return the finding about all libraries that are missing for one reason."""
    first = missing[0].chain[0].member
    others = {member for one in missing for member in one.members} - {first}
    also = f"; also needed by {abbreviate(map(sanitize, others))}" if others else ""
    return Finding(code, f"needs {abbreviate(sanitize(one.library.name) for one in missing)}{why}{also}", first)


def _list_missing(loader: Loader, wheel: AuditedWheel) -> Iterator[_Missing]:
    """Yield the libraries that the system doesn't promise and that at least one load didn't find, each once."""
    found: dict[tuple[str, Need], _Missing] = {}
    for load in loader.loads:
        for binary, library, chain in load.missing:
            if library.need is not Need.WEAK and binary.platforms and _find_fault(library.name, binary, wheel):
                one = found.setdefault((library.name, library.need), _Missing(library, chain))
                one.members.add(binary.member)
    for key in sorted(found, key=lambda key: (key[0], key[1].value)):
        yield found[key]


def _judge(missing: _Missing, loader: Loader, wheel: AuditedWheel, required: list[str]) -> _Verdict | None:
    """Return what is wrong; None if the wheel's Python code loads the library."""
    library = missing.library
    bundled = loader.find_bundled(library.name)
    if bundled is None:
        return _judge_foreign(missing, loader, wheel, required)
    if _is_loaded_by_code(bundled, wheel):
        return None
    place = _show_folder(find_folder(bundled))
    if library.need is Need.DELAYED:
        return _Verdict("W122", f", in {place}, at the first use", f"delayed {place}")
    if _is_found_elsewhere(missing, loader):
        return _Verdict("W122", f", in {place}, which another module must have loaded before", f"before {place}")
    if wheel.loading_code:
        why = f", in {place}; Python code of the wheel loads libraries, but doesn't name this folder"
        return _Verdict("W122", why, f"code {place}")
    searched = _show_folders(list_search_folders(missing.chain))
    return _Verdict("W121", f", in {place}; the loader searches {searched}", f"folder {place}")


def _judge_foreign(missing: _Missing, loader: Loader, wheel: AuditedWheel, required: list[str]) -> _Verdict:
    """Judge a library that the wheel doesn't hold. ``required`` are the projects that it requires."""
    fault = _find_fault(missing.library.name, missing.chain[0], wheel)
    assert fault is not None  # else it wouldn't be missing
    if fault[0] not in ("W108", "W111"):
        return _Verdict(*fault)
    if missing.library.need is Need.DELAYED:
        return _Verdict("W122", f"{fault[1]}, at the first use", f"delayed{fault[1]}")
    folders = list_search_folders(missing.chain)
    if required and loader.leads_outside(folders):
        return _Verdict("W122", f", in a folder of another project: {_show_folders(folders)}", "another project")
    if owner := _find_owner(missing.library.name, required):
        return _Verdict("W122", f", which {owner}, a requirement, may have loaded before", f"owner {owner}")
    return _Verdict(*fault)


def _is_found_elsewhere(missing: _Missing, loader: Loader) -> bool:
    """Return whether loading some other module or program loads the library under the name that is looked for."""
    return any(name == missing.library.name and load.root.is_root for load in loader.loads for _, name in load.found)


def _is_loaded_by_code(bundled: Linkage, wheel: AuditedWheel) -> bool:
    """Return whether Python code that loads libraries names this one, or the folder that it lies in."""
    stem = bundled.file_name.partition(".")[0]
    names = {bundled.file_name, stem, _HASH.sub("", stem), _HASH.sub("", stem).removeprefix("lib")}
    folder = posixpath.basename(posixpath.dirname(bundled.member))
    words = "|".join(re.escape(one) for one in {*names, folder} if one)
    pattern = re.compile(rf"['\"/\\](?:{words})(?:['\"/\\.*{{-]|$)".encode())
    return any(pattern.search(code) for code in wheel.loading_code.values())


def _find_owner(library: str, required: list[str]) -> str:
    """Return the required project that a library seems to belong to, by its name; "" if none does."""
    plain = re.sub(r"[^a-z0-9]", "", posixpath.basename(library).partition(".")[0].casefold().removeprefix("lib"))
    for name in required:
        for part in re.split(r"[-_.]", name.casefold()):
            word = part.removeprefix("lib").removeprefix("py")
            if len(word) >= _LEAST_NAME and (word in plain or (len(plain) >= _LEAST_NAME and plain in word)):
                return name
    return ""


def _show_folder(folder: str) -> str:
    inside = folder.removeprefix(SITE_PACKAGES).lstrip("/")
    return sanitize(inside if folder.startswith(SITE_PACKAGES) else f"PREFIX/{folder}") or "site-packages"


def _show_folders(folders: list[str]) -> str:
    return abbreviate(map(_show_folder, folders)) or "no folder of the wheel"


# -- what the systems promise


def is_promised(name: str, binary: Linkage, wheel: AuditedWheel) -> bool:
    """Return whether the system of the wheel's tags has a library."""
    return _find_fault(name, binary, wheel) is None


def _find_fault(name: str, binary: Linkage, wheel: AuditedWheel) -> tuple[str, str] | None:
    """Return a code and a reason for a library that the system of the tag doesn't promise; None for the others."""
    check = {"PE": _check_dll, "ELF": _check_shared_object, "Mach-O": _check_dylib}[binary.facts.format]
    return check(name, binary, wheel)


def _check_dll(name: str, binary: Linkage, wheel: AuditedWheel) -> tuple[str, str] | None:
    lower = name.casefold()
    if found := _PYTHON_DLL.fullmatch(lower):
        return _check_python_dll(found, wheel)
    if any(pattern.fullmatch(lower) and _is_for(start, wheel) for start, pattern in _OTHER_PYTHON_DLLS.items()):
        return None
    if _DEBUG_DLL.fullmatch(lower):
        return "W110", ""
    if _MSVC_DLL.fullmatch(lower):
        return "W111", ""
    windows = platforms.load_table()["windows"]
    promised = lower in windows["system"] or lower in windows["python"] or find_api_set(lower) in load_api_sets()
    return None if promised else ("W108", ", which neither Windows nor Python has")


def _is_for(interpreter: str, wheel: AuditedWheel) -> bool:
    """Return whether a wheel is for an interpreter, by the start of its tag."""
    return any(tag.interpreter.startswith(interpreter) for tag in wheel.name.tags)


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


def _check_shared_object(name: str, binary: Linkage, wheel: AuditedWheel) -> tuple[str, str] | None:
    if _LIBPYTHON.search(name):
        return "W109", ", which most Pythons don't have as a separate library"
    for platform in binary.platforms:
        policy = platforms.find_policy(platform.libc, platform.version)
        own = _MUSL_LIBC if platform.libc == "musl" else _GLIBC_LOADER
        if policy and name not in policy["lib_whitelist"] and not own.fullmatch(name):
            return "W108", f", which {platform.tag} doesn't promise"
    return None


def _check_dylib(name: str, binary: Linkage, wheel: AuditedWheel) -> tuple[str, str] | None:
    if _LIBPYTHON.search(name):
        return "W109", ", which belongs to one Python"
    if name.startswith(_RELATIVE_PATHS):
        return "W108", ", which the wheel doesn't hold"
    return None if name.startswith(_APPLE_FOLDERS) else ("W108", ", which macOS doesn't have")
