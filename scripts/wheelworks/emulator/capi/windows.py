"""What a DLL of Windows calls when it is loaded: the start-up code of Visual C++'s runtime and of Rust.

The functions of the C runtime are those of the UCRT (``vcruntime_startup.h``, ``corecrt_startup.h``), the others of
kernel32. Their state isn't kept where nothing reads it: nothing ends the process or runs a second thread. The clock
stands still, so that runs repeat.
"""

from __future__ import annotations

from wheelworks.emulator import exports as c
from wheelworks.emulator.state import ProcessState

CLOCK = 133_500_000_000_000_000  # units of 100 ns since 1601: in January 2024
PROCESS, THREAD = 4, 8  # identifiers are multiples of 4
LOADED = 1


def _call_entry(state: ProcessState, at: int) -> int:
    """Call the function in an entry of a table and return its result; 0 for a null pointer."""
    function = state.memory.load_pointer(at)
    return state.run_code(function, []) & 0xFFFFFFFF if function else 0


@c.export()
def _initterm(state: ProcessState, start: c.Pointer, end: c.Pointer) -> None:
    for at in range(start, end, state.abi.pointer):
        _call_entry(state, at)


@c.export()
def _initterm_e(state: ProcessState, start: c.Pointer, end: c.Pointer) -> c.Int:
    entries = range(start, end, state.abi.pointer)
    return next(filter(None, (_call_entry(state, at) for at in entries)), 0)  # the first error ends it


@c.export("_execute_onexit_table")
def _initialize_onexit_table(state: ProcessState, table: c.Pointer) -> c.Int:
    return 0


@c.export()
def _register_onexit_function(state: ProcessState, table: c.Pointer, function: c.Pointer) -> c.Int:
    return 0


@c.export()
def _crt_atexit(state: ProcessState, function: c.Pointer) -> c.Int:
    return 0


@c.export()
def _configure_narrow_argv(state: ProcessState, mode: c.Int) -> c.Int:
    return 0


@c.export("_cexit")
def _initialize_narrow_environment(state: ProcessState) -> c.Int:
    return 0


@c.export()
def __std_type_info_destroy_list(state: ProcessState, types: c.Pointer) -> None:
    """Frees the names of types when the DLL is unloaded."""


@c.export(stdcall=True)
def GetSystemTimeAsFileTime(state: ProcessState, result: c.Pointer) -> None:
    state.memory.store(result, CLOCK.to_bytes(8, "little"))


@c.export("QueryPerformanceFrequency", stdcall=True)
def QueryPerformanceCounter(state: ProcessState, result: c.Pointer) -> c.Int:
    state.memory.store(result, CLOCK.to_bytes(8, "little"))
    return 1


@c.export(stdcall=True)
def GetCurrentProcessId(state: ProcessState) -> c.UInt:
    return PROCESS


@c.export(stdcall=True)
def GetCurrentThreadId(state: ProcessState) -> c.UInt:
    return THREAD


@c.export(stdcall=True)
def InitializeSListHead(state: ProcessState, head: c.Pointer) -> None:
    state.memory.store(head, bytes(2 * state.abi.pointer))


@c.export(stdcall=True)
def DisableThreadLibraryCalls(state: ProcessState, module: c.Pointer) -> c.Int:
    return LOADED


@c.export(stdcall=True)
def IsProcessorFeaturePresent(state: ProcessState, feature: c.UInt) -> c.Int:
    return 0


@c.export("DecodePointer", stdcall=True)
def EncodePointer(state: ProcessState, pointer: c.Pointer) -> c.Pointer:
    return pointer
