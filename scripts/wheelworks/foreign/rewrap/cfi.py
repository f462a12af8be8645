"""Write call frame information: what a compact unwind encoding of macOS restores, as CIEs and FDEs of ``.eh_frame``.

The sources are those of :mod:`wheelworks.foreign.rewrap.unwind`, which uses this; register numbers are those of DWARF
for AArch64 (ARM's aadwarf64) and for x86-64 (System V's psABI).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache

from wheelworks.core.image import Image, read_word

# Encodings of pointers (DW_EH_PE_*)
UNSIGNED_4, SIGNED_4, ABSOLUTE, SIGNED_8, UNSIGNED_8 = 0x03, 0x0B, 0x00, 0x0C, 0x04
PC_RELATIVE, DATA_RELATIVE, INDIRECT = 0x10, 0x30, 0x80
_CODE_POINTER = PC_RELATIVE | SIGNED_4
_PERSONALITY_POINTER = INDIRECT | PC_RELATIVE | SIGNED_4

# Instructions (DW_CFA_*)
_DEFINE_CFA, _OFFSET, _OFFSET_EXTENDED = 0x0C, 0x80, 0x05

X19, FP, LR, SP, D8 = 19, 29, 30, 31, 72
RBX, RBP, RSP, RETURN = 3, 6, 7, 16
_X86_REGISTERS = {1: RBX, 2: 12, 3: 13, 4: 14, 5: 15, 6: RBP}

_MODE_MASK = 0x0F000000
_ARM_FRAMELESS, _ARM_FRAME = 0x02000000, 0x04000000
# Bits of ARM64's encodings and the registers of their pairs, in the order in which they lie below the frame
_ARM_PAIRS = {0x001: X19, 0x002: 21, 0x004: 23, 0x008: 25, 0x010: 27, 0x100: D8, 0x200: 74, 0x400: 76, 0x800: 78}
_X86_FRAME, _X86_IMMEDIATE, _X86_INDIRECT = 0x01000000, 0x02000000, 0x03000000
_X86_MOST_REGISTERS = 6
_CODE_ALIGNMENT = {"aarch64": 4, "x86_64": 1}
_RETURN_REGISTERS = {"aarch64": LR, "x86_64": RETURN}


@dataclass(frozen=True)
class Rules:
    """How to restore the caller's registers: the CFA is ``register`` plus ``offset``, and each register of ``saved``
    lies at the CFA minus a number of bytes (a multiple of 8).
    """

    register: int
    offset: int
    saved: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Function:
    """One function of the unwind information. Addresses are relative to the image; 0 means none."""

    start: int
    end: int
    encoding: int
    personality: int = 0  # the address of the slot that holds the routine's address
    lsda: int = 0


def read_rules(image: Image, start: int, encoding: int) -> Rules | None:
    """Return what an encoding restores, or None for one that isn't understood (0: the function has no information)."""
    if image.cpu == "aarch64":
        return _read_arm_rules(encoding)
    if image.cpu == "x86_64":
        return _read_x86_rules(image, start, encoding)
    return None


def _read_arm_rules(encoding: int) -> Rules | None:
    mode = encoding & _MODE_MASK
    pairs = [first for bit, first in _ARM_PAIRS.items() if encoding & bit]
    if mode == _ARM_FRAMELESS and not pairs:
        return Rules(SP, (encoding >> 12 & 0xFFF) * 16)
    if mode != _ARM_FRAME:
        return None
    saved = [(FP, 16), (LR, 8)]
    for first in pairs:  # below the frame's two words, the first register of a pair at the higher address
        below = 8 * (len(saved) + 1)
        saved += [(first, below), (first + 1, below + 8)]
    return Rules(FP, 16, tuple(saved))


def _read_x86_rules(image: Image, start: int, encoding: int) -> Rules | None:
    mode = encoding & _MODE_MASK
    if mode == _X86_FRAME:
        return _read_x86_frame(encoding)
    if mode in (_X86_IMMEDIATE, _X86_INDIRECT):
        size = encoding >> 16 & 0xFF
        words = size if mode == _X86_IMMEDIATE else _read_stack_words(image, start + size, encoding)
        return _read_x86_frameless(words, encoding >> 10 & 7, encoding & 0x3FF)
    return None


def _read_x86_frame(encoding: int) -> Rules | None:
    """Read a frame of rbp: up to five registers lie upwards from a number of words below it."""
    saved = [(RBP, 16), (RETURN, 8)]
    lowest = 16 + 8 * (encoding >> 16 & 0xFF)
    for slot in range(5):
        number = encoding >> 3 * slot & 7
        if number:
            if number not in _X86_REGISTERS or number == 6 or lowest - 8 * slot <= 16:
                return None
            saved.append((_X86_REGISTERS[number], lowest - 8 * slot))
    return Rules(RBP, 16, tuple(saved))


def _read_stack_words(image: Image, at: int, encoding: int) -> int | None:
    """Return the stack's size in words: a 32-bit number in a ``sub`` instruction, plus a correction."""
    size = read_word(image.segments, at, 4)
    return None if size is None or size % 8 or size >= 1 << 31 else size // 8 + (encoding >> 13 & 7)


def _read_x86_frameless(words: int | None, count: int, permutation: int) -> Rules | None:
    registers = _decode_permutation(count, permutation)
    if words is None or registers is None or words < count + 1:
        return None
    lowest = 8 * (count + 1)
    saved = [(register, lowest - 8 * index) for index, register in enumerate(registers)]
    return Rules(RSP, 8 * words, ((RETURN, 8), *saved))


