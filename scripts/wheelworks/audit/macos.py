"""Checks that only Mach-O files need: the lowest macOS, and the signature that ARM64 Macs demand."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator

import lief

from wheelworks.audit.finding import Finding
from wheelworks.audit.subject import Native

# xnu's cs_blobs.h: the embedded signature is a table of blobs, all big-endian; one of them is the code directory.
_SUPERBLOB, _DIRECTORY = 0xFADE0CC0, 0xFADE0C02
_HASHES = {1: ("sha1", 20), 2: ("sha256", 32), 3: ("sha256", 20), 4: ("sha384", 48)}  # with their bytes there
_PAGES = (0, *range(12, 17))  # powers of two; 0 is one page for all
_MOST_DIRECTORIES = 6  # one, and five alternatives


def minimum(native: Native) -> Iterator[Finding]:
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


def signed(native: Native) -> Iterator[Finding]:
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
    if wrong := broken(native.data, blob):
        yield Finding("W115", f"{native.label}{wrong}", native.member)


def broken(data: bytes, blob: bytes) -> str:
    """What is wrong with a signature over ``data``; "" where every page has the hash that it states."""
    try:
        directories = list(_directories(blob))
        if not directories:
            return "the signature has no code directory"
        if len(directories) > _MOST_DIRECTORIES:
            return f"the signature has {len(directories)} code directories"
        return next((wrong for one in directories if (wrong := _pages(data, one))), "")
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


def _pages(data: bytes, directory: bytes) -> str:
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
