"""The emulated process: one extension module on an emulated CPU, with the C API that it calls.

How it works, from the module's side:

1. **Loading.** The image (:mod:`wheelworks.core.formats`) is copied to memory, relocated and bound, as the
   operating system's loader would. Constructors, or the entry point of a Windows DLL, run
   (:func:`wheelworks.emulator.extension.start_library`).
2. **Memory.** The image, the stack, the thread's data and the heap are host memory that Unicorn maps into the CPU's
   address space, so that both sides share the bytes. Guard zones lie between the blocks of the heap, freed blocks are
   quarantined, and fresh blocks and the stack below a call hold a pattern, as in AddressSanitizer.
3. **Objects.** A Python object that the module sees is a header with a reference count in guest memory
   (:mod:`wheelworks.emulator.objects`); its value is an object of the CPython that runs this program.
4. **The C API.** Every imported function is bound to a stub, an address at which the CPU stops. The process then looks
   the function up in ``api``, reads the arguments by the calling convention and the C types of its annotations, calls
   it, puts the result where the convention wants it, and continues at the return address. An exception raised by the
   Python function becomes the pending exception, as in C.
5. **Checks.** Unicorn hooks report each access to a watched address to :meth:`Memory.check_access`; hooks on single
   instructions check alignment (:mod:`wheelworks.emulator.alignment`); the functions of the C API check their
   arguments; and after each call from Python, :meth:`ProcessState.check_leaks` checks reference counts, buffers and
   blocks. A failed check raises :class:`Fault`. A function or feature that isn't emulated raises
   :class:`Unsupported`, which says nothing about the module.

The table of functions is handed in, so that this module depends on no function of the C API, and they depend only on
:class:`ProcessState`. Calls nest: a function of the C API may run guest code again.

Sources: Unicorn's ``unicorn.h`` (hooks, exits, ``mem_map_ptr``); Serebryany et al., "AddressSanitizer: A Fast Address
Sanity Checker" (USENIX ATC 2012); CPython's "Python/C API Reference Manual"; the psABIs for the thread pointer and the
stack protector's value (x86-64: ``%fs:0x28``, i386: ``%gs:0x14``; Windows: ``NT_TIB``).
"""

from __future__ import annotations

import mmap
import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from unicorn.unicorn_const import UC_PROT_ALL, UC_PROT_EXEC, UC_PROT_READ, UC_PROT_WRITE

from wheelworks.core.errors import Unsupported
from wheelworks.core.image import PAGE, Image, copy_segments, round_up
from wheelworks.emulator import calling
from wheelworks.emulator.abi import Abi
from wheelworks.emulator.alignment import watch_alignment
from wheelworks.emulator.cpu import Cpu, RunLimits
from wheelworks.emulator.exports import FUNCTION_POINTERS, Export, Variable
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.heap import MemoryRegion
from wheelworks.emulator.instructions import LONGEST_INSTRUCTION, find_instruction
from wheelworks.emulator.memory import Memory
from wheelworks.emulator.objects import GuestObject, Objects
from wheelworks.emulator.state import ProcessState
from wheelworks.emulator.type_layout import fill_type

MEMORY_LIMIT = 512 << 20
POISON = b"\xa5"  # fills the stack below a call, so that unset variables don't hold valid pointers
POISONED_STACK = 32 << 10
STUB = 16  # bytes from one stub to the next
TRAP_SIZE = 16 * PAGE
THREAD_SIZE = 2 * PAGE
SHARED_DATA = 0x7FFE0000  # KUSER_SHARED_DATA
# ThreadLocalStoragePointer by pointer size. The fields after it in the thread's environment block aren't emulated.
THREAD_LOCAL_ARRAY = {4: 0x2C, 8: 0x58}


