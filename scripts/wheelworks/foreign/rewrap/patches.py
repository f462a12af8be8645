"""Patch the few instructions of Windows ARM64 code that mean something else on Linux.

Windows keeps the address of the thread's environment block (TEB) in x18, the platform register; Linux lets any
function overwrite it (AAPCS64, 6.1.1; "Overview of ARM64 ABI conventions" by Microsoft). Compilers use x18 only to
reach the TEB: such an instruction is moved into a veneer that asks the shim for the TEB first. Microsoft's start-up
code also reads CurrentEL, which only the kernel may (Windows lets its exception handler step over it).

The instructions that name register 18 are found by looking at each byte of all words at once: a table for each of the
four bytes says which register fields may be 18, and the words for which all four agree are few. Capstone decodes
those. Compilers put jump tables between instructions, so a word counts as an instruction only if it has the pattern of
a TEB access, or if it can be reached from the start of its function.

Source of the encodings: the Arm Architecture Reference Manual for A-profile, C4.1.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from functools import cache

import capstone
from capstone import arm64_const

from wheelworks.core.image import Image
from wheelworks.foreign.rewrap.code import NOP, PLATFORM_REGISTER, Arm64Code, encode_branch
from wheelworks.foreign.rewrap.elf import Part, Rights
from wheelworks.foreign.rewrap.layout import CannotRewrap

CURRENT_EL = b"\x42\x38\xd5"  # the upper bytes of ``mrs Xt, CurrentEL``, Xt below x31
MAX_SEARCHED = 8 << 20  # bytes, of functions that are searched for reachable instructions
RUN = 256  # bytes that are decoded at once
MAX_CANDIDATES = 100_000  # words that name register 18; the largest known image has 2,048


class TebField(IntEnum):
    """Fields of the TEB that compiled code reads, by their offsets (winternl.h and its public debug symbols)."""

    STACK_BASE = 0x08
    STACK_LIMIT = 0x10
    FIBER_DATA = 0x20
    SELF = 0x30
    PROCESS_ID = 0x40
    THREAD_ID = 0x48
    THREAD_LOCAL_STORAGE = 0x58
    PROCESS_ENVIRONMENT_BLOCK = 0x60
    LAST_ERROR = 0x68
    DEALLOCATION_STACK = 0x1478


FIELDS = frozenset(map(int, TebField))
MOVE_FROM_X18 = 0xAA1203E0  # mov Xt, x18
# ldr Xt, [x18, #n]; ldr Wt, [x18, #n]; str Wt, [x18, #n]; each with the unit of n
ACCESSES = {0xF9400240: 8, 0xB9400240: 4, 0xB9000240: 4}


@dataclass(frozen=True)
class Patch:
    """An instruction that was changed: its address in the image, what it was, and why it was changed."""

    address: int
    instruction: str
    reason: str


class _Field(IntFlag):
    """Register fields of an instruction, by their first bits, and special cases of two classes."""

    RD = 1  # bit 0
    RN = 2  # bit 5
    RM = 4  # bit 16
    RA = 8  # bit 10: also the second register of a pair
    FLOAT_RD = 16  # of a move between register files
    FLOAT_RN = 32
    LOGICAL_RN = 64  # of a logical immediate, which shares its upper byte with move-wide
    EXTRACT_RM = 128  # of EXTR, which shares its upper byte with bitfield moves


_F = _Field
# Masks and values of the instructions that move between the register files: conversions between floating point and
# integers, with or without a fixed point; DUP, INS, SMOV, UMOV.
_MOVES = ((0x7F20FC00, 0x1E200000), (0x7F200000, 0x1E000000), (0x9FE08400, 0x0E000400))


def _byte_0(byte: int) -> int:
    found = _F.RM | _F.RA | _F.EXTRACT_RM
    if byte & 31 == PLATFORM_REGISTER:
        found |= _F.RD | _F.FLOAT_RD
    return found | _F.RN | _F.FLOAT_RN | _F.LOGICAL_RN if byte >> 5 == PLATFORM_REGISTER & 7 else found


def _byte_1(byte: int) -> int:
    found = _F.RD | _F.RM | _F.EXTRACT_RM | _F.FLOAT_RD
    if byte & 3 == PLATFORM_REGISTER >> 3:
        found |= _F.RN | _F.LOGICAL_RN | _F.FLOAT_RN
    return found | _F.RA if byte >> 2 & 31 == PLATFORM_REGISTER else found


def _byte_2(byte: int) -> int:
    found = _F.RD | _F.RN | _F.RA | _F.FLOAT_RD | _F.FLOAT_RN
    if not byte >> 7:
        found |= _F.LOGICAL_RN
    if byte & 31 == PLATFORM_REGISTER:
        found |= _F.RM | _F.EXTRACT_RM if byte >> 7 else _F.RM
    return found


def _byte_3(byte: int) -> int:
    """Return which fields hold general registers, by the class of the instruction (bits 24 to 31)."""
    if byte & 0x1C == 0x10:  # data processing with an immediate
        return (_F.RD, _F.RD | _F.RN, _F.RD | _F.LOGICAL_RN, _F.RD | _F.RN | _F.EXTRACT_RM)[byte & 3]
    if byte & 0x0A == 0x08:  # loads and stores
        return _loads_and_stores(byte)
    if byte & 0x7C == 0x34 or byte == 0xD5:  # compare and branch, test and branch; system registers
        return _F.RD
    if byte & 0xFE == 0xD6:  # branches to a register; with pointer authentication, to two
        return _F.RD | _F.RN
    if byte & 0x0E == 0x0A:  # data processing with registers, three of them in class 0x1B
        return _F.RD | _F.RN | _F.RM | (_F.RA if byte & 0x1F == 0x1B else 0)
    if byte & 0x1E == 0x04 or byte & 0x9E == 0x80:  # SVE, SME
        return _F.RD | _F.RN | _F.RM
    return _F.FLOAT_RD | _F.FLOAT_RN if byte & 0x0E == 0x0E else 0


def _loads_and_stores(byte: int) -> int:
    vector, exclusive = bool(byte & 4), byte & 0x3F == 0x08
    found = 0 if vector else int(_F.RD)
    if byte & 0x3B != 0x18:  # not a literal, which has no base
        found |= _F.RN
    if exclusive or (byte >> 3 & 7 == 5 and not vector):  # or a pair
        found |= _F.RA
    if exclusive or byte & 0x3B == 0x38 or byte & 0xBE == 0x0C or byte & 0xFB == 0x19:  # an index, a size, a source
        found |= _F.RM
    return found


@cache
def _tables() -> tuple[bytes, ...]:
    return tuple(bytes(map(table, range(256))) for table in (_byte_0, _byte_1, _byte_2, _byte_3))


def find_register_uses(code: bytes | bytearray) -> list[int]:
    """Return the offsets of the words of ``code`` that name general register 18 in some field, and of few others."""
    count = len(code) // 4
    agreed = (1 << 8 * count) - 1
    for place, table in enumerate(_tables()):
        agreed &= int.from_bytes(code[place : 4 * count : 4].translate(table), "little")
    places = [found.start() for found in re.finditer(rb"[^\0]", agreed.to_bytes(count, "little"))]
    return [4 * place for place in places if _may_name_general_register(code[4 * place : 4 * place + 4])]


def _may_name_general_register(data: bytes | bytearray) -> bool:
    """Return False for an instruction of the class of vectors and floating point that only names those registers."""
    word = int.from_bytes(data, "little")
    return word >> 25 & 7 != 7 or any(word & mask == value for mask, value in _MOVES)


@cache
def _disassembler() -> capstone.Cs:
    disassembler = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
    disassembler.detail = True
    return disassembler


_ENDS = re.compile(r"(ret|br)[ab]*z?$|b$|brk$|udf$|eret")
_BRANCHES = re.compile(r"b$|b\.\w+$|cbn?z$|tbn?z$|blr")
_NAMES = {arm64_const.ARM64_REG_X18, arm64_const.ARM64_REG_W18}


@dataclass(frozen=True)
class _Use:
    """An instruction that reads or writes x18."""

    address: int
    word: int
    text: str
    writes: bool

    @property
    def is_teb_access(self) -> bool:
        """Return whether this is one of the accesses that compilers make, which hardly any data looks like."""
        if self.word & 0xFFFFFFE0 == MOVE_FROM_X18:
            return not self.writes
        width = ACCESSES.get(self.word & 0xFFC003E0, 0)
        return width * (self.word >> 10 & 0xFFF) in FIELDS if width and not self.writes else False

    @property
    def can_move(self) -> bool:
        """Return whether the instruction does the same in a veneer: it keeps x18 and goes on to the next one."""
        mnemonic = self.text.partition(" ")[0]
        return not (self.writes or _BRANCHES.match(mnemonic) or _ENDS.match(mnemonic))


def _decode(data: bytes | bytearray, address: int) -> _Use | None:
    """Return the use of x18 that a word is, or None if it is none or no instruction at all."""
    instruction = next(_disassembler().disasm(bytes(data), address, 1), None)
    if instruction is None:
        return None
    read, written = map(set, instruction.regs_access())
    if not _NAMES & (read | written):
        return None
    text = f"{instruction.mnemonic} {instruction.op_str}"
    return _Use(address, int.from_bytes(data, "little"), text, bool(_NAMES & written))


def find_reachable(code: bytes, start: int) -> set[int]:
    """Return the addresses of the instructions that fall-through and direct branches reach from ``start``."""
    found: set[int] = set()
    pending = [start]
    while pending:
        address = pending.pop()
        while address not in found and 0 <= address - start < len(code):
            targets, address = _follow(code[address - start : address - start + RUN], address, found)
            pending += targets
    return found


def _follow(run: bytes, start: int, found: set[int]) -> tuple[list[int], int]:
    """Add the addresses of a run of instructions. Return its branches' targets, and where to go on, or -1."""
    targets: list[int] = []
    following = start
    for instruction in _disassembler().disasm(run, start):
        if instruction.address in found:
            return targets, -1
        found.add(instruction.address)
        following = instruction.address + 4
        if _BRANCHES.match(instruction.mnemonic) and "#" in instruction.op_str:
            targets.append(int(instruction.op_str.rpartition("#")[2], 0))
        if _ENDS.match(instruction.mnemonic):
            return targets, -1
    return targets, following if following == start + len(run) else -1


