"""Read the instructions of 32-bit ARM files, where ARM code, Thumb code and constants are mixed without marks.

Only reachable code is read: from the exports, from every address that the loader relocates (bit 0 of an address marks
Thumb code), from calls and branches, branch tables, and addresses that code computes from the program counter.
Sources: Arm's Architecture Reference Manual, ARMv7-A; ELF for the Arm Architecture.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

import capstone
import lief

from wheelworks.audit.disassembly import CodeRegion, Instruction, find_region

_RUN = 64  # instructions that are decoded at once
_BRANCH = re.compile(r"(b|bl|blx|b[a-z]{2}|bl[a-z]{2}|cbn?z)(\.w)?")
_TARGET = re.compile(r"(?:^|, )#(0x[0-9a-f]+|\d+)$")
_WRITES_PC = re.compile(
    r"(pop|pop\.w) \{.*pc\}|ldm\S* .*\{.*pc\}|(ldr|ldr\.w|mov|add|sub) pc, .*"
    r"|(b|b\.w|udf|udf\.w) .*|bx .*"
)
_LITERAL = re.compile(r"(\w+), \[pc(?:, #(-?0x[0-9a-f]+|-?\d+))?\]")
_WIDE = re.compile(r", \[pc(?:, #(-?0x[0-9a-f]+|-?\d+))?\]$")
_HERE = re.compile(r"(\w+), (?:(\w+), pc|pc, (\w+)|pc)")
_ADDRESS = re.compile(r"\w+, (?:pc, )?#(0x[0-9a-f]+|\d+)")
_ENTRIES = (lief.ELF.DynamicEntry.TAG.INIT, lief.ELF.DynamicEntry.TAG.FINI)
_RELATIVE, _SLOT = lief.ELF.Relocation.TYPE.ARM_RELATIVE, lief.ELF.Relocation.TYPE.ARM_JUMP_SLOT
_MOST_CASES = 4096
_MOST_LOOKED_AHEAD = 8 << 20  # bytes: more than the second pass, which has its own limit, reads
_PUSH_MASK, _PUSH_LR = 0xFFFF4000, 0xE92D4000  # push {..., lr}
_STUB = re.compile(r"(?:add|ldr) (?:ip|pc), (?:pc|ip|\[ip), ?#(0x[0-9a-f]+|\d+)(?:, #?(\d+))?\]?!?")
# A call of these does not return. What follows it is often a constant.
_NEVER_RETURN = frozenset(
    {"__stack_chk_fail", "abort", "__assert_fail", "exit", "_exit", "longjmp", "Py_FatalError", "_Py_FatalErrorFunc",
     "_Unwind_Resume", "__cxa_end_cleanup", "__cxa_throw", "__cxa_rethrow", "__fortify_fail", "__chk_fail"}
)  # fmt: skip


@cache
def _decoder(thumb: int) -> capstone.Cs:
    mode = capstone.CS_MODE_THUMB if thumb else capstone.CS_MODE_ARM
    return capstone.Cs(capstone.CS_ARCH_ARM, mode | capstone.CS_MODE_V8)


@dataclass
class MixedCode:
    """A file's code while it is being followed. An address with bit 0 set is Thumb code."""

    regions: Sequence[CodeRegion]
    waiting: list[int] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    slots: dict[int, str] = field(default_factory=dict)  # the symbol that the loader puts at an address
    constants: set[int] = field(default_factory=set)  # addresses beside the code that it loads from
    size: int = 0  # bytes read so far
    _literals: dict[str, int] = field(default_factory=dict)
    _table: int = 0
    _compared: int = -1  # the last number that a register was compared with: a table's highest case

    @property
    def known(self) -> int:
        """How many bytes were read as instructions, or are loaded by instructions."""
        inside = (one for one in self.constants if find_region(self.regions, one))
        return self.size + 2 * sum(one not in self.seen and one | 1 not in self.seen for one in inside)

    def instructions(self) -> Iterator[Instruction]:
        """Yield every instruction once. The code is followed twice, to find all constants before they are decoded."""
        roots = list(self.waiting)
        for _ in self._follow_all():
            if self.size > _MOST_LOOKED_AHEAD:
                break
        self.waiting, self.size = roots, 0
        self.seen.clear()
        yield from self._follow_all()

    def _follow_all(self) -> Iterator[Instruction]:
        while self.waiting:
            address = self.waiting.pop()
            region = find_region(self.regions, address & ~1)
            self._literals.clear()
            self._compared = -1
            while region and address < region.end:
                thumb, place = address & 1, (address & ~1) - region.start
                run = _decoder(thumb).disasm_lite(region.data[place : place + 4 * _RUN], address & ~1, _RUN)
                address = region.end
                for one in run:
                    if one[0] | thumb in self.seen or one[0] in self.constants:
                        address = region.end
                        break
                    address = (one[0] + one[1]) | thumb
                    self.seen.add(one[0] | thumb)
                    self.size += one[1]
                    yield one
                    if self._follow(one, thumb, region):
                        address = region.end
                        break

    def _follow(self, one: Instruction, thumb: int, region: CodeRegion) -> bool:
        """Add the targets of an instruction; returns whether the next one is never reached from it."""
        address, size, mnemonic, operands = one
        if _BRANCH.fullmatch(mnemonic) and (target := _TARGET.search(operands)):
            switches = mnemonic.startswith("blx")
            to = int(target[1], 0) & ~1 | (thumb ^ switches)
            self.waiting.append(to)
            if mnemonic in ("bl", "blx") and self._find_stub(to) in _NEVER_RETURN:
                return True
        elif mnemonic in ("tbb", "tbh"):
            if operands.startswith("[pc"):
                self._follow_short_table(address + size, region, 2 if mnemonic == "tbh" else 1)
            return True
        else:
            self._follow_addresses(one, thumb, region)
        if not _WRITES_PC.fullmatch(f"{mnemonic} {operands}"):
            return False
        if 0 <= self._table - address - size < 4 and mnemonic in ("add", "bx", "mov", "ldr"):
            self._follow_long_table(thumb, region)
        return True

    def _follow_addresses(self, one: Instruction, thumb: int, region: CodeRegion) -> None:
        """Add addresses that are computed from the program counter: functions and branch tables."""
        address, _, mnemonic, operands = one
        here = (address + (4 if thumb else 8)) & ~3
        name = mnemonic.removesuffix(".w")
        if name == "cmp":
            self._compared = int(number[1], 0) if (number := _TARGET.search(operands)) else -1
        elif name == "ldr" and (found := _LITERAL.fullmatch(operands)):
            place = here + int(found[2] or "0", 0) - region.start
            self.constants.update((place + region.start, place + region.start + 2))
            self._literals[found[1]] = int.from_bytes(region.data[place : place + 4], "little")
        elif name in ("vldr", "ldrd") and (wide := _WIDE.search(operands)):
            place = here + int(wide[1] or "0", 0)
            self.constants.update(range(place, place + (4 if operands.startswith("s") else 8), 2))
        elif name in ("adr", "add", "addw") and (near := _ADDRESS.fullmatch(operands)):
            self._table = here + int(near[1], 0) if "pc" in operands or name == "adr" else self._table
        elif name == "add" and (added := _HERE.fullmatch(operands)):
            register = added[2] or added[3] or added[1]
            if register in self._literals:
                target = (self._literals.pop(register) + address + (4 if thumb else 8)) & 0xFFFFFFFF
                if self._is_function(target):
                    self.waiting.append(target)

    def _is_function(self, address: int) -> bool:
        """Return whether a computed address is code: bit 0 marks Thumb functions, ARM ones begin with a push of lr."""
        region = find_region(self.regions, address & ~1)
        if region is None or address & 1:
            return region is not None
        first = int.from_bytes(region.data[address - region.start : address - region.start + 4], "little")
        return not address & 3 and first & _PUSH_MASK == _PUSH_LR

    def _find_stub(self, address: int) -> str:
        """Return the imported function that the PLT stub at an address jumps to; "" for anything else."""
        region = find_region(self.regions, address & ~1)
        if region is None or region.name != ".plt":
            return ""
        place = ((address & ~1) + (4 if address & 1 else 0)) - region.start  # a Thumb stub begins with a switch to ARM
        slot = region.start + place + 8
        for one in _decoder(0).disasm_lite(region.data[place : place + 16], 0, 4):
            if found := _STUB.fullmatch(f"{one[2]} {one[3]}"):
                value, by = int(found[1], 0), int(found[2] or 0)
                slot += value >> by | value << (32 - by)  # rotated; only the low 32 bits of the sum are used
            if one[2] == "ldr":
                return self.slots.get(slot & 0xFFFFFFFF, "")
        return ""

    def _follow_short_table(self, start: int, region: CodeRegion, width: int) -> None:
        """Follow a table of TBB or TBH: halved distances, up to the nearest code that they lead to."""
        place, nearest = start, region.end
        while place < nearest and place < start + width * self._cases():
            raw = region.data[place - region.start : place - region.start + width]
            target = start + 2 * int.from_bytes(raw, "little")
            if target < start + width or target >= region.end:
                return
            nearest = min(nearest, target)
            self.waiting.append(target | 1)
            place += width

    def _cases(self) -> int:
        return self._compared + 1 if self._compared >= 0 else _MOST_CASES

    def _follow_long_table(self, thumb: int, region: CodeRegion) -> None:
        """Follow a table of four-byte distances from its own start."""
        start, self._table = self._table, 0
        place, nearest = start, region.end
        while region.start <= place < nearest and place < start + 4 * self._cases():
            raw = region.data[place - region.start : place - region.start + 4]
            target = start + int.from_bytes(raw, "little", signed=True)
            if len(raw) < 4 or not region.start <= (target & ~1) < region.end:
                return
            nearest = min(nearest, target & ~1) if target > start else nearest
            self.waiting.append(target & ~1 | thumb)
            place += 4


def load_mixed_code(parsed: lief.ELF.Binary, found: Sequence[CodeRegion]) -> MixedCode:
    """Return the code of a file, ready to be followed from the addresses in its headers."""
    roots = [int(one.value) for one in parsed.exported_symbols]
    slots: dict[int, str] = {}
    for entry in parsed.relocations:
        if entry.type == _SLOT and entry.symbol is not None:
            slots[int(entry.address)] = str(entry.symbol.name)
        elif entry.type == _RELATIVE:
            raw = bytes(parsed.get_content_from_virtual_address(entry.address, 4))
            roots.append(int.from_bytes(raw, "little"))
    roots += [int(entry.value) for entry in parsed.dynamic_entries if entry.tag in _ENTRIES]
    roots += [one.start for one in found if one.name == ".plt"]
    # The unwinding table lists every function, but some linkers (lld) clear the bit that marks Thumb.
    only_arm = not any(one & 1 for one in roots)
    roots += [int(one.address) for one in parsed.functions if one.address & 1 or only_arm]
    return MixedCode(found, [one for one in dict.fromkeys(roots) if find_region(found, one & ~1)], slots=slots)
