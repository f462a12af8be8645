"""Check a binary's headers: their claims, memory protection, build leftovers, and what macOS requires."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import IntEnum

import lief

from wheelworks.audit.findings import Finding, abbreviate, sanitize
from wheelworks.audit.wheel import NativeFile

_DLL = lief.PE.OptionalHeader.DLL_CHARACTERISTICS
_SECTION = lief.PE.Section.CHARACTERISTICS
_FLAGS = lief.ELF.Segment.FLAGS
_SEGMENT = lief.ELF.Segment.TYPE
_DYNAMIC = lief.ELF.DynamicEntryFlags.FLAG
_TAG = lief.ELF.DynamicEntry.TAG
_EXECUTES_STACK = lief.MachO.Header.FLAGS.ALLOW_STACK_EXECUTION
_WRITE_AND_EXECUTE = 2 | 4  # VM_PROT_WRITE, VM_PROT_EXECUTE in mach/vm_prot.h
_N_OSO = 0x66  # mach-o/stab.h: the symbol names an object file
_IS_PATH = re.compile(r"[/\\]")
_RELATIVE_PATHS = ("$ORIGIN", "${ORIGIN}", "@loader_path", "@executable_path")


class ElfClass(IntEnum):
    """EI_CLASS in an ELF file's identification (gABI)."""

    ELF32 = 1
    ELF64 = 2


# By class: offset and format of the tables' places in the ELF header, offset of their sizes and counts, format of a
# size, and its offset in a row of the section table and of the segment table.
_ELF_FORMATS = {ElfClass.ELF32: (28, "II", 42, "I", 20, 16), ElfClass.ELF64: (32, "QQ", 54, "Q", 32, 32)}
_NOBITS = 8  # sh_type of a section that takes no bytes in the file


def sum_claimed_sizes(data: bytes) -> int:
    """Return the bytes that the sections and segments of an ELF file claim together; 0 for another file.

    LIEF copies each of them, so a small file whose sections all claim the same bytes would fill the memory.
    """
    try:
        return sum(_claimed_sizes(data)) if data[:4] == b"\x7fELF" and data[4] in tuple(ElfClass) else 0
    except (struct.error, IndexError, OverflowError):
        return 0  # the tables are cut off, which LIEF reports


def _claimed_sizes(data: bytes) -> Iterator[int]:
    place, form, counts, number, in_section, in_segment = _ELF_FORMATS[ElfClass(data[4])]
    order = "<" if data[5] == 1 else ">"
    segments, sections = struct.unpack_from(order + form, data, place)
    segment_size, segment_count, section_size, section_count = struct.unpack_from(order + "HHHH", data, counts)
    for row in range(segments, segments + segment_size * segment_count, segment_size or 1):
        yield from struct.unpack_from(order + number, data, row + in_segment)
    for row in range(sections, sections + section_size * section_count, section_size or 1):
        if struct.unpack_from(order + "I", data, row + 4)[0] != _NOBITS:
            yield from struct.unpack_from(order + number, data, row + in_section)


