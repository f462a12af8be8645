"""The instructions of a binary, found so that data between them isn't taken for code.

Compilers for ELF and Mach-O keep tables out of the code, or say where they are: there, everything from one function's
start to the next is read. Microsoft's put tables and constants between functions: there, code is what can be reached,
from the exports, the functions of the exception table, every address that the loader relocates, and jump tables.
"""

from __future__ import annotations

import itertools
import re
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from functools import cache

import capstone
import lief

from wheelworks.audit.regions import Instruction, Region, region_of
from wheelworks.audit.subject import Native

LARGEST = 1_500_000  # instructions; some ten seconds and 200 MB
ENOUGH = 300_000  # where it is known already that the binary asks the CPU, so that nothing can be an error
_RUN = 64  # instructions that are decoded at once
_LONGEST = 15  # bytes of an x86 instruction
_MODES = {
    "x86_64": (capstone.CS_ARCH_X86, capstone.CS_MODE_64),
    "x86": (capstone.CS_ARCH_X86, capstone.CS_MODE_32),
    "aarch64": (capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN),
    "powerpc64le": (capstone.CS_ARCH_PPC, capstone.CS_MODE_64 | capstone.CS_MODE_LITTLE_ENDIAN),
    "s390x": (capstone.CS_ARCH_SYSZ, capstone.CS_MODE_BIG_ENDIAN),
    "riscv64": (capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC),
}
_ENDS = frozenset(
    ["ret", "retf", "iret", "iretq", "jmp", "ud2", "int3", "hlt", "b", "br", "brk", "udf", "retaa", "retab"]
)
_BRANCH = re.compile(r"j\w+|call|b(l|\.\w+)?|cbn?z|tbn?z|loop\w*|bnd jmp|bnd call")
_TARGET = re.compile(r"(?:^|, )#?(0x[0-9a-f]+)$")


@cache
def _decoder(machine: str) -> capstone.Cs:
    return capstone.Cs(*_MODES[machine])


def instructions(native: Native) -> Iterator[Instruction]:
    """The binary's instructions, each once; in no order that may be relied on.

    What capstone doesn't know has no mnemonic, and its bytes in hexadecimal as operands: as many as the machine's
    encoding says, on x86 one. ARM's 32-bit files have a reader of their own.
    """
    if isinstance(native.parsed, lief.PE.Binary):
        yield from _reached(native, native.parsed)
        return
    holes = _data_in_code(native.parsed)
    edges = sorted({*_starts(native.parsed), *(edge for hole in holes for edge in hole)})
    for region in native.regions:
        inside = edges[bisect_right(edges, region.start) : bisect_left(edges, region.end)]
        for start, end in itertools.pairwise((region.start, *inside, region.end)):
            if not _is_in(start, holes):
                yield from _swept(native.facts.machine, region, start, end)


def _starts(parsed: lief.ELF.Binary | lief.MachO.Binary) -> Iterator[int]:
    return (int(one.address) for one in parsed.functions)


def _data_in_code(parsed: lief.ELF.Binary | lief.MachO.Binary) -> list[tuple[int, int]]:
    """Where a Mach-O file says that its code is data."""
    if not isinstance(parsed, lief.MachO.Binary) or parsed.data_in_code is None:
        return []
    base = parsed.imagebase
    return merged((base + one.offset, base + one.offset + one.length) for one in parsed.data_in_code.entries)


def merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same places, sorted, and none over another; each from where to where."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _is_in(address: int, holes: list[tuple[int, int]]) -> bool:
    place = bisect_right(holes, address, key=lambda hole: hole[0])
    return place > 0 and address < holes[place - 1][1]


def _swept(machine: str, region: Region, start: int, end: int) -> Iterator[Instruction]:
    """Everything between two addresses, a few instructions at a time: capstone decodes all that it is given at once."""
    decoder, place = _decoder(machine), start
    while place < end:
        window = region.data[place - region.start : min(place + _RUN * _LONGEST, end) - region.start]
        next_ = place
        for one in decoder.disasm_lite(window, place, _RUN):
            yield one
            next_ = one[0] + one[1]
        if next_ == place:  # no instruction, or none that capstone knows
            next_ += _length(machine, window[0])
            if next_ <= end:
                yield place, next_ - place, "", window[: next_ - place].hex()
        place = next_