class _Functions:
    """The functions that unwind data names, and their reachable instructions."""

    def __init__(self, functions: Sequence[tuple[int, int]], name: str) -> None:
        self._ranges = sorted(functions)
        self._known: dict[int, set[int]] = {}
        self._left = MAX_SEARCHED
        self._name = name

    def is_reachable(self, part: Part, address: int) -> bool:
        """Return whether an address is an instruction of a known function. Raises CannotRewrap."""
        place = bisect_right(self._ranges, (address, 1 << 64)) - 1
        start, end = self._ranges[place] if place >= 0 else (0, 0)
        if not part.address <= start <= address < end <= part.end:
            return False
        if start not in self._known:
            self._left -= end - start
            if self._left < 0:
                raise CannotRewrap(f"{self._name}: too many words name x18, the register that Windows reserves")
            self._known[start] = find_reachable(bytes(part.data[start - part.address : end - part.address]), start)
        return address in self._known[start]


def patch_windows(image: Image, parts: Sequence[Part], code: Arm64Code, slot: int, name: str) -> list[Patch]:
    """Patch the executable parts in place; veneers go to ``code``, and ``slot`` holds the address of the shim's w_teb.

    Raises CannotRewrap for a use of x18 that isn't understood.
    """
    functions = _Functions(image.functions, name)
    patches = []
    for part in parts:
        if part.rights & Rights.EXECUTE:
            for use in _find_uses(part, functions, name):
                _move(part, use, code, slot, name)
                patches.append(Patch(use.address, use.text, "reads the TEB: a veneer asks the shim for it"))
            patches += _remove_current_el(part)
    return sorted(patches, key=lambda patch: patch.address)


