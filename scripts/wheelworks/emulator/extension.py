"""Extension modules: found in a wheel, and imported on the emulated CPU so that they are used like any module."""

from __future__ import annotations

import types
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wheelworks.core.archive import Limits
from wheelworks.core.binary import name_entry_points
from wheelworks.core.errors import Unsupported, UsageError, WheelworksError
from wheelworks.core.image import MAX_FILE, BadImage, Image
from wheelworks.core.wheel import Wheel, open_wheel
from wheelworks.emulator.abi import Abi, detect_python_abi
from wheelworks.emulator.capi import EXPORTS
from wheelworks.emulator.capi.collector import collect
from wheelworks.emulator.capi.modules import create_module, run_exec_slots
from wheelworks.emulator.cpu import RunLimits
from wheelworks.emulator.definition import ModuleDefinition, read_definition, read_slot_array
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.process import EmulatedProcess
from wheelworks.emulator.state import pause_collector

DLL_PROCESS_ATTACH = 1
SUFFIXES = (".so", ".pyd", ".dylib")
UNPACK_LIMITS = Limits(MAX_FILE)  # for all extensions of a wheel together


@dataclass(frozen=True)
class ExtensionModule:
    """A binary, its name in the wheel, and the wheel's tags (none for a bare file)."""

    name: str
    data: bytes
    tags: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """Return the last part of the module's name, after which its init function is named."""
        return self.name.rsplit("/", 1)[-1].split(".", 1)[0]


def read_extensions(path: Path) -> tuple[ExtensionModule, ...]:
    """Return the extension modules of a wheel, or the one binary at ``path``.

    Raises Unsupported for files beyond the limits, WheelworksError if the file can't be read or isn't a wheel.
    """
    if not path.is_file():
        raise UsageError(f"{path} is a directory" if path.is_dir() else f"{path}: no such file", "give wheel files")
    if path.suffix != ".whl" and not zipfile.is_zipfile(path):
        return (ExtensionModule(path.name, _read_binary(path)),)
    return list_extensions(open_wheel(path, UNPACK_LIMITS, lambda name: name.endswith(SUFFIXES)))


def list_extensions(wheel: Wheel) -> tuple[ExtensionModule, ...]:
    """Return the extension modules of a wheel that was opened. Raises Unsupported for files beyond the limits."""
    found = {name: member.data for name, member in wheel.members.items() if name.endswith(SUFFIXES)}
    if sum(map(len, found.values())) > UNPACK_LIMITS.size:
        raise Unsupported(f"{wheel.path.name}: its binaries are larger than {UNPACK_LIMITS.size >> 20} MiB")
    tags = tuple(sorted(str(tag) for tag in wheel.name.tags))
    return tuple(ExtensionModule(name, data, tags) for name, data in found.items())


def choose_extension(found: tuple[ExtensionModule, ...], member: str | None, path: Path) -> ExtensionModule:
    """Return the only extension, or the one that ``member`` names. Raises WheelworksError unless there is one."""
    names = ", ".join(extension.name for extension in found)
    if member is not None:
        found = tuple(e for e in found if member in (e.name, e.name.rsplit("/", 1)[-1], e.module))
    if not found:
        reason = f"no extension module {member!r} in it (it has {names})" if member else "no extension module in it"
        raise WheelworksError(f"{path.name}: {reason}", "was it built without a compiler?")
    if len(found) > 1:
        raise UsageError(f"{path.name}: several extension modules: {names}", "name one of them")
    return found[0]