def _decode_permutation(count: int, permutation: int) -> list[int] | None:
    """Return the saved registers, the lowest address first: a number in a mixed base of 6, 5, 4, ... choices."""
    if count > _X86_MOST_REGISTERS:
        return None
    digits, left = [], list(_X86_REGISTERS)
    # The last of six registers is no choice, so that six and five have the same number of digits.
    for choices in reversed(range(_X86_MOST_REGISTERS - count + 1, _X86_MOST_REGISTERS + 1)):
        unit = _count_arrangements(choices - 1, _X86_MOST_REGISTERS - count)
        digit, permutation = divmod(permutation, unit)
        digits.append(digit)
    if any(digit >= _X86_MOST_REGISTERS - index for index, digit in enumerate(digits)):
        return None
    return [_X86_REGISTERS[left.pop(digit)] for digit in digits]


def _count_arrangements(highest: int, lowest: int) -> int:
    product = 1
    for number in range(lowest + 1, highest + 1):
        product *= number
    return product


# -- writing


class FrameBuilder:
    """Collects the FDEs of an ``.eh_frame`` at an address; CIEs are shared by functions with the same personality."""

    def __init__(self, cpu: str, address: int) -> None:
        self.cpu = cpu
        self.address = address
        self.data = bytearray()
        self.cies: dict[int, int] = {}  # the personality's slot -> the CIE's offset

    def add(self, function: Function, rules: Rules) -> int:
        """Add an FDE and return its address. Raises ``struct.error`` for a distance beyond 2 GiB."""
        cie = self._find_cie(function.personality)
        at = len(self.data)
        body = bytearray(struct.pack("<I", at + 4 - cie))
        body += self._relate(function.start, at + 8) + struct.pack("<I", function.end - function.start)
        if function.personality:
            lsda_at = at + 4 + len(body) + 1
            body += b"\x04" + (self._relate(function.lsda, lsda_at) if function.lsda else bytes(4))
        else:
            body += b"\0"
        self._append(body + _encode_rules(rules))
        return self.address + at

    def finish(self) -> bytes:
        """Return the section, ended by a zero length, in whole 8 bytes."""
        ended = bytes(self.data) + bytes(4)
        return ended + bytes(-len(ended) % 8)

    def _find_cie(self, personality: int) -> int:
        if personality in self.cies:
            return self.cies[personality]
        at = self.cies[personality] = len(self.data)
        body = bytearray(struct.pack("<IB", 0, 1) + (b"zPLR\0" if personality else b"zR\0"))
        body += encode_unsigned(_CODE_ALIGNMENT[self.cpu]) + b"\x78"  # data alignment: -8 as a signed LEB128
        body += encode_unsigned(_RETURN_REGISTERS[self.cpu])
        if personality:
            pointer_at = at + 4 + len(body) + 2
            body += bytes([7, _PERSONALITY_POINTER]) + self._relate(personality, pointer_at)
            body += bytes([_CODE_POINTER, _CODE_POINTER])
        else:
            body += bytes([1, _CODE_POINTER])
        self._append(body)
        return at

    def _relate(self, target: int, offset: int) -> bytes:
        """Return the distance to ``target`` from an offset in the section."""
        return struct.pack("<i", target - (self.address + offset))

    def _append(self, body: bytes | bytearray) -> None:
        padding = bytes(-(len(body) + 4) % 8)  # zeros are DW_CFA_nop
        self.data += struct.pack("<I", len(body) + len(padding)) + body + padding


@cache
def _encode_rules(rules: Rules) -> bytes:
    out = bytearray([_DEFINE_CFA]) + encode_unsigned(rules.register) + encode_unsigned(rules.offset)
    for register, below in rules.saved:
        if register < 64:
            out += bytes([_OFFSET | register]) + encode_unsigned(below // 8)
        else:
            out += bytes([_OFFSET_EXTENDED]) + encode_unsigned(register) + encode_unsigned(below // 8)
    return bytes(out)


def encode_unsigned(number: int) -> bytes:
    """Return a number as ULEB128 (DWARF 5, section 7.6)."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


# -- reading


def read_pointer_width(data: bytes, cie: int) -> int:
    """Return how many bytes a pointer in the FDEs of a CIE at an offset takes: 4, 8, or 0 if it isn't pc-relative."""
    end = data.find(b"\0", cie + 9)
    augmentation = data[cie + 9 : end] if end >= 0 else b""
    if not augmentation.startswith(b"z") or len(augmentation) > 8:
        return 0
    at = end + 1
    for _ in range(4):  # code alignment, data alignment, the return register, the size of what follows
        at = _skip_leb128(data, at)
    for letter in augmentation[1:]:
        encoding = data[at] if at < len(data) else 0
        if letter == ord("R"):
            known = {ABSOLUTE: 8, UNSIGNED_8: 8, SIGNED_8: 8, UNSIGNED_4: 4, SIGNED_4: 4}
            return known.get(encoding & 0x0F, 0) if encoding & 0xF0 == PC_RELATIVE else 0
        at += 1
        if letter == ord("P"):
            at += 4 if encoding & 0x0F in (UNSIGNED_4, SIGNED_4) else 8
    return 0


def _skip_leb128(data: bytes, at: int) -> int:
    while at < len(data) and data[at] & 0x80:
        at += 1
    return at + 1