def list_segment_ends(data: bytes) -> list[int]:
    """Return where each segment of an ELF file ends in the file, by its headers. LIEF cuts those beyond the end.

    There is none if the headers name a wrong class, or a table beyond the end of the file.
    """
    if data[4] not in tuple(ElfClass):
        return []
    place, form, counts, number, _, in_segment = _ELF_FORMATS[ElfClass(data[4])]
    order = "<" if data[5] == 1 else ">"
    start, _ = struct.unpack_from(order + form, data, place)
    size, count = struct.unpack_from(order + "HH", data, counts)
    if start > len(data):
        return []
    ends = []
    for row in range(start, min(start + size * count, len(data) - size + 1), size or 1):
        (offset,) = struct.unpack_from(order + number, data, row + in_segment // 4)  # p_offset
        (length,) = struct.unpack_from(order + number, data, row + in_segment)
        ends.append(offset + length if length else 0)  # one without bytes may lie anywhere
    return ends


def check_stack(native: NativeFile) -> Iterator[Finding]:
    """W301."""
    if isinstance(native.parsed, lief.ELF.Binary):
        found = [one for one in native.parsed.segments if one.type == _SEGMENT.GNU_STACK]
        if not found and native.facts.machine in ("x86", "x86_64", "arm"):
            yield native.finding("W301", "there is no PT_GNU_STACK, so the stack is executable on this CPU")
        elif any(one.flags & _FLAGS.X for one in found):
            yield native.finding("W301", "PT_GNU_STACK has the flag X")
    elif isinstance(native.parsed, lief.MachO.Binary) and native.parsed.header.has(_EXECUTES_STACK):
        yield native.finding("W301", "the header has MH_ALLOW_STACK_EXECUTION")


def check_text_relocations(native: NativeFile) -> Iterator[Finding]:
    """W302."""
    parsed = native.parsed
    if isinstance(parsed, lief.ELF.Binary) and (_has_flag(parsed, _DYNAMIC.TEXTREL) or parsed.has(_TAG.TEXTREL)):
        yield native.finding("W302", "the dynamic section has DT_TEXTREL")


def _has_flag(parsed: lief.ELF.Binary, flag: lief.ELF.DynamicEntryFlags.FLAG) -> bool:
    """Return whether DT_FLAGS or DT_FLAGS_1 has a flag."""
    entries = (parsed.get(_TAG.FLAGS), parsed.get(_TAG.FLAGS_1))
    return any(isinstance(one, lief.ELF.DynamicEntryFlags) and one.has(flag) for one in entries)


def check_writable_code(native: NativeFile) -> Iterator[Finding]:
    """W303."""
    if found := list(_find_writable_code(native)):
        yield native.finding("W303", abbreviate(map(sanitize, found)))


def _find_writable_code(native: NativeFile) -> Iterator[str]:
    parsed = native.parsed
    if isinstance(parsed, lief.PE.Binary):
        both = int(_SECTION.MEM_WRITE) | int(_SECTION.MEM_EXECUTE)
        yield from (str(one.name) for one in parsed.sections if one.characteristics & both == both)
    elif isinstance(parsed, lief.ELF.Binary):
        for one in parsed.segments:
            if one.type == _SEGMENT.LOAD and one.flags & _FLAGS.W and one.flags & _FLAGS.X:
                yield f"the segment at {one.virtual_address:#x}"
    else:
        for segment in parsed.segments:
            if segment.init_protection & _WRITE_AND_EXECUTE == _WRITE_AND_EXECUTE:
                yield str(segment.name)


def check_pe_flags(native: NativeFile) -> Iterator[Finding]:
    """W304, W305."""
    if not isinstance(native.parsed, lief.PE.Binary):
        return
    header = native.parsed.optional_header
    shown = f"DllCharacteristics is {header.dll_characteristics:#06x}"
    if not header.has(_DLL.NX_COMPAT):
        yield native.finding("W304", shown)
    wanted = [_DLL.DYNAMIC_BASE] + ([_DLL.HIGH_ENTROPY_VA] if native.facts.machine != "x86" else [])
    if absent := [str(one.name) for one in wanted if not header.has(one)]:
        yield native.finding("W305", f"{shown}, without {abbreviate(absent)}")


def check_relro(native: NativeFile) -> Iterator[Finding]:
    """W306, W307."""
    parsed = native.parsed
    if not isinstance(parsed, lief.ELF.Binary):
        return
    binds_now = _has_flag(parsed, _DYNAMIC.BIND_NOW) or _has_flag(parsed, _DYNAMIC.NOW) or parsed.has(_TAG.BIND_NOW)
    if not any(one.type == _SEGMENT.GNU_RELRO for one in parsed.segments):
        yield native.finding("W306", "there is no PT_GNU_RELRO")
    elif not binds_now and parsed.has(_TAG.JMPREL):
        yield native.finding("W307", "neither DF_BIND_NOW nor DF_1_NOW")


def check_rpath(native: NativeFile) -> Iterator[Finding]:
    """W308: a search path must be relative to the file itself."""
    if wrong := [one for one in _list_search_paths(native) if not one.startswith(_RELATIVE_PATHS)]:
        yield native.finding("W308", abbreviate(map(sanitize, wrong)))


def _list_search_paths(native: NativeFile) -> Iterator[str]:
    if isinstance(native.parsed, lief.ELF.Binary):
        for entry in native.parsed.dynamic_entries:
            if isinstance(entry, lief.ELF.DynamicEntryRpath):
                yield from str(entry.rpath).split(":")
            elif isinstance(entry, lief.ELF.DynamicEntryRunPath):
                yield from str(entry.runpath).split(":")
    elif isinstance(native.parsed, lief.MachO.Binary):
        yield from (str(one.path) for one in native.parsed.rpaths)


def check_build_time(native: NativeFile) -> Iterator[Finding]:
    """W401, unless the time is the source's (in the manifest or of all members), or the linker marks it as none."""
    parsed, stamp, epoch = native.parsed, native.facts.timestamp, native.wheel.epoch
    if not isinstance(parsed, lief.PE.Binary) or not stamp or parsed.is_reproducible_build:
        return
    is_source_time = epoch is not None and 0 <= stamp - epoch < 2  # zip counts in steps of two seconds
    if stamp not in (0xFFFFFFFF, native.wheel.policy.epoch) and not is_source_time:
        time = datetime.fromtimestamp(stamp, UTC)
        yield native.finding("W401", f"TimeDateStamp is {stamp} ({time:%Y-%m-%d %H:%M:%S} UTC)")


def check_debug_information(native: NativeFile) -> Iterator[Finding]:
    """W402."""
    names = (str(one.name) for one in native.parsed.sections)
    if found := [name for name in names if name.startswith((".debug_", ".zdebug_", "__debug_", ".stab"))]:
        yield native.finding("W402", abbreviate(map(sanitize, found)))


def check_debug_path(native: NativeFile) -> Iterator[Finding]:
    """W403."""
    found: list[str] = []
    if isinstance(native.parsed, lief.PE.Binary):
        found = [str(pdb.filename)] if (pdb := native.parsed.codeview_pdb) else []
    elif isinstance(native.parsed, lief.MachO.Binary):
        found = [str(one.name) for one in native.parsed.symbols if int(one.raw_type) == _N_OSO]
    if paths := [name for name in found if _IS_PATH.search(name)]:
        yield native.finding("W403", abbreviate(map(sanitize, paths)))


def check_macos_version(native: NativeFile) -> Iterator[Finding]:
    """W113. ARM64 began with macOS 11, so that half of a universal2 wheel may need it, whatever the tag says."""
    if native.facts.format != "Mach-O" or not native.platforms or not native.facts.minimum:
        return
    promised = native.platforms[0].version
    if native.facts.machine == "aarch64":
        promised = max(promised, (11, 0))
    major, _, minor = native.facts.minimum.partition(".")
    if (int(major), int(minor or 0)) > promised:
        yield native.finding("W113", f"built for macOS {native.facts.minimum}, the tag is {native.platforms[0].tag}")


class SignatureMagic(IntEnum):
    """Magic numbers of an embedded signature, a table of blobs, all big-endian (cs_blobs.h in xnu)."""

    SUPERBLOB = 0xFADE0CC0
    CODE_DIRECTORY = 0xFADE0C02


# Hash types in cs_blobs.h, with the bytes that are stored of each hash.
_SIGNATURE_HASHES = {1: ("sha1", 20), 2: ("sha256", 32), 3: ("sha256", 20), 4: ("sha384", 48)}
_PAGE_EXPONENTS = (0, *range(12, 17))  # 0: one page for everything
_MOST_BLOBS = 64
_MOST_DIRECTORIES = 6  # one and five alternatives


def check_signature(native: NativeFile) -> Iterator[Finding]:
    """W114, W115."""
    if not isinstance(native.parsed, lief.MachO.Binary) or native.facts.machine != "aarch64" or not native.platforms:
        return
    signature = native.parsed.code_signature
    if not native.facts.signed:
        yield native.finding("W114", "no LC_CODE_SIGNATURE")
    elif signature is not None:
        blob = native.data[signature.data_offset : signature.data_offset + signature.data_size]
        if fault := find_signature_fault(native.data, blob):
            yield native.finding("W115", fault)


def find_signature_fault(data: bytes, blob: bytes) -> str:
    """Return what is wrong with a signature over ``data``; "" where every page has its stated hash."""
    try:
        directories = list(_list_directories(blob))
        if not directories:
            return "the signature has no code directory"
        if len(directories) > _MOST_DIRECTORIES:
            return f"the signature has {len(directories)} code directories"
        return next((fault for one in directories if (fault := _find_page_fault(data, one))), "")
    except struct.error:
        return "the signature is cut off"


def _list_directories(blob: bytes) -> Iterator[bytes]:
    magic, _, count = struct.unpack_from(">III", blob)
    if magic != SignatureMagic.SUPERBLOB:
        return
    for index in range(min(count, _MOST_BLOBS)):
        _, offset = struct.unpack_from(">II", blob, 12 + 8 * index)
        kind, length = struct.unpack_from(">II", blob, offset)
        if kind == SignatureMagic.CODE_DIRECTORY:
            yield blob[offset : offset + length]


def _find_page_fault(data: bytes, directory: bytes) -> str:
    hashes, _, _, slots, limit = struct.unpack_from(">IIIII", directory, 16)
    size, algorithm, _, exponent = struct.unpack_from(">BBBB", directory, 36)
    name, length = _SIGNATURE_HASHES.get(algorithm, ("", 0))
    if not name or size != length or exponent not in _PAGE_EXPONENTS or limit > len(data):
        how = f"hash type {algorithm} of {size} bytes, page size 2**{exponent}"
        return f"the code directory is invalid: {how}, {limit} bytes"
    page = 1 << exponent if exponent else limit or 1
    if slots != -(-limit // page):
        return f"the code directory has {slots} hashes for {limit} bytes"
    for index in range(slots):
        piece = data[index * page : min((index + 1) * page, limit)]
        stated = directory[hashes + index * size : hashes + (index + 1) * size]
        if hashlib.new(name, piece).digest()[:length] != stated:
            return f"the page at {index * page:#x} isn't the one that was signed"
    return ""
