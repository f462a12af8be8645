"""What an ELF file's headers claim, before LIEF reads it: that copies each part, however often the same is claimed."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator
from datetime import UTC, datetime

import lief

from wheelworks.audit.findings import Finding, abbreviate, sanitize
from wheelworks.audit.wheel import NativeFile

# For ELFCLASS32 and ELFCLASS64 (gABI): where in the header the tables' places are, in what form, and their sizes and
# counts; where in a row a section's and a segment's size is.
_FORMS = {1: (28, "II", 42, "I", 20, 16), 2: (32, "QQ", 54, "Q", 32, 32)}
_NOBITS = 8  # a section that is in memory alone


def sum_claimed_sizes(data: bytes) -> int:
    """The bytes that sections and segments of an ELF file claim in all; 0 for another file."""
    try:
        return sum(_claimed_sizes(data)) if data[:4] == b"\x7fELF" and data[4] in _FORMS else 0
    except (struct.error, IndexError):
        return 0  # the tables aren't there: whoever reads them will tell


def _claimed_sizes(data: bytes) -> Iterator[int]:
    place, form, counts, number, in_section, in_segment = _FORMS[data[4]]
    order = "<" if data[5] == 1 else ">"
    segments, sections = struct.unpack_from(order + form, data, place)
    segment, how_many, section, how_many_more = struct.unpack_from(order + "HHHH", data, counts)
    for row in range(segments, segments + segment * how_many, segment or 1):
        yield from struct.unpack_from(order + number, data, row + in_segment)
    for row in range(sections, sections + section * how_many_more, section or 1):
        if struct.unpack_from(order + "I", data, row + 4)[0] != _NOBITS:
            yield from struct.unpack_from(order + number, data, row + in_section)


_DLL = lief.PE.OptionalHeader.DLL_CHARACTERISTICS
_SECTION = lief.PE.Section.CHARACTERISTICS
_FLAGS = lief.ELF.Segment.FLAGS
_SEGMENT = lief.ELF.Segment.TYPE
_TAG = lief.ELF.DynamicEntry.TAG
_OSO = 0x66
_EXECUTES_STACK = lief.MachO.Header.FLAGS.ALLOW_STACK_EXECUTION
_IS_PATH = re.compile(r"[/\\]")


def check_stack(native: NativeFile) -> Iterator[Finding]:
    """W301."""
    if isinstance(native.parsed, lief.ELF.Binary):
        found = [one for one in native.parsed.segments if one.type == _SEGMENT.GNU_STACK]
        if not found and native.facts.machine in ("x86", "x86_64", "arm"):
            yield Finding("W301", "there is no PT_GNU_STACK, which means an executable one here", native.member)
        elif any(one.flags & _FLAGS.X for one in found):
            yield Finding("W301", "PT_GNU_STACK has the flag X", native.member)
    elif isinstance(native.parsed, lief.MachO.Binary) and native.parsed.header.has(_EXECUTES_STACK):
        yield Finding("W301", f"{native.label}the header has MH_ALLOW_STACK_EXECUTION", native.member)


def check_text_relocations(native: NativeFile) -> Iterator[Finding]:
    """W302."""
    if not isinstance(native.parsed, lief.ELF.Binary):
        return
    flags = native.parsed.get(_TAG.FLAGS)
    has = isinstance(flags, lief.ELF.DynamicEntryFlags) and flags.has(lief.ELF.DynamicEntryFlags.FLAG.TEXTREL)
    if has or native.parsed.has(_TAG.TEXTREL):
        yield Finding("W302", "the dynamic section has DT_TEXTREL", native.member)


def check_writable_code(native: NativeFile) -> Iterator[Finding]:
    """W303."""
    if found := list(_writable_code(native)):
        yield Finding("W303", f"{native.label}{abbreviate(map(sanitize, found))}", native.member)


def _writable_code(native: NativeFile) -> Iterator[str]:
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


def check_pe_flags(native: NativeFile) -> Iterator[Finding]:
    """W304, W305."""
    if not isinstance(native.parsed, lief.PE.Binary):
        return
    header = native.parsed.optional_header
    shown = f"DllCharacteristics is {header.dll_characteristics:#06x}"
    if not header.has(_DLL.NX_COMPAT):
        yield Finding("W304", shown, native.member)
    wanted = [_DLL.DYNAMIC_BASE] + ([_DLL.HIGH_ENTROPY_VA] if native.facts.machine != "x86" else [])
    if absent := [str(one.name) for one in wanted if not header.has(one)]:
        yield Finding("W305", f"{shown}, without {abbreviate(absent)}", native.member)


def check_relro(native: NativeFile) -> Iterator[Finding]:
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


def check_rpath(native: NativeFile) -> Iterator[Finding]:
    """W308: a search path is right where it is relative to the file itself."""
    relative = ("$ORIGIN", "${ORIGIN}", "@loader_path", "@executable_path")
    if wrong := [one for one in _search_paths(native) if not one.startswith(relative)]:
        yield Finding("W308", f"{native.label}{abbreviate(map(sanitize, wrong))}", native.member)


def _search_paths(native: NativeFile) -> Iterator[str]:
    if isinstance(native.parsed, lief.ELF.Binary):
        for entry in native.parsed.dynamic_entries:
            if isinstance(entry, lief.ELF.DynamicEntryRpath):
                yield from str(entry.rpath).split(":")
            elif isinstance(entry, lief.ELF.DynamicEntryRunPath):
                yield from str(entry.runpath).split(":")
    elif isinstance(native.parsed, lief.MachO.Binary):
        yield from (str(one.path) for one in native.parsed.rpaths)


def check_build_time(native: NativeFile) -> Iterator[Finding]:
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


def check_debug_information(native: NativeFile) -> Iterator[Finding]:
    """W402."""
    names = (str(one.name) for one in native.parsed.sections)
    found = [name for name in names if name.startswith((".debug_", ".zdebug_", "__debug_", ".stab"))]
    if found:
        yield Finding("W402", f"{native.label}{abbreviate(map(sanitize, found))}", native.member)


def check_debug_path(native: NativeFile) -> Iterator[Finding]:
    """W403."""
    if isinstance(native.parsed, lief.PE.Binary):
        pdb = native.parsed.codeview_pdb
        found = [str(pdb.filename)] if pdb else []
    elif isinstance(native.parsed, lief.MachO.Binary):
        found = [str(one.name) for one in native.parsed.symbols if int(one.raw_type) == _OSO]
    else:
        found = []
    if paths := [name for name in found if _IS_PATH.search(name)]:
        yield Finding("W403", f"{native.label}{abbreviate(map(sanitize, paths))}", native.member)


# xnu's cs_blobs.h: the embedded signature is a table of blobs, all big-endian; one of them is the code directory.
_SUPERBLOB, _DIRECTORY = 0xFADE0CC0, 0xFADE0C02
_HASHES = {1: ("sha1", 20), 2: ("sha256", 32), 3: ("sha256", 20), 4: ("sha384", 48)}  # with their bytes there
_PAGES = (0, *range(12, 17))  # powers of two; 0 is one page for all
_MOST_DIRECTORIES = 6  # one, and five alternatives


def check_macos_version(native: NativeFile) -> Iterator[Finding]:
    """W113; a universal2 wheel's ARM64 half can't be older than macOS 11, whatever the tag says."""
    if native.facts.format != "Mach-O" or not native.platforms or not native.facts.minimum:
        return
    promised = native.platforms[0].version
    if native.facts.machine == "aarch64":
        promised = max(promised, (11, 0))
    major, _, minor = native.facts.minimum.partition(".")
    needed = (int(major), int(minor or 0))
    if needed > promised:
        tag = native.platforms[0].tag
        yield Finding("W113", f"{native.label}needs macOS {native.facts.minimum}, the tag is {tag}", native.member)


def check_signature(native: NativeFile) -> Iterator[Finding]:
    """W114, W115."""
    if not isinstance(native.parsed, lief.MachO.Binary) or native.facts.machine != "aarch64" or not native.platforms:
        return
    if not native.facts.signed:
        yield Finding("W114", f"{native.label}no LC_CODE_SIGNATURE", native.member)
        return
    signature = native.parsed.code_signature
    if signature is None:
        return
    blob = native.data[signature.data_offset : signature.data_offset + signature.data_size]
    if wrong := find_signature_fault(native.data, blob):
        yield Finding("W115", f"{native.label}{wrong}", native.member)


def find_signature_fault(data: bytes, blob: bytes) -> str:
    """What is wrong with a signature over ``data``; "" where every page has the hash that it states."""
    try:
        directories = list(_directories(blob))
        if not directories:
            return "the signature has no code directory"
        if len(directories) > _MOST_DIRECTORIES:
            return f"the signature has {len(directories)} code directories"
        return next((wrong for one in directories if (wrong := _find_page_fault(data, one))), "")
    except struct.error:
        return "the signature is cut off"


def _directories(blob: bytes) -> Iterator[bytes]:
    magic, _, count = struct.unpack_from(">III", blob)
    if magic != _SUPERBLOB:
        return
    for index in range(min(count, 64)):
        _, offset = struct.unpack_from(">II", blob, 12 + 8 * index)
        kind, length = struct.unpack_from(">II", blob, offset)
        if kind == _DIRECTORY:
            yield blob[offset : offset + length]


def _find_page_fault(data: bytes, directory: bytes) -> str:
    hashes, _, _, slots, limit = struct.unpack_from(">IIIII", directory, 16)
    size, algorithm, _, exponent = struct.unpack_from(">BBBB", directory, 36)
    name, length = _HASHES.get(algorithm, ("", 0))
    if not name or size != length or exponent not in _PAGES or limit > len(data):
        how = f"hash type {algorithm} of {size} bytes, page size 2**{exponent}"
        return f"the code directory can't be right: {how}, {limit} bytes"
    page = 1 << exponent if exponent else limit or 1
    if slots != -(-limit // page):
        return f"the code directory has {slots} hashes for {limit} bytes"
    for index in range(slots):
        piece = data[index * page : min((index + 1) * page, limit)]
        stated = directory[hashes + index * size : hashes + (index + 1) * size]
        if hashlib.new(name, piece).digest()[:length] != stated:
            return f"the page at {index * page:#x} isn't the one that was signed"
    return ""
