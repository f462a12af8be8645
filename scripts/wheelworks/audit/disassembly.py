"""Read the instructions of a binary without mistaking data between them for code.

Compilers for ELF and Mach-O keep tables out of the code, or record where they are: there, everything from one
function's start to the next is read (a linear sweep), and what lies beside bytes that are no instruction is left out.
Microsoft's put tables and constants between functions: there, only reachable code is read (recursive descent), starting
from the exports, the functions of the exception table, the pointers in data that the loader relocates, and jump tables.
32-bit ARM has a reader of its own, `thumb`.
"""

from __future__ import annotations

import itertools
import re
import struct
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cache
from operator import attrgetter

import capstone
import lief

from wheelworks.core.binary import Parsed

Instruction = tuple[int, int, str, str]  # address, bytes, mnemonic, operands

MOST_INSTRUCTIONS = 1_500_000  # of one binary; some ten seconds and 200 MB
ENOUGH = 300_000  # where the binary is known to query the CPU, so that nothing can be an error
_RUN = 64  # instructions that are decoded at once
_LONGEST = 15  # bytes of an x86 instruction
_STEPS = {"aarch64": 4, "powerpc64le": 4, "s390x": 2, "riscv64": 2}  # bytes to which instructions are aligned
_NEAR = 4  # instructions before and after one that tell code from data
_WITH_TABLES = ("aarch64", "powerpc64le", "x86", "x86_64")  # elsewhere, what capstone doesn't know is newer code
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
_POINTERS = (lief.PE.RelocationEntry.BASE_TYPES.HIGHLOW, lief.PE.RelocationEntry.BASE_TYPES.DIR64)
_MACHO_CODE = int(lief.MachO.Section.FLAGS.PURE_INSTRUCTIONS) | int(lief.MachO.Section.FLAGS.SOME_INSTRUCTIONS)


@dataclass(frozen=True)
class CodeRegion:
    """An executable section: its bytes, and the address of the first."""

    start: int
    data: bytes
    name: str = ""

    @property
    def end(self) -> int:
        """The address after the last byte."""
        return self.start + len(self.data)

    def align(self, step: int) -> CodeRegion:
        """Return the region from the first multiple of ``step``."""
        skipped = -self.start % step
        return CodeRegion(self.start + skipped, self.data[skipped:], self.name) if skipped else self


def find_code_regions(parsed: Parsed) -> list[CodeRegion]:
    """Return the sections that hold instructions, by address."""
    found: Iterable[tuple[int, lief.PE.Section | lief.ELF.Section | lief.MachO.Section]]
    if isinstance(parsed, lief.PE.Binary):
        flag, base = int(lief.PE.Section.CHARACTERISTICS.MEM_EXECUTE), parsed.imagebase
        found = ((base + one.virtual_address, one) for one in parsed.sections if one.characteristics & flag)
    elif isinstance(parsed, lief.ELF.Binary):
        flag = int(lief.ELF.Section.FLAGS.EXECINSTR)
        found = ((one.virtual_address, one) for one in parsed.sections if one.flags & flag)
    else:
        found = ((one.virtual_address, one) for one in parsed.sections if int(one.flags) & _MACHO_CODE)
    regions = (CodeRegion(start, bytes(one.content), str(one.name)) for start, one in found if one.size)
    return sorted(regions, key=attrgetter("start"))


def find_region(regions: Sequence[CodeRegion], address: int) -> CodeRegion | None:
    """Return the region that holds an address; ``regions`` are sorted, as `find_code_regions` returns them."""
    place = bisect_right(regions, address, key=attrgetter("start"))
    return regions[place - 1] if place and address < regions[place - 1].end else None


@cache
def _decoder(machine: str) -> capstone.Cs:
    return capstone.Cs(*_MODES[machine])


def read_instructions(parsed: Parsed, machine: str, regions: list[CodeRegion]) -> Iterator[Instruction]:
    """Yield the binary's instructions, each once, in no particular order.

    What capstone doesn't know has an empty mnemonic, and as operands its bytes in hex: as many as the machine's
    encoding says, on x86 one.
    """
    if isinstance(parsed, lief.PE.Binary):
        yield from _read_reachable(parsed, machine, regions)
        return
    holes = _data_in_code(parsed)
    starts = (int(one.address) for one in parsed.functions)
    step = _STEPS.get(machine, 1)  # a symbol elsewhere than at a multiple of it names data
    edges = sorted(one for one in {*starts, *(edge for hole in holes for edge in hole)} if one % step == 0)
    for region in (one.align(step) for one in regions):
        inside = edges[bisect_right(edges, region.start) : bisect_left(edges, region.end)]
        for start, end in itertools.pairwise((region.start, *inside, region.end)):
            if not _is_in(start, holes):
                swept = _sweep(machine, region, start, end)
                yield from _leave_out_data(machine, swept) if machine in _WITH_TABLES else swept


