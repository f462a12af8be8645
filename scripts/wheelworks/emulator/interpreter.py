"""The emulated process: an image loaded and bound, and whatever it calls answered.

It starts at the functions that Python calls; a Windows DLL's entry point is not run.
"""

from __future__ import annotations

import mmap
import secrets
import types
from collections.abc import Iterator, Sequence
from typing import Any

from unicorn.unicorn_const import UC_PROT_ALL, UC_PROT_EXEC, UC_PROT_READ, UC_PROT_WRITE

from wheelworks.emulator.abi import Abi
from wheelworks.emulator.alignment import watch_alignment
from wheelworks.emulator.calling import (
    Arguments,
    convention_for,
    leave,
    prepare_call,
    return_address,
    return_double,
    return_integer,
)
from wheelworks.emulator.calls import Function
from wheelworks.emulator.capi import ANSWERS, data_symbol
from wheelworks.emulator.capi.buffers import View
from wheelworks.emulator.capi.table import Answer
from wheelworks.emulator.cpu import PAGE, Cpu, Limits
from wheelworks.emulator.definition import Method, ModuleDefinition
from wheelworks.emulator.errors import ErrorState
from wheelworks.emulator.findings import CannotRun, Fault, fault
from wheelworks.emulator.heap import Block
from wheelworks.emulator.image import Image, Segment
from wheelworks.emulator.memory import Memory
from wheelworks.emulator.objects import GuestObject, Objects
from wheelworks.emulator.region import Region

MEMORY_LIMIT = 512 << 20
UNWRITTEN = b"\xa5"  # fills the stack below a call: what is read from there unset points nowhere
POISONED_STACK = 32 << 10
STUB = 16
NOTHING = 16 * PAGE
THREAD_SIZE = 2 * PAGE