class EmulatedProcess:
    """The process of one extension module."""

    def __init__(self, image: Image, abi: Abi, limits: RunLimits, api: Mapping[str, Export | Variable]) -> None:
        """Load and bind the image. Raises Unsupported or Fault only when code is run."""
        self.image = image
        self.abi = abi
        self.api = api
        self.memory = Memory(abi, MEMORY_LIMIT)
        self.cpu = Cpu(abi, limits, self._check_access)
        self.memory.attach(self.cpu)
        self.convention = calling.CONVENTIONS[abi.os, abi.cpu]
        self._stub_names: dict[int, str] = {}
        self._traps: list[mmap.mmap] = []
        stack_guard = secrets.token_bytes(7) + b"\0"
        self._thread = self._map_thread(stack_guard)
        self.objects = Objects(abi, self.memory, self._thread)
        self.state = ProcessState(image, self.memory, self.objects, stack_guard[: abi.pointer])
        self.state.run_code = self.run_code
        self.objects.fill_type = partial(fill_type, self.state)
        self._map_traps()
        self._bind()
        self.cpu.sp = self.memory.stack_top - PAGE

    # -- loading

    def _map_thread(self, stack_guard: bytes) -> int:
        """Map the block that the thread pointer points to. Only the stack guard in it is set."""
        size, high = self.abi.pointer, self.abi.pointer == 8
        start = 0x4_0000_0000 if high else 0x2800_0000
        memory = mmap.mmap(-1, THREAD_SIZE)
        thread = start + PAGE
        itself = thread.to_bytes(size, self.abi.order)
        memory[PAGE : PAGE + size] = itself
        if self.abi.os == "windows":  # NT_TIB.Self
            at = PAGE + (0x30 if high else 0x18)
            memory[at : at + size] = itself
        at = PAGE + (0x28 if high else 0x14)  # where every psABI with a stack guard there has it
        memory[at : at + size] = stack_guard[:size]
        self.memory.add_region(MemoryRegion("the thread's data", start, memory))
        self.cpu.set_thread_pointer(thread, thread + PAGE // 2)
        if self.abi.os == "windows":
            self.cpu.watch(thread + THREAD_LOCAL_ARRAY[size] + size, thread + PAGE - 1)
            self._map_shared_data()
        return thread

    def _map_thread_local(self, image: mmap.mmap) -> None:
        """Map the thread-local variables of a Windows DLL, and the array that holds their address.

        The DLL finds the array in the thread's environment block, and its own index in ``_tls_index``. On macOS the
        first use of a variable calls an imported function, on Linux the reader refuses such a file.
        """
        block = self.image.thread_local
        if block is None or self.abi.os != "windows":
            return
        size = self.abi.pointer
        start = 0x4_1000_0000 if size == 8 else 0x2900_0000
        memory = mmap.mmap(-1, PAGE + round_up(max(block.size, 1)))
        memory[:size] = (start + PAGE).to_bytes(size, "little")
        memory[PAGE : PAGE + block.filled] = image[block.address : block.address + block.filled]
        if block.index:
            image[block.index : block.index + 4] = bytes(4)
        self.memory.add_region(MemoryRegion("thread-local variables", start, memory))
        array = THREAD_LOCAL_ARRAY[size]
        self.memory.poke(self._thread + array, start.to_bytes(size, "little"))

    def _map_traps(self) -> None:
        """Map and watch the addresses near a null pointer and below the stack, where pages can't be protected.

        There, an access to an unmapped page raises an exception of the CPU that doesn't hold the address.
        """
        if not self.cpu.chip.protects:
            for start in (0, self.memory.stack_bottom - TRAP_SIZE):
                trap = mmap.mmap(-1, TRAP_SIZE)
                self._traps.append(trap)
                self.cpu.map(start, trap, UC_PROT_READ | UC_PROT_WRITE)
                self.cpu.watch(start, start + TRAP_SIZE - 1)

    def _bind(self) -> None:
        memory = mmap.mmap(-1, round_up(self.image.size))
        copy_segments(memory, self.image.segments, self.image.header)
        stubs = self._map_stubs(sorted({bind.name for bind in self.image.binds}.union(FUNCTION_POINTERS)))
        self.state.stubs = stubs
        base, size = self.memory.image_base, self.abi.pointer
        pack, mask = self.abi.packer("P").pack, (1 << 8 * size) - 1
        for rebase in self.image.rebases:
            memory[rebase.address : rebase.address + size] = pack(base + rebase.target & mask)
        for bind in self.image.binds:
            export = self.api.get(bind.name)
            if isinstance(export, Variable):
                target = export.create(self.state)
            elif export is None and not bind.library and bind.name in self.image.exports:
                target = base + self.image.exports[bind.name]  # a C++ definition that any library may replace
            else:
                target = 0 if bind.weak and export is None else stubs[bind.name]
            memory[bind.address : bind.address + size] = pack(target + bind.addend & mask)
        self._map_thread_local(memory)
        self._map_image(memory)

    def _map_stubs(self, names: Sequence[str]) -> dict[str, int]:
        """Map one address for each imported name, at which the CPU stops, and return them."""
        self._stub_start = 0x3_0000_0000 if self.abi.pointer == 8 else 0x2000_0000
        self._stub_memory = mmap.mmap(-1, round_up((len(names) + 1) * STUB))
        self.cpu.map(self._stub_start, self._stub_memory, UC_PROT_EXEC)
        stubs = {name: self._stub_start + index * STUB for index, name in enumerate(names, 1)}
        self._stub_names = {address: name for name, address in stubs.items()}
        self.cpu.set_exits([self._stub_start, *self._stub_names])  # calls from Python return to the first
        return stubs

    def _map_image(self, memory: mmap.mmap) -> None:
        base = self.memory.image_base
        self.cpu.map(base, memory, UC_PROT_ALL)
        pages = self._page_permissions(len(memory) // PAGE)
        for permissions, run in groupby(range(len(pages)), pages.__getitem__):
            numbers = list(run)
            start, size = numbers[0] * PAGE, len(numbers) * PAGE
            self.cpu.protect(base + start, size, permissions)
            writable = bool(permissions & UC_PROT_WRITE)
            self.memory.regions.append(MemoryRegion("module", base + start, memory, writable, start, size))
            if permissions & UC_PROT_EXEC and not writable:
                watch_alignment(self.cpu, self.abi.cpu, memory[start : start + size], base + start)

    def _page_permissions(self, count: int) -> list[int]:
        headers = round_up(len(self.image.header)) // PAGE
        permissions = [UC_PROT_READ] * headers + [0] * (count - headers)
        for segment in self.image.segments:
            allowed = UC_PROT_READ | UC_PROT_WRITE * segment.writable | UC_PROT_EXEC * segment.executable
            for page in range(segment.address // PAGE, round_up(segment.address + segment.size) // PAGE):
                permissions[page] |= allowed
        for start, size in self.image.read_only_after_binding:
            for page in range(start // PAGE, (start + size) // PAGE):
                permissions[page] &= ~UC_PROT_WRITE
        return permissions

    def _map_shared_data(self) -> None:
        """Map KUSER_SHARED_DATA, which the start-up code of ARM64 DLLs reads. Its zeros mean: no optional feature."""
        if self.abi.pointer == 8:
            self.memory.add_region(MemoryRegion("shared data", SHARED_DATA, mmap.mmap(-1, PAGE), writable=False))

    def _check_access(self, address: int, size: int, write: bool) -> Fault | Unsupported | None:
        if self.abi.os == "windows" and THREAD_LOCAL_ARRAY[self.abi.pointer] < address - self._thread < PAGE:
            return Unsupported(f"it uses the field {address - self._thread:#x} of the thread's environment block")
        name = self._stub_names.get(address - (address - self._stub_start) % STUB)
        if name is not None:
            return Unsupported(f"it uses {name} as data, which isn't emulated")
        return self.memory.check_access(address, size, write)

    # -- running

    def run_code(self, address: int, words: Sequence[int] = ()) -> int:
        """Call a guest function with word-sized arguments and return its result register.

        Raises Fault, with the place in the module where known, or Unsupported.
        """
        if self.state.depth == 0:
            self.cpu.start_clock()
            self.memory.poke(self.cpu.sp - POISONED_STACK, POISON * POISONED_STACK)
        sp, end = self.cpu.sp, self._stub_start
        self.state.depth += 1
        try:
            calling.prepare_call(self.convention, self.abi, self.cpu, self.memory, words, end)
            at = address if address in self._stub_names else self.cpu.run(address)
            while at != end:
                at = self.cpu.run(self._call_import(self._stub_names[at]))
            return self.cpu.get(self.convention.result) & ((1 << 8 * self.abi.pointer) - 1)
        except Fault as found:
            self._check_instruction(found)
            raise self._locate_fault(found) from None
        finally:
            self.state.depth -= 1
            self.cpu.sp = sp
            self.objects.caller = ""

    def _check_instruction(self, found: Fault) -> None:
        """Raise Unsupported for an instruction that exists, but not on the emulated CPU."""
        if found.kind == "illegal-instruction" and self.state.locate(found.address):
            offset = found.address - self.memory.image_base
            code = self.memory.peek(found.address, min(LONGEST_INSTRUCTION, self.image.size - offset))
            if name := find_instruction(self.abi.cpu, code, found.address):
                raise Unsupported(f"it executes the instruction {name}, which the emulated CPU doesn't have")

    def _locate_fault(self, found: Fault) -> Fault:
        """Add the symbol and offset of the instruction, or of the return address after a bad jump."""
        address = found.address
        if not address and found.kind in ("null-call", "jump-outside-module"):
            caller = calling.get_return_address(self.abi, self.cpu, self.memory)
            address = caller if self.state.locate(caller) else 0
        return found.placed(address=address, where=self.state.locate(address))

    def _call_import(self, name: str) -> int:
        """Do what an imported function does, and return the address at which the guest continues."""
        back = calling.get_return_address(self.abi, self.cpu, self.memory)
        self.cpu.charge_call(back)
        export = self.api.get(name)
        if not isinstance(export, Export):
            raise Unsupported(f"it calls {name}, which isn't emulated")
        self.state.called = name
        self.objects.caller = f"{name}@{back:x}"
        try:
            self._return(export, self._call_export(export))
        except Fault as found:
            raise found.placed(address=back) from None
        removed = self.abi.pointer * len(export.readers) if export.stdcall and self.abi.cpu == "x86" else 0
        calling.return_to(self.abi, self.cpu, back, removed)
        return back

    def _call_export(self, export: Export) -> Any:
        arguments = calling.ArgumentReader(self.convention, self.abi, self.cpu, self.memory)
        try:
            result = export.call(self.state, arguments)
            if export.result != "a new reference":
                return result
            made = result if isinstance(result, GuestObject) else self.objects.wrap(result)
            return self.objects.add_reference(made)
        except (Fault, Unsupported):
            raise
        except BaseException as error:  # what the real function would raise; SystemExit passes through C, too
            self.state.error = self.state.api_error = error
            return export.failed

    def _return(self, export: Export, result: Any) -> None:
        if export.result == "double":
            calling.return_double(self.convention, self.cpu, result)
        elif export.result != "void":
            value = result.address if isinstance(result, GuestObject) else int(result or 0)
            calling.return_integer(self.convention, self.abi, self.cpu, value)
