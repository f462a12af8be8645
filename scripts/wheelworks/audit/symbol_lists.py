"""Look up what system libraries export, in the lists and text stubs that the compiler (ziglang) brings along.

They are inputs of linkers, made from the systems themselves: glibc's symbols with the version of each, musl's, the text
stub of macOS's libSystem, and the module definitions of Windows' DLLs. Where a list differs between CPUs, all of its
names are taken, so that a name which is not in it exists nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from wheelworks.core.errors import WheelworksError
from wheelworks.core.reader import read_uleb
from wheelworks.core.zig import find_zig

_GLIBC_CPUS = {
    "x86_64": "x86_64-linux-gnu", "i686": "x86-linux-gnu", "aarch64": "aarch64-linux-gnu",
    "armv7l": "arm-linux-gnueabihf", "ppc64le": "powerpc64le-linux-gnu", "s390x": "s390x-linux-gnu",
    "riscv64": "riscv64-linux-gnu", "loongarch64": "loongarch64-linux-gnu",
}  # fmt: skip
_LAST = 0x80  # marks the last element of a list in glibc's table
_MUSL_LABEL = re.compile(r"^(?:\.globl|\.weak|WEAK64|WEAKTIME64) (\w+)$", re.MULTILINE)
_STUB_LIST = re.compile(r"\b(?:weak-|thread-local-)?symbols: +\[([^\]]*)\]")
_STUB_CLASSES = re.compile(r"\bobjc-classes: +\[([^\]]*)\]")
_DEF_INCLUDE = re.compile(r'#include "([\w.-]+)"')
# NAME, NAME@8, ALIAS == NAME, NAME = OTHER, F_X64(NAME), each with an ordinal, DATA or a comment behind it. The macros
# ADD_UNDERSCORE and ADD_DOUBLE_UNDERSCORE define the name with underscores before it, too.
_DEF_MACRO = re.compile(r"(F|ADD)_?\w*\((.*)\)")
_DEF_LEFT_OUT = re.compile(r";\s*(\w+)(?:\s+DATA)?\s*(?:;|==|$)")
_DEF_STACK = re.compile(r"(?<=\w)@\d+$")
_API_SET = re.compile(r"((?:api|ext)-ms-[\w-]+?-l\d+-\d+)(-\d+)?(?:\.dll)?")
_CRT_API_SET = "api-ms-win-crt-"
_API_SET_HOSTS = (
    "kernel32.dll", "kernelbase.dll", "ntdll.dll", "advapi32.dll", "user32.dll", "ole32.dll", "combase.dll",
    "shlwapi.dll", "shcore.dll", "bcrypt.dll", "version.dll", "rpcrt4.dll", "gdi32.dll", "oleaut32.dll", "ucrtbase.dll",
    "userenv.dll", "shell32.dll", "sechost.dll", "cfgmgr32.dll", "psapi.dll", "ws2_32.dll",
)  # fmt: skip
_DEF_FOLDERS = ("lib-common", "lib64", "lib32", "def-include")


def _find_folder(*parts: str) -> Path:
    """Return a part of the compiler's folder. Raises WheelworksError where it isn't installed or has no such part."""
    path = Path(find_zig()).parent.joinpath("lib", "libc", *parts)
    if not path.exists():
        raise WheelworksError(f"the compiler has no {'/'.join(parts)}", "install the locked version of ziglang")
    return path


# -- glibc


@cache
def load_glibc(arch: str) -> Mapping[str, tuple[int, int]] | None:
    """Return each symbol of glibc's libraries with the first version that has it; None for a CPU without a list.

    The table, which zig makes from glibc's own ``.abilist`` files, names the libraries, the versions and the CPUs, then
    the functions, then the variables: the name (left out where it is the one before), a set of CPUs, the size (of a
    variable), the library and its versions. Raises WheelworksError without the compiler.
    """
    data = _find_folder("glibc", "abilists").read_bytes()
    _, at = _read_texts(data, 0)
    count = data[at]
    versions = [(data[at + 1 + 3 * index], data[at + 2 + 3 * index]) for index in range(count)]
    cpus, at = _read_texts(data, at + 1 + 3 * count)
    if arch not in _GLIBC_CPUS:
        return None
    bit = 1 << cpus.index(_GLIBC_CPUS[arch])
    found: dict[str, tuple[int, int]] = {}
    for has_size in (False, True):
        entries, at = _read_entries(data, at, has_size=has_size)
        for name, where, indices in entries:
            if where & bit:
                first = min(versions[index] for index in indices)
                found[name] = min(found.get(name, first), first)
    return found


def _read_texts(data: bytes, at: int) -> tuple[list[str], int]:
    texts, count, at = [], data[at], at + 1
    for _ in range(count):
        end = data.index(0, at)
        texts.append(data[at:end].decode())
        at = end + 1
    return texts, at


def _read_entries(data: bytes, at: int, *, has_size: bool) -> tuple[list[tuple[str, int, list[int]]], int]:
    """Return the name, CPUs and versions of each entry of a section, and the position after it."""
    found: list[tuple[str, int, list[int]]] = []
    count, at, name = int.from_bytes(data[at : at + 2], "little"), at + 2, ""
    for _ in range(count):
        if not name:
            end = data.index(0, at)
            name, at = data[at:end].decode(), end + 1
        where, at = read_uleb(data, at)
        if has_size:
            _, at = read_uleb(data, at)
        library, at = data[at], at + 1
        end = next(place for place in range(at, len(data)) if data[place] & _LAST) + 1
        found.append((name, where, [byte & ~_LAST for byte in data[at:end]]))
        at, name = end, "" if library & _LAST else name
    return found, at


# -- musl and macOS


@cache
def load_musl() -> frozenset[str]:
    """Return the symbols of musl's libc, of any CPU. Raises WheelworksError without the compiler."""
    text = _find_folder("musl", "libc.S").read_text(encoding="utf-8")
    return frozenset(_MUSL_LABEL.findall(text))