class Interpreter:
    """One extension module's process."""

    abi: Abi
    memory: Memory
    objects: Objects

    def __init__(self, image: Image, abi: Abi, limits: Limits) -> None:
        """Load and bind. Raises CannotRun or Fault only when something is run."""
        self.image = image
        self.abi = abi
        self.limits = limits
        self.memory = Memory(abi, MEMORY_LIMIT)
        self.cpu = Cpu(abi, limits, self._judge)
        self.memory.attach(self.cpu)
        self.convention = convention_for(abi)
        thread = self._map_thread()
        self.objects = Objects(abi, self.memory, thread)
        self.errors = ErrorState(self.objects)
        self.views: dict[int, View] = {}
        self.allocated: dict[int, Block] = {}
        self.kept_blocks: set[int] = set()
        self.states: dict[GuestObject, Block] = {}
        self.definition: ModuleDefinition | None = None
        self.module: GuestObject | None = None
        self.called = ""
        self.broken = False
        self.depth = 0
        self._nothing: list[mmap.mmap] = []
        self._names: dict[int, str] = {}
        self._stubs: dict[str, int] = {}
        self._map_nothing()
        self._bind()
        self.cpu.sp = self.memory.stack_top - PAGE

    # -- loading

    def _map_thread(self) -> int:
        """What the thread pointer points to: a block of which only the stack protector's value is set."""
        high = self.abi.pointer == 8
        start = 0x4_0000_0000 if high else 0x2800_0000
        memory = mmap.mmap(-1, THREAD_SIZE)
        middle = start + PAGE
        self.canary = secrets.token_bytes(7) + b"\0"
        memory[PAGE : PAGE + self.abi.pointer] = middle.to_bytes(self.abi.pointer, self.abi.order)
        if self.abi.os == "windows":  # NT_TIB.Self
            self_at = PAGE + (0x30 if high else 0x18)
            memory[self_at : self_at + self.abi.pointer] = middle.to_bytes(self.abi.pointer, self.abi.order)
        place = PAGE + (0x28 if high else 0x14)  # where every psABI with one there keeps the stack protector's value
        memory[place : place + self.abi.pointer] = self.canary[: self.abi.pointer]
        self._add("the thread's data", start, memory, UC_PROT_READ | UC_PROT_WRITE)
        self.cpu.set_thread_pointer(middle, middle + PAGE // 2)
        return middle

    def _map_nothing(self) -> None:
        """Where pages can't be protected, an access to an unmapped one ends in an exception that doesn't say which.

        The likeliest of them are mapped and watched there: around a null pointer, and below the stack.
        """
        if not self.cpu.chip.protects:
            for start in (0, self.memory.stack_bottom - NOTHING):
                nothing = mmap.mmap(-1, NOTHING)
                self._nothing.append(nothing)
                self.cpu.map(start, nothing, UC_PROT_READ | UC_PROT_WRITE)
                self.cpu.watch(start, start + NOTHING - 1)

    def _add(self, name: str, start: int, memory: mmap.mmap, permissions: int) -> None:
        self.cpu.map(start, memory, permissions)
        self.memory.add_region(Region(name, start, memory, bool(permissions & UC_PROT_WRITE)))

    def _bind(self) -> None:
        memory = mmap.mmap(-1, -(-self.image.size // PAGE) * PAGE)
        for segment in self.image.segments:
            memory[segment.address : segment.address + len(segment.data)] = segment.data
        names = sorted({bind.name for bind in self.image.binds})
        base = self.memory.image_base
        self._map_stubs(names)
        pack = self.abi.packer("P").pack
        mask = (1 << 8 * self.abi.pointer) - 1
        for rebase in self.image.rebases:
            memory[rebase.address : rebase.address + self.abi.pointer] = pack(base + rebase.target & mask)
        for bind in self.image.binds:
            target = self._resolve(bind.name, bind.weak)
            memory[bind.address : bind.address + self.abi.pointer] = pack(target + bind.addend & mask)
        self._map_image(memory)

    def _map_stubs(self, names: Sequence[str]) -> None:
        """One address for each imported function; running stops there and the function is answered."""
        self._stub_start = 0x3_0000_0000 if self.abi.pointer == 8 else 0x2000_0000
        size = -(-(len(names) + 1) * STUB // PAGE) * PAGE
        self._stub_memory = mmap.mmap(-1, size)
        self.cpu.map(self._stub_start, self._stub_memory, UC_PROT_EXEC)
        self.exit = self._stub_start
        for index, name in enumerate(names, 1):
            self._stubs[name] = self._stub_start + index * STUB
        self._names = {address: name for name, address in self._stubs.items()}
        self.cpu.set_exits([self.exit, *self._names])

    def _resolve(self, name: str, weak: bool) -> int:
        """The address for an import: data that exists, 0 for a weak unknown, else its stub."""
        address = data_symbol(self, name)
        if address is not None:
            return address
        return 0 if weak and name not in ANSWERS else self._stubs[name]

    def _map_image(self, memory: mmap.mmap) -> None:
        permissions = [0] * (len(memory) // PAGE)
        for segment in self.image.segments:
            for page in _pages(segment.address, segment.size):
                permissions[page] |= _permissions(segment)
        for start, size in self.image.read_only_after_binding:
            for page in range(start // PAGE, (start + size) // PAGE):
                permissions[page] &= ~UC_PROT_WRITE
        base = self.memory.image_base
        self.cpu.map(base, memory, UC_PROT_ALL)
        for first, last, allowed in _runs(permissions):
            self.cpu.protect(base + first * PAGE, (last - first) * PAGE, allowed)
            start, size = first * PAGE, (last - first) * PAGE
            writable = bool(allowed & UC_PROT_WRITE)
            self.memory.add_region(Region("module", base + start, memory, writable, start, size))
            if allowed & UC_PROT_EXEC and not writable:
                watch_alignment(self.cpu, self.abi.cpu, memory[start : start + size], base + start)

    # -- what goes wrong

    def _judge(self, address: int, size: int, write: bool) -> Fault | CannotRun | None:
        name = self._names.get(address - (address - self._stub_start) % STUB)
        if name is not None:
            return CannotRun(f"it uses {name} as data, which the emulated interpreter doesn't offer")
        return self.memory.judge(address, size, write)

    def where(self, address: int) -> str:
        """The symbol and offset of an address in the module."""
        offset = address - self.memory.image_base
        return self.image.symbol_at(offset) if 0 <= offset < self.image.size else ""

    def told(self, origin: str) -> str:
        """Where an object came from, for people."""
        name, _, address = origin.partition("@")
        return f"from {name}, called at {self.where(int(address, 16))}" if address else "an argument"

    def kept_memory(self) -> Iterator[bytes]:
        """All that the module can still find between two calls: its variables, its state, its own blocks."""
        for region in self.memory.regions:
            if region.name == "module" and region.writable:
                yield region.read(region.start, region.end - region.start)
        for block in (*self.states.values(), *self.allocated.values()):
            yield self.memory.peek(block.start, block.size)

    # -- modules

    def new_module(self, definition: ModuleDefinition) -> GuestObject:
        """A module with its functions and a zeroed state."""
        module = types.ModuleType(definition.name, definition.doc)
        made = self.objects.of(module)
        self.definition, self.module = definition, made
        for method in definition.methods:
            setattr(module, method.name, self.function(method, made))
        if definition.state_size:
            self.states[made] = self.memory.allocate(definition.state_size, "the module's state")
            self.memory.poke(self.states[made].start, bytes(definition.state_size))
        return made

    def function(self, method: Method, module: GuestObject) -> Function:
        """A method as a function of its module."""
        return Function(self, method, module)

    def execute(self, module: GuestObject, slots: Sequence[tuple[str, int]]) -> None:
        """Run the Py_mod_exec slots. Raises what they raise, and Fault."""
        for name, address in slots:
            if name == "exec":
                status = self.enter(address, [module.address]) & 0xFFFFFFFF
                error = self.errors.take()
                if status and error is None:
                    raise fault("null-without-error", "a Py_mod_exec function failed, but no exception was set")
                if error is not None:
                    if not status:
                        raise fault("error-with-result", f"a Py_mod_exec function succeeded while {error!r} was set")
                    raise error

    # -- running

    def enter(self, address: int, words: Sequence[int] = ()) -> int:
        """Call a guest function with word-sized arguments; returns its result register.

        Raises Fault, with its place, or CannotRun.
        """
        if self.depth == 0:
            self.cpu.start_clock()
            self.memory.poke(self.cpu.sp - POISONED_STACK, UNWRITTEN * POISONED_STACK)
        sp = self.cpu.sp
        self.depth += 1
        try:
            prepare_call(self.convention, self.abi, self.cpu, self.memory, words, self.exit)
            at = self.cpu.run(address)
            while at != self.exit:
                at = self.cpu.run(self._answer(self._names[at]))
            return self.cpu.get(self.convention.result) & ((1 << 8 * self.abi.pointer) - 1)
        except Fault as found:
            raise self._placed(found) from None
        finally:
            self.depth -= 1
            self.cpu.sp = sp
            self.objects.caller = ""

    def _placed(self, found: Fault) -> Fault:
        """The fault with the symbol and offset of its instruction; of a bad jump, of what it returns to."""
        address = found.finding.address
        if not address and found.finding.name in ("null-call", "jump-outside-module"):
            address = self._caller()
        return found.placed(address=address, where=self.where(address))

    def _caller(self) -> int:
        """The return address, if the module's code has set one."""
        address = return_address(self.abi, self.cpu, self.memory)
        return address if self.where(address) else 0

    def _answer(self, name: str) -> int:
        """Do what an imported function does; returns where the guest goes on."""
        back = return_address(self.abi, self.cpu, self.memory)
        self.cpu.check_clock(back)
        known = ANSWERS.get(name)
        if known is None:
            raise CannotRun(f"it calls {name}, which the emulated interpreter doesn't answer")
        self.called = name
        self.objects.caller = f"{name}@{back:x}"
        try:
            self._give_back(known, self._call(known))
        except Fault as found:
            raise found.placed(address=back) from None
        leave(self.abi, self.cpu, back)
        return back

    def _call(self, known: Answer) -> Any:
        arguments = Arguments(self.convention, self.abi, self.cpu, self.memory)
        try:
            result = known.call(self, arguments)
            return self._reference(result) if known.result == "a new reference" else result
        except (Fault, CannotRun):
            raise
        except Exception as error:  # what the real function would raise
            self.errors.set(error)
            return known.failed

    def _reference(self, result: object) -> int:
        """A new reference for the guest to an object, or to its guest object."""
        made = result if isinstance(result, GuestObject) else self.objects.of(result)
        return self.objects.add_reference(made)

    def _give_back(self, known: Answer, result: Any) -> None:
        if known.result == "void":
            return
        if known.result == "double":
            return_double(self.convention, self.cpu, result)
            return
        value = result.address if isinstance(result, GuestObject) else int(result or 0)
        return_integer(self.convention, self.abi, self.cpu, value)


def _pages(address: int, size: int) -> range:
    return range(address // PAGE, -(-(address + size) // PAGE))


def _permissions(segment: Segment) -> int:
    return UC_PROT_READ | UC_PROT_WRITE * segment.writable | UC_PROT_EXEC * segment.executable


def _runs(permissions: Sequence[int]) -> list[tuple[int, int, int]]:
    """Consecutive pages of one kind: first, last (excluded), permissions."""
    found = []
    first = 0
    for page in range(1, len(permissions) + 1):
        if page == len(permissions) or permissions[page] != permissions[first]:
            found.append((first, page, permissions[first]))
            first = page
    return found
