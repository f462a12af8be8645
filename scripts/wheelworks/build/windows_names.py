"""Windows' headers in any case: its file system ignores the case of names; zig's files are lower-case.

A project for Windows writes ``#include <Windows.h>``, and headers of its own in a case that only Windows finds. For
each such name in the source a header is written that includes the right one, in a folder that the compiler searches
last. It works with ``__has_include`` too, and in C that is generated later.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# Of zig's package: the headers of MinGW for every CPU.
_HEADERS = Path("lib", "libc", "include", "any-windows-any")
_SOURCES = (".c", ".cc", ".cpp", ".cxx", ".h", ".hpp", ".hh", ".hxx", ".inc", ".pyx", ".pxd", ".pxi", ".py", ".def")
_LARGEST = 8 << 20  # bytes; no source that a person wrote is longer
_HEADER_NAME = re.compile(rb"[\w+-][\w+./\\-]*\.h(?:pp)?\b")
# Microsoft's C that clang accepts with -fms-extensions only, such as `#pragma comment(lib, ...)`.
_MICROSOFT = re.compile(rb"#\s*pragma\s+comment\b|\b(?:__pragma|__int(?:8|16|32|64)|__uuidof|__if_(?:not_)?exists)\b")


@dataclass(frozen=True)
class WindowsSources:
    """What the sources of a tree have that a compiler for Windows may need help with.

    ``names`` are texts that look like a header's name which only Windows finds. ``extensions`` says that a source is
    written in Microsoft's C, such as ``#pragma comment(lib, ...)``. Without need clang's -fms-extensions isn't passed:
    it changes the code of CPython's own headers (the intrinsic __readgsqword of ``_Py_ThreadId`` in place of MinGW's
    function).
    """

    names: tuple[str, ...] = ()
    extensions: bool = False


@cache
def read_sources(tree: Path) -> WindowsSources:
    """Read the sources of a tree, which are the same for each of its wheels."""
    found, extensions = set[bytes](), False
    for text in _iter_sources(tree):
        found.update(_HEADER_NAME.findall(text))
        extensions = extensions or _MICROSOFT.search(text) is not None
    names = {name.decode("utf-8", "replace") for name in found}
    return WindowsSources(tuple(sorted(name for name in names if name != name.lower() or "\\" in name)), extensions)


def write_forwarding_headers(names: Sequence[str], tree: Path, zig: str, into: Path) -> Path | None:
    """Write a header for each of ``names`` that only Windows would find, into the folder ``into``.

    A header of the project's ``tree`` counts if it is the only one with its name. Returns the folder; None if none is
    needed.
    """
    if not names:
        return None
    files = set(_list_headers(Path(zig).parent / _HEADERS))
    system, own = {name.lower(): name for name in files}, _group_by_ending(_list_headers(tree))
    for name in names:
        plain = name.replace("\\", "/")
        if real := "" if name in files else system.get(plain.lower()) or _find_own(tree, own, plain):
            _write_header(into, plain, real)
    return into if into.exists() else None


def _iter_sources(tree: Path) -> Iterator[bytes]:
    for path in tree.rglob("*"):
        if path.suffix.lower() in _SOURCES and path.is_file() and path.stat().st_size <= _LARGEST:
            yield path.read_bytes()


def _list_headers(folder: Path) -> Iterator[str]:
    for place, _, files in os.walk(folder):
        base = "" if place == str(folder) else f"{Path(place).relative_to(folder).as_posix()}/"
        yield from (base + file for file in files if file.lower().endswith((".h", ".hpp")))


def _group_by_ending(files: Iterable[str]) -> dict[str, list[str]]:
    """Group files by each ending of their path, in lower case: ``a/B.h`` belongs to ``b.h`` and ``a/b.h``."""
    groups: dict[str, list[str]] = {}
    for file in files:
        parts = file.lower().split("/")
        for start in range(len(parts)):
            groups.setdefault("/".join(parts[start:]), []).append(file)
    return groups


def _find_own(tree: Path, own: dict[str, list[str]], name: str) -> str:
    """Return the absolute path of the project's header with a name in another case; "" unless there is exactly one."""
    found = own.get(name.lower().removeprefix("./"), [])
    if len(found) != 1 or found[0].endswith(name):
        return ""
    return (tree / found[0]).as_posix()


def _write_header(into: Path, name: str, real: str) -> None:
    place = (into / name).resolve()
    if place.is_relative_to(into.resolve()):
        place.parent.mkdir(parents=True, exist_ok=True)
        quoted = f'"{real}"' if os.path.isabs(real) else f"<{real}>"
        place.write_text(f"#include {quoted}\n", encoding="utf-8")
