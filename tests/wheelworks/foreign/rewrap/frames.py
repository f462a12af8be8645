"""Read .eh_frame as an unwinder does: a small interpreter of call frame instructions (DWARF 5, section 6.4)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field


@dataclass
class Row:
    """The CFA's register and offset, and how far below the CFA each saved register lies."""

    register: int = -1
    offset: int = 0
    saved: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Frame:
    """An FDE: addresses of its function, personality's slot and LSDA (0: none), and its row after the prologue.

    That is the row before the first instruction that undoes it: an epilogue may have rows of its own.
    """

    start: int
    size: int
    personality: int
    lsda: int
    row: Row


class _Reader:
    def __init__(self, data: bytes, base: int, at: int) -> None:
        self.data, self.base, self.at = data, base, at

    def take(self, layout: str) -> int:
        value = struct.unpack_from("<" + layout, self.data, self.at)[0]
        self.at += struct.calcsize("<" + layout)
        return int(value)

    def take_unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self.take("B")
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def take_signed(self) -> int:
        before = self.at
        value = self.take_unsigned()
        width = 7 * (self.at - before)
        return value - (1 << width) if value >> (width - 1) else value

    def take_pointer(self, encoding: int) -> int:
        here = self.base + self.at
        layout = {0x0: "q", 0x3: "I", 0x4: "Q", 0xB: "i", 0xC: "q"}[encoding & 0x0F]
        value = self.take(layout)
        assert encoding & 0x70 in (0x00, 0x10)
        return value + here if value and encoding & 0x10 else value


@dataclass
class _Cie:
    code: int
    data: int
    letters: str
    pointers: int
    lsdas: int
    personality: int
    row: Row
    remembered: list[Row] = field(default_factory=list)


def read_frame(data: bytes, base: int, address: int) -> Frame:
    """Read the FDE at an address, in a section that starts at ``base``."""
    reader = _Reader(data, base, address - base)
    end = reader.take("I") + reader.at
    cie = _read_cie(data, base, reader.at - reader.take("I"))
    start = reader.take_pointer(cie.pointers)
    size = reader.take({0x0: "q", 0x3: "I", 0x4: "Q", 0xB: "i", 0xC: "q"}[cie.pointers & 0x0F])
    length = reader.take_unsigned()
    rest = reader.at + length
    lsda = reader.take_pointer(cie.lsdas) if length else 0
    reader.at = rest
    row = Row(cie.row.register, cie.row.offset, dict(cie.row.saved))
    body: list[Row] = []
    _execute(reader, end, cie, row, body)
    return Frame(start, size, cie.personality, lsda, body[0] if body else row)


def _read_cie(data: bytes, base: int, at: int) -> _Cie:
    reader = _Reader(data, base, at)
    end = reader.take("I") + reader.at
    assert (reader.take("I"), reader.take("B")) == (0, 1)
    letters = ""
    while byte := reader.take("B"):
        letters += chr(byte)
    code, step = reader.take_unsigned(), reader.take_signed()
    reader.take_unsigned()  # the return address
    cie = _Cie(code, step, letters, 0, 0, 0, Row())
    length = reader.take_unsigned()
    instructions = reader.at + length
    for letter in letters[1:]:
        encoding = reader.take("B")
        if letter == "P":
            cie.personality = reader.take_pointer(encoding)
        elif letter == "L":
            cie.lsdas = encoding
        elif letter == "R":
            cie.pointers = encoding
    reader.at = instructions
    _execute(reader, end, cie, cie.row, [])
    return cie


def _execute(reader: _Reader, end: int, cie: _Cie, row: Row, body: list[Row]) -> None:
    while reader.at < end:
        before = Row(row.register, row.offset, dict(row.saved))
        instruction = reader.take("B")
        kind, operand = instruction & 0xC0, instruction & 0x3F
        if kind == 0x80:  # a register lies at an offset
            row.saved[operand] = -reader.take_unsigned() * cie.data
        elif kind == 0xC0:  # a register has its old value again
            row.saved.pop(operand, None)
        elif kind == 0:
            _execute_extended(reader, operand, cie, row)
        if instruction == 0x0A or _is_undone(before, row):
            body.append(before)


def _is_undone(before: Row, row: Row) -> bool:
    """Return whether an instruction is part of an epilogue: a register is restored, or the frame given up."""
    left_frame = before.register in (6, 29) and row.register not in (6, 29)
    return (
        left_frame
        or len(row.saved) < len(before.saved)
        or (row.offset < before.offset and row.register == before.register)
    )


def _execute_extended(reader: _Reader, operation: int, cie: _Cie, row: Row) -> None:
    advances = {0x02: "B", 0x03: "H", 0x04: "I"}
    if operation in advances:
        reader.take(advances[operation])
    elif operation == 0x05:
        register = reader.take_unsigned()
        row.saved[register] = -reader.take_unsigned() * cie.data
    elif operation in (0x0C, 0x0D, 0x0E):  # the CFA's register, offset, or both
        row.register = reader.take_unsigned() if operation != 0x0E else row.register
        row.offset = reader.take_unsigned() if operation != 0x0D else row.offset
    elif operation == 0x06:  # a register has its old value again
        row.saved.pop(reader.take_unsigned(), None)
    elif operation == 0x0A:  # remember the row
        cie.remembered.append(Row(row.register, row.offset, dict(row.saved)))
    elif operation == 0x0B:  # and restore it
        kept = cie.remembered.pop()
        row.register, row.offset, row.saved = kept.register, kept.offset, kept.saved
    elif operation == 0x2E:  # the size of arguments (GNU)
        reader.take_unsigned()
    else:
        assert operation == 0, f"instruction {operation:#x}"
