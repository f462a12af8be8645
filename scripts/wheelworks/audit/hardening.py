"""Checks of what a binary's headers ask of memory, and of what its builder left in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import lief

from wheelworks.audit.finding import Finding, printable, some
from wheelworks.audit.subject import Native

_DLL = lief.PE.OptionalHeader.DLL_CHARACTERISTICS
_SECTION = lief.PE.Section.CHARACTERISTICS
_FLAGS = lief.ELF.Segment.FLAGS
_SEGMENT = lief.ELF.Segment.TYPE
_TAG = lief.ELF.DynamicEntry.TAG
_OSO = 0x66
_EXECUTES_STACK = lief.MachO.Header.FLAGS.ALLOW_STACK_EXECUTION
_IS_PATH = re.compile(r"[/\\]")


def stack(native: Native) -> Iterator[Finding]:
    """W301."""
    if isinstance(native.parsed, lief.ELF.Binary):
        found = [one for one in native.parsed.segments if one.type == _SEGMENT.GNU_STACK]
        if not found and native.facts.machine in ("x86", "x86_64", "arm"):
            yield Finding("W301", "there is no PT_GNU_STACK, which means an executable one here", native.member)
        elif any(one.flags & _FLAGS.X for one in found):
            yield Finding("W301", "PT_GNU_STACK has the flag X", native.member)
    elif isinstance(native.parsed, lief.MachO.Binary) and native.parsed.header.has(_EXECUTES_STACK):
        yield Finding("W301", f"{native.label}the header has MH_ALLOW_STACK_EXECUTION", native.member)


def text_relocations(native: Native) -> Iterator[Finding]:
    """W302."""
    if not isinstance(native.parsed, lief.ELF.Binary):
        return
    flags = native.parsed.get(_TAG.FLAGS)
    has = isinstance(flags, lief.ELF.DynamicEntryFlags) and flags.has(lief.ELF.DynamicEntryFlags.FLAG.TEXTREL)
    if has or native.parsed.has(_TAG.TEXTREL):
        yield Finding("W302", "the dynamic section has DT_TEXTREL", native.member)


def writable_code(native: Native) -> Iterator[Finding]:
    """W303."""
    if found := list(_writable_code(native)):
        yield Finding("W303", f"{native.label}{some(map(printable, found))}", native.member)


def _writable_code(native: Native) -> Iterator[str]:
    parsed = native.parsed
    if isinstance(parsed, lief.PE.Binary):
        both = int(_SECTION.MEM_WRITE) | int(_SECTION.MEM_EXECUTE)
        yield from (str(one.name) for one in parsed.sections if one.characteristics & both == both)
    elif isinstance(parsed, lief.ELF.Binary):
        for one in parsed.segments:
            if one.type == _SEGMENT.LOAD and one.flags & _FLAGS.W and one.flags & _FLAGS.X:
                yield f"the segment at {one.virtual_address:#x}"
    else:
        yield from (str(one.name) for one in parsed.segments if one.init_protection & 6 == 6)


def pe_flags(native: Native) -> Iterator[Finding]:
    """W304, W305."""
    if not isinstance(native.parsed, lief.PE.Binary):
        return
    header = native.parsed.optional_header
    shown = f"DllCharacteristics is {header.dll_characteristics:#06x}"
    if not header.has(_DLL.NX_COMPAT):
        yield Finding("W304", shown, native.member)
    wanted = [_DLL.DYNAMIC_BASE] + ([_DLL.HIGH_ENTROPY_VA] if native.facts.machine != "x86" else [])
    if absent := [str(one.name) for one in wanted if not header.has(one)]:
        yield Finding("W305", f"{shown}, without {some(absent)}", native.member)


def relro(native: Native) -> Iterator[Finding]:
    """W306, W307."""
    if not isinstance(native.parsed, lief.ELF.Binary):
        return
    if not any(one.type == _SEGMENT.GNU_RELRO for one in native.parsed.segments):
        yield Finding("W306", "there is no PT_GNU_RELRO", native.member)
    elif not _binds_now(native.parsed) and native.parsed.has(_TAG.JMPREL):
        yield Finding("W307", "neither DF_BIND_NOW nor DF_1_NOW", native.member)


def _binds_now(binary: lief.ELF.Binary) -> bool:
    flags, more = binary.get(_TAG.FLAGS), binary.get(_TAG.FLAGS_1)
    if isinstance(flags, lief.ELF.DynamicEntryFlags) and flags.has(lief.ELF.DynamicEntryFlags.FLAG.BIND_NOW):
        return True
    if isinstance(more, lief.ELF.DynamicEntryFlags) and more.has(lief.ELF.DynamicEntryFlags.FLAG.NOW):
        return True
    return bool(binary.has(_TAG.BIND_NOW))


def rpath(native: Native) -> Iterator[Finding]:
    """W308: a search path is right where it is relative to the file itself."""
    relative = ("$ORIGIN", "${ORIGIN}", "@loader_path", "@executable_path")
    if wrong := [one for one in _search_paths(native) if not one.startswith(relative)]:
        yield Finding("W308", f"{native.label}{some(map(printable, wrong))}", native.member)


def _search_paths(native: Native) -> Iterator[str]:
    if isinstance(native.parsed, lief.ELF.Binary):
        for entry in native.parsed.dynamic_entries:
            if isinstance(entry, lief.ELF.DynamicEntryRpath):
                yield from str(entry.rpath).split(":")
            elif isinstance(entry, lief.ELF.DynamicEntryRunPath):
                yield from str(entry.runpath).split(":")
    elif isinstance(native.parsed, lief.MachO.Binary):
        yield from (str(one.path) for one in native.parsed.rpaths)


def build_time(native: Native) -> Iterator[Finding]:
    """W401: a time is the source's where the manifest or the archive says so, or is none where the linker notes it."""
    parsed, stamp = native.parsed, native.facts.timestamp
    if not isinstance(parsed, lief.PE.Binary) or not stamp:
        return
    if parsed.is_reproducible_build or stamp in (0xFFFFFFFF, native.wheel.policy.epoch):
        return
    if (epoch := native.wheel.epoch) is not None and 0 <= stamp - epoch < 2:  # zip counts in steps of two seconds
        return
    moment = datetime.fromtimestamp(stamp, UTC)
    yield Finding("W401", f"TimeDateStamp is {stamp} ({moment:%Y-%m-%d %H:%M:%S} UTC)", native.member)


def debug_information(native: Native) -> Iterator[Finding]:
    """W402."""
    names = (str(one.name) for one in native.parsed.sections)
    found = [name for name in names if name.startswith((".debug_", ".zdebug_", "__debug_", ".stab"))]
    if found:
        yield Finding("W402", f"{native.label}{some(map(printable, found))}", native.member)


def debug_path(native: Native) -> Iterator[Finding]:
    """W403."""
    if isinstance(native.parsed, lief.PE.Binary):
        pdb = native.parsed.codeview_pdb
        found = [str(pdb.filename)] if pdb else []
    elif isinstance(native.parsed, lief.MachO.Binary):
        found = [str(one.name) for one in native.parsed.symbols if int(one.raw_type) == _OSO]
    else:
        found = []
    if paths := [name for name in found if _IS_PATH.search(name)]:
        yield Finding("W403", f"{native.label}{some(map(printable, paths))}", native.member)