def _leave_out_data(machine: str, instructions: Iterator[Instruction]) -> Iterator[Instruction]:
    """Yield the instructions, those beside bytes that are none as bytes that aren't known.

    Jump tables and constants in the code look like instructions here and there. Zeros (``udf #0``) are padding. CPUID
    stays, so that a guard beside a table isn't missed.
    """
    waiting: deque[Instruction] = deque()
    latest = -2 * _NEAR - 1  # the number of the last word that is no instruction
    for number, one in enumerate(itertools.chain(instructions, itertools.repeat(None, _NEAR))):
        if one is not None:
            waiting.append(one)
            latest = number if _is_data(machine, one) else latest
        if number >= _NEAR and waiting:
            middle = waiting.popleft()
            is_beside = middle[2] not in ("", "cpuid") and latest >= number - 2 * _NEAR
            yield (middle[0], middle[1], "", "") if is_beside else middle


def _is_data(machine: str, one: Instruction) -> bool:
    """Return whether bytes are no instruction. Those of POWER that capstone doesn't know may be newer instructions.

    There, only a small positive or negative number is data: GCC puts tables of distances behind indirect jumps.
    """
    if machine == "powerpc64le":
        return not one[2] and one[3][4:] in ("0000", "ffff") and one[3] != "00000000"
    return not one[2] or (one[2] == "udf" and one[3] != "#0")


def _data_in_code(parsed: lief.ELF.Binary | lief.MachO.Binary) -> list[tuple[int, int]]:
    """Return the spans that a Mach-O file marks as data in its code (LC_DATA_IN_CODE)."""
    if not isinstance(parsed, lief.MachO.Binary) or parsed.data_in_code is None:
        return []
    base = parsed.imagebase
    return merge_spans((base + one.offset, base + one.offset + one.length) for one in parsed.data_in_code.entries)