def _find_uses(part: Part, functions: _Functions, name: str) -> Iterator[_Use]:
    offsets = find_register_uses(part.data)
    if len(offsets) > MAX_CANDIDATES:
        raise CannotRewrap(f"{name}: {len(offsets)} words name x18, the register that Windows reserves")
    for offset in offsets:
        use = _decode(part.data[offset : offset + 4], part.address + offset)
        if use is None or not (use.is_teb_access or functions.is_reachable(part, use.address)):
            continue
        if not use.can_move:
            raise CannotRewrap(f"{name}: `{use.text}` at {use.address:#x}: a use of x18 that isn't understood")
        yield use


def _move(part: Part, use: _Use, code: Arm64Code, slot: int, name: str) -> None:
    offset = use.address - part.address
    try:
        branch = encode_branch(use.address, code.emit_veneer(use.word, use.address, slot))
    except OverflowError as error:
        raise CannotRewrap(f"{name}: the image is too large to be patched: {error}") from None
    part.data[offset : offset + 4] = branch.to_bytes(4, "little")


def _remove_current_el(part: Part) -> Iterator[Patch]:
    place = part.data.find(CURRENT_EL)
    while place >= 0:
        register = part.data[place - 1]
        if place % 4 == 1 and register >> 5 == 2 and register & 31 < 31:
            part.data[place - 1 : place + 3] = NOP.to_bytes(4, "little")
            text = f"mrs x{register & 31}, CurrentEL"
            yield Patch(part.address + place - 1, text, "only a kernel may execute it: a nop")
        place = part.data.find(CURRENT_EL, place + 1)