def _read_binary(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise Unsupported(f"{path.name}: larger than {MAX_FILE >> 20} MiB, the limit here")
    return data


class EmulatedModule:
    """An imported module: its attributes are the module's, and calling a function runs its machine code.

    After a fault, the next call starts a new process, as if a crashed program were started again. Names that end in an
    underscore belong to this class: ``not_started_`` is empty, or says why the start-up code of a Windows DLL could not
    be run. Without it, variables may have no value, so that a fault proves nothing.
    """

    not_started_ = ""

    def __init__(self, image: Image, extension: ExtensionModule, limits: RunLimits) -> None:
        """Load and import the module. Raises BadImage, Fault, Unsupported, and the exceptions of its import."""
        self._image, self._extension, self._limits = image, extension, limits
        self.abi_ = Abi(image.os, image.cpu, detect_python_abi(extension.name, image.libraries, extension.tags))
        self._start()

    def _start(self) -> None:
        self._process = EmulatedProcess(self._image, self.abi_, self._limits, EXPORTS)
        if self._image.entry and not self.not_started_:
            self.not_started_ = start_library(self._process)
        if self.not_started_:  # what has run may have left variables half set
            self.close()
            self._process = EmulatedProcess(self._image, self.abi_, self._limits, EXPORTS)
        try:
            self._module = _import_module(self._process, self._extension)
        except Fault as found:
            self.close()
            raise self._judge(found) from None
        except BaseException:
            self.close()
            raise
        if self._process.state.types:
            self._process.state.owner = self  # its classes and their instances need the process as long as they live

    def _restart(self) -> None:
        """Start a new process. Raises the Fault of a deallocator that Python called, since nothing else could."""
        pending = self._process.state.pending
        self.close()
        self._start()
        if pending is not None:
            raise self._judge(pending) if isinstance(pending, Fault) else pending

    def _judge(self, found: Fault) -> Fault | Unsupported:
        """Return the fault, or Unsupported if variables may have no value because start-up code wasn't run."""
        if not self.not_started_:
            return found
        return Unsupported(f"its start-up code can't be run ({self.not_started_}), and without it: {found.message}")

    def close(self) -> None:
        """Free the memory of the emulated process. The module can't be used afterwards."""
        self._process.state.crashed = True
        self._process.cpu.close()

    def __del__(self) -> None:
        if "_process" in self.__dict__:
            self.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_module" not in self.__dict__:
            raise AttributeError(name)
        if self._process.state.crashed and self._process.state.types:
            self._restart()
        value = getattr(self._module, name)
        return self._wrap_function(name, value) if callable(value) and not isinstance(value, type) else value

    def _wrap_function(self, name: str, original: Any) -> Any:
        def call(*args: object, **kwargs: object) -> Any:
            if self._process.state.crashed:
                self._restart()
            try:
                return getattr(self._module, name)(*args, **kwargs)
            except Fault as found:
                raise self._judge(found) from None

        call.__name__ = call.__qualname__ = name
        call.__doc__ = original.__doc__
        return call

    def __dir__(self) -> list[str]:
        return [name for name in dir(self._module) if not name.startswith("__")]

    def __repr__(self) -> str:
        return f"<emulated module {self._extension.name} on {self.abi_}>"

    @property
    def base_(self) -> int:
        """Return the guest address of the image."""
        return self._process.memory.image_base

    def collect_(self) -> int:
        """Free the instances of the module's types that nothing can reach, and return their number.

        Raises Fault for what deallocators did wrong since the last call, and for wrong traverse and clear functions.
        """
        if self._process.state.crashed:
            self._restart()
        try:
            return collect(self._process.state)
        except (Fault, Unsupported) as found:
            self._process.state.end(found)
            raise (self._judge(found) if isinstance(found, Fault) else found) from None

    def count_instructions_(self) -> Callable[[], int]:
        """Count the module's instructions that run from now on, and return a function that reads the count.

        Instructions outside the module, such as CPython's part of a call, aren't counted. A fault ends the counting.
        """
        return self._process.cpu.count_instructions(self.base_, self.base_ + self._image.size - 1)

    @property
    def types_(self) -> list[type]:
        """Return the types that the module has defined. After a fault, they are those of a new process."""
        if self._process.state.crashed:
            self._restart()
        return list(self._process.state.types)

    @property
    def definition_(self) -> ModuleDefinition:
        """Return the module's definition."""
        assert self._process.state.definition is not None
        return self._process.state.definition


def start_library(process: EmulatedProcess) -> str:
    """Run the start-up code of a Windows DLL as its loader does; return "", or why it could not be run.

    It is called with DllMain's arguments: the callbacks for thread-local variables, then the entry point, which
    prepares the C runtime, calls the constructors of C++ and then DllMain (PE format, "The .tls section").
    """
    image, base = process.image, process.memory.image_base
    callbacks = image.thread_local.callbacks if image.thread_local else ()
    try:
        for address in callbacks:
            process.run_code(base + address, [base, DLL_PROCESS_ATTACH, 0])
        loaded = process.run_code(base + image.entry, [base, DLL_PROCESS_ATTACH, 0]) & 0xFFFFFFFF
    except (Fault, Unsupported) as error:
        return error.message
    return "" if loaded else "DllMain reported failure"


@pause_collector()
def _import_module(process: EmulatedProcess, extension: ExtensionModule) -> types.ModuleType:
    """Import as CPython does: constructors, the init or export function, the exec slots."""
    try:
        for address in process.image.constructors:
            process.run_code(process.memory.image_base + address, [0, 0, 0])
        module = _initialise(process, extension)
        process.state.check_leaks()
    except Fault as found:
        raise found.placed(function=f"import {extension.module}") from None
    except Exception as error:
        if error is process.state.api_error:  # the module didn't raise it, and CPython might not have
            raise Unsupported(
                f"its import ends with {error!r} of the emulated function {process.state.called}"
            ) from None
        raise
    return module


def _initialise(process: EmulatedProcess, extension: ExtensionModule) -> types.ModuleType:
    exports = process.image.exports
    base, (init, export) = process.memory.image_base, name_entry_points(extension.module)
    if export in exports and process.abi.python.version >= (3, 15):
        slots = _call_init(process, base + exports[export], [0])
        return _create_module(process, read_slot_array(process.memory, slots))
    if init not in exports:
        raise BadImage(f"{extension.name}: exports no {init}", f"it exports {', '.join(exports) or 'nothing'}")
    result = _call_init(process, base + exports[init])
    if result in process.state.definitions or result - base in range(process.image.size):
        return _create_module(process, read_definition(process.memory, result))
    made = process.objects.find(result)
    if not isinstance(made.value, types.ModuleType):
        raise Unsupported(f"its init function returned {made}, not a module")
    made.held += 1  # single-phase initialisation: the returned reference is the interpreter's
    return made.value


def _call_init(process: EmulatedProcess, address: int, words: Sequence[int] = ()) -> int:
    result = process.run_code(address, words)
    process.state.check_result(result == 0, "the module's init function")
    return result


def _create_module(process: EmulatedProcess, definition: ModuleDefinition) -> types.ModuleType:
    made = process.objects.hold(create_module(process.state, definition))
    run_exec_slots(process.state, made, definition.slots)
    assert isinstance(made.value, types.ModuleType)
    return made.value
