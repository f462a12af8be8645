"""Describe wheels of linked binaries without building them, for tests of what loaders find."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wheelworks.audit.findings import Finding
from wheelworks.audit.libraries import check_libraries
from wheelworks.audit.linkage import Library, Linkage, Links, Symbol
from wheelworks.audit.policy import DEFAULT_POLICY
from wheelworks.audit.symbols import check_undefined_symbols
from wheelworks.audit.wheel import ArchiveEntry, AuditedWheel
from wheelworks.core.binary import Binary
from wheelworks.core.tags import parse_platforms
from wheelworks.core.wheel import parse_wheel_name

LINUX, MUSL = "manylinux_2_28_x86_64", "musllinux_1_2_x86_64"
MACOS, WINDOWS = "macosx_11_0_arm64", "win_amd64"
_FORMATS = {"m": ("ELF", "x86_64"), "l": ("ELF", "x86_64"), "w": ("PE", "x86_64")}


def linked(
    member: str,
    *libraries: str | Library,
    tag: str = LINUX,
    name: str = "",
    paths: Iterable[str] = (),
    inherits: bool = False,
    symbols: Iterable[Symbol] = (),
    exports: Iterable[str] = (),
    forwards: Mapping[str, tuple[str, str]] | None = None,
) -> Linkage:
    """Return a binary of a wheel. It is a module unless its name starts with ``lib`` or ends with ``.dll``."""
    file = member.rpartition("/")[2]
    format_, machine = ("Mach-O", "aarch64") if tag.startswith("macosx") else _FORMATS[tag[0]]
    needed = tuple(one if isinstance(one, Library) else Library(one) for one in libraries)
    links = Links(needed, tuple(symbols), name, tuple(paths), inherits, forwards=dict(forwards or {}))
    facts = Binary(format_, machine, {}, tuple(exports))
    platforms = parse_platforms([tag])
    return Linkage(member, facts, platforms, links, not file.startswith("lib") and not file.endswith(".dll"))


def wheel(
    *binaries: Linkage, tag: str = LINUX, code: str = "", requires: str = "", abi: str = "cp313-cp313"
) -> AuditedWheel:
    """Return a wheel of these binaries, with Python code that loads libraries and with one requirement."""
    name = f"sample-1.0-{abi}-{tag}.whl"
    members = {*(one.member for one in binaries), "sample/__init__.py"}
    entries = tuple(ArchiveEntry(member, 1, 0o100644) for member in sorted(members))
    made = AuditedWheel(name, parse_wheel_name(name), entries, DEFAULT_POLICY)
    made.linkages = list(binaries)
    made.loading_code = {"sample/__init__.py": code.encode()} if code else {}
    metadata = "Metadata-Version: 2.4\nName: sample\nVersion: 1.0\n"
    made.texts["sample-1.0.dist-info/METADATA"] = (
        metadata + (f"Requires-Dist: {requires}\n" if requires else "")
    ).encode()
    return made


def check(audited: AuditedWheel) -> list[Finding]:
    """Return what the checks of libraries and symbols find."""
    return [*check_libraries(audited), *check_undefined_symbols(audited)]


def codes(audited: AuditedWheel) -> list[str]:
    """Return the codes of these findings."""
    return [one.code for one in check(audited)]
