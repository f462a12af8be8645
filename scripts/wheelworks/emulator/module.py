"""An extension module that runs on the emulated CPU, used like any module."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from wheelworks.emulator.abi import Abi, python_abi
from wheelworks.emulator.calls import balance
from wheelworks.emulator.cpu import Limits
from wheelworks.emulator.definition import ModuleDefinition, read_definition, read_slot_array
from wheelworks.emulator.extensions import Extension
from wheelworks.emulator.findings import CannotRun, Fault, fault
from wheelworks.emulator.image import BadImage, Image
from wheelworks.emulator.interpreter import Interpreter


class EmulatedModule:
    """The module's attributes are its own; calling one runs the machine code.

    After a fault the module starts afresh, like a process that crashed and was started again.
    """

    def __init__(self, image: Image, extension: Extension, limits: Limits) -> None:
        """Load and import the module. Raises BadImage, Fault, CannotRun, and what its import raises."""
        self._image, self._extension, self._limits = image, extension, limits
        python = python_abi(extension.name, image.libraries, extension.tags)
        self._abi = Abi(image.os, image.cpu, python)
        self._start()

    def _start(self) -> None:
        self._guest = Interpreter(self._image, self._abi, self._limits)
        try:
            self._module = import_module(self._guest, self._extension)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give back the emulated process's memory; the module can't be used afterwards."""
        self._guest.cpu.close()

    def __del__(self) -> None:
        if "_guest" in self.__dict__:
            self.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        value = getattr(self._module, name)
        return self._restarting(name) if callable(value) and not isinstance(value, type) else value

    def _restarting(self, name: str) -> Any:
        def call(*args: object, **kwargs: object) -> Any:
            if self._guest.broken:
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
        return self._guest.memory.image_base

    def count_instructions_(self) -> Callable[[], int]:
        """Count the module's instructions that run from now on; returns what tells how many did.

        What is not the module's own, such as CPython's part of a call, isn't counted; a fault ends the counting.
        """
        start = self.base_
        return self._guest.cpu.count(start, start + self._image.size - 1)

    @property
    def definition_(self) -> ModuleDefinition:
        """What the module says about itself."""
        assert self._guest.definition is not None
        return self._guest.definition


def import_module(guest: Interpreter, extension: Extension) -> types.ModuleType:
    """Do what ``import`` does: constructors, the init or export function, the exec slots.

    Raises BadImage where the module has no such function, Fault, CannotRun, and what the module raises.
    """
    try:
        for address in guest.image.constructors:
            guest.enter(guest.memory.image_base + address, [0, 0, 0])
        made = _initialise(guest, extension)
        balance(guest)
    except Fault as found:
        raise found.placed(function=f"import {extension.module}") from None
    assert isinstance(made, types.ModuleType)
    return made


def _initialise(guest: Interpreter, extension: Extension) -> types.ModuleType:
    exports = guest.image.exports
    base, name = guest.memory.image_base, extension.module
    if f"PyModExport_{name}" in exports and guest.abi.python.version >= (3, 15):
        slots = guest.enter(base + exports[f"PyModExport_{name}"], [0])
        return _from_definition(guest, read_slot_array(guest, _not_null(guest, slots)))
    if f"PyInit_{name}" not in exports:
        raise BadImage(f"{extension.name}: exports no PyInit_{name}", f"it exports {', '.join(exports) or 'nothing'}")
    result = _not_null(guest, guest.enter(base + exports[f"PyInit_{name}"]))
    if result - base in range(guest.image.size):
        return _from_definition(guest, read_definition(guest, result))
    return _hold(guest, result)


def _not_null(guest: Interpreter, address: int) -> int:
    error = guest.errors.take()
    if address == 0 and error is None:
        raise fault("null-without-error", "NULL was returned by the module's init function without an exception")
    if error is not None:
        if address:
            raise fault("error-with-result", f"the module's init function returned while {error!r} was set")
        raise error
    return address


def _from_definition(guest: Interpreter, definition: ModuleDefinition) -> types.ModuleType:
    made = guest.objects.hold(guest.new_module(definition))
    guest.execute(made, definition.slots)
    assert isinstance(made.value, types.ModuleType)
    return made.value


def _hold(guest: Interpreter, address: int) -> types.ModuleType:
    """Single-phase initialisation returns the module: its reference is the interpreter's from now on."""
    made = guest.objects.at(address)
    if not isinstance(made.value, types.ModuleType):
        raise CannotRun(f"its init function returned {made}, not a module")
    made.held += 1
    return made.value
