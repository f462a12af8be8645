"""Finding the extension modules in a wheel, without trusting it."""

from __future__ import annotations

import types
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wheelworks.core.archive import Limits, Member
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.wheel import read_members
from wheelworks.emulator.abi import Abi, detect_python_abi
from wheelworks.emulator.capi import EXPORTS
from wheelworks.emulator.capi.modules import create_module, run_exec_slots
from wheelworks.emulator.cpu import RunLimits
from wheelworks.emulator.definition import ModuleDefinition, read_definition, read_slot_array
from wheelworks.emulator.faults import Fault, Unsupported
from wheelworks.emulator.image import MAX_FILE, BadImage, Image
from wheelworks.emulator.process import EmulatedProcess

SUFFIXES = (".so", ".pyd", ".dylib")
UNPACK_LIMITS = Limits(MAX_FILE)  # all extensions of a wheel together


@dataclass(frozen=True)
class ExtensionModule:
    """A binary with the name it has in its wheel, and the wheel's tags."""

    name: str
    data: bytes
    tags: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """The last part of the module's name: what its PyInit_ function is called after."""
        return self.name.rsplit("/", 1)[-1].split(".", 1)[0]


def read_extensions(path: Path) -> tuple[ExtensionModule, ...]:
    """The extension modules of a wheel, or the one binary that ``path`` is.

    Raises WheelworksError where the file can't be read, isn't a zip file, or claims absurd sizes.
    """
    if not path.is_file():
        raise UsageError(f"{path} is a directory" if path.is_dir() else f"{path}: no such file", "give wheel files")
    if path.suffix != ".whl" and not zipfile.is_zipfile(path):
        return (ExtensionModule(path.name, _read_binary(path)),)
    members = read_members(path, UNPACK_LIMITS, lambda name: name.endswith((*SUFFIXES, ".dist-info/WHEEL")))
    tags = _read_tags(members, path)
    return tuple(
        ExtensionModule(name, member.data, tags) for name, member in members.items() if name.endswith(SUFFIXES)
    )


def choose_extension(found: tuple[ExtensionModule, ...], member: str | None, path: Path) -> ExtensionModule:
    """The one extension, or the one that ``member`` names. Raises WheelworksError if there isn't exactly one."""
    names = ", ".join(extension.name for extension in found)
    if member is not None:
        found = tuple(e for e in found if member in (e.name, e.name.rsplit("/", 1)[-1], e.module))
    if not found:
        reason = f"no extension module {member!r} in it (it has {names})" if member else "no extension module in it"
        raise WheelworksError(f"{path.name}: {reason}", "was it built without a compiler?")
    if len(found) > 1:
        raise UsageError(f"{path.name}: several extension modules: {names}", "say which one")
    return found[0]