def merge_spans(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the same (start, end) spans sorted, with those that touch or overlap joined."""
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


def _sweep(machine: str, region: CodeRegion, start: int, end: int) -> Iterator[Instruction]:
    """Yield everything between two addresses, a window at a time: capstone decodes all that it is given at once."""
    decoder, place = _decoder(machine), start
    while place < end:
        window = region.data[place - region.start : min(place + _RUN * _LONGEST, end) - region.start]
        next_ = place
        for one in decoder.disasm_lite(window, place, _RUN):
            yield one
            next_ = one[0] + one[1]
        if next_ == place:  # no instruction, or none that capstone knows
            next_ += _instruction_length(machine, window[0])
            if next_ <= end:
                yield place, next_ - place, "", window[: next_ - place].hex()
        place = next_


def _instruction_length(machine: str, first: int) -> int:
    """Return an instruction's length in bytes by its first byte; 1 where that doesn't determine it."""
    if machine == "s390x":
        return (2, 4, 4, 6)[first >> 6]
    if machine == "riscv64":
        return 4 if first & 3 == 3 else 2
    return 4 if machine in ("aarch64", "powerpc64le") else 1


def _read_reachable(parsed: lief.PE.Binary, machine: str, regions: list[CodeRegion]) -> Iterator[Instruction]:
    decoder, functions = _decoder(machine), _read_exception_table(parsed, machine)
    seen: set[int] = set()
    roots, pointers = list(_find_roots(parsed)), _read_pointers(parsed, machine)
    if machine == "x86":
        yield from _walk_relocated(decoder, regions, roots, pointers)
        return
    yield from _walk(decoder, regions, [*roots, *pointers.values(), *(start for start, _ in functions)], seen)
    # One pass is enough: the more code is known, the fewer words remain that can be tables.
    yield from _walk(decoder, regions, list(_find_table_targets(regions, functions, parsed.imagebase, seen)), seen)


def _walk_relocated(
    decoder: capstone.Cs, regions: list[CodeRegion], roots: list[int], pointers: dict[int, int]
) -> Iterator[Instruction]:
    """Yield the instructions of 32-bit x86, where the loader relocates every address, those in the code, too.

    Such an address in the code is a constant operand (of code, as a rule), the address of a table (in a memory operand
    such as ``[eax*4 + 0x10001234]``), or an entry of a jump table. ``pointers`` has each place and its value. No
    instruction begins with an address, so a place with one is a table.
    """
    seen: set[int] = set()
    inside = {place for place in pointers if find_region(regions, place)}
    waiting = roots + [value for place, value in pointers.items() if place not in inside]
    while waiting:
        found: list[int] = []
        for one in _walk(decoder, regions, [value for value in waiting if value not in pointers], seen):
            yield one
            places = inside.intersection(range(one[0] + 1, one[0] + one[1] - 3))
            inside -= places
            found += [pointers[place] for place in places if not _is_memory_operand(one[3], pointers[place])]
        waiting = found or [pointers[place] for place in _take_tables(inside)]


def _take_tables(places: set[int]) -> set[int]:
    """Remove from ``places`` those that lie side by side, and return them."""
    found = _find_side_by_side(places)
    places -= found
    return found


def _find_side_by_side(places: Set[int]) -> set[int]:
    """Return the places of words that have another one before or behind them, as in a table."""
    return {place for place in places if {place - 4, place + 4} & places}


def _is_memory_operand(operands: str, address: int) -> bool:
    return re.search(rf"\[[^]]*{address:#x}\b", operands) is not None


def _walk(decoder: capstone.Cs, regions: list[CodeRegion], waiting: list[int], seen: set[int]) -> Iterator[Instruction]:
    """Follow every address in ``waiting``, and every branch with a fixed target, until nothing new is found."""
    while waiting:
        address = waiting.pop()
        region = find_region(regions, address)
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


def _find_roots(parsed: lief.PE.Binary) -> Iterator[int]:
    """Yield the exports and the entry point."""
    export = parsed.get_export()
    yield from (parsed.imagebase + one.address for one in (export.entries if export else ()))
    yield parsed.imagebase + parsed.optional_header.addressof_entrypoint


def _read_pointers(parsed: lief.PE.Binary, machine: str) -> dict[int, int]:
    """Return the places of all pointers that the loader relocates (handlers, method tables), with their values."""
    size, found = 8 if machine != "x86" else 4, {}
    for block in parsed.relocations:
        for entry in (one for one in block.entries if one.type in _POINTERS):  # the others pad a block
            raw = bytes(parsed.get_content_from_virtual_address(entry.address, size))
            if len(raw) == size:
                found[parsed.imagebase + entry.address] = int.from_bytes(raw, "little")
    return found


def _read_exception_table(parsed: lief.PE.Binary, machine: str) -> list[tuple[int, int]]:
    """Return (start, end) of each function in the exception table; ARM64's rows have no end, so both are the start."""
    directory = parsed.data_directory(lief.PE.DataDirectory.TYPES.EXCEPTION_TABLE)
    if directory is None or not directory.size or machine == "x86":
        return []
    raw = bytes(parsed.get_content_from_virtual_address(directory.rva, directory.size))
    base, step = parsed.imagebase, 12 if machine == "x86_64" else 8
    rows = [struct.unpack_from("<II", raw, place) for place in range(0, len(raw) - step + 1, step)]
    return [(base + begin, base + end if step == 12 else base + begin) for begin, end in rows]


def _find_table_targets(
    regions: list[CodeRegion], functions: list[tuple[int, int]], base: int, seen: set[int]
) -> Iterator[int]:
    """Yield targets of 64-bit jump tables: words in a function that no instruction covers and that point into it.

    They lie side by side. A word alone is part of code that nothing was known to reach, such as e9 20 01 00 (``jmp``).
    """
    done = 0
    for start, end in sorted(functions):
        region = find_region(regions, start)
        if region is None or end > region.end:
            continue
        words: dict[int, int] = {}
        for place in range(-(-max(start, done) // 4) * 4, end - 3, 4):
            if not any(near in seen for near in range(place - _LONGEST, place + 4)):
                (word,) = struct.unpack_from("<I", region.data, place - region.start)
                if start <= base + word < end:
                    words[place] = base + word
        yield from (words[place] for place in _find_side_by_side(words.keys()))
        done = max(done, end)  # so that overlapping functions, which no compiler makes, are scanned once, too