def _length(machine: str, first: int) -> int:
    """The bytes of an instruction by its first one, in the machine's order; 1 where that doesn't say."""
    if machine == "s390x":
        return (2, 4, 4, 6)[first >> 6]
    if machine == "riscv64":
        return 4 if first & 3 == 3 else 2
    return 4 if machine in ("aarch64", "powerpc64le") else 1


def _reached(native: Native, parsed: lief.PE.Binary) -> Iterator[Instruction]:
    decoder, functions = _decoder(native.facts.machine), _functions(native, parsed)
    seen: set[int] = set()
    yield from _walk(decoder, native.regions, [*_roots(native, parsed), *(start for start, _ in functions)], seen)
    # Once is enough: what is code by then leaves fewer words that can be tables, never more.
    yield from _walk(decoder, native.regions, list(_tabled(native.regions, functions, parsed.imagebase, seen)), seen)


def _walk(decoder: capstone.Cs, found: list[Region], waiting: list[int], seen: set[int]) -> Iterator[Instruction]:
    """Follow every address in ``waiting``, and every branch with a fixed target, until there is no more."""
    while waiting:
        address = waiting.pop()
        region = region_of(found, address)
        while region and address not in seen and address < region.end:
            place = address - region.start
            run = decoder.disasm_lite(region.data[place : place + _RUN * _LONGEST], address, _RUN)
            address = region.end  # where nothing can be decoded, the path ends
            for one in run:
                if one[0] in seen:
                    address = region.end
                    break
                address = one[0] + one[1]
                seen.add(one[0])
                yield one
                if _BRANCH.fullmatch(one[2]) and (target := _TARGET.search(one[3])):
                    waiting.append(int(target[1], 16))
                if one[2] in _ENDS:
                    address = region.end
                    break


def _roots(native: Native, parsed: lief.PE.Binary) -> list[int]:
    base = parsed.imagebase
    export = parsed.get_export()
    found = [base + one.address for one in export.entries] if export else []
    found.append(base + parsed.optional_header.addressof_entrypoint)
    return [*found, *_relocated(parsed, 8 if native.facts.machine != "x86" else 4)]


def _relocated(parsed: lief.PE.Binary, size: int) -> Iterator[int]:
    """What the pointers point to that the loader relocates: handlers, method tables, 32-bit jump tables."""
    for block in parsed.relocations:
        for entry in block.entries:
            raw = bytes(parsed.get_content_from_virtual_address(entry.address, size))
            if len(raw) == size:
                yield int.from_bytes(raw, "little")


def _functions(native: Native, parsed: lief.PE.Binary) -> list[tuple[int, int]]:
    """The functions of the exception table, from where to where; ARM64's don't say where they end."""
    directory = parsed.data_directory(lief.PE.DataDirectory.TYPES.EXCEPTION_TABLE)
    if directory is None or not directory.size or native.facts.machine == "x86":
        return []
    raw = bytes(parsed.get_content_from_virtual_address(directory.rva, directory.size))
    base, step = parsed.imagebase, 12 if native.facts.machine == "x86_64" else 8
    rows = [struct.unpack_from("<II", raw, place) for place in range(0, len(raw) - step + 1, step)]
    return [(base + begin, base + end if step == 12 else base + begin) for begin, end in rows]


def _tabled(found: list[Region], functions: list[tuple[int, int]], base: int, seen: set[int]) -> Iterator[int]:
    """The targets of 64-bit jump tables: words in a function that no instruction covers, and that point into it."""
    done = 0
    for start, end in sorted(functions):
        region = region_of(found, start)
        if region is None or end > region.end:
            continue
        for place in range(-(-max(start, done) // 4) * 4, end - 3, 4):
            if not any(near in seen for near in range(place - _LONGEST, place + 4)):
                (word,) = struct.unpack_from("<I", region.data, place - region.start)
                if start <= base + word < end:
                    yield base + word
        done = max(done, end)  # good files' functions lie side by side; others' bytes are looked at once, too