def _read_binary(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise WheelworksError(f"{path.name}: more than {MAX_FILE >> 20} MiB: larger than any small extension")
    return data


def _read_tags(members: Mapping[str, Member], path: Path) -> tuple[str, ...]:
    """The tags in the WHEEL file (the binary distribution format specification), else those of the file name."""
    for name, member in members.items():
        if name.endswith(".dist-info/WHEEL") and name.count("/") == 1:
            lines = member.data.decode("utf-8", "replace").splitlines()
            return tuple(line.removeprefix("Tag:").strip() for line in lines if line.startswith("Tag:"))
    return ("-".join(path.stem.split("-")[-3:]),)


class EmulatedModule:
    """The module's attributes are its own; calling one runs the machine code.

    After a fault the module starts afresh, like a process that crashed and was started again.
    """

    def __init__(self, image: Image, extension: ExtensionModule, limits: RunLimits) -> None:
        """Load and import the module. Raises BadImage, Fault, CannotRun, and what its import raises."""
        self._image, self._extension, self._limits = image, extension, limits
        python = detect_python_abi(extension.name, image.libraries, extension.tags)
        self._abi = Abi(image.os, image.cpu, python)
        self._start()

    def _start(self) -> None:
        self._process = EmulatedProcess(self._image, self._abi, self._limits, EXPORTS)
        try:
            self._module = import_module(self._process, self._extension)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give back the emulated process's memory; the module can't be used afterwards."""
        self._process.cpu.close()

    def __del__(self) -> None:
        if "_process" in self.__dict__:
            self.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        value = getattr(self._module, name)
        return self._restarting(name) if callable(value) and not isinstance(value, type) else value

    def _restarting(self, name: str) -> Any:
        def call(*args: object, **kwargs: object) -> Any:
            if self._process.state.crashed:
                self.close()
                self._start()
            return getattr(self._module, name)(*args, **kwargs)

        original = getattr(self._module, name)
        call.__name__ = call.__qualname__ = name
        call.__doc__ = original.__doc__
        return call

    def __dir__(self) -> list[str]:
        return [name for name in dir(self._module) if not name.startswith("__")]

    def __repr__(self) -> str:
        return f"<emulated module {self._extension.name} on {self._abi}>"

    @property
    def abi_(self) -> Abi:
        """The operating system, CPU and CPython that are emulated."""
        return self._abi

    @property
    def base_(self) -> int:
        """Where the image lies in guest memory."""
        return self._process.memory.image_base

    def count_instructions_(self) -> Callable[[], int]:
        """Count the module's instructions that run from now on; returns what tells how many did.

        What is not the module's own, such as CPython's part of a call, isn't counted; a fault ends the counting.
        """
        start = self.base_
        return self._process.cpu.count_instructions(start, start + self._image.size - 1)

    @property
    def definition_(self) -> ModuleDefinition:
        """What the module says about itself."""
        assert self._process.state.definition is not None
        return self._process.state.definition


def import_module(process: EmulatedProcess, extension: ExtensionModule) -> types.ModuleType:
    """Do what ``import`` does: constructors, the init or export function, the exec slots.

    Raises BadImage where the module has no such function, Fault, CannotRun, and what the module raises.
    """
    try:
        for address in process.image.constructors:
            process.run_code(process.memory.image_base + address, [0, 0, 0])
        made = _initialise(process, extension)
        process.state.check_leaks()
    except Fault as found:
        raise found.placed(function=f"import {extension.module}") from None
    assert isinstance(made, types.ModuleType)
    return made


def _initialise(process: EmulatedProcess, extension: ExtensionModule) -> types.ModuleType:
    exports = process.image.exports
    base, name = process.memory.image_base, extension.module
    if f"PyModExport_{name}" in exports and process.abi.python.version >= (3, 15):
        slots = process.run_code(base + exports[f"PyModExport_{name}"], [0])
        return _create_module(process, read_slot_array(process.memory, _check_result(process, slots)))
    if f"PyInit_{name}" not in exports:
        raise BadImage(f"{extension.name}: exports no PyInit_{name}", f"it exports {', '.join(exports) or 'nothing'}")
    result = _check_result(process, process.run_code(base + exports[f"PyInit_{name}"]))
    if result - base in range(process.image.size):
        return _create_module(process, read_definition(process.memory, result))
    return _hold_module(process, result)


def _check_result(process: EmulatedProcess, address: int) -> int:
    error = process.state.take_error()
    if address == 0 and error is None:
        raise Fault("null-without-error", "NULL was returned by the module's init function without an exception")
    if error is not None:
        if address:
            raise Fault("error-with-result", f"the module's init function returned while {error!r} was set")
        raise error
    return address


def _create_module(process: EmulatedProcess, definition: ModuleDefinition) -> types.ModuleType:
    made = process.objects.hold(create_module(process.state, definition))
    run_exec_slots(process.state, made, definition.slots)
    assert isinstance(made.value, types.ModuleType)
    return made.value


def _hold_module(process: EmulatedProcess, address: int) -> types.ModuleType:
    """Single-phase initialisation returns the module: its reference is the interpreter's from now on."""
    made = process.objects.find(address)
    if not isinstance(made.value, types.ModuleType):
        raise Unsupported(f"its init function returned {made}, not a module")
    made.held += 1
    return made.value