@cache
def load_libsystem() -> frozenset[str]:
    """Return the symbols of macOS's libSystem and what it re-exports, without the leading underscore.

    Raises WheelworksError without the compiler.
    """
    text = _find_folder("darwin", "libSystem.tbd").read_text(encoding="utf-8")
    names = {one.strip("' \n\"") for found in _STUB_LIST.findall(text) for one in found.split(",")}
    classes = {one.strip("' \n\"") for found in _STUB_CLASSES.findall(text) for one in found.split(",")}
    return frozenset({one.removeprefix("_") for one in names} | {f"OBJC_CLASS_$_{one}" for one in classes})


# -- Windows


@cache
def load_dll(name: str) -> frozenset[str] | None:
    """Return the exports of a Windows DLL, on any CPU; None without a list. Raises WheelworksError as above."""
    lower = name.casefold()
    if found := _API_SET.fullmatch(lower):
        return _load_api_set(found[1])
    return _load_definition(lower.removesuffix(".dll"))


@cache
def _list_definitions() -> Mapping[str, tuple[Path, ...]]:
    """Return the module definitions by the DLL's name in lower case, without its suffix."""
    found: dict[str, tuple[Path, ...]] = {}
    for folder in (_find_folder("mingw", part) for part in _DEF_FOLDERS):
        for path in folder.iterdir():
            stem = path.name.removesuffix(".in").removesuffix(".def").casefold()
            if path.name.endswith((".def", ".def.in")):
                found[stem] = (*found.get(stem, ()), path)
    return found


def _load_definition(stem: str) -> frozenset[str] | None:
    paths = _list_definitions().get(stem)
    return frozenset(one for path in paths for one in _read_definition(path, set())) if paths else None


def _read_definition(path: Path, seen: set[str]) -> Iterator[str]:
    """Yield the names in a module definition and in those that it includes."""
    seen.add(path.name)
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if include := _DEF_INCLUDE.match(line):
            stem = include[1].removesuffix(".in").removesuffix(".def").casefold()
            for other in _list_definitions().get(stem, ()):
                if other.name not in seen:
                    yield from _read_definition(other, seen)
        else:
            yield from _read_definition_line(line)


def _read_definition_line(line: str) -> Iterator[str]:
    if left_out := _DEF_LEFT_OUT.match(line):  # by mingw, which defines it itself; the DLL has it
        yield left_out[1]
    plain = line.partition(";")[0].strip()
    if not plain or plain.startswith(("#", "//", "LIBRARY", "EXPORTS")):
        return
    while macro := _DEF_MACRO.match(plain):
        plain = macro[2].strip()
        if macro[1] == "ADD":
            yield from (f"_{plain}", f"__{plain}")
    for side in re.split(r"==?", plain):
        name = side.split()[0].strip('"') if side.split() else ""
        if name:
            yield name if name.startswith("?") else _DEF_STACK.sub("", name)


@cache
def load_api_sets() -> frozenset[str]:
    """Return the API sets that Windows has: their names up to the last number, which its loader ignores."""
    return frozenset(found[1] for stem in _list_definitions() if (found := _API_SET.match(stem)))


def find_api_set(name: str) -> str:
    """Return the API set that a DLL's name stands for, up to the last number; "" for another name."""
    found = _API_SET.fullmatch(name.casefold())
    return found[1] if found else ""


@cache
def _load_api_set(stem: str) -> frozenset[str] | None:
    """Return what an API set can lead to: the functions that it names, and those of the DLLs that implement such sets.

    Which DLL implements a set depends on the version of Windows. The loader looks the function up in that DLL, whatever
    the set's own list says.
    """
    if stem not in load_api_sets():
        return None
    own = [one for one in _list_definitions() if one.startswith(stem)]
    hosts = ["ucrtbase"] if stem.startswith(_CRT_API_SET) else [host.removesuffix(".dll") for host in _API_SET_HOSTS]
    return frozenset(name for one in (*own, *hosts) for name in _load_definition(one) or ())
